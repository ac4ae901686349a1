"""`fjarrkoll sla`: the agreements' deadlines, who works by which, and how one came about."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fjarrkoll.console import AsJson, begin, fail, show

if TYPE_CHECKING:
    from fleet.sla.calendar import OpeningHours
    from fleet.sla.deadlines import Account, Line
    from fleet.sla.policies import Policy, Promise
    from storage.deadlines import ClockRow, TicketClocks

app = typer.Typer(no_args_is_help=True, help="Deadlines by agreement.")

_UNITS: Final = {"working_days": "working days", "working_hours": "working hours"}


@app.command()
def policies(as_json: AsJson = False) -> None:
    """List the policies that ship, each in its newest version.

    Example: fjarrkoll sla policies
    """
    from fleet.sla.policies import load_policies  # noqa: PLC0415

    found = [_summary(policy) for policy in load_policies()]
    lines = [
        f"{p['id']:14} v{p['version']}  {p['agreement']}{' (default)' if p['is_default'] else ''}"
        for p in found
    ]
    show({"policies": found}, as_json=as_json, text=lambda: "\n".join(lines))


def _summary(policy: Policy) -> dict[str, Any]:
    return {
        "id": policy.id,
        "version": policy.version,
        "agreement": policy.agreement,
        "source_title": policy.source_title,
        "source_url": policy.source_url,
        "is_default": policy.is_default,
    }


@app.command("show")
def show_policy(
    policy: Annotated[str, typer.Argument(help="See `fjarrkoll sla policies`.")],
    as_json: AsJson = False,
) -> None:
    """Show what one policy promises, and where that is written.

    Example: fjarrkoll sla show vgr
    """
    from fleet.sla.policies import UnknownPolicyError, load_policies  # noqa: PLC0415

    try:
        found = load_policies().newest(policy)
    except UnknownPolicyError as exc:
        fail(str(exc))
    show(_whole(found), as_json=as_json, text=lambda: "\n".join(_policy_lines(found)))


def _whole(policy: Policy) -> dict[str, Any]:
    return {
        **_summary(policy),
        "hours": [f"{o:%H:%M}-{c:%H:%M}" for o, c in policy.hours.week],
        "closes_before_red_day": _early(policy.hours),
        "hours_source_url": policy.hours_source_url,
        "promises": [_promise_fields(promise) for promise in policy.promises],
        "pauses": [
            {"reason": p.reason, "sv": p.sv, "en": p.en, "ours": p.is_ours} for p in policy.pauses
        ],
    }


def _early(hours: OpeningHours) -> str | None:
    return None if hours.closes_before_red is None else f"{hours.closes_before_red:%H:%M}"


def _promise_fields(promise: Promise) -> dict[str, Any]:
    return {
        "clock": str(promise.clock),
        "within": promise.within,
        "unit": str(promise.unit),
        "order_kinds": [str(kind) for kind in promise.order_kinds],
        "device_classes": sorted(promise.device_classes) if promise.device_classes else None,
        "clause": promise.clause,
        "notify_before_h": promise.notify_before.total_seconds() / 3600,
        "target_share": promise.target_share,
        "ours": promise.is_ours,
    }


def _policy_lines(policy: Policy) -> Iterable[str]:
    yield f"{policy.id} version {policy.version}: {policy.agreement}"
    yield f"source: {policy.source_title}"
    yield f"        {policy.source_url}"
    yield f"open:   {_week(policy.hours)}"
    yield f"        {policy.hours_source_url or 'our assumption, no published source'}"
    yield from (_promise_line(promise) for promise in policy.promises)
    for pause in policy.pauses:
        yield f"pause:  {pause.reason}: {pause.en}{_mark(is_ours=pause.is_ours)}"


_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri")


def _week(hours: OpeningHours) -> str:
    spans = [f"{opens:%H:%M}-{closes:%H:%M}" for opens, closes in hours.week]
    if len(set(spans)) == 1:
        text = f"Mon-Fri {spans[0]}"
    else:
        text = ", ".join(f"{day} {span}" for day, span in zip(_DAYS, spans, strict=True))
    early = _early(hours)
    return text if early is None else f"{text}, until {early} before a red day"


def _promise_line(promise: Promise) -> str:
    kinds = ", ".join(promise.order_kinds)
    classes = f" for {', '.join(sorted(promise.device_classes))}" if promise.device_classes else ""
    share = f", target {promise.target_share:.0%}" if promise.target_share else ""
    return (
        f"{promise.clock + ':':8}{kinds}{classes} within {promise.within}"
        f" {_UNITS[promise.unit]}{share}: {promise.clause}{_mark(is_ours=promise.is_ours)}"
    )


def _mark(*, is_ours: bool) -> str:
    return " (ours)" if is_ours else ""


@app.command()
def assign(
    tenant: Annotated[str, typer.Argument(help="As in `fjarrkoll device add --tenant`.")],
    policy: Annotated[str, typer.Argument(help="See `fjarrkoll sla policies`.")],
    centre: Annotated[str | None, typer.Option(help="For one of its centres only.")] = None,
    from_day: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="A day in Sweden; now when left out."),
    ] = None,
    who: Annotated[str | None, typer.Option(help="Who decided; the user when left out.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Check, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a tenant, or one of its centres, work by a policy.

    It holds for faults that become known from then on; open tickets keep what they have.

    Example: fjarrkoll sla assign vgr vgr --centre molndal --from 2026-01-01
    """
    from fleet.sla.calendar import starts_at  # noqa: PLC0415
    from storage.connection import connect  # noqa: PLC0415
    from storage.deadlines import AgreementError, assign_agreement  # noqa: PLC0415

    from_at = datetime.now(UTC) if from_day is None else starts_at(from_day.date())
    who = who or getpass.getuser()
    with connect(begin().required("database_url")) as conn:
        try:
            assign_agreement(
                conn, tenant=tenant, policy_id=policy, from_at=from_at, who=who, centre=centre
            )
        except AgreementError as exc:
            fail(str(exc))
        if dry_run:
            conn.rollback()
    result = {"tenant": tenant, "centre": centre, "policy": policy, "from_at": from_at.isoformat()}
    place = f"{tenant}/{centre}" if centre else tenant
    verb = "would work" if dry_run else "works"
    show(
        {**result, "who": who, "dry_run": dry_run},
        as_json=as_json,
        text=lambda: f"{place} {verb} by {policy} from {_spoken(from_at)}",
    )


