"""When a battery will no longer do: intervals that hold the truth, on batteries with known ends."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pytest
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
from fleet.rules.findings import Finding
from fleet.rules.kinds.battery import KIND
from fleet.rules.parameters import ParameterError, read_all
from fleet.rules.rule import Asks, Rule, Window
from fleet.ticket_states import OrderKind
from fleet.words import Component, DeviceClass

FIRST_DAY = date(2025, 9, 1).toordinal()
DAY_N = 180


def a_rule(**when: object) -> Rule:
    asks = Asks(component=Component.BATTERY, order=OrderKind.PREVENTIVE)
    return rule_of(KIND, asks=asks, **when)


RULE = a_rule()


def series(low: Any, high: Any, last: Any = None, keep: Any = None) -> DaySeries:
    low, high = np.asarray(low, float), np.asarray(high, float)
    days = np.arange(len(low)) + FIRST_DAY
    kept = np.ones(len(low), bool) if keep is None else keep
    last = high if last is None else np.asarray(last, float)
    total = (low + high) / 2 * 40
    return DaySeries(
        days[kept],
        np.full(int(kept.sum()), 40.0),
        low[kept],
        high[kept],
        total[kept],
        last[kept],
    )


@dataclass(frozen=True)
class Battery:
    """A battery that fades from `full_m`, evenly or faster and faster, and how it is driven."""

    full_m: float = 20_000
    fade_m_per_d: float = 60
    bend: float = 0.0
    usual_m: float = 8_000
    noise: float = 0.12
    weekdays_only: bool = False

    def range_m(self, day: Any) -> Any:
        return self.full_m - self.fade_m_per_d * day * (1 + self.bend * day / DAY_N)

    def days(self, seed: int, day_n: int = DAY_N) -> dict[str, DaySeries]:
        rng = np.random.default_rng(seed)
        day = np.arange(day_n)
        drives = self.usual_m * np.exp(rng.normal(-0.25, 0.3, day_n))
        used = np.ones(day_n, bool)
        if self.weekdays_only:
            used = (day + FIRST_DAY) % 7 < 5
        driven = np.where(used, drives, 0.0)
        shown = self.range_m(day) * np.exp(rng.normal(0, self.noise, day_n))
        drop = np.clip(np.round(100 * driven / np.maximum(shown, 500)), 0, 98)
        odometer = 1e6 + np.concatenate(([0.0], np.cumsum(driven)))
        worn = 1 - self.range_m(day) / self.full_m
        low_v = 23.6 - 2.5 * worn - 0.008 * drop + rng.normal(0, 0.15, day_n)
        return {
            "odometer_m": series(odometer[:-1], odometer[1:], keep=used),
            "state_of_charge_pct": series(99 - drop, np.full(day_n, 99.0), keep=used),
            "battery_voltage_v": series(low_v, np.full(day_n, 27.4), keep=used),
        }


def evaluate(
    days: Mapping[str, DaySeries], window: Window | None = None, **known: Any
) -> list[Finding]:
    last = max(int(s.day[-1]) for s in days.values())
    window = window or Window(day_starts_at(FIRST_DAY), FIRST_DAY, last)
    device = DeviceProfile(
        1, "wc-1", 1, "demo", DeviceClass.POWERED_WHEELCHAIR, "permobil-m3", None
    )
    facts = Facts(device, day_closes_at(last), days=days, **known)
    return RULE.condition.evaluate(RULE, facts, window)


def open_at(battery: Battery, seed: int, cut: int) -> Finding | None:
    """What still holds when the history ends after `cut` days."""
    days = {name: s.upto(FIRST_DAY + cut, 400) for name, s in battery.days(seed).items()}
    return next((finding for finding in evaluate(days) if finding.is_open), None)


def end_day(battery: Battery) -> int:
    """The true end: the reserve over the usual distance, or 60 % of the best range."""
    usual_m = battery.usual_m * math.exp(-0.25 + 0.3 * 0.8416)
    day = np.arange(3000)
    limit_m = max(1.2 * usual_m, 0.6 * battery.range_m(7))
    return int(np.argmax(battery.range_m(day) < limit_m))


def a_battery(rng: Any) -> Battery:
    return Battery(
        full_m=rng.uniform(15_000, 30_000),
        fade_m_per_d=rng.uniform(40, 110),
        usual_m=rng.uniform(3_000, 8_000),
        noise=rng.uniform(0.08, 0.2),
        weekdays_only=rng.random() < 0.3,
    )


def test_the_interval_holds_the_true_end_of_200_batteries_at_about_the_stated_rate() -> None:
    rng = np.random.default_rng(7)
    ahead, widths = [], []
    for seed in range(200):
        battery, cut = a_battery(rng), int(rng.integers(60, 180))
        days = battery.days(seed, cut + 1)
        last = FIRST_DAY + cut
        window = Window(day_starts_at(last), last, last)
        left_d = end_day(battery) - cut
        for finding in evaluate(days, window=window):
            if left_d > 0:
                m = finding.measures
                ahead.append(m["earliest_d"] <= left_d <= m["latest_d"])
                widths.append(m["latest_d"] - m["earliest_d"])
    assert len(ahead) > 40
    assert 0.7 <= np.mean(ahead) <= 0.95  # stated: 0.8
    assert np.median(widths) < 60


def test_batteries_are_announced_weeks_ahead() -> None:
    rng = np.random.default_rng(3)
    leads = []
    for seed in range(8):
        battery = a_battery(rng)
        if end_day(battery) < DAY_N - 10:
            found = evaluate(battery.days(seed))
            leads.append(end_day(battery) - (day_of(found[0].started_at) - FIRST_DAY))
    assert np.median(leads) > 21


def test_sound_batteries_are_left_alone() -> None:
    sound = Battery(fade_m_per_d=3, usual_m=5_000)
    assert [evaluate(sound.days(seed)) for seed in range(20)] == [[]] * 20


def test_a_battery_that_dies_at_once_is_seen_within_a_fortnight() -> None:
    before, after = Battery(fade_m_per_d=0).days(1, 90), Battery(full_m=8_000).days(2, 30)
    days = {name: _joined(before[name], after[name]) for name in before}
    (finding,) = evaluate(days)
    assert 90 <= day_of(finding.started_at) - FIRST_DAY <= 104
    assert finding.measures["best_d"] == 0
    assert finding.measures["limit_battery_voltage_v"] == 21.0, "charts draw it"
    assert finding.said.title.sv.startswith(
        "Batteriet har för liten marginal för den vanliga dagssträckan, "
    )


def test_a_worn_battery_that_still_manages_the_day_is_not_said_to_fail_it() -> None:
    before = Battery(fade_m_per_d=0, usual_m=3_000).days(1, 90)
    after = Battery(full_m=9_000, fade_m_per_d=0, usual_m=3_000).days(2, 30)
    (finding,) = evaluate({name: _joined(before[name], after[name]) for name in before})
    assert finding.said.title.sv.startswith("Batteriet är slitet: räckvidden är ")
    assert 0.4 < finding.measures["range_m"] / finding.measures["best_range_m"] < 0.55


def test_a_lost_cell_is_seen_within_days_and_a_forgotten_charge_is_none() -> None:
    days = Battery(fade_m_per_d=0).days(1, 60)
    voltage, charge = days["battery_voltage_v"], days["state_of_charge_pct"]
    lost = np.where(np.arange(60) < 50, voltage.high, voltage.high - 2.0)
    (finding,) = evaluate(days | {"battery_voltage_v": replace(voltage, high=lost)})
    assert 50 <= day_of(finding.started_at) - FIRST_DAY <= 52
    assert finding.said.title.sv == "En battericell är troligen död"
    full = np.where(np.arange(60) < 50, charge.high, 80.0)
    uncharged = {"state_of_charge_pct": replace(charge, high=full)}
    assert evaluate(days | uncharged | {"battery_voltage_v": replace(voltage, high=lost)}) == []


def test_a_battery_that_is_too_small_is_not_a_worn_one() -> None:
    """Driven to its end every day since it was new, it has lost nothing."""
    assert evaluate(Battery(full_m=9_000, fade_m_per_d=0, usual_m=9_500).days(4)) == []


def test_a_day_at_home_does_not_look_like_wear() -> None:
    """Standing costs charge too; per metre driven, a quiet month costs several times as much."""
    rng = np.random.default_rng(2)
    usual = np.where(np.arange(150) < 110, 6_000.0, 1_500.0)
    driven = usual * np.exp(rng.normal(0, 0.3, 150))
    drop = np.round(8 + driven / 200)
    odometer = 1e6 + np.concatenate(([0.0], np.cumsum(driven)))
    days = {
        "odometer_m": series(odometer[:-1], odometer[1:]),
        "state_of_charge_pct": series(99 - drop, np.full(150, 99.0)),
    }
    assert evaluate(days) == []


def _joined(first: DaySeries, second: DaySeries) -> DaySeries:
    later = second.day - FIRST_DAY + int(first.day[-1]) + 1
    rest = ("sample_n", "low", "high", "total", "last")
    columns = [np.concatenate((getattr(first, name), getattr(second, name))) for name in rest]
    return DaySeries(np.concatenate((first.day, later)), *columns)


WORN = Battery(fade_m_per_d=70, usual_m=7_000)


@pytest.mark.parametrize(
    "missing",
    [("odometer_m",), ("state_of_charge_pct",), ("odometer_m", "state_of_charge_pct")],
)
def test_what_is_not_reported_lowers_the_confidence(missing: tuple[str, ...]) -> None:
    battery = Battery(full_m=20_000, fade_m_per_d=95, usual_m=7_000)
    days = battery.days(4)
    (whole,) = evaluate(days)
    (part,) = evaluate({name: s for name, s in days.items() if name not in missing})
    assert part.confidence < whole.confidence
    assert "range_m" not in part.measures


def test_without_any_metric_it_says_nothing() -> None:
    assert evaluate({"drive_time_s": series(np.zeros(60), np.ones(60))}) == []


def test_deep_discharges_and_more_charging_support_the_forecast() -> None:
    days = WORN.days(4)
    (plain,) = evaluate(days)
    deep = np.concatenate((np.zeros(150), np.arange(30) // 5))
    charges = np.cumsum(np.concatenate((np.ones(150), np.full(30, 2))))
    extra = {"deep_discharge_count": series(deep, deep), "charge_count": series(charges, charges)}
    (supported,) = evaluate(days | extra)
    assert supported.confidence > plain.confidence
    assert supported.measures["deep_discharge_n"] == 5
    assert any("Laddaren" in both.sv for both in supported.ruled_out)


@pytest.mark.parametrize(("fall_c", "is_chilled"), [(1.0, False), (18.0, True)])
def test_cold_is_ruled_out_or_lowers_the_confidence(fall_c: float, is_chilled: bool) -> None:
    days = WORN.days(4)
    warmth = 18 - fall_c * (np.arange(DAY_N) > DAY_N - 40)
    (plain,), (finding,) = (
        evaluate(days),
        evaluate(days | {"ambient_temp_c": series(warmth, warmth)}),
    )
    assert (finding.confidence < plain.confidence) == is_chilled
    assert any("Kyla" in both.sv for both in finding.ruled_out) != is_chilled


def test_months_are_named_and_the_user_is_told_plainly() -> None:
    finding = next(f for cut in range(60, 150) if (f := open_at(WORN, 4, cut)))
    assert finding.measures["latest_d"] > finding.measures["earliest_d"] > 0
    assert finding.said.title.sv.startswith("Batteriet räcker troligen till ")
    month = date.fromordinal(day_of(finding.last_at) + int(finding.measures["latest_d"]))
    assert finding.said.title.en.endswith((f"{month:%B}", f"{month:%Y}"))
    assert "räcker troligen till" in finding.said.user.sv
    assert finding.order is OrderKind.PREVENTIVE


def test_new_batteries_end_it() -> None:
    before, after = WORN.days(1, 120), Battery(fade_m_per_d=0).days(2, 60)
    days = {name: _joined(before[name], after[name]) for name in before}
    mended = Repair(7, "battery", day_starts_at(FIRST_DAY + 119), frozenset())
    findings = evaluate(days, repairs=(mended,))
    assert findings
    assert all(f.ended_at is not None for f in findings)
    assert all(f.started_at < mended.solved_at for f in findings)


@pytest.mark.parametrize("cut", [20, 40, 56])
def test_two_windows_find_what_one_finds(cut: int) -> None:
    days = WORN.days(9)
    whole = evaluate(days)
    at = FIRST_DAY + cut
    assert day_of(whole[0].started_at) > at
    before = evaluate(days, window=Window(day_starts_at(FIRST_DAY), FIRST_DAY, at - 1))
    after = evaluate(days, window=Window(day_starts_at(at), at, FIRST_DAY + DAY_N))
    assert [*before, *after] == whole


def test_a_day_costs_little() -> None:
    sound = [Battery(fade_m_per_d=3, usual_m=5_000).days(seed) for seed in range(10)]
    begun = time.process_time()
    for days in sound:
        evaluate(days)
    assert (time.process_time() - begun) / (10 * DAY_N) < 500e-6  # a tenth of it when idle


@pytest.mark.parametrize("given", [{"window": "200 d"}, {"window": "30 d", "min_days": 40}])
def test_windows_that_cannot_hold_their_days_are_refused(given: dict[str, Any]) -> None:
    values, problems = read_all(KIND.parameters, given)
    assert not problems
    with pytest.raises(ParameterError):
        KIND.build(values)
