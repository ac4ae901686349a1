"""Device time, estimated time and receive time (contract, sections 2 and 3). Milliseconds."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from fleet.wire.reasons import PayloadError, Reason
from fleet.wire.records import EARLIEST_MS, LATEST_AHEAD_MS, Clock, Record

SKEW_TOLERATED_MS: Final = 30_000
SKEW_TOLERATED_SYNCED_MS: Final = 300_000


class ClockQuality(IntEnum):
    """How an estimated time came about. The numbers are stored."""

    SYNCED = 0
    DRIFTING = 1
    CORRECTED = 2
    RECEIVED = 3


class Shift(NamedTuple):
    """Estimated time = device time + `shift_ms`."""

    shift_ms: int
    quality: ClockQuality


def check_times(record: Record, received_ms: int) -> None:
    """Refuse times that no working clock shows.

    Raises:
        PayloadError: `bad_time`: later than 24 h after receipt, or earlier than 2015 while the
            device does not say that its clock is unset.
    """
    earliest = 0 if record.clock == "unset" else EARLIEST_MS
    latest = received_ms + LATEST_AHEAD_MS
    at = record.at
    if not earliest <= at <= latest:
        raise PayloadError(Reason.BAD_TIME, f"at {at} is not between {earliest} and {latest}")
    for item in record.series:
        if not earliest <= at + item.dt <= latest:
            raise PayloadError(Reason.BAD_TIME, f"sample at {at + item.dt}")
    for fault in record.faults:
        if fault.at is not None and not earliest <= fault.at <= latest:
            raise PayloadError(Reason.BAD_TIME, f"fault at {fault.at}")


def check_estimates(record: Record, shift: Shift, received_ms: int) -> None:
    """Refuse what the correction throws far off: a clock that jumped within the record.

    Raises:
        PayloadError: `bad_time`.
    """
    if not shift.shift_ms and record.clock != "unset":
        return  # `check_times` has seen to it
    devices = [record.at + item.dt for item in record.series]
    devices += [fault.at for fault in record.faults if fault.at is not None]
    for device_ms in devices:
        if not EARLIEST_MS <= device_ms + shift.shift_ms <= received_ms + LATEST_AHEAD_MS:
            raise PayloadError(
                Reason.BAD_TIME, f"{device_ms} in a record at {record.at}, whose clock is wrong"
            )


def estimate(at_ms: int, clock: Clock, skew_ms: int | None, received_ms: int) -> Shift:
    """Estimate the true time of something dated `at_ms`.

    Args:
        at_ms: device time.
        clock: what the device says of its clock.
        skew_ms: device clock minus true time in that boot, None when never learnt.
        received_ms: receipt; nothing is estimated to have happened after it.
    """
    tolerated = SKEW_TOLERATED_SYNCED_MS if clock == "synced" else SKEW_TOLERATED_MS
    if clock == "unset" and skew_ms is None:
        return Shift(received_ms - at_ms, ClockQuality.RECEIVED)
    if skew_ms is not None and abs(skew_ms) > tolerated:
        if EARLIEST_MS <= at_ms - skew_ms <= received_ms + tolerated:
            return Shift(-skew_ms, ClockQuality.CORRECTED)
        return Shift(received_ms - at_ms, ClockQuality.RECEIVED)
    if not EARLIEST_MS <= at_ms <= received_ms + tolerated:
        return Shift(received_ms - at_ms, ClockQuality.RECEIVED)
    return Shift(0, ClockQuality.DRIFTING if clock == "drifting" else ClockQuality.SYNCED)
