"""What is really wrong with whom, hidden from the backend and kept to score it against."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import msgspec

from firmware_sim.devices.rhythm import DAY, HOUR, MINUTE, SECOND
from firmware_sim.plan import PlannedDevice
from fleet.faults import FaultCode, load_catalogue
from fleet.models import load_models
from fleet.wire.records import FaultState
from fleet.words import Component, DeviceClass, Fixer, Severity

Pattern = Literal["lasting", "flapping", "passing", "mended", "counting", "handling", "wear"]

_PATTERNS: Final[tuple[Pattern, ...]] = (
    "lasting",
    "passing",
    "flapping",
    "handling",
    "lasting",
    "mended",
    "counting",
    "wear",
)
_REPAIRED_BY: Final = frozenset({Fixer.TECHNICIAN, Fixer.SUPPLIER})
_NOT_A_PART: Final = frozenset({Component.MEASUREMENT, Component.USER_ACTION})
_WEAR: Final[dict[DeviceClass, Component]] = {
    DeviceClass.POWERED_WHEELCHAIR: Component.BATTERY,
    DeviceClass.APAP: Component.MASK_LEAK,
}


class Change(msgspec.Struct, frozen=True):
    """What the device says of a fault at one true moment."""

    at_ms: int
    state: FaultState
    count: int | None = None


class HiddenFault(msgspec.Struct, frozen=True):
    """One cause on one device.

    `lasting` is raised and stays. `flapping` comes and goes and is not gone. `passing` goes by
    itself, `mended` after hours. `counting` shows only as a growing counter in the controller's
    log. `handling` is the user's doing. `wear` shows in no code at all, only in the readings.
    """

    device: str
    component: str
    pattern: Pattern
    since_ms: int
    cleared_ms: int | None
    needs_person: bool
    system: str | None
    code: str | None
    severity: str | None
    changes: tuple[Change, ...] = ()

    def is_active(self, at_ms: int) -> bool:
        return self.since_ms <= at_ms and (self.cleared_ms is None or at_ms < self.cleared_ms)


@cache
def codes_of(model: str) -> tuple[FaultCode, ...]:
    """Every code the model can report."""
    known = load_models().get(model)
    systems = known.fault_systems if known is not None else ()
    return tuple(fault for fault in load_catalogue() if fault.system in systems)


def draw_fault(
    device: PlannedDevice, position: int, window: tuple[int, int], rng: Random
) -> HiddenFault | None:
    """Draw a fault that begins within `window`; None if the model reports no codes.

    Args:
        position: counts through the patterns, so that a fleet shows all of them.
    """
    from_ms, until_ms = window
    pattern = _PATTERNS[position % len(_PATTERNS)]
    if pattern == "wear":
        return _draw_wear(device, from_ms, until_ms, rng)
    choice = _choose_code(device.model, pattern, rng)
    if choice is None:
        return None
    code, pattern = choice
    since_ms = rng.randrange(from_ms + (until_ms - from_ms) // 4, max(until_ms - HOUR, from_ms + 2))
    changes = _CHANGES[pattern](since_ms, until_ms, rng)
    over = pattern in ("passing", "mended", "handling")
    return HiddenFault(
        device=device.id,
        component=code.component.value,
        pattern=pattern,
        since_ms=since_ms,
        cleared_ms=changes[-1].at_ms if over else None,
        needs_person=not over and is_repair(code),
        system=code.system,
        code=code.code,
        severity=code.severity.value,
        changes=changes,
    )


def is_repair(code: FaultCode) -> bool:
    """True if a person has to come: a part is at fault and its user cannot put it right."""
    return (
        code.severity is not Severity.INFO
        and code.fixer in _REPAIRED_BY
        and code.component not in _NOT_A_PART
    )


def _choose_code(model: str, pattern: Pattern, rng: Random) -> tuple[FaultCode, Pattern] | None:
    """A code for the pattern; a model without repair codes shows handling instead."""
    codes = codes_of(model)
    repairs = [code for code in codes if is_repair(code)]
    others = [code for code in codes if not is_repair(code)]
    if pattern in ("handling", "passing") and others:
        return rng.choice(others), pattern
    if repairs:
        return rng.choice(repairs), "mended" if pattern == "handling" else pattern
    if others:
        return rng.choice(others), "handling"
    return None


def draw_live_fault(device: PlannedDevice, since_ms: int, rng: Random) -> HiddenFault | None:
    """A lasting fault from `since_ms` on, the worst the model has; None if it has none so bad."""
    repairs = [code for code in codes_of(device.model) if is_repair(code)]
    worst = max((code.severity.rank for code in repairs), default=0)
    if worst < Severity.MAJOR.rank:
        return None
    code = rng.choice([code for code in repairs if code.severity.rank == worst])
    return HiddenFault(
        device=device.id,
        component=code.component.value,
        pattern="lasting",
        since_ms=since_ms,
        cleared_ms=None,
        needs_person=True,
        system=code.system,
        code=code.code,
        severity=code.severity.value,
        changes=(Change(since_ms, "raised"),),
    )


def _draw_wear(
    device: PlannedDevice, from_ms: int, until_ms: int, rng: Random
) -> HiddenFault | None:
    component = _WEAR.get(device.device_class)
    if component is None:
        return None
    return HiddenFault(
        device=device.id,
        component=component.value,
        pattern="wear",
        since_ms=rng.randrange(from_ms, max(from_ms + 1, until_ms - 2 * DAY)),
        cleared_ms=None,
        needs_person=True,
        system=None,
        code=None,
        severity=None,
    )


def _lasting(since_ms: int, until_ms: int, rng: Random) -> tuple[Change, ...]:  # noqa: ARG001
    return (Change(since_ms, "raised"),)


def _passing(since_ms: int, until_ms: int, rng: Random) -> tuple[Change, ...]:  # noqa: ARG001
    gone_ms = since_ms + rng.randrange(20 * SECOND, 8 * MINUTE)
    return (Change(since_ms, "raised"), Change(gone_ms, "cleared"))


def _mended(since_ms: int, until_ms: int, rng: Random) -> tuple[Change, ...]:
    gone_ms = since_ms + rng.randrange(MINUTE, max(2 * MINUTE, (until_ms - since_ms) * 3 // 4))
    return (Change(since_ms, "raised"), Change(gone_ms, "cleared"))


def _flapping(since_ms: int, until_ms: int, rng: Random) -> tuple[Change, ...]:
    """A loose contact: it comes and goes many times, and is there at the end."""
    changes = []
    at_ms = since_ms
    pause_ms = max(MINUTE, (until_ms - since_ms) // rng.randrange(8, 20))
    while True:
        changes.append(Change(at_ms, "raised"))
        gone_ms = at_ms + rng.randrange(5 * SECOND, MINUTE)
        at_ms = gone_ms + int(pause_ms * rng.uniform(0.3, 1.7))
        if at_ms >= until_ms:
            return tuple(changes)
        changes.append(Change(gone_ms, "cleared"))


def _counting(since_ms: int, until_ms: int, rng: Random) -> tuple[Change, ...]:
    changes = []
    count = rng.randrange(1, 30)
    at_ms = since_ms
    while at_ms < until_ms:
        count += rng.randrange(1, 5)
        changes.append(Change(at_ms, "logged", count))
        at_ms += rng.randrange(3 * HOUR, 14 * HOUR)
    return tuple(changes)


_CHANGES: Final = {
    "lasting": _lasting,
    "flapping": _flapping,
    "passing": _passing,
    "handling": _passing,
    "mended": _mended,
    "counting": _counting,
}


class TruthFile:
    """The truth as JSON lines. `write` may be called again: what is new is appended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: set[bytes] = set()
        path.write_bytes(b"")

    def write(self, facts: Iterable[dict[str, Any]]) -> None:
        lines = [msgspec.json.encode(fact) for fact in facts]
        new = [line for line in dict.fromkeys(lines) if line not in self._written]
        self._written.update(new)
        with self._path.open("ab") as file:
            file.writelines(line + b"\n" for line in new)