@app.command()
def explain(
    ticket: Annotated[int, typer.Argument(min=1, help="The ticket's number.")],
    as_json: AsJson = False,
) -> None:
    """Show how a ticket's deadlines came about: every interval that counts, or does not.

    Times are local in Sweden. A pause that lasts is counted as if it ended now.

    Example: fjarrkoll sla explain 17 --json
    """
    from fleet.sla.deadlines import explain as account_for  # noqa: PLC0415
    from fleet.sla.policies import UnknownPolicyError  # noqa: PLC0415
    from storage.connection import connect  # noqa: PLC0415
    from storage.deadlines import clocks_of  # noqa: PLC0415

    now = datetime.now(UTC)
    with connect(begin().required("database_url")) as conn:
        found = clocks_of(conn, ticket, now)
    if found is None:
        fail(f"there is no ticket {ticket}: the queue on the pages shows the numbers", 1)
    if found.terms.policy_id is None:
        fail(f"ticket {ticket} has no deadlines: it was opened before there were any", 1)
    terms = found.terms
    try:
        policy, promises = terms.policy, terms.promises
    except UnknownPolicyError as exc:
        fail(f"ticket {ticket}: {exc}", 1)
    accounts = [account_for(policy, p, terms.from_at, found.pauses) for p in promises]
    result = _explained(found, accounts)
    show(result, as_json=as_json, text=lambda: "\n".join(_account_lines(found, accounts)))


def _explained(found: TicketClocks, accounts: Sequence[Account]) -> dict[str, Any]:
    terms = found.terms
    return {
        "ticket": terms.ticket_no,
        "order_kind": str(terms.order_kind),
        "device_class": terms.device_class and str(terms.device_class),
        "policy": terms.policy.id,
        "policy_version": terms.policy.version,
        "agreement": terms.policy.agreement,
        "known_at": terms.from_at.isoformat(),
        "waits_for": found.waits_for,
        "clocks": [_account_fields(account, _stored(found, account)) for account in accounts],
    }


def _stored(found: TicketClocks, account: Account) -> ClockRow | None:
    return next((row for row in found.clocks if row.clock is account.promise.clock), None)


_STORED: Final = ("due_at", "notify_at", "notified_at", "stopped_at", "breached_at")


def _account_fields(account: Account, stored: ClockRow | None) -> dict[str, Any]:
    kept = {name: _iso(getattr(stored, name)) for name in _STORED} if stored else None
    return {
        **_promise_fields(account.promise),
        "due_at": account.due_at.isoformat(),
        "notify_at": account.notify_at.isoformat(),
        "stored": kept,
        "lines": [_line_fields(line) for line in account.lines],
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _line_fields(line: Line) -> dict[str, Any]:
    return {
        "from_at": line.from_at.isoformat(),
        "until_at": line.until_at.isoformat(),
        "counted": float(line.counted),
        "counted_exact": str(line.counted),
        "why": str(line.why),
        "sv": line.sv,
        "en": line.en,
    }


def _account_lines(found: TicketClocks, accounts: Sequence[Account]) -> Iterable[str]:
    terms = found.terms
    about = f", {terms.device_class}" if terms.device_class else ""
    yield f"ticket {terms.ticket_no}: {terms.order_kind}{about}"
    yield f"agreement: {terms.policy.agreement} ({terms.policy.id} version {terms.policy.version})"
    yield f"known:     {_spoken(terms.from_at)}"
    if found.waits_for is not None:
        yield f"waits:     {found.waits_for}; counted as if the wait ended now"
    if not accounts:
        yield f"no deadline: the policy promises nothing for {terms.order_kind}"
    for account in accounts:
        yield ""
        yield _promise_line(account.promise)
        yield from (_line_text(line) for line in account.lines)
        yield from _outcome(account, _stored(found, account))


def _line_text(line: Line) -> str:
    counted = f"{float(line.counted):7.3f}" if line.counted else f"{'-':>7}"
    return f"  {_spoken(line.from_at)} - {_spoken(line.until_at)} {counted}  {line.en}"


def _outcome(account: Account, stored: ClockRow | None) -> Iterable[str]:
    total = sum(line.counted for line in account.lines)
    yield f"  adds up to {total} of {account.promise.within} {_UNITS[account.promise.unit]}"
    yield f"  due {_spoken(account.due_at)}, notice from {_spoken(account.notify_at)}"
    happened = {
        "notice drafted": stored and stored.notified_at,
        "stopped": stored and stored.stopped_at,
        "missed, recorded": stored and stored.breached_at,
    }
    yield from (f"  {what} {_spoken(at)}" for what, at in happened.items() if at)


def _spoken(at: datetime) -> str:
    """Local in Sweden, of one width; the English of the command line."""
    from fleet.sla.calendar import SWEDEN  # noqa: PLC0415

    return f"{at.astimezone(SWEDEN):%a %Y-%m-%d %H:%M}"
