"""The page on the quality of the diagnostics, written from scores. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from firmware_sim.history.battery import END_CAPACITY
from firmware_sim.scoring import (
    Band,
    Score,
    ScoredTicket,
    SeedScore,
    Tally,
    delays_of,
    p50,
    p90,
)
from fleet.words import Component

_LISTED: Final = 12
"""Reasons listed of misses and of false alarms; the rest is summed."""


@dataclass(frozen=True, slots=True)
class _Aim:
    """One line of the first table: what, the target in words, how to measure, how to write."""

    what: str
    target: str
    measure: Callable[[Score], float | None]
    is_met: Callable[[float], bool] | None
    digits: int = 3


def _worst_storm(score: Score) -> float | None:
    return max(score.storm_tickets, default=None)


_SERVICE: Final = "service_due"


def _recall_without_service(score: Score) -> float | None:
    """Planned service is many, and easy: its dates can be counted."""
    service = score.by_kind.get(_SERVICE, Tally())
    needed_n = score.total.needed_n - service.needed_n
    return (score.total.found_n - service.found_n) / needed_n if needed_n else None


def _precision_without_service(score: Score) -> float | None:
    service = score.by_kind.get(_SERVICE, Tally())
    alarms = [alarm for alarm in score.false_alarms if _is_service(alarm.ticket)]
    ticket_n = score.total.ticket_n - service.ticket_n - len(alarms)
    return (score.total.right_n - service.right_n) / ticket_n if ticket_n else None


def _is_service(ticket: ScoredTicket) -> bool:
    return ticket.about == frozenset({str(Component.SERVICE)})


_AIMS: Final = (
    _Aim(
        "recall of causes that need a person",
        "≥ 0.98",
        lambda s: s.total.recall,
        lambda v: v >= 0.98,
    ),
    _Aim("the same without planned service", "", _recall_without_service, None),
    _Aim("precision of tickets", "≥ 0.90", lambda s: s.total.precision, lambda v: v >= 0.9),
    _Aim("the same without planned service", "", _precision_without_service, None),
    _Aim(
        "precision, withdrawn tickets counted as wrong", "", lambda s: s.precision_with_void, None
    ),
    _Aim("duplicates", "0", lambda s: s.total.duplicate_n, lambda v: v == 0, 0),
    _Aim("tickets per cause", "1.00", lambda s: s.tickets_per_cause, lambda v: v <= 1.0, 2),
    _Aim("tickets of the worst storm", "1", _worst_storm, lambda v: v == 1, 0),
    _Aim("median hours from sign to ticket", "", lambda s: p50(delays_of(s.by_kind)), None, 1),
    _Aim("90th percentile of these hours", "", lambda s: p90(delays_of(s.by_kind)), None, 1),
    _Aim(
        "median lead of the battery forecast, days", "", lambda s: p50(s.battery.lead_days), None, 0
    ),
)


def report_markdown(scores: Sequence[SeedScore], command: str) -> str:
    """The whole page. `command` is what makes it anew.

    Raises:
        ValueError: no score was given.
    """
    if not scores:
        raise ValueError("no score to report: run at least one seed")
    parts = (
        _head(scores, command),
        _aims(scores),
        "## By kind of cause\n",
        _kinds(scores),
        "## By rule\n",
        _rules(scores),
        "## Battery forecast\n",
        _battery(scores),
        "## What was missed, and what was wrong\n",
        _faults(scores),
        _METHOD,
    )
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _head(scores: Sequence[SeedScore], command: str) -> str:
    first = scores[0]
    return (
        "# Quality of the diagnostics\n\n"
        f"Measured on {len(scores)} synthetic fleets of {first.devices:,} devices over "
        f"{first.days} days, scenario `{first.scenario}`, whose true faults are known. "
        "The page is generated; do not edit it.\n\n"
        f"```sh\n{command}\n```\n\n## Aims\n"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _number(value: float | None, digits: int) -> str:
    # Adding zero takes the sign from a rounded -0.
    return "–" if value is None else f"{round(value, digits) + 0:.{digits}f}"


def _aims(scores: Sequence[SeedScore]) -> str:
    head = ["aim", "target", *(f"seed {one.seed}" for one in scores), "all", "met"]
    return _table(head, (_aim_row(aim, scores) for aim in _AIMS))


def _aim_row(aim: _Aim, scores: Sequence[SeedScore]) -> list[str]:
    values = [aim.measure(one.score) for one in scores]
    whole = aim.measure(pooled([one.score for one in scores]))
    written = [_number(value, aim.digits) for value in (*values, whole)]
    return [aim.what, aim.target, *written, _met(aim, values)]


def _met(aim: _Aim, values: Sequence[float | None]) -> str:
    """Met only if every seed meets it; a seed without such causes says nothing."""
    known = [value for value in values if value is not None]
    if aim.is_met is None or not known:
        return ""
    return "yes" if all(aim.is_met(value) for value in known) else "no"


def pooled(scores: Sequence[Score]) -> Score:
    """All fleets as one."""
    batteries = [score.battery for score in scores]
    return Score(
        total=sum((score.total for score in scores), Tally()),
        cause_n=sum(score.cause_n for score in scores),
        void_n=sum(score.void_n for score in scores),
        held_n=sum(score.held_n for score in scores),
        judged_late_n=sum(score.judged_late_n for score in scores),
        never_shown_n=sum(score.never_shown_n for score in scores),
        storm_tickets=tuple(n for score in scores for n in score.storm_tickets),
        by_kind=_summed(score.by_kind for score in scores),
        by_rule=_summed(score.by_rule for score in scores),
        misses=tuple(miss for score in scores for miss in score.misses),
        false_alarms=tuple(alarm for score in scores for alarm in score.false_alarms),
        battery=type(batteries[0])(
            ended_n=sum(one.ended_n for one in batteries),
            foretold_n=sum(one.foretold_n for one in batteries),
            lead_days=tuple(days for one in batteries for days in one.lead_days),
            forecast_n=sum(one.forecast_n for one in batteries),
            covered_n=sum(one.covered_n for one in batteries),
            first_n=sum(one.first_n for one in batteries),
            first_covered_n=sum(one.first_covered_n for one in batteries),
            bands=tuple(
                _one_band(bands) for bands in zip(*(b.bands for b in batteries), strict=True)
            ),
        ),
    )


def _summed(tables: Iterable[Mapping[str, Tally]]) -> dict[str, Tally]:
    whole: dict[str, Tally] = {}
    for table in tables:
        for key, tally in table.items():
            whole[key] = whole.get(key, Tally()) + tally
    return whole


def _one_band(bands: Sequence[Band]) -> Band:
    return Band(
        bands[0].low,
        bands[0].high,
        sum(band.forecast_n for band in bands),
        sum(band.right_n for band in bands),
        sum(band.stated_sum for band in bands),
    )


def _kinds(scores: Sequence[SeedScore]) -> str:
    head = [
        "kind",
        "need a person",
        "found",
        "recall",
        "tickets",
        "duplicates",
        "median h",
        "p90 h",
    ]
    whole = pooled([one.score for one in scores]).by_kind
    return _table(head, (_kind_row(kind, whole[kind]) for kind in sorted(whole)))


def _kind_row(kind: str, tally: Tally) -> list[str]:
    counts = (tally.needed_n, tally.found_n, tally.ticket_n, tally.duplicate_n)
    needed, found, tickets, duplicates = map(str, counts)
    return [
        kind.replace("_", " "),
        needed,
        found,
        _number(tally.recall, 3),
        tickets,
        duplicates,
        _number(p50(tally.delays_h), 1),
        _number(p90(tally.delays_h), 1),
    ]


def _rules(scores: Sequence[SeedScore]) -> str:
    head = ["rule", "tickets", "right", "duplicates", "precision", "median h"]
    whole = pooled([one.score for one in scores]).by_rule
    return _table(
        head,
        (
            [
                f"`{rule}`",
                str(tally.ticket_n),
                str(tally.right_n),
                str(tally.duplicate_n),
                _number(tally.precision, 3),
                _number(p50(tally.delays_h), 1),
            ]
            for rule, tally in sorted(whole.items())
        ),
    )


def _battery(scores: Sequence[SeedScore]) -> str:
    battery = pooled([one.score for one in scores]).battery
    said = (
        f"{battery.ended_n} packs wore out within the season; {battery.foretold_n} of them had "
        "been foretold. The first forecast came a median of "
        f"{_number(p50(battery.lead_days), 0)} days before the true end. The interval held the "
        f"true end in {battery.first_covered_n} of {battery.first_n} first forecasts, and in "
        f"{battery.covered_n} of all {battery.forecast_n}.\n\n"
    )
    head = ["stated confidence", "forecasts", "stated on average", "came true"]
    return said + _table(head, (_band_row(band) for band in battery.bands))


def _band_row(band: Band) -> list[str]:
    return [
        f"{band.low:.1f}–{band.high:.1f}",
        str(band.forecast_n),
        _number(band.stated, 2),
        _number(band.measured, 2),
    ]


def _faults(scores: Sequence[SeedScore]) -> str:
    whole = pooled([one.score for one in scores])
    missed = Counter((miss.cause.kind.replace("_", " "), miss.why) for miss in whole.misses)
    wrong = Counter(
        (", ".join(sorted(alarm.ticket.rule_ids)) or "no rule", alarm.why)
        for alarm in whole.false_alarms
    )
    said = (
        f"Left out of recall: {whole.judged_late_n} causes that showed first in the last two "
        f"days, and {whole.never_shown_n} that no report ever showed. Withdrawn: "
        f"{whole.void_n} tickets. Held under a group: {whole.held_n}.\n\n"
    )
    return (
        said
        + _table(["missed", "why", "times"], _reasons(missed))
        + "\n"
        + _table(["false alarm of", "what was true", "times"], _reasons(wrong))
    )


def _reasons(counted: Counter[tuple[str, str]]) -> Iterator[list[str]]:
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    for (what, why), times in ordered[:_LISTED]:
        yield [what, why, str(times)]
    rest = sum(times for _, times in ordered[_LISTED:])
    if rest:
        yield ["others", "", str(rest)]


_METHOD: Final = f"""## Method, and what it cannot show

