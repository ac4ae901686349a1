"""A powered wheelchair by the hour: driving by day, charging by night, on a pack that ages.

The same reporting as in the message-level simulator: each minute of driving, three times an hour
when switched on, every three hours asleep, six times an hour while charging.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_sim.devices.rhythm import HOUR, MINUTE
from firmware_sim.history.battery import SUSPICIOUS_V, PackLife, over_time, rest_v
from firmware_sim.history.mix import HistoryScenario
from firmware_sim.history.shapes import HourSeries, SampleSeries
from firmware_sim.history.sheet import Sheet
from firmware_sim.history.timeline import DayGrid, Grid, Hours, Mask
from fleet.rules.facts import DaySeries

FIRST_HOUR: Final = 5
EARLIER_DAYS: Final = 365
"""How long the chair has reported when the season begins. Chairs are lent for years, and a pack
wears over years: of a fleet connected the day before, nobody could say what is worn."""
_CHARGE_A, _FULL_A, _EFFICIENCY = 8.0, 2.5, 0.85
_IDLE_A: Final = 0.25
_EMPTY: Final = 0.05
"""At this charge the controller refuses to drive."""
LOW: Final = 0.20
"""At this charge the gauge warns: one or two red bars of ten."""
DEEP: Final = 0.10
_TOLD_EARLIER: Final = frozenset({
    "battery_voltage_v", "state_of_charge_pct", "odometer_m", "drive_time_s", "charge_count",
    "deep_discharge_count", "ambient_temp_c",
})  # fmt: skip
"""What of the year before is kept: that which tells how the pack wears."""
_HOURS: Final = np.array(
    [0, 0, .1, .5, .8, 1, 1, .9, .9, .9, .8, .8, .7, .6, .4, .2, .1, 0, 0, 0, 0, 0, 0, 0]
)  # fmt: skip
"""When people drive, from 05:00 on."""


@dataclass(frozen=True, slots=True)
class ChairState:
    """What the script says of the chair's surroundings.

    Each mask says in which cells: `on` that it has power, `at_home` that it is with its user,
    `driveable` that no fault stops it, `charger_works` that plugging in helps.
    """

    on: Mask
    at_home: Mask
    driveable: Mask
    charger_works: Mask
    packs: Sequence[PackLife]


@dataclass(frozen=True, slots=True)
class LowSpell:
    """From the warning until the charger went in; `deep_ms` is when it was as good as empty."""

    since_ms: int
    deep_ms: int | None
    until_ms: int


@dataclass(frozen=True, slots=True)
class ChairSeason:
    """What a season of use comes to. `earlier` are the local days of the year before it."""

    series: dict[str, HourSeries]
    earlier: dict[str, DaySeries]
    samples: dict[str, SampleSeries]
    low_spells: list[LowSpell]
    drive_time_s: tuple[float, Grid]
    """The counter when the season began, and what each cell added."""


@dataclass(slots=True)
class _Use:
    """Grids of one chair: minutes driven, mean current while driving, state of charge."""

    minutes: Grid
    drive_a: Grid
    charge: Grid
    charging: Mask
    charge_starts: Mask
    capacity_ah: Grid
    failed: Grid
    resistance: Grid
    temp_c: Grid


def live(  # noqa: PLR0913, PLR0917 - one chair in all its circumstances
    grid: DayGrid, state: ChairState, scenario: HistoryScenario, rng: np.random.Generator,
    metrics: Iterable[str], from_ms: int,
) -> ChairSeason:  # fmt: skip
    """`grid` begins `EARLIER_DAYS` before the season, which begins at `from_ms`."""
    use = _use(grid, state, scenario, rng)
    now = grid.hour >= from_ms // HOUR
    sheet = Sheet(grid.hour, grid.inside & state.on, frozenset(metrics))
    awake = _awake(grid, state)
    driven = np.round(use.minutes)
    idle_n = np.where(awake, 3.0, np.where(grid.hour % 3 == 0, 1.0, 0.0))
    idle_n = np.where(use.charging | (driven > 30), 0.0, idle_n)
    samples = _electric(sheet, use, driven, idle_n, now, rng)
    drive_start_s = float(rng.uniform(0, 1_600) * 3600)
    _counters(sheet, use, awake, driven, idle_n, drive_start_s, rng)
    _climate(sheet, use, driven, idle_n, rng)
    drive_s = use.minutes * 60
    return ChairSeason(
        {name: one.where(one.hour >= from_ms // HOUR) for name, one in sheet.series.items()},
        {
            name: one.where(one.hour < from_ms // HOUR).by_day()
            for name, one in sheet.series.items()
            if name in _TOLD_EARLIER
        },
        samples,
        [spell for spell in _low_spells(grid, use, state) if spell.since_ms >= from_ms],
        (drive_start_s + float(drive_s[~now].sum()), drive_s * now),
    )


def _awake(grid: DayGrid, state: ChairState) -> Mask:
    return (grid.local >= 7) & (grid.local < 22) & grid.inside & state.on


def _use(
    grid: DayGrid, state: ChairState, scenario: HistoryScenario, rng: np.random.Generator
) -> _Use:
    temp_c = _temperature(grid, rng)
    capacity, resistance, failed = _pack_grids(grid, state, temp_c)
    drive_a = float(rng.lognormal(np.log(9), 0.25)) * rng.lognormal(0, 0.15, grid.shape)
    moves = grid.inside & state.on & state.at_home & state.driveable
    minutes = _wanted_minutes(grid, rng) * moves
    drawn_ah = minutes / 60 * drive_a + _IDLE_A * _awake(grid, state)
    forgets = scenario.forgets_charger * (10 if rng.random() < 0.08 else 1)
    plugged = rng.random(grid.shape[0]) >= forgets
    column = rng.integers(16, 18, grid.shape[0])
    use = _Use(
        minutes, drive_a, np.empty(grid.shape), np.zeros(grid.shape, dtype=bool),
        np.zeros(grid.shape, dtype=bool), capacity, failed, resistance, temp_c,
    )  # fmt: skip
    _run_down(use, drawn_ah, plugged, column, state)
    return use


def _temperature(grid: DayGrid, rng: np.random.Generator) -> Grid:
    """What the pack feels: indoors, and part of the way out of doors."""
    season = np.cos(2 * np.pi * (grid.day % 365.25 - 200) / 365.25)
    outdoors = 6.0 + 11.0 * season + rng.normal(0, 3, grid.shape[0])
    share = float(rng.uniform(0.0, 0.6))
    return np.asarray(21 + share * (outdoors - 21)[:, None] * np.ones(24)[None, :])


def _pack_grids(grid: DayGrid, state: ChairState, temp_c: Grid) -> tuple[Grid, Grid, Grid]:
    """Capacity in Ah, resistance in ohm and how far a cell has failed, over all packs."""
    at_ms = grid.hour.astype(np.float64) * HOUR
    capacity, resistance, failed = (np.zeros(grid.shape) for _ in range(3))
    for pack, held in over_time(list(state.packs), grid.hour):
        capacity += held * pack.rated_ah * pack.capacity(at_ms)
        resistance += held * pack.resistance(at_ms, temp_c)
        failed += held * pack.failed(at_ms)
    return capacity, resistance, failed


def _wanted_minutes(grid: DayGrid, rng: np.random.Generator) -> Grid:
    """Minutes of driving in each hour if nothing stops it: about an hour and a quarter a day."""
    habit = float(np.clip(rng.lognormal(np.log(70), 0.5), 15, 220))
    stays_in = rng.random(grid.shape[0]) < rng.uniform(0.02, 0.2)
    day = habit * rng.lognormal(0, 0.35, grid.shape[0]) * ~stays_in
    hours = _HOURS * rng.exponential(1.0, grid.shape)
    hours /= hours.sum(axis=1, keepdims=True)
    return np.clip(day[:, None] * hours, 0, 50)


def _run_down(
    use: _Use, drawn_ah: Grid, plugged: Mask, column: np.ndarray, state: ChairState
) -> None:
    """Walk through the days: drain, stop when empty, charge by night. Fills `use`."""
    charge = 0.9
    for day in range(len(drawn_ah)):
        share = drawn_ah[day] / use.capacity_ah[day]
        start = int(column[day])
        level = charge - np.cumsum(share)
        if level[start] < _EMPTY:
            use.minutes[day, level < _EMPTY] = 0.0
            level = np.maximum(level, _EMPTY * 0.6)
        works = bool(state.charger_works[day, start] and state.on[day, start])
        if plugged[day] and works:
            level = _charged(use, day, start, level)
        charge = float(level[-1])
        use.charge[day] = level


def _charged(use: _Use, day: int, start: int, level: Grid) -> Grid:
    """The day's levels with the charger in from column `start`; slower near the top."""
    gain = _CHARGE_A * _EFFICIENCY / use.capacity_ah[day, start]
    top = 24 - start
    filled = level[start] + gain * np.arange(1, top + 1)
    level = level.copy()
    bend = np.where(filled > 0.85, 0.85 + (filled - 0.85) * _FULL_A / _CHARGE_A * 1.6, filled)
    level[start:] = np.minimum(1.0, bend)
    use.charging[day, start:] = np.append(True, level[start:-1] < 0.995)
    use.charge_starts[day, start] = True
    return level


