"""`fjarrkoll rules`: what is on, and why; a rule is backtested before it is turned on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from diagnostics.backtest import Asked, Replayed, covered, estimate, replay
from diagnostics.backtest_report import DueOf, difference, summarise
from diagnostics.replay import WouldBe
from fjarrkoll.console import AsJson, begin, fail, show
from fleet.rules.reader import RuleFileError, parse_rule
from fleet.rules.rule import Rule
from fleet.sla.deadlines import due_at
from fleet.sla.policies import Clock, Policy, load_policies
from storage import deadlines, rules, tickets
from storage.connection import Connection, connect
from storage.rules import ListedRule, NewBacktest, RuleRefusedError

app = typer.Typer(no_args_is_help=True, help="Rules: what opens tickets, and why.")

DEFAULT_DAYS: Final = 90
Who = Annotated[str | None, typer.Option(help="Your name, kept with the change.")]
From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"])]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"])]
Version = Annotated[int | None, typer.Option(min=1, help="The newest when none is named.")]


@contextmanager
def _database(url: str) -> Iterator[Connection]:
    """A connection; what the rules refuse ends the command with one line and status 1."""
    try:
        with connect(url) as conn:
            yield conn
    except RuleRefusedError as exc:
        fail(str(exc), 1)


@app.command("list")
def list_rules(as_json: AsJson = False) -> None:
    """Show every rule: is it on, since when, its newest backtest, its record with people.

    Example: fjarrkoll rules list
    """
    with _database(begin().required("database_url")) as conn:
        listed = [(row, tickets.rule_record(conn, row.rule_id)) for row in rules.listed(conn)]
    rows = [_row(row, record) for row, record in listed]
    show({"rules": rows}, as_json=as_json, text=lambda: "\n".join(map(_line, rows)) or "no rules")


def _row(row: ListedRule, record: tickets.RuleRecord) -> dict[str, Any]:
    return {
        "id": row.rule_id,
        "version": row.version,
        "kind": parse_rule(row.body, row.rule_id).kind,
        "is_on": row.is_on,
        "since": row.switched_at,
        "by": row.switched_by,
        "backtest_at": row.backtest_at,
        "backtest_tickets": row.backtest_ticket_n,
        "hits": record.hits,
        "misses": record.misses,
        "precision": record.precision,
    }


def _line(row: Mapping[str, Any]) -> str:
    state = "on " if row["is_on"] else "off"
    precision = "-" if row["precision"] is None else f"{row['precision']:.0%}"
    tested = "never" if row["backtest_at"] is None else f"{row['backtest_at']:%Y-%m-%d}"
    return (
        f"{state} {row['id']:32} v{row['version']:<3} {row['kind']:20}"
        f" precision {precision:>5}  backtest {tested}"
    )


@app.command("show")
def show_rule(rule_id: str, version: Version = None, as_json: AsJson = False) -> None:
    """Print a stored rule's text, who turned it on and why, and its newest backtest.

    Example: fjarrkoll rules show reported-fault
    """
    with _database(begin().required("database_url")) as conn:
        rule, body = rules.stored_rule(conn, rule_id, version)
        found = rules.newest_backtest(conn, rule.id, rule.version)
        row = next(
            r for r in rules.listed(conn) if (r.rule_id, r.version) == (rule.id, rule.version)
        )
    result = {
        "id": rule.id,
        "version": rule.version,
        "is_on": row.is_on,
        "switched_at": row.switched_at,
        "switched_by": row.switched_by,
        "why": row.switched_why,
        "body": body,
        "backtest": None if found is None else dict(found.result),
    }
    status = (
        f"# {'on' if row.is_on else 'off'}; last switched by {row.switched_by}: {row.switched_why}"
    )
    show(result, as_json=as_json, text=lambda: f"{status}\n{body}")


@app.command()
def check(file: Annotated[Path, typer.Argument(exists=True)], as_json: AsJson = False) -> None:
    """Read a rule file strictly; say everything that is wrong with it, by line.

    Example: fjarrkoll rules check my-rule.toml
    """
    begin()
    rule = _read(file)
    result = {"id": rule.id, "version": rule.version, "kind": rule.kind, "ok": True}
    show(result, as_json=as_json, text=lambda: f"{file}: {rule.id} version {rule.version} is sound")


def _read(file: Path) -> Rule:
    try:
        return parse_rule(file.read_text("utf-8"), file.name)
    except RuleFileError as exc:
        return fail(str(exc), 1)


@app.command()
def backtest(
    rule: Annotated[str, typer.Argument(help="A rule file, or the id of a stored rule.")],
    from_: From = None,
    to: To = None,
    version: Version = None,
    against: Annotated[
        int | None, typer.Option(help="Compare with this stored version of the rule.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="One tenant's devices only.")] = None,
    who: Who = None,
    dry_run: Annotated[bool, typer.Option(help="Do not keep the result.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the live engine over history and print the tickets the rule would have made.

    A rule file is stored under its number together with the result, so that it can be enabled.

    Example: fjarrkoll rules backtest my-rule.toml --from 2026-05-01 --to 2026-11-01
    """
    url = begin().required("database_url")
    now = datetime.now(UTC)
    from_at, to_at = _range(from_, to, now)
    with _database(url) as conn:
        read, body = _named(conn, rule, version)
        with conn.transaction(force_rollback=True):  # a taken number is said before the wait
            rules.add_version(conn, body, rule, now, _named_who(who))
        result = _backtested(url, conn, Asked(body, from_at, to_at, tenant), against, now)
        if not dry_run and tenant is None:
            rules.add_version(conn, body, rule, now, _named_who(who))
            result["backtest_no"] = _kept(conn, read, result, now, _named_who(who))
        conn.commit()
    show(result, as_json=as_json, text=lambda: _told(result))


