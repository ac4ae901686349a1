"""Why a ticket exists: findings as answers, their numbers in words, and the rules behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from api import typography
from api.schemas import BothOut, FindingOut, FindingPointOut, SaidOut, WholeFindingOut
from api.telling import Say
from api.texts import TEXTS
from fleet.faults import load_catalogue
from fleet.metrics import gap_before, load_metrics
from fleet.rules.reader import RuleFileError, parse_rule
from fleet.rules.rule import Rule
from storage import reading
from storage.connection import Connection
from storage.reading import FindingRow, TicketRow

_RULES_KEPT: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def finding_out(row: FindingRow) -> FindingOut:
    return FindingOut.model_validate(_fields(row))


def whole_finding_out(row: FindingRow) -> WholeFindingOut:
    points = [
        FindingPointOut(at=_EPOCH + timedelta(milliseconds=at_ms), metric=metric, value=value)
        for at_ms, metric, value in row.detail.get("points", ())
    ]
    return WholeFindingOut.model_validate({**_fields(row), "points": points})


_COLUMNS: Final = (
    "finding_no", "device_id", "individual_no", "subject", "rule_id", "rule_version", "about",
    "cause", "need", "severity", "usability", "fixer", "component", "started_at", "last_at",
    "ended_at", "known_at", "occurrence_n", "confidence",
)  # fmt: skip


def _fields(row: FindingRow) -> dict[str, Any]:
    said = row.detail.get("said", {})
    return {
        **{name: getattr(row, name) for name in _COLUMNS},
        "said": SaidOut(**{name: _both(said.get(name)) for name in SaidOut.model_fields}),
        "measures": row.detail.get("measures", {}),
        "ruled_out": [_both(texts) for texts in row.detail.get("ruled_out", ())],
    }


def _both(texts: Sequence[str] | None) -> BothOut:
    sv, en = texts or ("", "")
    return BothOut(sv=sv, en=en)


def rule_of(conn: Connection, rule_id: str, version: int) -> Rule | None:
    """The rule behind a finding; None where this release cannot read its text."""
    body = reading.rule_body(conn, rule_id, version)
    return None if body is None else _parsed(body)


@lru_cache(maxsize=_RULES_KEPT)
def _parsed(body: str) -> Rule | None:
    try:
        return parse_rule(body)
    except RuleFileError:
        return None


@dataclass(frozen=True, slots=True)
class Seen:
    """One finding as a page shows it.

    `at` and `range` are the time to show on the device's page, `metric` what to draw there.
    `is_fault`: its words say from when to when.
    """

    finding: WholeFindingOut
    title: str
    happened: str
    is_fault: bool
    numbers: list[tuple[str, str]]
    ruled_out: list[str]
    at: str
    range: str
    metric: str


@dataclass(frozen=True, slots=True)
class Ground:
    """One version of a rule, why there is such a rule, and what it saw."""

    rule_id: str
    version: int
    title: str
    why: str
    seen: list[Seen]


def grounds(
    conn: Connection, ticket: TicketRow, findings: Sequence[WholeFindingOut], say: Say
) -> list[Ground]:
    """What a ticket rests on, by rule. The rule of a storm saw only the single devices."""
    by_rule: dict[tuple[str, int], list[WholeFindingOut]] = {}
    if ticket.rule_id is not None and ticket.rule_version is not None:
        by_rule[ticket.rule_id, ticket.rule_version] = []
    for finding in findings:
        by_rule.setdefault((finding.rule_id, finding.rule_version), []).append(finding)
    return [
        _ground(rule_of(conn, *key), *key, [as_seen(finding, say) for finding in found], say)
        for key, found in by_rule.items()
        if found or ticket.device_no is None
    ]


def _ground(rule: Rule | None, rule_id: str, version: int, seen: list[Seen], say: Say) -> Ground:
    if rule is None:
        return Ground(rule_id, version, rule_id, "", seen)
    return Ground(rule_id, version, rule.title.in_(say.lang), rule.why.in_(say.lang), seen)


def as_seen(finding: WholeFindingOut, say: Say) -> Seen:
    """A finding in words."""
    middle = finding.started_at + (finding.last_at - finding.started_at) / 2
    return Seen(
        finding=finding,
        title=say.both(finding.said.title) or about_words(finding.about, say),
        happened=say.both(finding.said.happened),
        is_fault="/" in finding.about and finding.device_id is not None,
        numbers=numbers(finding.measures, finding.about, say),
        ruled_out=[say.both(both) for both in finding.ruled_out],
        at=say.instant(middle),
        range=_range_for(finding.last_at - finding.started_at),
        metric=finding.about if finding.about in load_metrics() else "",
    )


def _range_for(length: timedelta) -> str:
    if length <= timedelta(hours=20):
        return "24h"
    return "7d" if length <= timedelta(days=6) else "30d"


def about_words(about: str, say: Say) -> str:
    """A code with its meaning, a metric by its name; other words as they are known."""
    system, slash, code = about.partition("/")
    if slash:
        return f"{code} · {load_catalogue().look_up(system, code).meaning(say.lang)}"
    if about in load_metrics():
        return say.metric(about)
    return say.cap(say.word("about", say.word("component", about)))


def numbers(measures: Mapping[str, float], about: str, say: Say) -> list[tuple[str, str]]:
    """The numbers behind the words, as (name, value). What was counted to nothing is left out."""
    told = [name for name, value in measures.items() if value or not name.endswith(_COUNTS)]
    return [
        (say.cap(_label(name, say)), _amount(name, measures[name], about, say))
        for name in sorted(told, key=_place)
    ]


_COUNTS: Final = ("_n", "_count")
_PLACES: Final = {key: place for place, key in enumerate(TEXTS)}


def _place(name: str) -> tuple[int, str]:
    """The order in which the words are listed; what has no words comes last."""
    prefix = name.partition("_")[0]
    keys = (f"measure.{name}", f"measure.{prefix}")
    return next((_PLACES[key] for key in keys if key in _PLACES), len(_PLACES)), name


_OF_METRIC: Final = frozenset({"worst", "used", "every", "daily"})
_IN_METRIC: Final = frozenset({"level", "limit", "rise"})


def _label(name: str, say: Say) -> str:
    prefix, _, metric = name.partition("_")
    if prefix in _OF_METRIC and metric in load_metrics():
        return say.t(f"measure.{prefix}", metric=say.metric(metric).lower())
    return say.word("measure", name) if f"measure.{name}" in TEXTS else name


def _amount(name: str, value: float, about: str, say: Say) -> str:
    prefix, _, metric = name.partition("_")
    if prefix in _OF_METRIC and metric in load_metrics():
        amount = say.quantity(value, metric)
        return say.t("measure.a_day", amount=amount) if prefix == "daily" else amount
    if name in _SHARES:
        return _small_share(value, say)
    if about in load_metrics() and name in _IN_METRIC:
        return say.quantity(value, about)
    if about in load_metrics() and name.startswith("slope_"):
        return say.t("measure.a_week", amount=_weekly(value, about, say))
    return _by_unit(name, value, say)


_SHARES: Final = frozenset(
    {"rate", "rate_low", "rate_high", "peer_rate", "peer_rate_low", "peer_rate_high", "chance"}
)
_SMALLEST_PCT: Final = 0.01


def _small_share(value: float, say: Say) -> str:
    """A share that may be very small: what rounds to nothing is said to be below something."""
    percent = max(100 * value, _SMALLEST_PCT)
    decimals = 0 if percent >= 10 else 1 if percent >= 1 else 2
    shown = f"{typography.number(percent, say.lang, decimals)}{gap_before('%', say.lang)}%"
    return say.t("measure.under", share=shown) if 100 * value < _SMALLEST_PCT else shown


def _weekly(value: float, metric: str, say: Say) -> str:
    """One decimal more than the metric has: a slow change is a small number."""
    known = load_metrics().get(metric)
    assert known is not None
    shown = typography.number(value * known.display_factor * 7, say.lang, known.decimals + 1)
    return f"{shown}{gap_before(known.display_unit, say.lang)}{known.display_unit}"


_UNIT_METRICS: Final = {"m": "odometer_m", "v": "battery_voltage_v"}


def _by_unit(name: str, value: float, say: Say) -> str:
    """A number by the unit that its name ends in."""
    unit = name.rpartition("_")[2]
    if unit in _UNIT_METRICS:
        return say.quantity(value, _UNIT_METRICS[unit])
    match unit:
        case "s":
            return say.duration_ms(round(value * 1000))
        case "d":
            return typography.days(value, say.lang)
        case "h":
            return f"{say.n(value)}{typography.HARD_SPACE}{'tim' if say.lang == 'sv' else 'h'}"
        case "share":
            return say.share(value)
        case _:
            return say.amount(value)
