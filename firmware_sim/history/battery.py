"""A wheelchair's pack: two 12 V lead batteries in series that wear, and at last give in.

Rest voltage as in the message-level simulator: a full 24 V pack reads 25.3 to 27.5 V (Amylior
E-bx manual, p. 28). Lead packs last two to four years; that capacity falls slowly and then ever
faster, and that the inner resistance rises with it, is common to all accounts; the exponents
are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_sim.devices.rhythm import DAY
from firmware_sim.history.mix import HistoryScenario
from firmware_sim.history.timeline import Grid, Hours, Season

END_CAPACITY: Final = 0.60
"""A pack has worn out when it holds this share of its rated capacity: ours, without a source.
Its user has then lost two fifths of the range."""
WORN_CAPACITY: Final = 0.75
"""From here on a ticket that plans the replacement is right. Stationary practice replaces at 80 %
(IEEE 450); ours lies between that and the end, which it comes 90 to 200 days before."""
SUSPICIOUS_V: Final = 22.0
"""Raw samples are kept of hours that fell below: 11 V a battery, which rest never shows."""

_SLOW, _FAST, _KNEE = 0.2, 0.2, 6
_RANGE_D: Final = (600, 1_400)
_COLD_PER_C: Final = 0.012
"""Rise of a lead battery's resistance per degree below 20 °C; ours, of the usual size."""


@dataclass(frozen=True, slots=True)
class PackLife:
    """One pack. `fitted_ms` to `end_ms` is its life; `fails_ms` when a cell gives in, if ever."""

    fitted_ms: int
    end_ms: int
    fails_ms: int | None
    rated_ah: float
    resistance_ohm: float

    def age(self, at_ms: Grid) -> Grid:
        """Share of its life used up; over 1 after the end."""
        return np.clip((at_ms - self.fitted_ms) / (self.wear_ms - self.fitted_ms), 0, 1.3)

    @property
    def wear_ms(self) -> int:
        """When it would have worn out without a failing cell."""
        return self.end_ms if self.fails_ms is None else self.fitted_ms + 1_100 * DAY

    def capacity(self, at_ms: Grid) -> Grid:
        """Share of the rated capacity that it holds."""
        age = self.age(at_ms)
        share = 1 - _SLOW * age - _FAST * age**_KNEE
        return np.clip(share - 0.35 * self.failed(at_ms), 0.15, 1.0)

    def failed(self, at_ms: Grid) -> Grid:
        """0 before a cell gives in, 1 three days after."""
        if self.fails_ms is None:
            return np.zeros_like(at_ms)
        return np.clip((at_ms - self.fails_ms) / (3 * DAY), 0, 1)

    def resistance(self, at_ms: Grid, temp_c: Grid) -> Grid:
        age = self.age(at_ms)
        worn = 1 + 0.7 * age + 1.0 * age**_KNEE + 1.5 * self.failed(at_ms)
        return self.resistance_ohm * worn * (1 + _COLD_PER_C * np.clip(20 - temp_c, 0, 40))

    def worn_ms(self) -> int:
        """When its capacity passed `WORN_CAPACITY`; for a failing cell, when it failed."""
        if self.fails_ms is not None:
            return self.fails_ms
        ages = np.linspace(0, 1, 1001)
        shares = 1 - _SLOW * ages - _FAST * ages**_KNEE
        age = float(ages[np.argmax(shares <= WORN_CAPACITY)])
        return self.fitted_ms + int(age * (self.end_ms - self.fitted_ms))


def rest_v(charge: Grid, failed: Grid) -> Grid:
    """Rest voltage at a state of charge from 0 to 1; a failed cell is two volts short."""
    return np.asarray(23.5 + 2.2 * charge - 2.0 * failed)


def draw_pack(scenario: HistoryScenario, season: Season, rng: np.random.Generator) -> PackLife:
    """The pack in service when the season begins."""
    drawn, when = rng.random(), rng.random()
    life_ms = int(rng.uniform(*_RANGE_D) * DAY)
    if drawn < scenario.worn_batteries:
        end_ms = season.from_ms + int((5 + when * (season.days + 55)) * DAY)
    else:  # every age that does not end soon
        end_ms = season.until_ms + 60 * DAY + int(when * life_ms * 0.85)
    fails_ms = None
    if drawn > 1 - scenario.sudden_batteries:
        fails_ms = season.from_ms + int(when * season.days * DAY)
        end_ms = fails_ms
    fitted_ms = end_ms - life_ms if fails_ms is None else season.from_ms - int(when * 500 * DAY)
    return _pack(fitted_ms, end_ms, fails_ms, rng)


def new_pack(fitted_ms: int, rated_ah: float, rng: np.random.Generator) -> PackLife:
    """A pack fitted in the season, the same size as the old one."""
    life_ms = int(rng.uniform(*_RANGE_D) * DAY)
    fresh = _pack(fitted_ms, fitted_ms + life_ms, None, rng)
    return PackLife(fitted_ms, fresh.end_ms, None, rated_ah, fresh.resistance_ohm)


def _pack(fitted_ms: int, end_ms: int, fails_ms: int | None, rng: np.random.Generator) -> PackLife:
    rated_ah = float(rng.choice([50, 60, 73]))
    resistance_ohm = float(rng.uniform(0.024, 0.036) * 60 / rated_ah)
    return PackLife(fitted_ms, end_ms, fails_ms, rated_ah, resistance_ohm)


def over_time(packs: list[PackLife], hour: Hours) -> list[tuple[PackLife, Grid]]:
    """Each pack with 1 where it is the one in service, 0 elsewhere; in order of fitting."""
    at_ms = hour * 3_600_000
    ends = [pack.fitted_ms for pack in packs[1:]]
    shares = []
    for number, pack in enumerate(packs):
        held = at_ms >= (pack.fitted_ms if number else -(2**62))
        if number < len(ends):
            held &= at_ms < ends[number]
        shares.append((pack, held.astype(np.float64)))
    return shares
