"""What is changed and looked at from the command line stands in the access log too."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeVar

if TYPE_CHECKING:
    from storage.connection import Connection

Result = TypeVar("Result")
ROLE: Final = "operator"


def logged(  # noqa: PLR0913 - what is done to what, by whom and why
    work: Callable[[Connection], Result],
    action: str,
    kind: Literal["device", "ticket"],
    key: str | int,
    *,
    who: str = "",
    why: str = "",
) -> Callable[[Connection], Result]:
    """`work`, followed in the same transaction by its entry in the access log.

    Args:
        key: the device's id or the ticket's number; nothing is logged where it does not exist.
        who: a name, where the command was given one; the account is written down in any case.
    """

    def both(conn: Connection) -> Result:
        result = work(conn)
        _write(conn, action, kind, str(key), who.strip(), why.strip())
        return result

    return both


def _write(  # noqa: PLR0913, PLR0917 - the fields of one entry
    conn: Connection, action: str, kind: str, key: str, who: str, why: str
) -> None:
    from fleet.access.audit import Entry  # noqa: PLC0415
    from storage.audit import append, tenant_of  # noqa: PLC0415

    tenant = tenant_of(conn, kind, key)
    if tenant is None:
        return
    account = getpass.getuser()
    entry = Entry(
        tenant=tenant,
        at=datetime.now(UTC),
        subject=f"account:{account}",
        name=(who or account)[:200],
        role=ROLE,
        action=action,
        object_kind=kind,
        object_id=key,
        device_id=key if kind == "device" else None,
        why=why[:1000] or None,
    )
    append(conn, tenant, [entry])
