"""The engine: all rules over one device's facts. The same code runs live and over history. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from fleet.rules.facts import Facts, Span, day_of, day_starts_at, last_closed_day
from fleet.rules.findings import Finding, Need
from fleet.rules.inhibition import Inhibition, explained_by
from fleet.rules.rule import Needs, Rule, Window
from fleet.words import Severity

LONGEST: Final = timedelta(days=400)
"""No window reaches further back: a condition that holds for longer is cut there."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The rules that are on, and what hides what."""

    rules: Sequence[Rule]
    inhibitions: Sequence[Inhibition] = ()

    @property
    def on_events(self) -> tuple[Rule, ...]:
        """Rules that need nothing but reported faults: they speak at once."""
        return tuple(r for r in self.rules if not r.condition.needs.on_agenda and not _is_fleet(r))

    @property
    def on_device(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if not _is_fleet(rule))

    @property
    def on_fleet(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if _is_fleet(rule))


def _is_fleet(rule: Rule) -> bool:
    return rule.condition.needs.fleet


def joint_needs(rules: Iterable[Rule]) -> Needs:
    """What must be loaded so that each of `rules` has what it needs."""
    needs = [rule.condition.needs for rule in rules]
    return Needs(
        episodes=any(n.episodes for n in needs),
        metrics=tuple(sorted({name for n in needs for name in n.metrics})),
        samples=tuple(sorted({name for n in needs for name in n.samples})),
        bounds=tuple(dict.fromkeys(bound for n in needs for bound in n.bounds)),
        lookback_days=max((n.lookback_days for n in needs), default=0),
        metric_days=tuple(sorted(_reach(needs).items())),
        contact=any(n.contact for n in needs),
        repairs=any(n.repairs for n in needs),
    )


def _reach(needs: Iterable[Needs]) -> dict[str, int]:
    """How far back each metric is needed by the rule that looks furthest."""
    reach: dict[str, int] = {}
    for need in needs:
        for name in need.metrics:
            reach[name] = max(reach.get(name, 0), need.lookback_days)
    return reach


class Stretch(NamedTuple):
    """From when to when a stored finding holds; `ended_at` None: it still does."""

    started_at: datetime
    ended_at: datetime | None

    def reaches(self, at: datetime) -> bool:
        return self.ended_at is None or self.ended_at >= at


def window_for(from_at: datetime, stored: Iterable[Stretch], now: datetime) -> Window:
    """What to decide anew after a change at `from_at`.

    It begins where the earliest finding began that reaches into it, and so on: a finding is
    decided whole or not at all, which makes the result independent of what came when. The day of
    the change is decided whole too: a finding that ended as that day began may go on in it.
    """
    earliest = now - LONGEST
    from_at = day_starts_at(day_of(from_at)).astimezone(UTC)
    for stretch in sorted(stored, key=lambda s: s.started_at, reverse=True):
        if stretch.started_at < from_at and stretch.reaches(from_at):
            from_at = stretch.started_at
    from_at = max(from_at, earliest)
    return Window(from_at, day_of(from_at), last_closed_day(now))


def touches(finding: Finding, window: Window) -> bool:
    """True if the finding is among those that the window decides."""
    return finding.ended_at is None or finding.ended_at >= window.from_at


def conclude(book: Rulebook, rules: Iterable[Rule], facts: Facts, window: Window) -> list[Finding]:
    """Every finding of `rules` that the window decides, with what hides or silences it."""
    explained = explained_by(facts.episodes, book.inhibitions, facts.now)
    found = [
        _settled(finding, facts, explained)
        for rule in rules
        if rule.covers(facts.device)
        for finding in rule.condition.evaluate(rule, facts, window)
        if touches(finding, window)
    ]
    return sorted(found, key=lambda f: (f.started_at, f.rule_id, f.about))


def _settled(finding: Finding, facts: Facts, explained: Mapping[int, int]) -> Finding:
    """The finding with the need it has once the place of the device and other faults are known."""
    if finding.need not in {Need.TICKET, Need.HELD}:
        return finding
    if any(_silences(span, finding) for span in facts.quiet):
        return replace(finding, need=Need.QUIET)
    if finding.episodes and all(item.episode_no in explained for item in finding.episodes):
        return replace(finding, need=_explained(finding, facts, explained))
    return finding


def _explained(finding: Finding, facts: Facts, explained: Mapping[int, int]) -> Need:
    """Explained; but while it may yet outlast its cause it is held, and looked at again.

    So is a critical fault from the first: it is put off for a time and no longer.
    """
    causes = {explained[item.episode_no] for item in finding.episodes}
    is_cause_over = all(
        item.episode.ended_at is not None for item in facts.episodes if item.episode_no in causes
    )
    may_outlast = is_cause_over or finding.severity is Severity.CRITICAL
    return Need.HELD if finding.is_open and may_outlast else Need.EXPLAINED


def _silences(span: Span, finding: Finding) -> bool:
    """True if it began in the workshop, in transport or in storage, and was not seen since.

    What is reported again in the user's hands counts, whenever it began.
    """
    if not span.covers(finding.started_at):
        return False
    return span.until_at is None or finding.last_at < span.until_at
