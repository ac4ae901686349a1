"""Findings as stored: read, reconciled, linked to tickets; and the agenda of devices to look at.

Functions take a connection and never commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from fleet.episodes import Episode
from fleet.faults import load_catalogue
from fleet.rules.engine import Stretch
from fleet.rules.facts import CodedEpisode
from fleet.rules.findings import Both, Finding, Need, Point, Said
from fleet.rules.reconcile import StoredFinding
from fleet.ticket_states import OrderKind, State
from fleet.words import Component, Fixer, Severity, Usability
from storage.connection import Connection
from storage.queries import load_queries

DEPTH_LIMIT: Final = 100_000
MAX_POINTS: Final = 200
"""Values kept with a finding; the page reads the rest from the samples."""

_SQL: Final = load_queries("findings.sql")


class Subject(NamedTuple):
    """What a finding is about: a device, or a group of a tenant (`device_no` None)."""

    tenant_no: int
    device_no: int | None
    name: str = "device"


class Settled(NamedTuple):
    """How the last finished ticket about a finding ended, and when."""

    state: State
    at: datetime
    is_group: bool = False


@dataclass(frozen=True, slots=True)
class FindingChanges:
    """What a pass does to stored findings. `gone` names each number's heir, or None."""

    updated: Sequence[StoredFinding]
    added: Sequence[tuple[Subject, Finding]]
    gone: Sequence[tuple[int, int | None]]


def stretches(
    conn: Connection, device_nos: Sequence[int], rule_ids: Sequence[str], since: datetime
) -> dict[int, list[Stretch]]:
    """When stored findings of these rules hold, by device."""
    parameters = {"devices": list(device_nos), "rules": list(rule_ids), "since_at": since}
    found: dict[int, list[Stretch]] = defaultdict(list)
    for device_no, started_at, ended_at in conn.execute(_SQL["stretches"], parameters):
        found[device_no].append(Stretch(started_at, ended_at))
    return found


def findings_in(
    conn: Connection, from_at: Mapping[int, datetime], rule_ids: Sequence[str]
) -> dict[int, list[StoredFinding]]:
    """Stored findings that a window of each device decides."""
    parameters = {
        "devices": list(from_at),
        "from_at": list(from_at.values()),
        "rules": list(rule_ids),
    }
    rows = conn.execute(_SQL["findings_in"], parameters).fetchall()
    episodes = _evidence(conn, [row[-1] for row in rows])
    found: dict[int, list[StoredFinding]] = defaultdict(list)
    for device_no, number, *fields in rows:
        found[device_no].append(StoredFinding(number, _finding(fields, episodes)))
    return found


def group_findings(
    conn: Connection, tenant_no: int, rule_ids: Sequence[str], since: datetime
) -> list[tuple[Subject, StoredFinding]]:
    """Stored findings about groups of a tenant that hold, or ended after `since`."""
    parameters = {"tenant_no": tenant_no, "rules": list(rule_ids), "since_at": since}
    rows = conn.execute(_SQL["group_findings"], parameters).fetchall()
    return [
        (Subject(tenant_no, None, subject), StoredFinding(number, _finding(fields, {})))
        for _, subject, number, *fields in rows
    ]


def linked_findings(conn: Connection, ticket_nos: Sequence[int]) -> dict[int, dict[int, Finding]]:
    """What each ticket rests on, by finding number."""
    rows = conn.execute(_SQL["linked_findings"], {"tickets": list(ticket_nos)}).fetchall()
    episodes = _evidence(conn, [row[-1] for row in rows])
    found: dict[int, dict[int, Finding]] = {ticket_no: {} for ticket_no in ticket_nos}
    for ticket_no, number, *fields in rows:
        found[ticket_no][number] = _finding(fields, episodes)
    return found


def save_findings(
    conn: Connection, changes: FindingChanges
) -> tuple[dict[tuple[Subject, str, str, datetime], int], list[tuple[int, str]]]:
    """Write what changed.

    Returns:
        The numbers of what was added, by subject, rule, about and start; and the open tickets,
        as (device, cause), that lost a finding to no heir.
    """
    orphaned: list[tuple[int, str]] = []
    if changes.gone:
        gone = {"gone": [no for no, _ in changes.gone], "heirs": [heir for _, heir in changes.gone]}
        orphaned = [(row[0], row[1]) for row in conn.execute(_SQL["orphaned"], gone)]
        conn.execute(_SQL["hand_over_findings"], gone)
        conn.execute(_SQL["delete_findings"], gone)
    if changes.updated:
        columns = _columns([stored.finding for stored in changes.updated])
        numbers = [stored.finding_no for stored in changes.updated]
        conn.execute(_SQL["update_findings"], {**columns, "finding_no": numbers})
    return (_insert(conn, changes.added) if changes.added else {}), orphaned


