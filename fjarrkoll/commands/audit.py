"""`fjarrkoll audit`: who saw or changed what, and the proof that nothing was taken away."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer

from fjarrkoll.console import AsJson, begin, fail, show

if TYPE_CHECKING:
    from fleet.access.audit import Head, Row, Verdict
    from storage.audit import AuditFilter
    from storage.connection import Connection

app = typer.Typer(no_args_is_help=True, help="The access log: read it, and check it.")

_SWEDEN: Final = ZoneInfo("Europe/Stockholm")
_FORMATS: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M%z"]

Tenant = Annotated[str | None, typer.Option(help="One tenant's log; all of them when left out.")]


@app.command("list")
def list_entries(
    tenant: Annotated[str, typer.Option(help="Whose log.")],
    device: Annotated[str | None, typer.Option(help="Only about this device.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only by this person's id.")] = None,
    person: Annotated[str | None, typer.Option(help="Only about this pseudonym.")] = None,
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=_FORMATS, help="From.")
    ] = None,
    to: Annotated[datetime | None, typer.Option("--to", formats=_FORMATS, help="Before.")] = None,
    before: Annotated[int | None, typer.Option(help="The last number of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List who saw or changed what, the newest first. Times are Swedish unless they say otherwise.

    Example: fjarrkoll audit list --tenant vgr --device wc-000017 --from 2026-11-01
    """
    from storage.audit import AuditFilter, page  # noqa: PLC0415

    wanted = AuditFilter(
        tenant=tenant,
        device_id=device,
        subject=subject,
        person=person,
        from_at=_instant(from_),
        until_at=_instant(to),
    )
    with _reading() as conn:
        rows = page(conn, wanted, limit, before)
    show(
        {"tenant": tenant, "entries": [_row_fields(row) for row in rows]},
        as_json=as_json,
        text=lambda: "\n".join(_row_line(row) for row in rows) or _nothing(wanted),
    )


def _instant(at: datetime | None) -> datetime | None:
    return at if at is None or at.tzinfo is not None else at.replace(tzinfo=_SWEDEN)


@contextmanager
def _reading() -> Iterator[Connection]:
    """One read-only transaction with one view of all of the data."""
    from psycopg import Error, IsolationLevel  # noqa: PLC0415

    from storage.audit import see_every_row  # noqa: PLC0415
    from storage.connection import connect, translated  # noqa: PLC0415

    with connect(begin().required("database_url")) as conn:
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        try:
            see_every_row(conn)
            yield conn
        except Error as exc:
            raise translated(exc) from exc


def _row_fields(row: Row) -> dict[str, Any]:
    return {"no": row.no, **asdict(row.entry), "hash": row.hash.hex()}


def _row_line(row: Row) -> str:
    entry = row.entry
    about = " ".join(filter(None, (entry.object_kind, entry.object_id or entry.device_id)))
    said = f"{row.no:>8}  {_spoken(entry.at)}  {entry.name or entry.subject} ({entry.role})"
    why = f": {_on_one_line(entry.why)}" if entry.why else ""
    return f"{_on_one_line(said)}  {_on_one_line(f'{entry.action} {about}')}{why}"


def _on_one_line(text: str) -> str:
    """Without characters that move the cursor: others chose these words."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _spoken(at: datetime) -> str:
    return f"{at.astimezone(_SWEDEN):%Y-%m-%d %H:%M:%S}"


def _nothing(wanted: AuditFilter) -> str:
    return f"the log of {wanted.tenant} has no such entries"


@app.command()
def verify(
    tenant: Tenant = None,
    head: Annotated[
        list[Path] | None, typer.Option(help="Heads exported earlier, one a line. Repeat.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="The public half of the key they were signed with.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no row of the log was edited, removed, moved or put in; names the first bad one.

    Exit status 1 where one was. Whoever can rewrite a whole log can make it look whole: only
    heads exported earlier and kept elsewhere show that.

    Example: fjarrkoll audit verify --head heads.jws --public-key audit.key.pub
    """
    exported = _exported(head or [], public_key)
    with _reading() as conn:
        verdicts = _checked(conn, tenant, exported)
    _show_verdicts(verdicts, as_json=as_json)
    if not all(verdict.is_right for verdict in verdicts):
        raise typer.Exit(1)


def _exported(files: Sequence[Path], public_key: Path | None) -> list[Head]:
    from fjarrkoll.heads import HeadError, read_heads, read_key  # noqa: PLC0415

    if not files:
        return []
    if public_key is None:
        fail("give --public-key: a head is worth what its signature is worth")
    try:
        return read_heads(files, read_key(public_key))
    except HeadError as exc:
        fail(str(exc))


