"""One device's life: its behaviour, its faults and its clock turned into records. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final
from zlib import crc32

import msgspec

from firmware_sim.devices import KINDS
from firmware_sim.devices.rhythm import HOUR, Reading
from firmware_sim.outbox import Draft
from firmware_sim.plan import PlannedDevice
from firmware_sim.scenarios import ClockTrouble, Quirks
from firmware_sim.truth import Change, HiddenFault
from fleet.models import load_models
from fleet.wire.records import CBOR, JSON, Clock, Fault, Record, Series, encode_record
from fleet.words import Component

_SLOW_MS: Final = -5 * HOUR
_FAST_MS: Final = 3 * HOUR
_DRIFT: Final = 0.002
"""A bad quartz in the cold: 7 s an hour, 20 minutes in a week."""


class Moment(msgspec.Struct, frozen=True):
    """A true moment as the device sees it."""

    at_ms: int
    boot: int
    up_ms: int
    clock: Clock


class Kept(msgspec.Struct):
    """What is kept with the outbox: how far life has gone, and what the behaviour remembers."""

    until_ms: int
    born_ms: int
    booted_ms: int
    memory: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Start:
    """How a life begins, or goes on.

    `born_ms` is when a new device begins, `boot` the boot counter of this start, `kept` what
    `Life.kept()` gave before the last stop (None for a new device).
    """

    seed: int
    boot: int
    born_ms: int
    kept: bytes | None = None


class Life:
    """Advances one device through true time; a second start goes on where the first ended."""

    def __init__(
        self,
        plan: PlannedDevice,
        quirks: Quirks,
        faults: Sequence[HiddenFault],
        start: Start,
    ) -> None:
        self.plan = plan
        self.quirks = quirks
        self.faults = list(faults)
        self.boot = start.boot
        self.broken = 0
        self._kind = KINDS[plan.device_class]
        self._salt = crc32(f"{start.seed} {plan.id}".encode()) << 64
        model = load_models().get(plan.model)
        self._metrics = frozenset(model.metrics if model is not None else ())
        if start.kept is None:
            self.until_ms = self.born_ms = self.booted_ms = start.born_ms
            self._memory = self._kind.start(start.born_ms, self._rng(0))
        else:
            before = msgspec.msgpack.decode(start.kept, type=Kept)
            self.until_ms, self.born_ms = before.until_ms, before.born_ms
            self.booted_ms = before.until_ms
            self._memory = msgspec.msgpack.decode(before.memory, type=self._kind.memory)

    def kept(self) -> bytes:
        memory = msgspec.Raw(msgspec.msgpack.encode(self._memory))
        return msgspec.msgpack.encode(Kept(self.until_ms, self.born_ms, self.booted_ms, memory))

    @property
    def wake_ms(self) -> int:
        """When `advance` will have something to do."""
        changes = (
            change.at_ms
            for fault in self.faults
            for change in fault.changes
            if change.at_ms > self.until_ms
        )
        return min([self._memory.wake_ms, *changes])

    def advance(self, until_ms: int) -> list[Draft]:
        """Everything that happens up to and including `until_ms`, in order."""
        changes = [
            (change.at_ms, fault, change)
            for fault in self.faults
            for change in fault.changes
            if self.until_ms < change.at_ms <= until_ms
        ]
        changes.sort(key=lambda item: item[0], reverse=True)
        drafts: list[Draft] = []
        while self._memory.wake_ms <= until_ms:
            wake_ms = self._memory.wake_ms
            while changes and changes[-1][0] <= wake_ms:
                _, fault, change = changes.pop()
                drafts.append(self._change_draft(fault, change))
            rng = self._rng(wake_ms)
            readings = self._kind.step(self._memory, wake_ms, rng, self._ailing(wake_ms))
            drafts.extend(self._reading_draft(reading, rng) for reading in readings)
        while changes:
            _, fault, change = changes.pop()
            drafts.append(self._change_draft(fault, change))
        self.until_ms = max(self.until_ms, until_ms)
        return drafts

    def _rng(self, at_ms: int) -> Random:
        """A generator of its own for every step, so that a second start draws the same."""
        return Random(self._salt ^ at_ms)  # noqa: S311 - a simulation, not a secret

    def _ailing(self, at_ms: int) -> frozenset[Component]:
        return frozenset(
            Component(fault.component) for fault in self.faults if fault.is_active(at_ms)
        )

    def moment(self, true_ms: int) -> Moment:
        """What the device's clock shows at `true_ms`."""
        return _CLOCKS[self.quirks.clock](self, true_ms)

    def _reading_draft(self, reading: Reading, rng: Random) -> Draft:
        moment = self.moment(reading.at_ms)
        series = [Series(dt, self._spoken(m)) for dt, m in reading.series]
        encode = self._encoder(moment, m=self._spoken(reading.m), series=series)
        if rng.random() < self.quirks.malformed_share:
            self.broken += 1
            return Draft("bulk", partial(_encode_broken, encode=encode, kind=rng.randrange(4)))
        return Draft("bulk", encode)

    def _encoder(self, moment: Moment, **content: Any) -> partial[bytes]:
        """What makes the payload once the outbox has given out a number."""
        fields = {
            "at": moment.at_ms,
            "boot": moment.boot,
            "up": moment.up_ms,
            "clock": moment.clock,
            **content,
        }
        return partial(_encode, fields=fields, content_type=CBOR if self.plan.cbor else JSON)

    def _spoken(self, m: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in m.items() if name in self._metrics}

    def _change_draft(self, fault: HiddenFault, change: Change) -> Draft:
        assert fault.system is not None
        assert fault.code is not None
        moment = self.moment(change.at_ms)
        reported = Fault(
            system=fault.system,
            code=fault.code,
            state=change.state,
            count=change.count,
            at=None if change.state == "logged" else moment.at_ms,
        )
        encode = self._encoder(moment, faults=[reported])
        return Draft("bulk" if change.state == "logged" else "urgent", encode)


