"""A drift towards a limit: seen in good time, not seen where there is none, said with numbers."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evidence import rule_of

from fleet.rules.facts import (
    DaySeries,
    DeviceProfile,
    Facts,
    Repair,
    day_closes_at,
    day_of,
    day_starts_at,
)
from fleet.rules.findings import Both, Finding
from fleet.rules.kinds.trend import KIND
from fleet.rules.parameters import ParameterError, read_all
from fleet.rules.rule import Asks, Rule, Window
from fleet.words import Component, DeviceClass

FIRST = date(2025, 9, 1).toordinal()
LEAK = "mask_leak_p95_l_min"


def a_rule(**when: object) -> Rule:
    given = {"metric": LEAK, "above": "24 l/min", "window": "28 d"} | when
    rule = rule_of(KIND, asks=Asks(component=Component.MASK_LEAK), **given)
    return replace(rule, title=Both("Maskläckaget ökar", "Mask leak is rising"))


RULE = a_rule()


def leaks(values: Any, days: Any = None) -> DaySeries:
    values = np.asarray(values, float)
    days = FIRST + np.arange(len(values)) if days is None else np.asarray(days)
    return DaySeries(days.astype(np.int64), np.ones(len(days)), *(values for _ in range(4)))


def evaluate(
    series: DaySeries, rule: Rule = RULE, window: Window | None = None, **known: Any
) -> list[Finding]:
    last = int(series.day[-1])
    window = window or Window(day_starts_at(FIRST), FIRST, last)
    device = DeviceProfile(1, "apap-1", 1, "demo", DeviceClass.APAP, "resmed-airsense-11", None)
    (metric,) = rule.condition.needs.metrics
    facts = Facts(device, day_closes_at(last), days={metric: series}, **known)
    return rule.condition.evaluate(rule, facts, window)


def nights(slope: float, start: float, n: int, seed: int = 3, noise: float = 2.0) -> Any:
    return start + slope * np.arange(n) + np.random.default_rng(seed).normal(0, noise, n)


def test_a_rising_leak_is_found_before_it_crosses() -> None:
    (finding,) = evaluate(leaks(nights(0.25, 8, 80)))
    crossed_at = day_starts_at(FIRST + 64)
    lead = (crossed_at - finding.known_at) / timedelta(days=1)
    assert 5 < lead < 45
    assert finding.is_open
    assert finding.about == LEAK
    assert finding.cause == "mask_leak"
    assert finding.measures["slope_low_per_d"] < 0.25 < finding.measures["slope_high_per_d"]
    assert finding.measures["crosses_in_d"] == 0
    assert finding.confidence > 0.9


def test_a_step_over_the_limit_is_found_within_a_fortnight() -> None:
    (finding,) = evaluate(leaks(np.concatenate((nights(0, 9, 60), nights(0, 40, 30)))))
    assert FIRST + 60 <= day_of(finding.started_at) <= FIRST + 74


def test_noise_far_below_the_limit_says_nothing_on_sixty_devices() -> None:
    found = [evaluate(leaks(nights(0, 12, 180, seed, noise=3))) for seed in range(60)]
    assert not any(found)


def test_what_falls_is_judged_by_a_limit_below() -> None:
    volts = 26.4 - 0.02 * np.arange(80) + np.random.default_rng(5).normal(0, 0.1, 80)
    (finding,) = evaluate(leaks(volts), _falling())
    assert finding.measures["slope_per_d"] == pytest.approx(-0.02, abs=0.005)
    assert finding.measures["slope_low_per_d"] < finding.measures["slope_high_per_d"] < 0


def _falling() -> Rule:
    return rule_of(KIND, metric="battery_voltage_v", of="high", below="25.3 V")


def test_a_new_mask_ends_it_and_owes_nothing_to_the_old_one() -> None:
    values = np.concatenate((nights(0.3, 10, 60), nights(0, 9, 30, noise=1)))
    mended = Repair(7, "mask_leak", day_starts_at(FIRST + 59), frozenset())
    findings = evaluate(leaks(values), repairs=(mended,))
    assert len(findings) == 1
    assert findings[0].ended_at is not None
    assert day_of(findings[0].ended_at) <= FIRST + 70


def test_it_does_not_come_and_go_around_the_limit() -> None:
    findings = evaluate(leaks(np.concatenate((nights(0.3, 12, 45), nights(0, 24.5, 100)))))
    assert len(findings) == 1


def test_words_are_swedish_first_with_comma_and_hard_space() -> None:
    (finding,) = evaluate(leaks(nights(0.25, 10, 40, noise=0.5)))
    assert finding.said.title.sv.startswith("Maskläckaget ökar: når om ungefär ")
    assert "24,0\u00a0l/min" in finding.said.title.sv
    assert "24.0\u00a0l/min" in finding.said.title.en
    assert "i veckan" in finding.said.happened.sv
    (crossed,) = evaluate(leaks(nights(0.25, 10, 80, noise=0.5)))
    assert crossed.said.title.sv == "Maskläckaget ökar: har nått gränsen 24,0\u00a0l/min"
    assert "har nått gränsen" in crossed.said.happened.sv
    assert len(finding.points) == 12
    assert finding.points[-1].at == day_starts_at(FIRST + 39)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 99))
def test_two_windows_find_what_one_finds(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    values = 18 + rng.normal(0, 1, 100) + np.cumsum(rng.normal(0, 0.7, 100))
    series = leaks(values)
    whole = evaluate(series)
    at = day_starts_at(FIRST + cut)
    if any(f.started_at < at and (f.ended_at is None or f.ended_at >= at) for f in whole):
        return  # whoever builds windows moves them back to where such a finding began
    before = evaluate(series, window=Window(day_starts_at(FIRST), FIRST, FIRST + cut - 1))
    after = evaluate(series, window=Window(at, FIRST + cut, FIRST + 99))
    assert [f.started_at for f in (*before, *after)] == [f.started_at for f in whole]
    assert after == [f for f in whole if f.started_at >= at]


def test_days_without_data_keep_the_state() -> None:
    values = nights(0.3, 10, 60)
    days = np.concatenate((FIRST + np.arange(50), FIRST + 60 + np.arange(10)))
    (finding,) = evaluate(leaks(values, days))
    assert finding.is_open


def test_too_few_days_say_nothing() -> None:
    assert evaluate(leaks(nights(5, 30, 11))) == []


@pytest.mark.parametrize(
    ("every", "high_n", "is_found"),
    [(1, 10, False), (1, 16, True), (4, 3, False), (4, 6, True)],
    ids=["a cold", "a step", "seldom used, too few", "seldom used, a step"],
)
def test_a_step_must_last_a_fortnight_however_seldom_the_device_is_used(
    every: int, high_n: int, is_found: bool
) -> None:
    low = nights(0, 12, 40 // every)
    values = np.concatenate((low, nights(0, 36, high_n), nights(0, 12, 40 // every, 5)))
    found = evaluate(leaks(values, FIRST + every * np.arange(len(values))))
    assert bool(found) is is_found


def test_a_cold_seldom_bends_a_line() -> None:
    """Nine nights of a blocked nose; the line alone is bent by every eighth."""
    found = 0
    for seed in range(40):
        parts = ((9, 28, seed), (18, 9, seed + 500), (9, 40, seed + 900))
        found += bool(evaluate(leaks(np.concatenate([nights(0, *part) for part in parts]))))
    assert found <= 3


@pytest.mark.parametrize("every", [1, 3], ids=["every night", "every third night"])
def test_a_mask_that_begins_to_leak_is_found_before_a_fortnight_of_large_leaks(every: int) -> None:
    days = np.arange(0, 90, every)
    rise = np.maximum(0.0, days - 60) * 0.9
    rule = a_rule(window="60 d", min_days=14)
    found = evaluate(leaks(nights(0, 9, len(days), noise=2) + rise, FIRST + days), rule)
    large_from = FIRST + 60 + round((24 - 9) / 0.9)
    assert len(found) == 1
    assert day_of(found[0].known_at) < large_from + 7
    assert found[0].measures["slope_per_d"] == pytest.approx(0.9, rel=0.25)


@pytest.mark.parametrize(
    "given",
    [{"above": "24 l/min", "below": "2 l/min"}, {}, {"above": "24 l/min", "min_days": 60}],
)
def test_limits_and_windows_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    values, problems = read_all(KIND.parameters, {"metric": LEAK, "window": "28 d"} | given)
    assert not problems
    with pytest.raises(ParameterError):
        KIND.build(values)


def test_a_day_costs_little() -> None:
    series = [leaks(nights(0, 12, 180, seed, noise=3)) for seed in range(20)]
    begun = time.process_time()
    for one in series:
        evaluate(one)
    assert (time.process_time() - begun) / (20 * 180) < 500e-6  # a tenth of it when idle
