"""Findings, tickets, deadlines and people's work on a small fleet, as the real code writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import psycopg
from support.people import UNIT

from fleet import drafts
from fleet.episodes import Episode
from fleet.faults import load_catalogue
from fleet.rules.facts import (
    CodedEpisode,
    DaySeries,
    DeviceProfile,
    Facts,
    day_series,
    last_closed_day,
)
from fleet.rules.findings import Finding
from fleet.rules.reader import shipped_rules
from fleet.rules.rule import Window
from fleet.rules.selection import Selection
from fleet.rules.storms import Member
from fleet.ticket_actions import Action, Outcome, Request
from fleet.ticket_states import State
from storage import raising
from storage.deadlines import (
    assign_agreement,
    moved,
    open_clocks,
    record_breaches,
    record_notices,
    take_to_breach,
    take_to_notify,
)
from storage.facts import profiles
from storage.findings import (
    FindingChanges,
    Subject,
    link_findings,
    linked_findings,
    save_findings,
)
from storage.lending import BasicNeed, current_needs, start_loan
from storage.raising import NewTicket, TicketEvent
from storage.tickets import change

CHAIR, APAP, SILENT = "fk-20417", "fk-31102", "fk-20555"
Admin = psycopg.Connection[tuple[Any, ...]]


class Scenes:
    """Findings, tickets, deadlines and people's work, written by the code that writes them."""

    def __init__(self, conn: Admin, now: datetime) -> None:
        self.conn = conn
        self.now = now
        self.named: dict[str, int] = {}

    def everything(self, storm: dict[int, CodedEpisode]) -> dict[str, int]:
        self.incident(storm)
        self.forecast()
        self.replacement()
        self.missed()
        return self.named

    def agreements_and_loans(self) -> None:
        long_ago = self.now - timedelta(days=300)
        assign_agreement(
            self.conn, tenant="exempel", policy_id="vgr", from_at=long_ago, who="Anna Ek"
        )
        needs = {CHAIR: [BasicNeed.SOLE_MOBILITY, BasicNeed.TRANSFER], APAP: [], SILENT: []}
        needs |= {f"fk-5{number:04d}": [BasicNeed.EATING] for number in (33, 41)}
        for device, listed in needs.items():
            start_loan(self.conn, device, f"p-{device}", listed, long_ago, care_unit=UNIT)

    def numbers(self) -> list[int]:
        rows = self.conn.execute("SELECT ticket_no FROM ticket ORDER BY 1").fetchall()
        return [row[0] for row in rows]

    def reported(self, device_no: int, evidence: list[CodedEpisode], state: str) -> int:
        """A ticket as diagnostics opens it for reported faults, and people bring to `state`."""
        found = self.judged(device_no, evidence)
        number = self.opened(device_no, found)
        self.brought_to(number, state)
        return number

    def judged(self, device_no: int, evidence: list[CodedEpisode]) -> list[Finding]:
        """What the shipped rule for reported faults says; a ticket whatever the severity."""
        rule = shipped_rules()["reported-fault"][0]
        anything = replace(rule.condition, selection=Selection())
        facts = Facts(self.profile(device_no), self.now, episodes=evidence)
        return anything.evaluate(rule, facts, Window(self.now - timedelta(days=30), 0, 0))

    def profile(self, device_no: int) -> DeviceProfile:
        return profiles(self.conn, [device_no])[device_no]

    def stored(self, device_no: int, found: list[Finding]) -> dict[int, Finding]:
        subject = Subject(1, device_no)
        numbers, _ = save_findings(
            self.conn, FindingChanges([], [(subject, finding) for finding in found], [])
        )
        return {
            numbers[subject, finding.rule_id, finding.about, finding.started_at]: finding
            for finding in found
        }

    def opened(self, device_no: int, found: list[Finding], at: datetime | None = None) -> int:
        stored = self.stored(device_no, found)
        profile = self.profile(device_no)
        needs = current_needs(self.conn, [device_no]).get(device_no)
        draft = drafts.draft(profile.device_class, found, needs)
        at = at or draft.known_at
        (number,) = raising.insert_tickets(
            self.conn, [NewTicket(Subject(1, device_no), draft)], at
        ).values()
        link_findings(self.conn, [(number, finding_no) for finding_no in stored])
        for item in (item for finding in found for item in finding.episodes):
            self.conn.execute(
                "INSERT INTO ticket_episode VALUES (%s, %s)", (number, item.episode_no)
            )
        events = [TicketEvent(number, "opened", {"findings": sorted(stored)})]
        if draft.urgent_because:
            because = {"because": list(draft.urgent_because)}
            events.append(TicketEvent(number, "urgent_proposed", because))
        raising.insert_ticket_events(self.conn, events, at)
        open_clocks(self.conn, [number], at)
        return number

    def brought_to(self, number: int, state: str) -> None:
        at = self.now - timedelta(hours=1)
        for minute, request in enumerate(WORK.get(state, ())):
            change(self.conn, number, request, at + timedelta(minutes=minute))

    def incident(self, storm: dict[int, CodedEpisode]) -> None:
        """One ticket for a storm; two of its devices had tickets of their own before."""
        found = {device_no: self.judged(device_no, [item])[0] for device_no, item in storm.items()}
        alone = dict(list(found.items())[:2])
        singles = [self.opened(device_no, [finding]) for device_no, finding in alone.items()]
        stored = {}
        for device_no, finding in found.items():
            if device_no not in alone:
                stored |= self.stored(device_no, [finding])
        linked = linked_findings(self.conn, singles)
        stored |= {no: finding for findings in linked.values() for no, finding in findings.items()}
        lead = next(iter(found.values()))
        needs = current_needs(self.conn, found)
        known = profiles(self.conn, found)
        members = [
            Member(known[no], finding, needs.get(no, frozenset())) for no, finding in found.items()
        ]
        at = lead.known_at + timedelta(minutes=30)
        draft = drafts.draft_incident(lead, members, at)
        group = Subject(1, None, f"storm:{lead.about}")
        (number,) = raising.insert_tickets(self.conn, [NewTicket(group, draft)], at).values()
        link_findings(self.conn, [(number, finding_no) for finding_no in stored])
        raising.void_singles(self.conn, singles, number, at)
        detail = {"reason": "part_of_incident", "incident": number}
        events = [TicketEvent(number, "opened", {"devices": 22})]
        events.append(TicketEvent(number, "devices_added", {"devices": len(found)}))
        events += [TicketEvent(single, "voided", detail) for single in singles]
        raising.insert_ticket_events(self.conn, events, at)
        open_clocks(self.conn, [number], at)
        for single in singles:
            moved(self.conn, single, State.NEW, State.VOID, at)
        self.named |= {"incident": number, "single": singles[0]}

    def forecast(self) -> None:
        """A battery that fades, as the shipped rule sees it."""
        rule = shipped_rules()["battery-end-of-life"][0]
        device_no = self.number_of("fk-50055")
        last_day = last_closed_day(self.now)
        day = np.arange(150.0)
        days = {
            "battery_voltage_v": (24.6 - 0.02 * day, 26.9 - 0.003 * day),
            "state_of_charge_pct": (45 - 0.12 * day, 98 + 0 * day),
            "odometer_m": (1e6 + 7000 * day, 1e6 + 7000 * (day + 1)),
            "ambient_temp_c": (18 + 0 * day, 21 + 0 * day),
        }
        facts = Facts(
            self.profile(device_no),
            self.now,
            days={name: self.by_day(last_day, *ends) for name, ends in days.items()},
        )
        window = Window(self.now - timedelta(days=60), last_day - 60, last_day)
        found = rule.condition.evaluate(rule, facts, window)[-1:]
        assert found, "the rule sees that the battery fades"
        self.named["forecast"] = self.opened(device_no, found)

    @staticmethod
    def by_day(last_day: int, low: Any, high: Any) -> DaySeries:
        rows = zip(range(last_day - len(low) + 1, last_day + 1), low, high, strict=True)
        return day_series([(day, 30, lo, hi, (lo + hi) * 15, hi) for day, lo, hi in rows])

    def number_of(self, device: str) -> int:
        row = self.conn.execute("SELECT device_no FROM device WHERE id = %s", (device,)).fetchone()
        assert row is not None
        return int(row[0])

    def replacement(self) -> None:
        """A ticket that a person confirmed as urgent, so that another one took its place."""
        rows = self.conn.execute(
            "SELECT ticket_no FROM ticket WHERE state = 'new' AND order_kind = 'AU'"
            " AND urgent_because <> '{}' ORDER BY ticket_no DESC LIMIT 1"
        ).fetchall()
        old = rows[0][0]
        at = self.now - timedelta(minutes=50)
        self.named["replaced"] = old
        confirmed = Request(Action.CONFIRM_URGENT, "Anna Ek", "ringt användaren")
        new_no = change(self.conn, old, confirmed, at).replaced_by_no
        assert new_no is not None
        self.named["urgent"] = new_no

    def missed(self) -> None:
        """A ticket that nobody took in time: a notice was drafted, then the breach recorded."""
        device_no = self.number_of("fk-50054")
        at = self.now - timedelta(days=21)
        episode = Episode(at, at, None, 1, 0, 0, at + timedelta(seconds=4))
        number = self.conn.execute(
            "INSERT INTO episode (device_no, system, code, started_at, last_at, raised_n,"
            " cleared_n, logged_n, first_received_at)"
            " VALUES (%s, 'vr2', '3D00', %s, %s, 1, 0, 0, %s) RETURNING episode_no",
            (device_no, at, at, episode.first_received_at),
        ).fetchone()
        assert number is not None
        item = CodedEpisode(number[0], load_catalogue().look_up("vr2", "3D00"), episode)
        self.named["missed"] = self.opened(device_no, self.judged(device_no, [item]))
        warned = self.now - timedelta(days=17)
        record_notices(self.conn, take_to_notify(self.conn, warned, 100), warned)
        record_breaches(self.conn, take_to_breach(self.conn, self.now, 100), self.now)


_ANNA, _BO = "Anna Ek", "Bo Lind"
_TAKEN = Request(Action.TAKE, _BO)
_SOLVED = Request(
    Action.SOLVE,
    _BO,
    "Kontakten i motorkabeln var ärgad. Bytte kontakt.",
    outcome=Outcome.PART_REPLACED,
    part="motorkontakt",
    minutes=40,
)
WORK = {
    "triaged": [Request(Action.TRIAGE, _ANNA)],
    "assigned": [_TAKEN],
    "waiting": [_TAKEN, Request(Action.WAIT, _BO, "del beställd", reason="part_on_order")],
    "solved": [_TAKEN, _SOLVED],
    "closed": [_TAKEN, _SOLVED, Request(Action.CLOSE, _BO, "provkörd med användaren")],
}