The fleet is simulated by the hour; the rates are in `firmware_sim/history/mix.py`, each with its
source or the word that it is assumed. The world was written from what devices do and was not fitted
to the limits of the rules; the agreed service interval is the one number that both must share.
Repairs follow a script and not the tickets: 2 to 12 working days after the need began, and 10 to 30
where no user would call, as for a dead radio or a count that grows unseen.

A ticket is right if it is about the same device and part and was opened while its cause lasted,
up to two days after the repair. Parts that reports cannot tell apart count as the same. Every
further ticket of one cause is a duplicate and counts against precision. A supplier's ticket says
that a whole group is bad: where none is, it is a false alarm. A ticket that a worse fault of the
same part joins shows that fault too. The hours to a ticket are
counted from the receipt of the first report that shows the fault, for a silence from the end of
what the model explains; slow wear and service are left out of them. Service ordered up to 45 days
before it is due is right. So is a look at a brake or a critical fault that came once and went by
itself, though none is missed there: when it comes nobody can know. Not judged is what was
repaired before any report of it came in, and what showed first in the last two days; a fortnight
for silences and for what is told by coming back, a week for counts and minor faults that stay,
five days for a cell that gives in. A battery has truly ended at {END_CAPACITY:.0%} of its rated
capacity, which no device reports.

