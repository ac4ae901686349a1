"""`fjarrkoll person`: a person's own data out, and what the law lets go; `fjarrkoll hold`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from fjarrkoll.commands.ticket import Who, Why, in_transaction, spoken
from fjarrkoll.console import AsJson, DryRun, begin, fail, show
from fjarrkoll.operators import Deed, note

if TYPE_CHECKING:
    from storage.connection import Connection
    from storage.erasure import Erasure, Export
    from storage.privacy import CutLink, Hold

app = typer.Typer(no_args_is_help=True, help="A person's rights: export, erasure, forgetting.")
hold_app = typer.Typer(no_args_is_help=True, help="Keep everything after an incident.")

Person = Annotated[str, typer.Argument(help="The pseudonym on the person's loans.")]
Tenant = Annotated[
    str | None, typer.Option(help="Where the pseudonym is used; needed when several use it.")
]
Result = TypeVar("Result")

_ALL: Final = 100_000


@app.command("export")
def export_person(
    person: Person,
    out: Annotated[Path, typer.Option(help="The ZIP to write. Only its owner may read it.")],
    who: Who,
    tenant: Tenant = None,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Write everything about a person as a ZIP of JSON and CSV; the access log notes it.

    Example: fjarrkoll person export p-4711 --out p-4711.zip --who "Adam" --why "2026-117"
    """
    if out.exists():
        fail(f"{out} exists: give another file, or remove it")
    with ExitStack() as undo:
        new = _New(out, undo)
        deed = Deed("export_person", "person", person, who, why)
        result = _for_person(
            person, tenant, lambda conn, name: _written(conn, name, new, deed), dry_run=False
        )
        undo.pop_all()
    show(
        {"out": str(out), **asdict(result)},
        as_json=as_json,
        text=lambda: (
            f"{out}: {result.loan_n} loans, {result.sample_n:,} values,"
            f" {result.fault_n} faults, {result.ticket_n} tickets, {result.log_n} log entries"
        ),
    )


@dataclass(frozen=True, slots=True)
class _New:
    """A file to make; `undo` takes it away again unless the transaction is committed."""

    path: Path
    undo: ExitStack

    def opened(self) -> IO[bytes]:
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as exc:
            fail(f"{self.path} cannot be written: {exc.strerror}")
        self.undo.callback(self.path.unlink, missing_ok=True)
        return os.fdopen(handle, "wb")


def _written(conn: Connection, tenant: str, new: _New, deed: Deed) -> Export:
    from storage.erasure import export  # noqa: PLC0415

    note(conn, tenant, deed)
    with new.opened() as file:
        return export(conn, tenant, deed.key, file, datetime.now(UTC))