def _electric(  # noqa: PLR0913, PLR0917 - the grids of one chair
    sheet: Sheet, use: _Use, driven: Grid, idle_n: Grid, now: Mask, rng: np.random.Generator
) -> dict[str, SampleSeries]:
    """Voltage, currents, charge; raw samples of the hours in which the voltage fell low."""
    rest = rest_v(use.charge, use.failed)
    peak_a = use.drive_a * np.clip(rng.lognormal(np.log(2.6), 0.28, now.shape), 1.5, 6.0)
    drop, deep = use.resistance * use.drive_a, use.resistance * peak_a
    charge_n = np.where(use.charging, 6.0, 0.0)
    sample_n = driven + idle_n + charge_n
    lift = np.where(use.charging, 1.0 + 0.9 * use.charge, 0.0)
    low = np.where(driven > 0, rest - deep, rest + lift - 0.05)
    high = np.where(use.charging, rest + lift + 0.1, rest + 0.02)
    total = rest * sample_n - drop * driven + lift * charge_n
    mean = np.round(total / np.maximum(sample_n, 1), 3)
    last = np.where(use.charging, rest + lift, rest)
    sheet.gauge("battery_voltage_v", sample_n, mean, low.round(2), high.round(2), last.round(2))
    percent = np.round(100 * np.clip(use.charge, 0, 1))
    sheet.gauge("state_of_charge_pct", sample_n, percent)
    charge_a = np.where(use.charge < 0.85, _CHARGE_A, _FULL_A)
    current = np.where(use.charging, -charge_a, use.drive_a + _IDLE_A).round(1)
    current_n = np.where(use.charging, charge_n, driven)
    worst = np.where(use.charging, current, peak_a).round(1)
    sheet.gauge("battery_current_a", current_n, current, current, worst, current)
    _motors(sheet, use, peak_a, driven)
    samples = _raw_samples(sheet, use, rest, peak_a, driven * now, rng)
    _add_low_charge(sheet, samples, percent, sample_n * now)
    return samples


