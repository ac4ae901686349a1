"""Which reported faults a rule means: the parameters that `fault` and `recurrence` share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fleet.faults import FaultCode
from fleet.rules.parameters import Codes, Flag, Parameter, ParameterError, Word, Words
from fleet.words import Component, Fixer, Severity, Usability

PARAMETERS: Final[tuple[Parameter, ...]] = (
    Codes("codes", "Only these codes.", default=frozenset()),
    Words("components", "Only faults of these components.", default=frozenset(), of=Component),
    Word(
        "severity",
        "Only faults at least this bad. `info` counts in care rules alone.",
        default=Severity.MINOR,
        of=Severity,
    ),
    Word(
        "severity_at_most",
        "Only faults at most this bad.",
        default=Severity.CRITICAL,
        of=Severity,
    ),
    Word(
        "usability",
        "Only faults that limit the device at least this much.",
        default=Usability.USABLE,
        of=Usability,
    ),
    Words("fixers", "Only faults that these can put right.", default=frozenset(), of=Fixer),
    Codes("except_codes", "Never these codes.", default=frozenset()),
    Words(
        "except_components", "Never faults of these components.", default=frozenset(), of=Component
    ),
    Flag("known_only", "Leave out codes that the catalogue does not know.", default=False),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a fault must be to count. An empty set of codes, components or fixers means any."""

    codes: frozenset[str] = frozenset()
    components: frozenset[Component] = frozenset()
    severity: Severity = Severity.MINOR
    severity_at_most: Severity = Severity.CRITICAL
    usability: Usability = Usability.USABLE
    fixers: frozenset[Fixer] = frozenset()
    except_codes: frozenset[str] = frozenset()
    except_components: frozenset[Component] = frozenset()
    known_only: bool = False

    def takes(self, fault: FaultCode, *, care: bool) -> bool:
        """True if the rule means this fault. `care`: the rule is marked so."""
        return (
            (care or not _is_care_matter(fault))
            and self._is_named(fault)
            and self._is_bad_enough(fault)
            and (fault.known or not self.known_only)
        )

    def _is_named(self, fault: FaultCode) -> bool:
        code = f"{fault.system}/{fault.code}"
        if code in self.except_codes or fault.component in self.except_components:
            return False
        return (not self.codes or code in self.codes) and (
            not self.components or fault.component in self.components
        )

    def _is_bad_enough(self, fault: FaultCode) -> bool:
        return (
            self.severity.rank <= fault.severity.rank <= self.severity_at_most.rank
            and _USABILITIES.index(fault.usability) >= _USABILITIES.index(self.usability)
            and (not self.fixers or fault.fixer in self.fixers)
        )


_USABILITIES: Final = list(Usability)


def _is_care_matter(fault: FaultCode) -> bool:
    """What a patient measured, and information, are no faults; only a care rule may see them."""
    return fault.component is Component.MEASUREMENT or fault.severity is Severity.INFO


def worse_usability(left: Usability, right: Usability) -> Usability:
    return max(left, right, key=_USABILITIES.index)


def selection_of(values: Mapping[str, Any]) -> Selection:
    """The selection from read parameters.

    Raises:
        ParameterError: no fault can be both.
    """
    chosen = Selection(**{parameter.name: values[parameter.name] for parameter in PARAMETERS})
    if chosen.severity.rank > chosen.severity_at_most.rank:
        raise ParameterError(
            f"severity {chosen.severity} is worse than severity_at_most {chosen.severity_at_most}",
            "Lower severity or raise severity_at_most",
        )
    if chosen.codes & chosen.except_codes or chosen.components & chosen.except_components:
        raise ParameterError("something is both named and excepted", "Keep it in one of the lists")
    return chosen
