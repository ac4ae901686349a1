"""The parameters of evaluators as data: one table reads rule files and writes the manual. Pure.

A quantity is written with its unit, `below = "21 V"`, `hold = "30 s"`: a bare number in a file
that people edit is how 21 minutes become 21 seconds.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

from fleet.faults import load_catalogue
from fleet.metrics import Metric, MetricKind, load_metrics


class ParameterError(ValueError):
    """A value that cannot be used: what is wrong, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}.")
        self.problem = problem
        self.remedy = remedy


class _Required:
    """The default of a parameter that has none."""


REQUIRED: Final = _Required()


@dataclass(frozen=True, slots=True)
class Parameter(ABC):
    """One parameter. `meaning` is one English sentence for the manual.

    `default` REQUIRED: it must be given. None: it may be left out and then does nothing.
    """

    name: str
    meaning: str
    default: object = REQUIRED

    @property
    @abstractmethod
    def written(self) -> str:
        """How a value is written, for the manual and for errors."""

    @abstractmethod
    def read(self, value: object, given: Mapping[str, Any]) -> Any:
        """The value for the evaluator. `given` are the parameters read so far.

        Raises:
            ParameterError: it cannot be used.
        """


@dataclass(frozen=True, slots=True)
class Whole(Parameter):
    """A whole number from `low` to `high`."""

    low: int = 0
    high: int = 1_000_000

    @property
    def written(self) -> str:
        return f"{self.low}–{self.high}"

    def read(self, value: object, given: Mapping[str, Any]) -> int:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, int):
            raise ParameterError(f"{value!r} is not a whole number", f"Write {self.written}")
        if not self.low <= value <= self.high:
            raise ParameterError(f"{value} is out of range", f"Write {self.written}")
        return value


@dataclass(frozen=True, slots=True)
class Number(Parameter):
    """A plain number without a unit: a share, a factor, a probability."""

    low: float = 0.0
    high: float = 1.0

    @property
    def written(self) -> str:
        return f"{self.low:g}–{self.high:g}"

    def read(self, value: object, given: Mapping[str, Any]) -> float:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ParameterError(f"{value!r} is not a number", f"Write {self.written}")
        if not self.low <= value <= self.high:
            raise ParameterError(f"{value} is out of range", f"Write {self.written}")
        return float(value)


@dataclass(frozen=True, slots=True)
class Flag(Parameter):
    @property
    def written(self) -> str:
        return "true, false"

    def read(self, value: object, given: Mapping[str, Any]) -> bool:  # noqa: ARG002
        if not isinstance(value, bool):
            raise ParameterError(f"{value!r} is neither true nor false", "Write true or false")
        return value