def _encode(epoch: str, seq: int, *, fields: dict[str, Any], content_type: str = JSON) -> bytes:
    return encode_record(Record(epoch, seq, **fields), content_type)


def _encode_broken(epoch: str, seq: int, *, encode: partial[bytes], kind: int) -> bytes:
    """A record that a firmware bug has spoilt: its identity can still be read.

    Cut short, a number that is none, a time far ahead, a value out of range.
    """
    payload = encode(epoch, seq, content_type=JSON)
    match kind:
        case 0:
            return payload[: max(60, len(payload) * 2 // 3)]
        case 1:
            return re.sub(rb'"m":\{"([a-z0-9_]+)":[-0-9.e]+', rb'"m":{"\1":NaN', payload, count=1)
        case 2:
            return re.sub(rb'"at":[0-9]+', b'"at":2087942400000', payload, count=1)
        case _:
            return re.sub(rb'"m":\{"([a-z0-9_]+)":[-0-9.e]+', rb'"m":{"\1":9e99', payload, count=1)


def _right(life: Life, true_ms: int) -> Moment:
    return Moment(true_ms, life.boot, true_ms - life.booted_ms, "synced")


def _shifted(shift_ms: int, life: Life, true_ms: int) -> Moment:
    """A clock that is wrong by hours and does not know it."""
    return Moment(true_ms + shift_ms, life.boot, true_ms - life.booted_ms, "synced")


def _drifting(life: Life, true_ms: int) -> Moment:
    gained_ms = int((true_ms - life.born_ms) * _DRIFT)
    return Moment(true_ms + gained_ms, life.boot, true_ms - life.booted_ms, "drifting")


def _unset(life: Life, true_ms: int) -> Moment:
    """A clock that begins at 1970 with every boot."""
    up_ms = true_ms - life.booted_ms
    return Moment(up_ms, life.boot, up_ms, "unset")


_SET_LATE_MS: Final = 36 * HOUR


def _set_late(life: Life, true_ms: int) -> Moment:
    """Unset in its first boot, of which the backend never hears a birth; right from the next on."""
    set_ms = life.born_ms + _SET_LATE_MS
    if true_ms < set_ms:
        up_ms = true_ms - life.born_ms
        return Moment(up_ms, 0, up_ms, "unset")
    return Moment(true_ms, life.boot, true_ms - max(life.booted_ms, set_ms), "synced")


_CLOCKS: Final[dict[ClockTrouble, Callable[[Life, int], Moment]]] = {
    "right": _right,
    "unset": _unset,
    "slow": partial(_shifted, _SLOW_MS),
    "fast": partial(_shifted, _FAST_MS),
    "drifting": _drifting,
    "set_late": _set_late,
}
