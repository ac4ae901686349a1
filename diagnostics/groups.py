"""Tickets about groups: one for what many devices have in common, linked with the singles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from diagnostics.examination import known_by
from diagnostics.written import Written, save_written
from fleet.drafts import draft
from fleet.rules.engine import Rulebook
from fleet.rules.facts import day_starts_at, last_closed_day
from fleet.rules.findings import Finding
from fleet.rules.kinds.fleet import FleetFacts, GroupFinding, family_of, group_findings
from fleet.rules.reconcile import StoredFinding, reconcile_findings
from fleet.rules.rule import Rule
from fleet.ticket_states import State
from storage import deadlines, findings, groups, raising
from storage.connection import Connection
from storage.findings import FindingChanges, Subject
from storage.groups import Tenant
from storage.raising import ChangedTicket, TicketEvent


def join_group(  # noqa: PLR0913, PLR0917 - a group, what it has, and when
    conn: Connection,
    subject: Subject,
    finding: Finding,
    members: Sequence[int],
    now: datetime,
    written: Written,
) -> int:
    """Open the ticket about a group, or write it anew; link the group's finding and members.

    A ticket about another group of the family keeps what it says, and has one reason more.

    Args:
        members: numbers of the findings of single devices.

    Returns:
        The ticket's number.
    """
    stored = _group_finding(conn, subject, finding, now)
    drafted = draft(None, [stored.finding])
    group = (subject.tenant_no, subject.name, family_of(subject.name))
    found = raising.open_group_ticket(conn, *group, drafted.cause)
    if found is None:
        number = written.open_group(conn, subject, drafted, finding.occurrence_n, now)
    else:
        number = found.ticket_no
        if found.subject == subject.name:
            raising.update_tickets(conn, [ChangedTicket(number, found.state, drafted)], now)
            written.changed.append(number)
    links = [(number, stored.finding_no), *((number, member) for member in members)]
    findings.link_findings(conn, links)
    return number


def _group_finding(
    conn: Connection, subject: Subject, finding: Finding, now: datetime
) -> StoredFinding:
    """Store a group's finding, or write it anew where it stands."""
    rules = [finding.rule_id]
    stored = [
        item
        for name, item in findings.group_findings(conn, subject.tenant_no, rules, now)
        if name == subject and item.finding.about == finding.about
    ]
    result = reconcile_findings(stored, [known_by(finding, now)])
    added = [(subject, item) for item in result.added]
    changes = FindingChanges(result.kept, added, ())
    numbers, _ = findings.save_findings(conn, changes)
    if result.kept:
        return result.kept[0]
    return StoredFinding(next(iter(numbers.values())), result.added[0])


def judge_fleets(conn: Connection, book: Rulebook, now: datetime) -> Written | None:
    """Judge one tenant's fleet up to the last closed day; None when all are. The caller commits."""
    day = last_closed_day(now)
    tenant = groups.tenant_to_judge(conn, day)
    if tenant is None:
        return None
    written = Written()
    for rule in book.on_fleet:
        _judge_fleet(conn, rule, tenant, day, now, written)
    groups.note_judged(conn, tenant.tenant_no, day)
    save_written(conn, written, now)
    return written


def _judge_fleet(  # noqa: PLR0913, PLR0917 - one rule on one tenant's day
    conn: Connection, rule: Rule, tenant: Tenant, day: int, now: datetime, written: Written
) -> None:
    from_day = day + 1 - rule.condition.needs.lookback_days
    from_at, to_at = day_starts_at(from_day), day_starts_at(day + 1)
    stored = findings.group_findings(conn, tenant.tenant_no, [rule.id], now)
    facts = FleetFacts(
        day,
        groups.fleet_devices(conn, tenant.tenant_no),
        groups.faulted(conn, tenant.tenant_no, from_at, to_at),
        {(s.name, item.finding.about): item.finding.started_at for s, item in stored},
    )
    concluded = group_findings(rule, facts)
    for group in concluded:
        _link_singles(conn, tenant, group, from_at, now, written)
    _end_others(conn, stored, concluded, to_at)


def _link_singles(  # noqa: PLR0913, PLR0917 - one group of one tenant
    conn: Connection,
    tenant: Tenant,
    group: GroupFinding,
    from_at: datetime,
    now: datetime,
    written: Written,
) -> None:
    subject = Subject(tenant.tenant_no, None, group.subject)
    component = str(group.finding.component)
    members = groups.members(conn, group.device_nos, component, from_at)
    join_group(conn, subject, group.finding, members, now, written)


def _end_others(
    conn: Connection,
    stored: Sequence[tuple[Subject, StoredFinding]],
    concluded: Sequence[GroupFinding],
    at: datetime,
) -> None:
    """What a rule no longer concludes has ended; its ticket stays with people."""
    still = {(group.subject, group.finding.about) for group in concluded}
    over = [
        findings.ended(item, at)
        for subject, item in stored
        if item.finding.is_open and (subject.name, item.finding.about) not in still
    ]
    findings.save_findings(conn, FindingChanges(over, (), ()))


def void_over_groups(conn: Connection, now: datetime) -> list[int]:
    """Make untouched incidents void whose devices are all well again. The caller commits."""
    numbers = groups.void_over_groups(conn, now)
    for number in numbers:
        deadlines.moved(conn, number, State.NEW, State.VOID, now)
    events = [TicketEvent(number, "voided", {"reason": "all_recovered"}) for number in numbers]
    if events:
        raising.insert_ticket_events(conn, events, now)
    return numbers
