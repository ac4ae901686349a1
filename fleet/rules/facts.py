"""What a rule may look at: one device's stored history up to an instant. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from fleet.episodes import Episode
from fleet.faults import FaultCode
from fleet.models import Model
from fleet.words import DeviceClass

SWEDEN: Final = ZoneInfo("Europe/Stockholm")

DAY_CLOSES_AFTER: Final = timedelta(hours=2)
"""How long a local day is waited for after midnight: devices send their last hour late."""


class Span(NamedTuple):
    """From an instant to another; `until_at` None: not over."""

    from_at: datetime
    until_at: datetime | None

    def covers(self, at: datetime) -> bool:
        return self.from_at <= at and (self.until_at is None or at < self.until_at)


class CodedEpisode(NamedTuple):
    """One episode and what the catalogue says of its code. `episode_no` is its row."""

    episode_no: int
    fault: FaultCode
    episode: Episode

    @property
    def about(self) -> str:
        return f"{self.fault.system}/{self.fault.code}"


class Sample(NamedTuple):
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class DaySeries:
    """One metric by local day, only days with samples; arrays of equal length, days ascending.

    Attributes:
        day: `date.toordinal()` of each local day (Europe/Stockholm).
        sample_n, low, high, total, last: number, minimum, maximum, sum, last value of the day,
            in the metric's own unit.
    """

    day: NDArray[np.int64]
    sample_n: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    total: NDArray[np.float64]
    last: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.total / self.sample_n

    def upto(self, last_day: int, day_n: int) -> DaySeries:
        """The days from `last_day - day_n + 1` to `last_day`, those that have samples."""
        first, end = np.searchsorted(self.day, (last_day - day_n + 1, last_day + 1))
        part = slice(int(first), int(end))
        return DaySeries(
            self.day[part],
            self.sample_n[part],
            self.low[part],
            self.high[part],
            self.total[part],
            self.last[part],
        )

    def __len__(self) -> int:
        return len(self.day)


def day_series(rows: Sequence[tuple[int, float, float, float, float, float]]) -> DaySeries:
    """From rows (day, sample_n, low, high, total, last) in order of days."""
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 6)
    return DaySeries(table[:, 0].astype(np.int64), *(table[:, n] for n in range(1, 6)))


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """Who the device is. None where nobody said, or where this release does not know the word."""

    device_no: int
    device_id: str
    tenant_no: int
    tenant_id: str
    device_class: DeviceClass | None
    model_id: str
    model: Model | None
    firmware: str | None = None
    batch: str | None = None
    centre: str | None = None
    area: str | None = None
    network: str | None = None
    gateway: str | None = None
    in_service_on: date | None = None
    individual_no: str | None = None

    @property
    def mark(self) -> str:
        """What people know it by: the number on it, else its id."""
        return self.individual_no or self.device_id


class Repair(NamedTuple):
    """A ticket of this device that a person has solved. `codes` are `system/code`."""

    ticket_no: int
    cause: str
    solved_at: datetime
    codes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Contact:
    """When the backend heard of the device.

    Attributes:
        last_at: the last receipt of anything.
        active_hours: UTC hours (whole hours since 1970) with samples, ascending, of the last
            `Needs.lookback_days`: the device's own rhythm.
        gateway_last_at: the same for the gateway it sends through; None without one.
    """

    last_at: datetime
    active_hours: Sequence[int] = ()
    gateway_last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the rules may know of one device at `now`; nothing later is in it.

    Attributes:
        episodes: by start. days: by metric name, closed local days only. samples: by metric
        name, by time, only of hours that a threshold rule asked for. quiet: when the device
        was in the workshop, in transport or in storage.
    """

    device: DeviceProfile
    now: datetime
    episodes: Sequence[CodedEpisode] = ()
    days: Mapping[str, DaySeries] = field(default_factory=dict)
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    quiet: Sequence[Span] = ()
    repairs: Sequence[Repair] = ()
    contact: Contact | None = None

    def is_quiet(self, at: datetime) -> bool:
        return any(span.covers(at) for span in self.quiet)


def day_of(at: datetime) -> int:
    """The local day of an instant, as an ordinal."""
    return at.astimezone(SWEDEN).date().toordinal()


def day_starts_at(day: int) -> datetime:
    """The instant at which a local day begins."""
    return datetime.combine(date.fromordinal(day), time(), SWEDEN)


def day_closes_at(day: int) -> datetime:
    """When a local day is judged: some time after it ended."""
    return day_starts_at(day + 1) + DAY_CLOSES_AFTER


def last_closed_day(now: datetime) -> int:
    """The newest local day that may be judged at `now`."""
    return day_of(now - DAY_CLOSES_AFTER) - 1