The rules were tuned on fleets 1 to 8 and 51 to 56. Earlier states of them were measured on fleets
11 to 15, 31 to 35, 41 to 45, 61 to 65, 71 to 75 and 81 to 85, of which the kinds of misses and
duplicates were looked at; the duplicates of 42 to 44, 64, 72 to 74, 81 and 82 were traced to their
causes, and rules and scoring changed for them. The limits of the rules were not. Neither was done
on a fleet of 91 to 95.
The truth was revised on the way where a technician would have disagreed with it: a pack counts as
worn, and its ticket as right, from 75% of its capacity; yearly service counts as needed; a bad
batch or firmware counts as one only where its own model shows it beyond chance (p at most 0.001),
by devices and not by faults; a low battery no longer brings up codes that the makers' tables call
wiring faults; what fails in a device that is put away shows when it is taken out again; a
controller has one total of each code; an incident is about the group whose devices are most nearly
its own; of two parts at fault in one device, a ticket is about the one that no ticket was about
before, and about what lasts rather than what has just been repaired; a fault that keeps coming
never comes before it began.

What is missed most is the power supply of a breathing device that is changed within a fortnight.
Nothing tells its silence from a holiday or a stay in hospital, which are several times as common,
and its user calls. A shorter wait would find it at the price of tickets of which most are wrong.

What the figures do not show: how often such faults come in a real fleet, faults with no sensor,
wrong clocks, and whether real batteries age along this curve. A high score here is necessary,
not sufficient.
"""
