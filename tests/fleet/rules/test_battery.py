"""When a battery will no longer do: intervals that hold the truth, on batteries with known ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from fleet.rules.facts import DaySeries, DeviceProfile, Facts, day_closes_at, day_starts_at
from fleet.rules.findings import Both, Finding
from fleet.rules.kinds.battery import KIND
from fleet.rules.parameters import read_all
from fleet.rules.rule import Asks, Rule, Window
from fleet.ticket_states import OrderKind
from fleet.words import Component, DeviceClass

FIRST_DAY = date(2025, 9, 1).toordinal()
DAY_N = 180


def a_rule(**when: object) -> Rule:
    values, problems = read_all(KIND.parameters, when)
    assert not problems
    return Rule(
        id="battery-end-of-life",
        version=1,
        kind=KIND.name,
        title=Both("Batteriet behöver bytas", "The battery needs to be replaced"),
        why=Both("…", "…"),
        source="test",
        source_url=None,
        device_classes=frozenset({DeviceClass.POWERED_WHEELCHAIR}),
        models=frozenset(),
        care=False,
        max_day_share=1.0,
        asks=Asks(component=Component.BATTERY, order=OrderKind.PREVENTIVE),
        condition=KIND.build(values),
    )


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


def evaluate(days: Mapping[str, DaySeries], rule: Rule = RULE, **known: Any) -> list[Finding]:
    last = max(int(s.day[-1]) for s in days.values())
    window = Window(day_starts_at(FIRST_DAY), FIRST_DAY, last)
    device = DeviceProfile(
        1, "wc-1", 1, "demo", DeviceClass.POWERED_WHEELCHAIR, "permobil-m3", None
    )
    facts = Facts(device, day_closes_at(last), days=days, **known)
    return rule.condition.evaluate(rule, facts, window)