def _add_low_charge(
    sheet: Sheet, samples: dict[str, SampleSeries], percent: Grid, sample_n: Grid
) -> None:
    """A sample an hour of a low charge, beside those that are there while it drives."""
    metric = "state_of_charge_pct"
    low = sheet.kept & (sample_n > 0) & (percent < 100 * LOW)
    if metric not in sheet.metrics or not low.any():
        return
    at_ms, value = sheet.hour[low] * HOUR + 59 * MINUTE, percent[low]
    driving = samples.get(metric, SampleSeries(np.empty(0, dtype=np.int64), np.empty(0)))
    at_ms = np.concatenate([driving.at_ms, at_ms])
    order = np.argsort(at_ms, kind="stable")
    value = np.concatenate([driving.value, value])
    samples[metric] = SampleSeries(at_ms[order], value[order])


def _motors(sheet: Sheet, use: _Use, peak_a: Grid, driven: Grid) -> None:
    light = (use.drive_a * 0.3).round(1)
    for metric, share in (
        ("motor_current_a", 1.0), ("motor_left_current_a", 0.52), ("motor_right_current_a", 0.48)
    ):  # fmt: skip
        mean, high = (share * use.drive_a).round(1), (share * peak_a).round(1)
        sheet.gauge(metric, driven, mean, share * light, high, mean)


def _raw_samples(  # noqa: PLR0913, PLR0917 - the grids of one chair
    sheet: Sheet, use: _Use, rest: Grid, peak_a: Grid, driven: Grid, rng: np.random.Generator
) -> dict[str, SampleSeries]:
    """A value a minute, in which one climb of a few minutes takes the peak current."""
    voltage = sheet.series.get("battery_voltage_v")
    low = rest - use.resistance * peak_a
    cells = np.argwhere(sheet.kept & (driven >= 1) & (low < SUSPICIOUS_V))
    if voltage is None or not len(cells):
        return {}
    at_ms, amps, volts, charges = [], [], [], []
    for row, column in cells:
        cell = (int(row), int(column))
        count = int(driven[cell])
        amps.append(_minute_currents(count, float(use.drive_a[cell]), float(peak_a[cell]), rng))
        volts.append(np.round(rest[cell] - use.resistance[cell] * amps[-1], 2))
        first = (60 - count) // 2
        at_ms.append(sheet.hour[cell] * HOUR + (first + np.arange(count)) * MINUTE)
        charges.append(np.full(count, np.round(100 * np.clip(use.charge[cell], 0, 1))))
    times, load = np.concatenate(at_ms), np.concatenate(amps)
    samples = {"battery_voltage_v": np.concatenate(volts), **_loads(sheet, load)}
    if "state_of_charge_pct" in sheet.metrics:
        samples["state_of_charge_pct"] = np.concatenate(charges)
    return {metric: SampleSeries(times, values.round(2)) for metric, values in samples.items()}


