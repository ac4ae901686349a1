"""Which codes a model can show for which trouble."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from firmware_sim.truth import codes_of, is_repair
from fleet.faults import FaultCode
from fleet.words import Component, Fixer, Severity

_LOW_WORDS: Final = (
    "low", "empty", "discharged", "undervoltage", "critical", "needs charge", "gauge warning",
)  # fmt: skip
_POWER: Final = frozenset({Component.BATTERY, Component.POWER_SUPPLY})
_STARVED: Final = frozenset({Component.BUS, Component.POWER_MODULE})
"""What resets when the supply sags. The codes of brakes and actuators in the makers' tables are of
coils, switches and wiring, open or shorted: no low voltage brings them about."""
_NO_FAULT: Final = frozenset({Component.MEASUREMENT, Component.USER_ACTION, Component.SERVICE})


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of one model by what they can be a sign of.

    `grave`: a part has failed and its user cannot help. `slight`: the same, but minor. `minor`:
    minor, whoever mends it. `user`: put right by the user. `low`: the battery is low, mildest
    first. `starved`: what follows from that.
    """

    grave: tuple[FaultCode, ...]
    slight: tuple[FaultCode, ...]
    minor: tuple[FaultCode, ...]
    user: tuple[FaultCode, ...]
    low: tuple[FaultCode, ...]
    starved: tuple[FaultCode, ...]
    harmless: tuple[FaultCode, ...]
    service: tuple[FaultCode, ...]
    leak: tuple[FaultCode, ...]
    all: tuple[FaultCode, ...]


@cache
def codes_for(model: str) -> Codes:
    every = codes_of(model)
    low = tuple(sorted(filter(_is_low, every), key=lambda code: code.severity.rank))
    parts = [code for code in every if code.component not in _NO_FAULT and code not in low]
    repairs = [code for code in parts if is_repair(code)]
    return Codes(
        grave=tuple(code for code in repairs if code.severity.rank >= Severity.MAJOR.rank),
        slight=tuple(code for code in repairs if code.severity is Severity.MINOR),
        minor=tuple(code for code in parts if code.severity is Severity.MINOR),
        user=tuple(code for code in parts if code.fixer is Fixer.USER and _is_fault(code)),
        low=low,
        starved=tuple(code for code in repairs if code.component in _STARVED),
        harmless=tuple(code for code in every if not is_repair(code) and code not in low),
        service=tuple(code for code in every if code.component is Component.SERVICE),
        leak=tuple(code for code in every if code.component is Component.MASK_LEAK),
        all=every,
    )


def _is_fault(code: FaultCode) -> bool:
    return code.severity is not Severity.INFO


def _is_low(code: FaultCode) -> bool:
    """Low supply, which charging or new cells put right."""
    said = f"{code.code} {code.meaning_en}".lower()
    is_low = any(word in said for word in _LOW_WORDS) and "high" not in said
    return code.component in _POWER and code.fixer is Fixer.USER and is_low


def pick(codes: tuple[FaultCode, ...], rng: np.random.Generator) -> FaultCode:
    return codes[int(rng.integers(len(codes)))]


def name_of(code: FaultCode) -> str:
    return f"{code.system}/{code.code}"
