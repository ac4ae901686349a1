"""Rule files: TOML, read strictly. What is wrong is said with its line and a way out. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar, cast

from fleet.catalogue import SLUG, packaged
from fleet.metrics import load_metrics
from fleet.models import load_models
from fleet.rules.findings import Both
from fleet.rules.kind import Kind
from fleet.rules.kinds import (
    battery,
    fault,
    fleet,
    recovery,
    recurrence,
    silence,
    threshold,
    trend,
    usage,
)
from fleet.rules.parameters import MetricName, ParameterError, read_all, suggestion
from fleet.rules.rule import Asks, Rule
from fleet.ticket_states import OrderKind
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        fault.KIND,
        recurrence.KIND,
        threshold.KIND,
        trend.KIND,
        silence.KIND,
        usage.KIND,
        battery.KIND,
        fleet.KIND,
        recovery.KIND,
    )
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a rule file."""

    file: str
    line: int
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}. {self.remedy}."


class RuleFileError(ValueError):
    """A rule file cannot be used; `problems` says all that is wrong, by line."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


_TOP: Final = (
    "id",
    "version",
    "kind",
    "title",
    "why",
    "source",
    "source_url",
    "device_classes",
    "models",
    "care",
    "max_day_share",
    "asks",
    "when",
)
_ASKS: Final = ("severity", "usability", "fixer", "component", "order", "action")
_Word = TypeVar("_Word", bound=StrEnum)


@cache
def shipped_rules() -> dict[str, tuple[Rule, str]]:
    """The rules that come with this release, by id, each with its text.

    Raises:
        RuleFileError: one of them is wrong.
    """
    rules = {}
    for name, text in packaged("rules").items():
        rule = parse_rule(text, name)
        rules[rule.id] = (rule, text)
    return rules


def parse_rule(text: str, file: str = "rule.toml") -> Rule:
    """Read one rule.

    Raises:
        RuleFileError: everything that is wrong with it.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        # What is noticed only at the end of the file is said without a line.
        found = re.search(r"line (\d+)", str(exc))
        line = int(found[1]) if found else max(1, len(text.splitlines()))
        raise RuleFileError(
            [Problem(file, line, f"not TOML: {exc}", "Correct the syntax")]
        ) from exc
    return _Reading(file, text, table).rule()


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """(`table.key`, line) for every key, and (`table`, line) for every table header."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([\w.]+)\s*\]", line):
            table = header[1]
            yield table, number
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            yield f"{table}.{key[1]}".strip("."), number


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


class _Reading:
    """One file while it is read; collects what is wrong instead of stopping at the first."""

    def __init__(self, file: str, text: str, table: Mapping[str, Any]) -> None:
        self._file = file
        self._table = table
        self._line_of = dict(reversed(list(_lines(text))))
        self._problems: list[Problem] = []

    def rule(self) -> Rule:
        self._allow_only("", self._table, _TOP)
        kind = self._kind()
        care = self._flag("care")
        condition = None if kind is None else self._condition(kind, care=care)
        rule = Rule(
            id=self._slug(),
            version=self._whole("version"),
            kind=kind.name if kind else "",
            title=self._both("", "title"),
            why=self._both("", "why"),
            source=self._text("source"),
            source_url=self._url("source_url") if "source_url" in self._table else None,
            device_classes=self._words("device_classes", DeviceClass),
            models=self._models(),
            care=care,
            max_day_share=self._share(),
            asks=self._asks(care=care),
            condition=cast("Any", condition),
        )
        if self._problems:
            raise RuleFileError(sorted(self._problems, key=lambda p: (p.line, p.problem)))
        return rule

    def _wrong(self, place: str, problem: str, remedy: str) -> None:
        table = place.rpartition(".")[0]
        line = self._line_of.get(place) or self._line_of.get(table) or 1
        self._problems.append(Problem(self._file, line, problem, remedy))

    def _allow_only(self, table: str, given: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for key in given:
            if key not in keys:
                place = f"{table}.{key}".strip(".")
                self._wrong(place, f"unknown key {key!r}", suggestion(key, keys))

    def _kind(self) -> Kind | None:
        name = self._table.get("kind")
        if isinstance(name, str) and name in KINDS:
            return KINDS[name]
        self._wrong("kind", f"unknown kind {name!r}", suggestion(name, KINDS))
        return None

    def _condition(self, kind: Kind, *, care: bool) -> object:
        given = self._table.get("when")
        if not isinstance(given, dict):
            self._wrong("when", "no [when] table", "Write what the rule looks for")
            return None
        values, problems = read_all(kind.parameters, given)
        for name, problem in problems.items():
            self._wrong(f"when.{name}", problem.problem, problem.remedy)
        if not care:
            self._refuse_patient_values(kind, values)
        if problems:
            return None
        try:
            return kind.build(values)
        except ParameterError as exc:
            self._wrong("when", exc.problem, exc.remedy)
            return None

    def _refuse_patient_values(self, kind: Kind, values: Mapping[str, Any]) -> None:
        for parameter in kind.parameters:
            metric = load_metrics().get(str(values.get(parameter.name)))
            if isinstance(parameter, MetricName) and metric is not None and metric.patient:
                self._wrong(
                    f"when.{parameter.name}",
                    f"{metric.name} is a value of the patient and never drives a repair",
                    "Use a value of the device, or mark the rule care = true",
                )

    def _slug(self) -> str:
        value = self._table.get("id")
        if not isinstance(value, str) or not SLUG.fullmatch(value):
            self._wrong("id", f"id {value!r} is not a slug", f"Match {SLUG.pattern}")
        return str(value)

    def _whole(self, key: str) -> int:
        value = self._table.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self._wrong(key, f"{key} is not a whole number from 1", f"Write {key} = 1")
            return 1
        return value

    def _share(self) -> float:
        value = self._table.get("max_day_share", 0.02)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            self._wrong("max_day_share", f"{value!r} is no share", "Write 0.02 for 2 % of devices")
            return 1.0
        return float(value)

    def _flag(self, key: str) -> bool:
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            self._wrong(key, f"{key} is neither true nor false", f"Write {key} = true or false")
        return value is True

    def _text(self, key: str) -> str:
        value = self._table.get(key)
        if not _is_text(value):
            self._wrong(key, f"{key} is missing or blank", f'Write {key} = "…"')
        return str(value)

    def _url(self, key: str) -> str:
        value = self._text(key)
        if not value.startswith(("https://", "http://")):
            self._wrong(key, f"{key} is no web address", "Give the page, or leave it out")
        return value

    def _both(self, table: str, key: str) -> Both:
        """A text in both languages, from `key = { sv = "…", en = "…" }`."""
        within = self._table.get(table, {}) if table else self._table
        value = within.get(key)
        if (
            isinstance(value, dict)
            and set(value) == {"sv", "en"}
            and all(map(_is_text, value.values()))
        ):
            return Both(value["sv"], value["en"])
        place = f"{table}.{key}".strip(".")
        self._wrong(place, f"{key} is not said in both languages", 'Write { sv = "…", en = "…" }')
        return Both("", "")

    def _words(self, key: str, words: type[_Word]) -> frozenset[_Word]:
        found = set()
        for value in self._list(key):
            if value in set(map(str, words)):
                found.add(words(value))
            else:
                self._wrong(key, f"unknown word {value!r}", suggestion(value, map(str, words)))
        return frozenset(found)

    def _models(self) -> frozenset[str]:
        known = [model.id for model in load_models()]
        named = self._list("models")
        for value in named:
            if value not in known:
                self._wrong("models", f"unknown model {value!r}", suggestion(value, known))
        return frozenset(named)

    def _list(self, key: str) -> list[str]:
        value = self._table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._wrong(key, f"{key} is not a list of words", f'Write {key} = ["…"]')
            return []
        return value

    def _asks(self, *, care: bool) -> Asks:
        given = self._table.get("asks", {})
        if not isinstance(given, dict):
            self._wrong("asks", "asks is not a table", "Write [asks] on a line of its own")
            return Asks()
        self._allow_only("asks", given, _ASKS)
        if care and "order" in given:
            self._wrong("asks.order", "a care rule orders no repair", "Remove order, or care")
        return Asks(
            severity=self._asked(given, "severity", Severity),
            usability=self._asked(given, "usability", Usability),
            fixer=self._asked(given, "fixer", Fixer),
            component=self._asked(given, "component", Component),
            order=self._order(given),
            action=self._both("asks", "action") if "action" in given else None,
        )

    def _order(self, given: Mapping[str, Any]) -> OrderKind | None:
        order = self._asked(given, "order", OrderKind)
        if order is OrderKind.URGENT_REPAIR:
            self._wrong(
                "asks.order",
                "no rule orders akut AU: it is proposed, and a person confirms it",
                "Write AU",
            )
        return order

    def _asked(self, given: Mapping[str, Any], key: str, words: type[_Word]) -> _Word | None:
        if key not in given:
            return None
        value = given[key]
        if value not in list(map(str, words)):
            remedy = suggestion(value, map(str, words))
            self._wrong(f"asks.{key}", f"unknown {key} {value!r}", remedy)
            return None
        return words(value)