def _insert(
    conn: Connection, added: Sequence[tuple[Subject, Finding]]
) -> dict[tuple[Subject, str, str, datetime], int]:
    subjects = {(s.device_no or 0, s.name): s for s, _ in added}
    columns = _columns([finding for _, finding in added])
    columns["tenant_no"] = [subject.tenant_no for subject, _ in added]
    columns["device_no"] = [subject.device_no for subject, _ in added]
    columns["subject"] = [subject.name for subject, _ in added]
    rows = conn.execute(_SQL["insert_findings"], columns)
    return {
        (subjects[device_no, name], rule_id, about, started_at): number
        for number, device_no, name, rule_id, about, started_at in rows
    }


_WORD_FIELDS: Final = ("rule_id", "about", "cause", "need", "severity", "usability", "fixer")
_FACT_FIELDS: Final = (
    "rule_version",
    "started_at",
    "last_at",
    "ended_at",
    "known_at",
    "occurrence_n",
    "confidence",
)


def _columns(findings: Sequence[Finding]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        # as plain text: the driver writes an enum by its Python name
        name: [str(getattr(finding, name)) for finding in findings]
        for name in (*_WORD_FIELDS, "component")
    }
    columns |= {name: [getattr(f, name) for f in findings] for name in _FACT_FIELDS}
    columns["order_hint"] = [None if f.order is None else str(f.order) for f in findings]
    columns["detail"] = [Jsonb(_detail(finding)) for finding in findings]
    return columns


def ended(stored: StoredFinding, at: datetime) -> StoredFinding:
    """A finding that no longer holds."""
    finding = stored.finding
    return StoredFinding(stored.finding_no, replace(finding, ended_at=max(at, finding.started_at)))


def is_same(one: Finding, other: Finding) -> bool:
    """True if both are stored alike."""
    plain = (*_WORD_FIELDS, *_FACT_FIELDS, "component", "order")
    return all(getattr(one, name) == getattr(other, name) for name in plain) and (
        _detail(one) == _detail(other)
    )


def _detail(finding: Finding) -> dict[str, Any]:
    """What has no column of its own. Instants as milliseconds since 1970."""
    said = finding.said
    return {
        "said": {name: list(getattr(said, name)) for name in _SAID},
        "episodes": [item.episode_no for item in finding.episodes],
        "points": [
            [round(point.at.timestamp() * 1000), point.metric, point.value]
            for point in list(finding.points)[-MAX_POINTS:]
        ],
        "measures": dict(finding.measures),
        "ruled_out": [list(both) for both in finding.ruled_out],
    }


_SAID: Final = ("title", "happened", "action", "user")


def _evidence(conn: Connection, details: Iterable[Mapping[str, Any]]) -> dict[int, CodedEpisode]:
    numbers = sorted({number for detail in details for number in detail["episodes"]})
    if not numbers:
        return {}
    catalogue = load_catalogue()
    return {
        number: CodedEpisode(number, catalogue.look_up(system, code), Episode(*fields))
        for number, system, code, *fields in conn.execute(
            _SQL["evidence_episodes"], {"episodes": numbers}
        )
    }


