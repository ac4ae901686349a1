"""Rules over the stored facts of a batch of devices: findings concluded anew and saved.

Everything is in the caller's transaction, which holds the devices' locks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from diagnostics.judgement import Candidate
from fleet.rules.engine import LONGEST, Rulebook, conclude, joint_needs, window_for
from fleet.rules.facts import Facts
from fleet.rules.findings import Finding, Need
from fleet.rules.reconcile import StoredFinding, reconcile_findings
from fleet.rules.rule import Rule
from fleet.tickets import SETTLE
from storage import findings as stored_findings
from storage.connection import Connection
from storage.facts import load_facts
from storage.findings import FindingChanges, Subject
from storage.raising import TicketKey

ON_TIME: Final = timedelta(minutes=15)
"""A day rule that is evaluated this soon after its day closed keeps the close as the time it was
known; later, it was known when it was evaluated."""

LOOK_AGAIN: Final = timedelta(minutes=5)
"""How often a finding is looked at again that another fault explains for the time being."""


@dataclass(slots=True)
class Examined:
    """What a batch of devices is found to have.

    Attributes:
        facts: by device number. candidates: findings by the ticket they would be in.
        orphaned: open tickets that lost a finding which nothing took over.
        for_care: new findings that go to care, by number. They never become repair tickets.
    """

    facts: Mapping[int, Facts]
    candidates: dict[TicketKey, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    orphaned: list[TicketKey] = field(default_factory=list)
    for_care: list[tuple[Subject, StoredFinding]] = field(default_factory=list)

    def held_until(self, now: datetime) -> dict[int, datetime]:
        """Devices to look at again, and when: what is held is decided as soon as it can be."""
        held: dict[int, datetime] = {}
        for key, candidates in self.candidates.items():
            for finding in (c.finding for c in candidates if c.finding.need is Need.HELD):
                settled_at = finding.known_at + SETTLE
                due_at = settled_at if settled_at > now else now + LOOK_AGAIN
                held[key.device_no] = min(due_at, held.get(key.device_no, due_at))
        return held


def examine(
    conn: Connection,
    book: Rulebook,
    rules: Sequence[Rule],
    from_at: Mapping[int, datetime],
    now: datetime,
) -> Examined:
    """Conclude `rules` anew for each device from a time of its own on, and save what differs."""
    ids = [rule.id for rule in rules]
    needs = joint_needs(rules)
    reach = stored_findings.stretches(conn, list(from_at), ids, now - LONGEST)
    windows = {no: window_for(at, reach.get(no, ()), now) for no, at in from_at.items()}
    begins = {no: window.from_at for no, window in windows.items()}
    facts = load_facts(conn, begins, needs, now)
    before = stored_findings.findings_in(conn, begins, ids)
    changes = _Changes()
    for no in sorted(facts):
        old = before.get(no, [])
        concluded = conclude(book, rules, facts[no], windows[no])
        concluded = [*concluded, *_contact_is_back(facts[no], old, concluded)]
        changes.add(Subject(facts[no].device.tenant_no, no), old, concluded, now)
    return _saved(conn, facts, changes)


def _contact_is_back(
    facts: Facts, old: Iterable[StoredFinding], concluded: Iterable[Finding]
) -> list[Finding]:
    """Silences that are over. They are kept as history: no later fact could tell of them."""
    if facts.contact is None:
        return []
    still = {(f.rule_id, f.about, f.started_at) for f in concluded}
    return [
        replace(f, need=Need.HISTORY, ended_at=max(f.started_at, f.last_at, facts.contact.last_at))
        if f.is_open
        else f
        for _, f in old
        if f.about == "contact" and (f.rule_id, f.about, f.started_at) not in still
    ]


class _Changes:
    """Collects what differs over a batch, for one statement each."""

    def __init__(self) -> None:
        self.updated: list[StoredFinding] = []
        self.added: list[tuple[Subject, Finding]] = []
        self.gone: list[tuple[int, int | None]] = []
        self.kept: list[tuple[Subject, StoredFinding]] = []

    def add(
        self,
        subject: Subject,
        old: Sequence[StoredFinding],
        concluded: Sequence[Finding],
        now: datetime,
    ) -> None:
        # Before they are compared: what is concluded again must not seem to be known earlier.
        result = reconcile_findings(old, [known_by(finding, now) for finding in concluded])
        before = {stored.finding_no: stored.finding for stored in old}
        self.kept += [(subject, stored) for stored in result.kept]
        self.updated += [
            stored
            for stored in result.kept
            if not stored_findings.is_same(stored.finding, before[stored.finding_no])
        ]
        self.added += [(subject, finding) for finding in result.added]
        self.gone += result.gone


def known_by(finding: Finding, now: datetime) -> Finding:
    """The finding with the time it was known: never before somebody could have looked.

    A reported fault was known when it was received. What follows from values was known when it
    was concluded.
    """
    if finding.episodes or now - finding.known_at <= ON_TIME:
        return finding
    return replace(finding, known_at=now)


def _saved(conn: Connection, facts: Mapping[int, Facts], changes: _Changes) -> Examined:
    numbers, orphaned = stored_findings.save_findings(
        conn, FindingChanges(changes.updated, changes.added, changes.gone)
    )
    added = [
        (subject, StoredFinding(numbers[subject, f.rule_id, f.about, f.started_at], f))
        for subject, f in changes.added
    ]
    return Examined(
        facts,
        _candidates(conn, [*changes.kept, *added]),
        [TicketKey(device_no, cause) for device_no, cause in orphaned],
        [item for item in added if item[1].finding.need is Need.CARE],
    )


def _candidates(
    conn: Connection, numbered: Sequence[tuple[Subject, StoredFinding]]
) -> dict[TicketKey, list[Candidate]]:
    numbers = [stored.finding_no for _, stored in numbered]
    settled = stored_findings.settled_findings(conn, numbers)
    held = stored_findings.held_by_group(conn, numbers)
    found: dict[TicketKey, list[Candidate]] = defaultdict(list)
    for subject, (number, finding) in numbered:
        if subject.device_no is not None and finding.need is not Need.CARE:
            found[TicketKey(subject.device_no, finding.cause)].append(
                Candidate(number, finding, settled.get(number), number in held)
            )
    return found
