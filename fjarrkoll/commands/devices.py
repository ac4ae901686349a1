"""`fjarrkoll device import`: a registry's own list of devices, registered and described at once."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fjarrkoll.commands.ticket import in_transaction
from fjarrkoll.console import AsJson, DryRun, fail, show
from fjarrkoll.operators import ROLE

if TYPE_CHECKING:
    from fleet.device_lists import BadLine, DeviceList
    from storage.connection import Connection
    from storage.device_lists import Imported

app = typer.Typer(help="Merged into `fjarrkoll device`.")

FILE_MAX_BYTES: Final = 20_000_000
BAD_SHOWN: Final = 100


@app.command("import")
def import_devices(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8; its first line names the columns.")],
    tenant: Annotated[str, typer.Option(help="Made at first mention.")],
    centre: Annotated[
        str | None, typer.Option(help="Of lines that name none; made at first mention.")
    ] = None,
    pending: Annotated[bool, typer.Option(help="Not to be believed until claimed.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Register devices from a file, and describe them; where a line is wrong, none of them.

    Columns, in any order: id, model; serial, individual_no, centre, area, network, batch,
    in_service_on. Of a device that is registered already only the last four are changed.

    Example: fjarrkoll device import chairs.csv --tenant vgr --dry-run
    """
    from storage.lending import LendingError  # noqa: PLC0415

    listed = _read(file)
    status = "pending" if pending else "active"
    bad, done = in_transaction(
        lambda conn: _put(conn, listed, tenant, centre, status, file.name),
        LendingError,
        dry_run=dry_run,
    )
    if done is None:
        _show_bad(file, bad, len(listed.devices) + len(listed.bad), as_json=as_json)
        raise typer.Exit(1)
    counts = {
        "added_n": len(done.added), "known_n": len(done.known), "described_n": len(done.described),
    }  # fmt: skip
    show(
        {"file": str(file), "tenant": tenant, **counts, "dry_run": dry_run},
        as_json=as_json,
        text=lambda: _told(done, dry_run=dry_run),
    )


def _put(
    conn: Connection,
    listed: DeviceList,
    tenant: str,
    centre: str | None,
    status: str,
    name: str,
) -> tuple[list[BadLine], Imported | None]:
    """The bad lines; None where there are any, and nothing is done."""
    from storage.device_lists import put, wrong_in  # noqa: PLC0415

    bad = [*listed.bad, *wrong_in(conn, listed.devices, tenant)]
    if bad:
        return sorted(bad, key=lambda one: one.line_no), None
    done = put(conn, listed.devices, tenant, centre, status)
    _note(conn, tenant, name, done)
    return [], done


def _told(done: Imported, *, dry_run: bool) -> str:
    verb = "would register" if dry_run else "registered"
    return (
        f"{verb} {len(done.added):,}; there already {len(done.known):,};"
        f" described {len(done.described):,}"
    )


def _read(file: Path) -> DeviceList:
    from fleet.device_lists import DeviceListError, read_devices  # noqa: PLC0415

    try:
        if file.stat().st_size > FILE_MAX_BYTES:
            fail(f"{file} is larger than {FILE_MAX_BYTES:,} bytes: give it in several files")
        return read_devices(file.read_text("utf-8-sig"))
    except OSError as exc:
        fail(f"{file} cannot be read: {exc.strerror}")
    except UnicodeDecodeError as exc:
        fail(f"{file} is not UTF-8 (byte {exc.start:,}): save it as CSV UTF-8")
    except DeviceListError as exc:
        fail(f"{file}: {exc}")


def _show_bad(file: Path, bad: Sequence[BadLine], of: int, *, as_json: bool) -> None:
    lines = [f"{file}:{one.line_no}: {_printable(one.what)}" for one in bad[:BAD_SHOWN]]
    lines += [f"… and {len(bad) - BAD_SHOWN:,} more"] if len(bad) > BAD_SHOWN else []
    result: dict[str, Any] = {
        "file": str(file),
        "bad_n": len(bad),
        "bad": [{"line": one.line_no, "what": one.what} for one in bad[:BAD_SHOWN]],
    }
    summed = f"nothing is registered: {len(bad):,} of {of:,} lines are wrong"
    show(result, as_json=as_json, text=lambda: "\n".join([*lines, summed]))


def _printable(text: str) -> str:
    """Without characters that move the cursor: others chose these words."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _note(conn: Connection, tenant: str, name: str, done: Imported) -> None:
    """One entry in the access log for the whole list, last in the transaction."""
    from fleet.access.audit import Entry  # noqa: PLC0415
    from storage.audit import append  # noqa: PLC0415

    account = getpass.getuser()
    entry = Entry(
        tenant=tenant,
        at=datetime.now(UTC),
        subject=f"account:{account}",
        name=account[:200],
        role=ROLE,
        action="device import",
        object_kind="list",
        object_id=_printable(name)[:200],
        why=f"{len(done.added)} registered, {len(done.described)} described",
    )
    append(conn, tenant, [entry])
