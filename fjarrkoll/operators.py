"""What commands change, and a device that they show, stands in the access log too."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import dataclass
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
        from storage.audit import tenant_of  # noqa: PLC0415

        result = work(conn)
        tenant = tenant_of(conn, kind, str(key))
        if tenant is not None:
            note(conn, tenant, Deed(action, kind, str(key), who, why))
        return result

    return both


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did at the command line, to what, and why.

    `device` and `person` are whom it concerns, where the kind does not say that already.
    """

    action: str
    kind: Literal["device", "ticket", "person", "hold"]
    key: str
    who: str = ""
    why: str = ""
    device: str | None = None
    person: str | None = None


def note(conn: Connection, tenant: str, deed: Deed) -> None:
    """Write a deed into the access log, last in its transaction; the account stands there too."""
    from fleet.access.audit import Entry  # noqa: PLC0415
    from storage.audit import append  # noqa: PLC0415

    account = getpass.getuser()
    entry = Entry(
        tenant=tenant,
        at=datetime.now(UTC),
        subject=f"account:{account}",
        name=(deed.who.strip() or account)[:200],
        role=ROLE,
        action=deed.action,
        object_kind=deed.kind,
        object_id=deed.key,
        device_id=deed.key if deed.kind == "device" else deed.device,
        person=deed.key if deed.kind == "person" else deed.person,
        why=deed.why.strip()[:1000] or None,
    )
    append(conn, tenant, [entry])