def _range(from_: datetime | None, to: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    to_at = now if to is None else to.replace(tzinfo=UTC)
    from_at = to_at - timedelta(days=DEFAULT_DAYS) if from_ is None else from_.replace(tzinfo=UTC)
    if from_at >= to_at:
        fail(f"--from {from_at:%Y-%m-%d} is not before --to {to_at:%Y-%m-%d}")
    return from_at, to_at


def _backtested(
    url: str, conn: Connection, asked: Asked, against: int | None, now: datetime
) -> dict[str, Any]:
    """The result as it is printed; `against` is another version of the same rule."""
    rule, began_s = asked.rule, time.monotonic()
    replayed, device_n = _run(url, conn, asked)
    result = summarise(replayed, device_n, _due_by(conn, now))
    if against is not None:
        other = replace(asked, body=rules.stored_rule(conn, rule.id, against)[1])
        changed = difference(_run(url, conn, other)[0], replayed)
        result["against"] = {"version": against} | changed
    took_s = round(time.monotonic() - began_s, 1)
    result |= {"rule": rule.id, "version": rule.version, "took_s": took_s, "backtest_no": None}
    return result | {"from": asked.from_at.isoformat(), "to": asked.to_at.isoformat()}


def _kept(conn: Connection, rule: Rule, result: Mapping[str, Any], now: datetime, who: str) -> int:
    found = NewBacktest(
        rule_id=rule.id,
        version=rule.version,
        from_at=datetime.fromisoformat(result["from"]),
        to_at=datetime.fromisoformat(result["to"]),
        took_s=result["took_s"],
        device_n=result["devices"],
        ticket_n=result["tickets"],
        worst_day_share=result["worst_day"]["share"],
        result=result,
    )
    return rules.put_backtest(conn, found, now, who)


def _named_who(who: str | None) -> str:
    return who or os.environ.get("USER") or "unknown"


def _named(conn: Connection, rule: str, version: int | None) -> tuple[Rule, str]:
    """A rule by file or by id, with its text."""
    file = Path(rule)
    if rule.endswith(".toml") or file.is_file():
        if not file.is_file():
            fail(f"no file {rule}")
        return _read(file), file.read_text("utf-8")
    return rules.stored_rule(conn, rule, version)


def _run(url: str, conn: Connection, asked: Asked) -> tuple[list[Replayed], int]:
    """Replay with a progress bar on stderr; say beforehand what raw samples will cost."""
    devices = covered(conn, asked)
    expected = estimate(url, conn, asked, devices, time.monotonic)
    if expected is not None:
        typer.echo(
            f"needs raw samples of {expected.sample_hours:,} hours of {len(devices):,} devices:"
            f" about {expected.seconds:,.0f} s",
            err=True,
        )
    conn.rollback()  # the server ends transactions that stand idle while the children work
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{asked.rule.id} v{asked.rule.version}", total=len(devices))
        found = replay(url, asked, devices, lambda n: progress.advance(task, n))
    return found, len(devices)


def _due_by(conn: Connection, now: datetime) -> DueOf:
    """Finish-by dates under the agreement each device's centre has now."""
    policies: dict[tuple[str, str | None], Policy] = {}

    def due_of(ticket: WouldBe) -> datetime | None:
        place = (ticket.device.tenant_id, ticket.device.centre)
        if place not in policies:
            policies[place] = _policy_of(conn, *place, now)
        policy = policies[place]
        promises = policy.promises_for(ticket.draft.order_kind, ticket.device.device_class)
        promise = next((p for p in promises if p.clock is Clock.FINISH), None)
        return None if promise is None else due_at(policy.hours, promise, ticket.opened_at)

    return due_of


def _policy_of(conn: Connection, tenant: str, centre: str | None, now: datetime) -> Policy:
    agreed = deadlines.agreement_of(conn, tenant, centre, now)
    policies = load_policies()
    return policies.default if agreed is None else policies.newest(agreed.policy_id)


def _told(result: Mapping[str, Any]) -> str:
    outcomes, worst = result["outcomes"], result["worst_day"]
    precision = outcomes["precision"]
    lines = [
        f"{result['rule']} version {result['version']}: {result['tickets']} tickets on"
        f" {result['devices_with_tickets']} of {result['devices']} devices in {result['took_s']} s",
        f"  duplicates of existing tickets  {result['duplicates_of_existing']}",
        f"  incidents                       {result['incidents']}"
        f" holding {result['held_by_incidents']} singles",
        f"  against recorded outcomes       {outcomes['hits']} hits, {outcomes['misses']} misses,"
        f" {outcomes['unknown']} unknown"
        + ("" if precision is None else f"; precision {precision:.0%}"),
        f"  worst day                       {worst['day'] or '-'}: {worst['tickets']} tickets,"
        f" {worst['share']:.2%} of devices",
        f"  visits                          {result['visits']}",
        f"  deadlines                       {result['deadlines']['set']} set, busiest day"
        f" {result['deadlines']['busiest_day'] or '-'} with {result['deadlines']['due_on_it']}",
        *_by("centre", result["by_centre"]),
        *_by("order kind", result["by_order_kind"]),
        *_differing(result.get("against")),
        *(
            f"  {row['opened_at'][:16]}  {row['device']:20} {row['order_kind']:8} {row['title_en']}"
            for row in result["listed"][:20]
        ),
    ]
    if result["tickets"] > 20:
        lines.append(f"  … and {result['tickets'] - 20} more; --json lists {len(result['listed'])}")
    return "\n".join(lines)


def _by(what: str, counts: Mapping[str, int]) -> list[str]:
    return [f"  {what} {name:20} {n}" for name, n in sorted(counts.items(), key=lambda i: -i[1])]


def _differing(against: Mapping[str, Any] | None) -> Sequence[str]:
    if against is None:
        return ()
    return (
        f"  against version {against['version']}: {against['in_both']} in both,"
        f" {against['only_before_n']} only before, {against['only_after_n']} only now",
        *(f"    - {line}" for line in against["only_before"][:10]),
        *(f"    + {line}" for line in against["only_after"][:10]),
    )


@app.command()
def enable(
    rule_id: str,
    why: Annotated[str, typer.Option(help="Kept with the change.")],
    version: Version = None,
    who: Who = None,
    dry_run: Annotated[bool, typer.Option(help="Check, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn a rule on. Needs a backtest of that version, not older than 7 days.

    Example: fjarrkoll rules enable battery-end-of-life --why "pilot in Borås" --who "A. Berg"
    """
    _switch(rule_id, version, _named_who(who), why, turn_on=True, dry_run=dry_run, as_json=as_json)


@app.command()
def disable(
    rule_id: str,
    why: Annotated[str, typer.Option(help="Kept with the change.")],
    who: Who = None,
    dry_run: Annotated[bool, typer.Option(help="Check, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn a rule off. Its tickets stay with the people who have them.

    Example: fjarrkoll rules disable silent-apap --why "too many in the holidays"
    """
    _switch(rule_id, None, _named_who(who), why, turn_on=False, dry_run=dry_run, as_json=as_json)


def _switch(
    rule_id: str,
    version: int | None,
    who: str,
    why: str,
    *,
    turn_on: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    now = datetime.now(UTC)
    with _database(begin().required("database_url")) as conn:
        rule, _ = rules.stored_rule(conn, rule_id, version)
        if turn_on:
            rules.enable(conn, rule, now, who, why)
        else:
            rules.disable(conn, rule, now, who, why)
        if dry_run:
            conn.rollback()
        else:
            conn.commit()
    word = "on" if turn_on else "off"
    result = {"id": rule.id, "version": rule.version, "is_on": turn_on, "dry_run": dry_run}
    verb = f"would be turned {word}" if dry_run else f"is {word}"
    show(result, as_json=as_json, text=lambda: f"{rule.id} version {rule.version} {verb}")
