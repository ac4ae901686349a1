"""Findings made by hand, and those that the shipped fault rule concludes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from support.evidence import facts, numbered, window

from fleet.episodes import Episode
from fleet.rules.findings import Both, Finding, Need, Said
from fleet.rules.reader import shipped_rules
from fleet.words import Component, Fixer, Severity, Usability

SAID = Said(Both("Rubrik", "Title"), Both("Hände", "Happened"), Both("Gör", "Do"))


def finding(start: datetime, end: datetime | None = None, **fields: Any) -> Finding:
    """A finding that rests on values, about a battery."""
    return Finding(
        **{
            "rule_id": "a-rule",
            "rule_version": 1,
            "about": "battery_voltage_v",
            "cause": "battery",
            "need": Need.TICKET,
            "severity": Severity.MAJOR,
            "usability": Usability.DEGRADED,
            "fixer": Fixer.TECHNICIAN,
            "component": Component.BATTERY,
            "started_at": start,
            "last_at": end or start,
            "ended_at": end,
            "known_at": start,
            "confidence": 0.9,
            "said": SAID,
            **fields,
        }
    )


def reported(evidence: Iterable[tuple[str, Episode]], now: datetime | None = None) -> list[Finding]:
    """What the shipped rule says of episodes: pairs of `system/code` and the episode."""
    rule, _ = shipped_rules()["reported-fault"]
    items = numbered(evidence)
    judged_at = now or max(item.episode.first_received_at for item in items) + timedelta(hours=1)
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    known = facts(judged_at, episodes=items)
    return rule.condition.evaluate(rule, known, window(long_ago, judged_at))