def _checked(conn: Connection, tenant: str | None, exported: Sequence[Head]) -> list[Verdict]:
    """One verdict a tenant; a tenant that only an exported head knows of has one too."""
    from storage.audit import audited_tenants, check_chain  # noqa: PLC0415

    known = {*audited_tenants(conn), *(head.tenant for head in exported)}
    if tenant is not None and tenant not in known:
        fail(f"{tenant} has no access log", 1)
    verdicts = []
    with _progress() as seen:
        for name in sorted(known) if tenant is None else [tenant]:
            heads = [head for head in exported if head.tenant == name]
            verdicts.append(check_chain(conn, name, heads, seen))
    return verdicts


@contextmanager
def _progress() -> Iterator[Any]:
    """A count of checked rows on stderr, where people look at it."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        SpinnerColumn(),
        TextColumn("{task.completed:,.0f} rows checked"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("check", total=None)
        yield lambda: bar.advance(task)


def _show_verdicts(verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    result = {
        "is_right": all(verdict.is_right for verdict in verdicts),
        "tenants": [_verdict_fields(verdict) for verdict in verdicts],
    }
    text = "\n".join(_verdict_line(verdict) for verdict in verdicts) or "no tenant has a log yet"
    show(result, as_json=as_json, text=lambda: text)


def _verdict_fields(verdict: Verdict) -> dict[str, Any]:
    problem = verdict.problem
    return {
        "tenant": verdict.tenant,
        "is_right": verdict.is_right,
        "checked_n": verdict.checked_n,
        "problem": None if problem is None else asdict(problem),
    }


def _verdict_line(verdict: Verdict) -> str:
    if verdict.problem is None:
        return f"{verdict.tenant}: all {verdict.checked_n:,} rows are right"
    return f"{verdict.tenant}: {verdict.problem.says}; {verdict.checked_n:,} rows before are right"


@app.command("head")
def export_heads(
    key: Annotated[Path, typer.Option(help="The private key, see `fjarrkoll audit key`.")],
    out: Annotated[Path | None, typer.Option(help="Add them to this file.")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Sign where each log ends now. Keep the result where the database's owner cannot reach it.

    Example: fjarrkoll audit head --key audit.key --out heads.jws
    """
    from fjarrkoll.heads import HeadError, read_key, sign  # noqa: PLC0415

    with _reading() as conn:
        heads = _heads(conn, tenant)
    try:
        signer = read_key(key)
        tokens = [sign(head, signer, datetime.now(UTC)) for head in heads]
    except HeadError as exc:
        fail(str(exc))
    if out is not None:
        _add(out, tokens)
    result = {"heads": tokens, "out": out and str(out)}
    show(result, as_json=as_json, text=lambda: _head_text(heads, tokens, out))


def _heads(conn: Connection, tenant: str | None) -> list[Head]:
    from storage.audit import audited_tenants, head  # noqa: PLC0415

    names = audited_tenants(conn) if tenant is None else [tenant]
    found = [head(conn, name) for name in names]
    if tenant is not None and found == [None]:
        fail(f"{tenant} has no access log", 1)
    return [one for one in found if one is not None]


def _add(out: Path, tokens: Sequence[str]) -> None:
    try:
        with out.open("a", encoding="utf-8") as file:
            file.writelines(f"{token}\n" for token in tokens)
    except OSError as exc:
        fail(f"{out} cannot be written: {exc}")


def _head_text(heads: Sequence[Head], tokens: Sequence[str], out: Path | None) -> str:
    if out is None:
        return "\n".join(tokens)
    return "\n".join(f"{head.tenant}: head at row {head.no:,} added to {out}" for head in heads)


@app.command("key")
def make_key(
    out: Annotated[Path, typer.Option(help="The private key; the public one gets .pub added.")],
    dry_run: Annotated[
        bool, typer.Option(help="Say what would be made, and make nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key to sign heads with. Only its owner may read the private file.

    Example: fjarrkoll audit key --out audit.key
    """
    from fjarrkoll.heads import HeadError, public_file, write_key  # noqa: PLC0415

    try:
        public = public_file(out) if dry_run else write_key(out)
    except (HeadError, OSError) as exc:
        fail(str(exc))
    verb = "would be" if dry_run else "is"
    show(
        {"private": str(out), "public": str(public), "dry_run": dry_run},
        as_json=as_json,
        text=lambda: f"the private key {verb} in {out}, the public one in {public}",
    )
