"""Outages in a pass: devices that fell silent together become one incident, not many tickets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from diagnostics.examination import Examined
from diagnostics.groups import join_group
from diagnostics.judgement import Opening
from diagnostics.written import Written
from fleet.rules.engine import Rulebook
from fleet.rules.facts import DeviceProfile
from fleet.rules.kinds.silence import (
    ABOUT,
    Group,
    Outage,
    groups_of,
    outage_finding,
    outages,
)
from fleet.rules.rule import Rule
from storage import findings, groups
from storage.connection import Connection
from storage.findings import Subject
from storage.raising import TicketKey

AT_MOST: Final = timedelta(days=14)
"""What has been silent for longer is no part of an outage that is going on."""


class Outages:
    """Takes from the openings of one pass the silences that a group explains."""

    def __init__(self, conn: Connection, book: Rulebook, examined: Examined, now: datetime) -> None:
        self._conn = conn
        self._rules = {rule.id: rule for rule in book.rules}
        self._examined = examined
        self._now = now

    def hold(
        self, openings: Mapping[TicketKey, Opening], written: Written
    ) -> dict[TicketKey, Opening]:
        """Open or widen incidents; return the openings that no incident holds."""
        held: set[TicketKey] = set()
        for tenant_no, keys in self._silent(openings).items():
            for outage in self._outages(tenant_no, keys):
                mine = [key for key in keys if key.device_no in outage.device_nos]
                if mine:
                    self._join(tenant_no, outage, self._rule_of(openings[mine[0]]), written)
                    held.update(mine)
        return {key: opening for key, opening in openings.items() if key not in held}

    def _silent(self, openings: Mapping[TicketKey, Opening]) -> dict[int, list[TicketKey]]:
        """The openings about lost contact alone, by tenant."""
        silent: dict[int, list[TicketKey]] = defaultdict(list)
        for key, opening in openings.items():
            if all(finding.about == ABOUT for finding in opening.findings.values()):
                silent[self._device(key).tenant_no].append(key)
        return silent

    def _device(self, key: TicketKey) -> DeviceProfile:
        return self._examined.facts[key.device_no].device

    def _rule_of(self, opening: Opening) -> Rule:
        return self._rules[next(iter(opening.findings.values())).rule_id]

    def _outages(self, tenant_no: int, keys: Sequence[TicketKey]) -> list[Outage]:
        asked = frozenset[Group]().union(*(_groups_of(self._device(key)) for key in keys))
        if not asked:
            return []
        silent = groups.silent_peers(self._conn, tenant_no, asked, self._now, AT_MOST)
        return outages(silent, groups.census(self._conn, tenant_no, asked))

    def _join(self, tenant_no: int, outage: Outage, rule: Rule, written: Written) -> None:
        subject = Subject(tenant_no, None, outage.subject)
        finding = outage_finding(rule, outage, self._now)
        members = groups.silent_findings(self._conn, outage.device_nos)
        number = join_group(self._conn, subject, finding, list(members), self._now, written)
        singles = findings.singles_of(self._conn, list(members))
        written.take_over(self._conn, number, singles, self._now)


def _groups_of(device: DeviceProfile) -> frozenset[Group]:
    return groups_of(
        (
            ("gateway", device.gateway),
            ("area", device.area),
            ("network", device.network),
            ("centre", device.centre),
        )
    )