def _finding(fields: Sequence[Any], episodes: Mapping[int, CodedEpisode]) -> Finding:
    """A finding from the columns between its number and its end."""
    (rule_id, version, about, cause, need, severity, usability, fixer, component, order) = fields[
        :10
    ]
    started_at, last_at, ended_at, known_at, occurrence_n, confidence, detail = fields[10:]
    return Finding(
        rule_id=rule_id,
        rule_version=version,
        about=about,
        cause=cause,
        need=Need(need),
        severity=Severity(severity),
        usability=Usability(usability),
        fixer=Fixer(fixer),
        component=Component(component),
        started_at=started_at,
        last_at=last_at,
        ended_at=ended_at,
        known_at=known_at,
        confidence=confidence,
        said=Said(**{name: Both(*detail["said"][name]) for name in _SAID}),
        order=None if order is None else OrderKind(order),
        occurrence_n=occurrence_n,
        episodes=tuple(episodes[no] for no in detail["episodes"] if no in episodes),
        points=tuple(
            Point(_instant(at_ms), metric, value) for at_ms, metric, value in detail["points"]
        ),
        measures=detail["measures"],
        ruled_out=tuple(Both(*texts) for texts in detail["ruled_out"]),
    )


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _instant(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


def settled_findings(conn: Connection, finding_nos: Sequence[int]) -> dict[int, Settled]:
    """Of these findings, those that a finished ticket was about."""
    rows = conn.execute(_SQL["settled_findings"], {"findings": list(finding_nos)})
    return {number: Settled(State(state), at, group) for number, state, at, group in rows}


def held_by_group(conn: Connection, finding_nos: Sequence[int]) -> dict[int, int]:
    """Of these findings, those that an open ticket about a group holds: its number."""
    rows = conn.execute(_SQL["held_by_group"], {"findings": list(finding_nos)})
    return dict(rows.fetchall())


def link_findings(conn: Connection, links: Sequence[tuple[int, int]]) -> None:
    """Make findings evidence of tickets: (ticket, finding) numbers."""
    tickets, findings = [ticket for ticket, _ in links], [finding for _, finding in links]
    conn.execute(_SQL["link_findings"], {"tickets": tickets, "findings": findings})


def unlink_findings(conn: Connection, links: Sequence[tuple[int, int]]) -> None:
    """Tickets no longer rest on these findings."""
    tickets, findings = [ticket for ticket, _ in links], [finding for _, finding in links]
    parameters = {"tickets": tickets, "findings": findings}
    conn.execute(_SQL["unlink_findings"], parameters)


def same_about(
    conn: Connection, wanted: Sequence[tuple[int, str, datetime]], within: timedelta
) -> list[int]:
    """For each (tenant, about, at): how many devices show the same, begun within reach."""
    parameters = {
        "tenants": [tenant_no for tenant_no, _, _ in wanted],
        "abouts": [about for _, about, _ in wanted],
        "at": [at for _, _, at in wanted],
        "within": within,
    }
    counts: dict[int, int] = dict(conn.execute(_SQL["same_about"], parameters).fetchall())
    return [counts.get(nth, 0) for nth in range(1, len(wanted) + 1)]


def storm_members(
    conn: Connection, tenant_no: int, about: str, from_at: datetime, until_at: datetime
) -> dict[int, int]:
    """Findings of a storm: finding -> device."""
    parameters = {
        "tenant_no": tenant_no,
        "about": about,
        "from_at": from_at,
        "until_at": until_at,
    }
    return dict(conn.execute(_SQL["storm_members"], parameters).fetchall())


def members_of(conn: Connection, ticket_no: int) -> dict[int, int]:
    """The findings of single devices that a group's ticket speaks for: finding -> device."""
    return dict(conn.execute(_SQL["members_of"], {"ticket_no": ticket_no}).fetchall())


def singles_of(conn: Connection, finding_nos: Sequence[int]) -> list[int]:
    """Untouched tickets of single devices that rest on these findings alone, locked."""
    rows = conn.execute(_SQL["singles_of"], {"findings": list(finding_nos)})
    return [row[0] for row in rows]


def take_agenda(conn: Connection, now: datetime, limit: int) -> dict[int, datetime]:
    """Take devices that are due, each with from when on to look; ours until we commit."""
    return dict(conn.execute(_SQL["take_agenda"], {"now": now, "limit": limit}).fetchall())


def put_agenda(conn: Connection, due: Mapping[int, tuple[datetime, datetime]]) -> None:
    """Look at devices again: device -> (from when on, when)."""
    if due:
        conn.execute(
            _SQL["put_agenda"],
            {
                "devices": list(due),
                "from_at": [from_at for from_at, _ in due.values()],
                "due_at": [due_at for _, due_at in due.values()],
            },
        )


def measured_since(conn: Connection, device_nos: Iterable[int], since: datetime) -> list[int]:
    """Of these devices, those with a value at `since` or later."""
    parameters = {"devices": sorted(device_nos), "since_at": since}
    return [row[0] for row in conn.execute(_SQL["measured_since"], parameters)]


def agenda_depth(conn: Connection, now: datetime) -> int:
    """How many devices are due, counted up to `DEPTH_LIMIT`."""
    row = conn.execute(_SQL["agenda_depth"], {"now": now, "limit": DEPTH_LIMIT}).fetchone()
    assert row is not None
    return int(row[0])


def release_members(conn: Connection, now: datetime) -> int:
    """Put the devices of group tickets that ended on the agenda; return how many."""
    return conn.execute(_SQL["release_members"], {"now": now}).rowcount
