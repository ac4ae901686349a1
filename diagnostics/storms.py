"""Storms in a pass: many devices with one fault become one incident instead of many tickets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from diagnostics.examination import Examined
from diagnostics.judgement import Opening
from diagnostics.written import Written
from fleet.drafts import draft_incident
from fleet.rules.findings import Finding
from fleet.rules.storms import STORM_DEVICES, STORM_WITHIN, Member, StormKey, may_storm
from storage import findings, lending, raising
from storage.connection import Connection
from storage.facts import profiles
from storage.findings import Subject
from storage.raising import TicketEvent, TicketKey


class Storms:
    """Takes from the openings of one pass those that belong to a storm."""

    def __init__(
        self,
        conn: Connection,
        examined: Examined,
        needs: Mapping[int, frozenset[str]],
        now: datetime,
    ) -> None:
        self._conn = conn
        self._examined = examined
        self._needs = needs
        self._now = now

    def hold(
        self, openings: Mapping[TicketKey, Opening], written: Written
    ) -> dict[TicketKey, Opening]:
        """Open or widen incidents; return the openings that no incident holds."""
        storms = self._storms(openings)
        held = {key for keys in storms.values() for key in keys}
        for storm, keys in storms.items():
            self._join(storm, [openings[key] for key in keys], written)
        return {key: opening for key, opening in openings.items() if key not in held}

    def _storms(self, openings: Mapping[TicketKey, Opening]) -> dict[StormKey, list[TicketKey]]:
        """The openings that many other devices share, by storm."""
        asked = {key: finding for key, o in openings.items() if (finding := _lead(o)) is not None}
        if not asked:
            return {}
        wanted = {key: self._wanted(key, finding) for key, finding in asked.items()}
        distinct = sorted(set(wanted.values()))
        counted = findings.same_about(self._conn, distinct, STORM_WITHIN)
        counts = dict(zip(distinct, counted, strict=True))
        storms: dict[StormKey, list[TicketKey]] = defaultdict(list)
        for key, (tenant_no, about, at) in wanted.items():
            if counts[tenant_no, about, at] >= STORM_DEVICES:
                storms[StormKey(tenant_no, about)].append(key)
        return storms

    def _wanted(self, key: TicketKey, finding: Finding) -> tuple[int, str, datetime]:
        """What to count, to ten minutes: a storm of thousands is asked about a few times."""
        tenant_no = self._examined.facts[key.device_no].device.tenant_no
        at = finding.started_at
        rounded = at - timedelta(minutes=at.minute % 10, seconds=at.second)
        return (tenant_no, finding.about, rounded.replace(microsecond=0))

    def _join(self, storm: StormKey, openings: Sequence[Opening], written: Written) -> None:
        """Open the storm's incident or widen it, and take over what singles had been opened."""
        starts = [f.started_at for o in openings for f in o.findings.values()]
        members = findings.storm_members(
            self._conn,
            storm.tenant_no,
            storm.about,
            min(starts) - STORM_WITHIN,
            max(starts) + STORM_WITHIN,
        )
        lead = min((f for o in openings for f in o.findings.values()), key=lambda f: f.started_at)
        number = self._incident(storm, lead, members, written)
        findings.link_findings(self._conn, [(number, finding_no) for finding_no in members])
        singles = findings.singles_of(self._conn, list(members))
        written.take_over(self._conn, number, singles, self._now)

    def _incident(
        self, storm: StormKey, lead: Finding, members: Mapping[int, int], written: Written
    ) -> int:
        """The number of the storm's open incident, which is written anew or opened."""
        group = (storm.tenant_no, storm.subject, storm.subject)
        found = raising.open_group_ticket(self._conn, *group, lead.cause)
        before = {} if found is None else findings.members_of(self._conn, found.ticket_no)
        everybody = {**before, **members}
        draft = draft_incident(lead, self._members(lead, everybody), self._now)
        if found is not None:
            change = raising.ChangedTicket(found.ticket_no, found.state, draft)
            raising.update_tickets(self._conn, [change], self._now)
            detail = {"devices": len(everybody)}
            written.events.append(TicketEvent(found.ticket_no, "devices_added", detail))
            written.changed.append(found.ticket_no)
            return found.ticket_no
        subject = Subject(storm.tenant_no, None, storm.subject)
        return written.open_group(self._conn, subject, draft, len(everybody), self._now)

    def _members(self, lead: Finding, members: Mapping[int, int]) -> list[Member]:
        devices = set(members.values())
        known = profiles(self._conn, devices)
        needs = lending.current_needs(self._conn, devices)
        return [Member(known[no], lead, needs.get(no, frozenset())) for no in sorted(devices)]


def _lead(opening: Opening) -> Finding | None:
    """The finding a storm would be recognised by."""
    return next((f for f in opening.findings.values() if may_storm(f)), None)