def _minute_currents(
    count: int, mean_a: float, peak_a: float, rng: np.random.Generator
) -> np.ndarray:
    currents = np.clip(mean_a * rng.lognormal(0, 0.35, count), 1.0, peak_a)
    climb = min(count, int(rng.integers(1, 5)))
    start = int(rng.integers(0, count - climb + 1))
    currents[start : start + climb] = peak_a * rng.uniform(0.85, 1.0, climb)
    currents[start] = peak_a
    return currents


def _loads(sheet: Sheet, amps: np.ndarray) -> dict[str, np.ndarray]:
    shares = {
        "motor_current_a": 1.0, "motor_left_current_a": 0.52, "motor_right_current_a": 0.48,
        "battery_current_a": 1.0,
    }  # fmt: skip
    return {metric: amps * s for metric, s in shares.items() if metric in sheet.metrics}


def _counters(  # noqa: PLR0913, PLR0917 - the grids of one chair
    sheet: Sheet, use: _Use, awake: Mask, driven: Grid, idle_n: Grid, drive_start_s: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    told_n = driven + idle_n
    speed = float(rng.uniform(0.6, 1.1))
    sheet.counter("drive_time_s", told_n, drive_start_s, use.minutes * 60)
    sheet.counter("odometer_m", told_n, drive_start_s * speed, use.minutes * 60 * speed)
    sheet.counter("powered_time_s", told_n, drive_start_s * 4, np.where(awake, 3600.0, 0.0))
    switched_on = (awake & ~np.roll(awake, 1, axis=1)).astype(np.float64)
    sheet.counter("power_up_count", idle_n, rng.integers(50, 2_000), switched_on)
    charge_n = np.where(use.charging, 6.0, 0.0)
    starts = use.charge_starts.astype(np.float64)
    sheet.counter("charge_count", charge_n, rng.integers(40, 900), starts)
    deep = np.zeros(use.charge.shape)
    emptied = (use.charge < 0.08).any(axis=1)
    deep[emptied, np.argmax(use.charge < 0.08, axis=1)[emptied]] = 1
    sheet.counter("deep_discharge_count", told_n, rng.integers(0, 9), deep)
    seat = rng.poisson(use.minutes / 25 * rng.uniform(0, 2)).astype(np.float64)
    sheet.counter("seat_actuation_count", told_n, rng.integers(50, 9_000), seat)


def _climate(sheet: Sheet, use: _Use, driven: Grid, idle_n: Grid, rng: np.random.Generator) -> None:
    told_n = driven + idle_n
    warm = (use.temp_c + 25 * (1 - np.exp(-driven / 20))).round(1)
    sheet.gauge("motor_temp_c", told_n, warm)
    sheet.gauge("ambient_temp_c", idle_n, (use.temp_c + rng.normal(0, 1, warm.shape)).round(1))
    sheet.gauge("signal_strength_dbm", idle_n, rng.integers(-104, -71, warm.shape).astype(float))
    charge_n = np.where(use.charging, 6.0, 0.0)
    sheet.gauge("mains_state", idle_n + charge_n, use.charging.astype(np.float64))
    sheet.gauge("drive_state", told_n, (driven > 0).astype(np.float64))


def _low_spells(grid: DayGrid, use: _Use, state: ChairState) -> list[LowSpell]:
    """Stretches below `LOW`, over nights without the charger too."""
    cells = np.flatnonzero(grid.inside & state.on)
    level = use.charge.ravel()[cells]
    hour = grid.hour.ravel()[cells]
    is_low = np.concatenate(([False], level < LOW, [False])).astype(np.int8)
    starts, ends = np.flatnonzero(np.diff(is_low) == 1), np.flatnonzero(np.diff(is_low) == -1)
    bounds = zip(starts, ends, strict=True)
    return [_spell(hour, level, int(start), int(end)) for start, end in bounds]


def _spell(hour: Hours, level: Grid, start: int, end: int) -> LowSpell:
    """From cell `start` to before `end`; one that goes on ends after the season."""
    over = int(hour[end]) if end < len(hour) else int(hour[-1]) + 25
    since_ms = int(hour[start]) * HOUR + 20 * MINUTE
    deep = np.flatnonzero(level[start:end] < DEEP)
    deep_ms = int(hour[start + deep[0]]) * HOUR + 25 * MINUTE if len(deep) else None
    return LowSpell(since_ms, deep_ms, over * HOUR)