@app.command("erase")
def erase_person(
    person: Person,
    who: Who,
    tenant: Tenant = None,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Erase what the law lets go of a person's finished loans; says what stays, and why.

    Loans that run, and what an incident hold keeps, stay. There is no way back.

    Example: fjarrkoll person erase p-4711 --who "Adam" --why "2026-118" --dry-run
    """

    def work(conn: Connection, name: str) -> Erasure:
        from storage.erasure import erase  # noqa: PLC0415

        result = erase(conn, person)
        note(conn, name, Deed("erase_person", "person", person, who, why))
        return result

    result = _for_person(person, tenant, work, dry_run=dry_run)
    show(
        {**asdict(result), "dry_run": dry_run},
        as_json=as_json,
        text=lambda: _erasure_text(result, dry_run=dry_run),
    )


_WHY_KEPT: Final = {
    "loan_runs": "the loan runs",
    "held": "an incident hold keeps it",
    "record_of_care": "values about care: part of the record, kept for at least ten years",
    "engineering": "faults and tickets: the device's history, without the person",
    "access_log": "the access log: kept for at least five years by law",
}


def _erasure_text(result: Erasure, *, dry_run: bool) -> str:
    verb = "would erase" if dry_run else "erased"
    lines = [
        f"{verb} loan {one.loan_no} of {one.device_id}: {one.sample_n:,} values,"
        f" {one.answer_n} answers, {one.link_n} link to the person"
        for one in result.erased
    ]
    lines += [f"{verb} {result.block_n} blocks"] if result.block_n else []
    for stay in result.staying:
        where = "" if stay.loan_no is None else f" loan {stay.loan_no}:"
        lines.append(f"stays:{where} {_WHY_KEPT[stay.kept]}")
    return "\n".join(lines)


def _for_person(
    person: str,
    tenant: str | None,
    work: Callable[[Connection, str], Result],
    *,
    dry_run: bool,
) -> Result:
    """Run `work` within the whole tenant that knows the pseudonym."""
    from storage.erasure import tenants_of  # noqa: PLC0415
    from storage.privacy import PrivacyError  # noqa: PLC0415

    def scoped(conn: Connection) -> Result:
        known = tenants_of(conn, person) if tenant is None else [tenant]
        if len(known) > 1:
            fail(f"{person} is used by {', '.join(known)}: name one with --tenant")
        if not known:
            raise PrivacyError(f"no loan is linked to {person}: it is wrong, or was cut already")
        _enter(conn, known[0])
        return work(conn, known[0])

    return in_transaction(scoped, PrivacyError, dry_run=dry_run)


def _enter(conn: Connection, tenant: str) -> None:
    from fleet.access.scopes import Reach, Scope  # noqa: PLC0415
    from storage.scope import enter  # noqa: PLC0415

    enter(conn, Scope(tenant, Reach.TENANT))


@app.command("cut")
def cut(
    days: Annotated[
        int | None,
        typer.Option(min=0, max=3650, help="Days after the loan; FJARRKOLL_PERSON_LINK_DAYS."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Forget who had loans that ended long enough ago; diagnostics does it every hour too.

    The device keeps its history. What an incident hold keeps is left.

    Example: fjarrkoll person cut --days 30 --dry-run
    """
    from storage.privacy import PrivacyError, cut_links  # noqa: PLC0415

    kept = begin().person_link_days if days is None else days
    before = datetime.now(UTC) - timedelta(days=kept)

    def work(conn: Connection) -> list[CutLink]:
        from storage.privacy import note_cut  # noqa: PLC0415

        found = cut_links(conn, before, _ALL)
        note_cut(conn, found, datetime.now(UTC))
        return found

    found = in_transaction(work, PrivacyError, dry_run=dry_run)
    verb = "would cut" if dry_run else "cut"
    show(
        {"cut": [asdict(one) for one in found], "days": kept, "dry_run": dry_run},
        as_json=as_json,
        text=lambda: (
            "\n".join(
                f"{verb} loan {one.loan_no} of {one.device_id}, over since {spoken(one.ended_at)}"
                for one in found
            )
            or f"no loan that ended more than {kept} days ago has a person"
        ),
    )


InTenant = Annotated[str, typer.Option("--tenant", help="Whose device or person.")]


@hold_app.command("place")
def place_hold(
    tenant: InTenant,
    who: Who,
    why: Why,
    device: Annotated[str | None, typer.Option(help="Everything about this device.")] = None,
    person: Annotated[str | None, typer.Option(help="Everything about this pseudonym.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Keep everything about a device or a person: a hold beats every deleter until released.

    Example: fjarrkoll hold place --tenant vgr --device wc-000017 --who "Adam" --why "stolen välte"
    """
    from storage.privacy import hold  # noqa: PLC0415

    def work(conn: Connection) -> int:
        now = datetime.now(UTC)
        number = hold(conn, device=device, person=person, why=why, who=who, now=now)
        deed = Deed("place_hold", "hold", str(number), who, why, device=device, person=person)
        note(conn, tenant, deed)
        return number

    number = _held(tenant, work, dry_run=dry_run)
    show(
        {"hold_no": number, "device": device, "person": person, "dry_run": dry_run},
        as_json=as_json,
        text=lambda: f"hold {number} {'would keep' if dry_run else 'keeps'} {device or person}",
    )


@hold_app.command("release")
def release(
    number: Annotated[int, typer.Argument(min=1, help="The hold's number.")],
    tenant: InTenant,
    who: Who,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """End a hold, when the incident is closed.

    Example: fjarrkoll hold release 3 --tenant vgr --who "Greta" --why "utredningen är klar"
    """
    from storage.privacy import PrivacyError, release_hold  # noqa: PLC0415

    def work(conn: Connection) -> int:
        if not release_hold(conn, number, who, datetime.now(UTC), why.strip() or None):
            raise PrivacyError(f"no hold {number} runs in {tenant}: see `fjarrkoll hold list`")
        note(conn, tenant, Deed("release_hold", "hold", str(number), who, why))
        return number

    _held(tenant, work, dry_run=dry_run)
    show(
        {"hold_no": number, "dry_run": dry_run},
        as_json=as_json,
        text=lambda: f"hold {number} {'would be' if dry_run else 'is'} released",
    )


@hold_app.command("list")
def list_holds(tenant: InTenant, as_json: AsJson = False) -> None:
    """List holds, the newest first; released ones too.

    Example: fjarrkoll hold list --tenant vgr
    """
    from storage.privacy import holds  # noqa: PLC0415

    found = _held(tenant, lambda conn: holds(conn, 1000), dry_run=True)
    show(
        {"tenant": tenant, "holds": [asdict(one) for one in found]},
        as_json=as_json,
        text=lambda: "\n".join(map(_hold_line, found)) or f"{tenant} has no holds",
    )


def _hold_line(one: Hold) -> str:
    about = one.device_id or one.person
    said = f"{one.hold_no:>6}  {about}  {one.why}, {one.who}, {spoken(one.from_at)}"
    if one.released_at is None:
        return said
    why = f": {one.released_why}" if one.released_why else ""
    return f"{said}, released {spoken(one.released_at)} by {one.released_by}{why}"


def _held(tenant: str, work: Callable[[Connection], Any], *, dry_run: bool) -> Any:
    from storage.privacy import PrivacyError  # noqa: PLC0415

    def scoped(conn: Connection) -> Any:
        _enter(conn, tenant)
        return work(conn)

    return in_transaction(scoped, PrivacyError, dry_run=dry_run)
