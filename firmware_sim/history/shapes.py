"""What a simulated season of one device consists of, and the truth behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_sim.history.timeline import local_days
from fleet.episodes import FaultEvent
from fleet.rules.facts import DaySeries
from fleet.words import Component, DeviceClass

Kind = Literal[
    "lasting",
    "lasting_minor",
    "flapping",
    "counting",
    "minor_recurring",
    "passing",
    "mended",
    "handling",
    "noise",
    "low_battery",
    "charger_dead",
    "battery_wear",
    "battery_sudden",
    "mask_leak",
    "service_due",
    "dead_radio",
    "dead_power",
    "hospital_stay",
    "away",
    "weekend_user",
    "in_storage",
    "poor_coverage",
    "behind_gateway",
    "carrier_outage",
    "storm",
    "bad_batch",
    "bad_firmware",
]
"""Passing, mended and handling end without a person; noise is a single code that means nothing.
`minor_recurring` is minor each time and yet does not go away. The silences from `hospital_stay`
to `carrier_outage` are harmless. The last three and an outage are one cause on many devices."""

SILENCES: Final[frozenset[Kind]] = frozenset({
    "dead_radio", "dead_power", "hospital_stay", "away", "weekend_user", "in_storage",
    "poor_coverage", "behind_gateway", "carrier_outage",
})  # fmt: skip
GRADUAL: Final[frozenset[Kind]] = frozenset({"battery_wear", "mask_leak", "service_due"})
"""Kinds that come slowly: a ticket before `detectable_since` is early, not wrong."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is truly so, on one device or on a group of them.

    Attributes:
        device: None where many share the cause; then `members` has them.
        until: when it was repaired or went away; None: it outlasts the history.
        needs_person: a ticket is missing if none opens.
        detectable_since: the receipt of the first report that shows it; for a silence the end of
            what the model explains; for wear the end of the battery. None: never shown.
        codes: `system/code` that come of it; `children` those that only follow from it.
        is_ticket_welcome: a ticket is right here, needed or not.
        repeat_of: the cause whose repair did not hold. part_of: the fleet cause it belongs to.
    """

    id: str
    kind: Kind
    device: str | None
    component: Component
    since: datetime
    until: datetime | None
    needs_person: bool
    detectable_since: datetime | None
    codes: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    is_ticket_welcome: bool = False
    battery_end_at: datetime | None = None
    repeat_of: str | None = None
    part_of: str | None = None


class ReportedFault(NamedTuple):
    """One fault event as the backend has it; the key of an episode is (system, code)."""

    system: str
    code: str
    event: FaultEvent


class Placement(NamedTuple):
    place: Literal["workshop", "transport", "storage"]
    from_at: datetime
    until_at: datetime | None


class Pack(NamedTuple):
    """A battery in service from `fitted_at`; at `end_at` it has worn out, or would have."""

    fitted_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True)
class HourSeries:
    """One metric by UTC hour (whole hours since 1970, ascending), only hours with samples."""

    hour: NDArray[np.int64]
    sample_n: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    total: NDArray[np.float64]
    last: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.hour)

    def where(self, mask: NDArray[np.bool_]) -> HourSeries:
        return HourSeries(
            self.hour[mask],
            self.sample_n[mask],
            self.low[mask],
            self.high[mask],
            self.total[mask],
            self.last[mask],
        )

    def by_day(self) -> DaySeries:
        """The same by local day in Sweden, as the rules read it."""
        day, first = np.unique(local_days(self.hour), return_index=True)
        if not len(day):
            return DaySeries(day, *(np.empty(0) for _ in range(5)))
        final = np.append(first[1:], len(self.hour)) - 1
        return DaySeries(
            day,
            np.add.reduceat(self.sample_n, first),
            np.minimum.reduceat(self.low, first),
            np.maximum.reduceat(self.high, first),
            np.add.reduceat(self.total, first),
            self.last[final],
        )


class SampleSeries(NamedTuple):
    at_ms: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contacts:
    """When the backend heard of the device.

    Attributes:
        hour: UTC hours with samples, ascending; received_ms: when the last of each came in.
        receipts_ms: every receipt, of samples and of faults, ascending.
    """

    hour: NDArray[np.int64]
    received_ms: NDArray[np.int64]
    receipts_ms: NDArray[np.int64]

    def hours_known(self, now_ms: int) -> NDArray[np.int64]:
        """The hours whose samples had been received by `now_ms`."""
        return self.hour[self.received_ms <= now_ms]

    def last_ms(self, now_ms: int) -> int | None:
        """The newest receipt by `now_ms`; None if there was none yet."""
        position = int(np.searchsorted(self.receipts_ms, now_ms, side="right"))
        return int(self.receipts_ms[position - 1]) if position else None


@dataclass(frozen=True, slots=True)
class Profile:
    """Who the device is. `number` is its place in the plan; `gateway` a device id."""

    number: int
    id: str
    tenant: str
    model: str
    device_class: DeviceClass
    firmware: str
    batch: str
    centre: str
    area: str
    network: str
    gateway: str | None
    in_service_on: date
    basic_needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceHistory:
    """A season of one device: what the backend gets, and in `truth` why.

    `samples` are the raw values of the hours in which the pack voltage fell below
    `battery.SUSPICIOUS_V`; `hours` hold them too. `packs` are for powered wheelchairs, and
    `earlier` what these reported of their packs in the year before.
    """

    profile: Profile
    events: tuple[ReportedFault, ...]
    hours: Mapping[str, HourSeries]
    samples: Mapping[str, SampleSeries]
    placements: tuple[Placement, ...]
    contacts: Contacts
    truth: tuple[Cause, ...]
    packs: tuple[Pack, ...] = field(default=())
    earlier: Mapping[str, DaySeries] = field(default_factory=dict)

    def quiet_at(self, at: datetime) -> bool:
        """True if the backend knows that the device is not with its user."""
        return any(
            place.from_at <= at and (place.until_at is None or at < place.until_at)
            for place in self.placements
        )
