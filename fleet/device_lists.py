"""Lists of devices as a registry exports them: CSV read strictly, every bad line named. Pure.

The first line names the columns, in any order. A comma or a semicolon parts them, as spreadsheets
of different countries write. An empty field is one that was not given.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from fleet.models import load_models
from fleet.wire.topics import is_id

LINES_MAX: Final = 20_000
"""Devices in one file: they are registered in one transaction."""
MARK_MAX: Final = 80
NEEDED: Final = ("id", "model")
MARKS: Final = ("serial", "individual_no")
FACTS: Final = ("area", "network", "batch", "in_service_on")
COLUMNS: Final = (*NEEDED, *MARKS, "centre", *FACTS)


class DeviceListError(ValueError):
    """A file that cannot be read as a list at all; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One device of a list. `facts`: what the line says of it by column, dates as dates."""

    line_no: int
    id: str
    model: str
    serial: str | None
    individual_no: str | None
    centre: str | None
    facts: Mapping[str, str | date]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be used, and why. The first line of a file is 1."""

    line_no: int
    what: str


@dataclass(frozen=True, slots=True)
class DeviceList:
    """What a file says; where a line is bad, the others are there all the same."""

    devices: Sequence[Listed]
    bad: Sequence[BadLine]


def read_devices(text: str) -> DeviceList:
    """Read a whole file.

    Raises:
        DeviceListError: no CSV, unknown or missing columns, no device, or too many.
    """
    rows = _rows(text)
    columns = [name.strip() for name in next(rows, (1, [""]))[1]]
    _check_columns(columns)
    devices: list[Listed] = []
    bad: list[BadLine] = []
    seen: dict[tuple[str, str], int] = {}
    for line_no, fields in rows:
        found = _read(line_no, fields, columns, seen)
        if isinstance(found, BadLine):
            bad.append(found)
        else:
            seen |= dict.fromkeys(_marks(found), line_no)
            devices.append(found)
        if len(devices) + len(bad) > LINES_MAX:
            raise DeviceListError(f"more than {LINES_MAX:,} devices: give them in several files")
    if not devices and not bad:
        raise DeviceListError("there is no device below the names of the columns")
    return DeviceList(devices, bad)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines with something in them; of a field over several lines the last one counts."""
    head = text.partition("\n")[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num, fields
    except csv.Error as exc:
        raise DeviceListError(f"line {reader.line_num} is no CSV: {exc}") from exc


def _marks(device: Listed) -> list[tuple[str, str]]:
    """What no other line may have."""
    marks = [("id", device.id), ("individual_no", device.individual_no)]
    return [(name, text) for name, text in marks if text is not None]


def _check_columns(columns: Sequence[str]) -> None:
    known = ", ".join(COLUMNS)
    if unknown := sorted(set(columns) - set(COLUMNS)):
        raise DeviceListError(f"line 1: no column {unknown[0]!r}; known: {known}")
    if missing := [name for name in NEEDED if name not in columns]:
        raise DeviceListError(f"line 1: the column {missing[0]!r} is missing; known: {known}")
    if len(set(columns)) < len(columns):
        raise DeviceListError("line 1: a column stands twice")


def _read(
    line_no: int, fields: Sequence[str], columns: Sequence[str], seen: Mapping[tuple[str, str], int]
) -> Listed | BadLine:
    if len(fields) != len(columns):
        return BadLine(line_no, f"{len(fields)} fields, where line 1 names {len(columns)} columns")
    said = {
        name: text for name, field in zip(columns, fields, strict=True) if (text := field.strip())
    }
    what = _fault_in(said, seen)
    if what is not None:
        return BadLine(line_no, what)
    facts: dict[str, str | date] = {name: said[name] for name in FACTS if name in said}
    if "in_service_on" in said:
        facts["in_service_on"] = date.fromisoformat(said["in_service_on"])
    marks = (said.get("serial"), said.get("individual_no"), said.get("centre"))
    return Listed(line_no, said["id"], said["model"], *marks, facts)


def _fault_in(said: Mapping[str, str], seen: Mapping[tuple[str, str], int]) -> str | None:
    """The first thing that is wrong with a line; None where nothing is."""
    for name in NEEDED:
        if name not in said:
            return f"{name} is empty"
    for name in ("id", "centre"):
        if name in said and not is_id(said[name]):
            return f"{name} {said[name]!r}: use 1 to 64 of A-Z a-z 0-9 _ -"
    for name in ("id", "individual_no"):
        if (line_no := seen.get((name, said.get(name, "")))) is not None:
            return f"{name} {said[name]!r} stands on line {line_no} too"
    if said["model"] not in _models():
        return f"model {said['model']!r} is not in the catalogue: see `fjarrkoll catalog models`"
    return _fault_in_words(said)


def _fault_in_words(said: Mapping[str, str]) -> str | None:
    for name in MARKS:
        text = said.get(name, "")
        if len(text) > MARK_MAX or not text.isprintable():
            return f"{name} is longer than {MARK_MAX} characters, or holds some that do not print"
    if "in_service_on" in said:
        try:
            date.fromisoformat(said["in_service_on"])
        except ValueError:
            return f"in_service_on {said['in_service_on']!r}: write it as 2025-03-01"
    return None


def _models() -> frozenset[str]:
    return frozenset(model.id for model in load_models())