_QUANTITY: Final = re.compile(r"\s*([-+]?[0-9]+(?:\.[0-9]+)?)\s*(\S.*?)?\s*")
_DURATIONS: Final[Mapping[str, timedelta]] = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def _quantity(value: object, example: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or not match[2]:
        raise ParameterError(f"{value!r} has no number with a unit", f'Write it as "{example}"')
    if match[2].startswith(","):
        raise ParameterError(f"{value!r} has a decimal comma", "Write a decimal point")
    return float(match[1]), match[2]


@dataclass(frozen=True, slots=True)
class Duration(Parameter):
    """A time with its unit; read as a timedelta within `low` and `high`."""

    low: timedelta = timedelta(0)
    high: timedelta = timedelta(days=400)

    @property
    def written(self) -> str:
        return f'"{spoken(self.low)}"–"{spoken(self.high)}"'

    def read(self, value: object, given: Mapping[str, Any]) -> timedelta:  # noqa: ARG002
        number, unit = _quantity(value, "30 s")
        if unit not in _DURATIONS:
            raise ParameterError(
                f"unknown unit of time {unit!r}", f"Use one of {', '.join(_DURATIONS)}"
            )
        if not self.low <= _at_most_a_century(number, unit) <= self.high:
            raise ParameterError(f"{value!r} is out of range", f"Write {self.written}")
        return number * _DURATIONS[unit]


def _at_most_a_century(number: float, unit: str) -> timedelta:
    """The time, cut where a timedelta would overflow."""
    most = timedelta(days=36525) / _DURATIONS[unit]
    return max(-most, min(number, most)) * _DURATIONS[unit]


def spoken(duration: timedelta) -> str:
    """A time as a rule file writes it: `30 s`, `7 d`."""
    for unit in ("d", "h", "min", "s"):
        if duration % _DURATIONS[unit] == timedelta(0) and duration >= _DURATIONS[unit]:
            return f"{duration // _DURATIONS[unit]} {unit}"
    return f"{duration.total_seconds():g} s"


@dataclass(frozen=True, slots=True)
class MetricName(Parameter):
    """A metric of the catalogue, of one kind if `kind` says so."""

    kind: MetricKind | None = None

    @property
    def written(self) -> str:
        return f"a {self.kind} metric" if self.kind else "a metric"

    def read(self, value: object, given: Mapping[str, Any]) -> str:  # noqa: ARG002
        name = _known(value, [metric.name for metric in load_metrics()], "metric")
        metric = load_metrics().get(name)
        assert metric is not None
        if self.kind is not None and metric.kind is not self.kind:
            raise ParameterError(f"{name} is a {metric.kind}", f"Name a {self.kind}")
        return name


@dataclass(frozen=True, slots=True)
class Value(Parameter):
    """A value of the metric that parameter `of` names, with that metric's unit.

    `per` is a unit of time for a rate, as in "0.02 V/d".
    """

    of: str = "metric"
    per: str = ""

    @property
    def written(self) -> str:
        return f"a value with the unit of `{self.of}`{f' per {self.per}' if self.per else ''}"

    def read(self, value: object, given: Mapping[str, Any]) -> float:
        metric = load_metrics().get(str(given.get(self.of)))
        if metric is None:
            raise ParameterError(
                f"{self.of} must be known first", f"Give {self.of} before {self.name}"
            )
        tail = f"/{self.per}" if self.per else ""
        units = {unit + tail: factor for unit, factor in _units_of(metric).items()}
        number, unit = _quantity(value, f"21 {next(iter(units))}")
        if unit not in units:
            raise ParameterError(
                f"{metric.name} is not measured in {unit!r}", f"Use {' or '.join(units)}"
            )
        return number / units[unit]


def _units_of(metric: Metric) -> dict[str, float]:
    """Unit -> what the stored value is multiplied with to have it."""
    units = {metric.ucum.strip("{}"): 1.0}
    if metric.display_unit:
        units[metric.display_unit] = metric.display_factor
    return units


@dataclass(frozen=True, slots=True)
class Words(Parameter):
    """A list of words of one of the fixed choices, read as a frozenset of its members."""

    of: type[StrEnum] = StrEnum

    @property
    def written(self) -> str:
        return f"a list of {self.of.__name__.lower()} words"

    def read(self, value: object, given: Mapping[str, Any]) -> frozenset[Any]:  # noqa: ARG002
        words = [str(word) for word in self.of]
        return frozenset(self.of(_known(item, words, self.name)) for item in _listed(value))


@dataclass(frozen=True, slots=True)
class Word(Parameter):
    """One word of a fixed choice."""

    of: type[StrEnum] = StrEnum

    @property
    def written(self) -> str:
        return ", ".join(f'"{word}"' for word in self.of)

    def read(self, value: object, given: Mapping[str, Any]) -> Any:  # noqa: ARG002
        return self.of(_known(value, [str(word) for word in self.of], self.name))


@dataclass(frozen=True, slots=True)
class Codes(Parameter):
    """A list of fault codes as `system/code`, each in the catalogue, read as a frozenset."""

    @property
    def written(self) -> str:
        return 'a list of codes as "system/code"'

    def read(self, value: object, given: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002
        known = [f"{fault.system}/{fault.code}" for fault in load_catalogue()]
        return frozenset(_known(item, known, "code") for item in _listed(value))


def _listed(value: object) -> list[object]:
    if not isinstance(value, list) or not value:
        raise ParameterError(f"{value!r} is not a list", 'Write ["…", "…"]')
    return value


def _known(value: object, words: Iterable[str], what: str) -> str:
    words = list(words)
    if isinstance(value, str) and value in words:
        return value
    raise ParameterError(f"unknown {what} {value!r}", suggestion(value, words))


def suggestion(value: object, words: Iterable[str]) -> str:
    """`Did you mean x`, or the words there are when nothing is close."""
    words = list(words)
    close = get_close_matches(str(value), words, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}"
    listed = ", ".join(words[:12]) + (", …" if len(words) > 12 else "")
    return f"Use one of {listed}"


def read_all(
    parameters: Iterable[Parameter], given: Mapping[str, object]
) -> tuple[dict[str, Any], dict[str, ParameterError]]:
    """Read every parameter in its order; return values, and what is wrong by name."""
    values: dict[str, Any] = {}
    problems: dict[str, ParameterError] = {}
    parameters = list(parameters)
    names = [parameter.name for parameter in parameters]
    for name in [name for name in given if name not in names]:
        problems[name] = ParameterError(f"unknown key {name!r}", suggestion(name, names))
    for parameter in parameters:
        try:
            values[parameter.name] = _read_one(parameter, given, values)
        except ParameterError as exc:
            problems[parameter.name] = exc
    return values, problems


def _read_one(
    parameter: Parameter, given: Mapping[str, object], values: Mapping[str, Any]
) -> object:
    if parameter.name in given:
        return parameter.read(given[parameter.name], values)
    if parameter.default is REQUIRED:
        raise ParameterError(f"{parameter.name} is missing", f"Write {parameter.written}")
    return parameter.default
