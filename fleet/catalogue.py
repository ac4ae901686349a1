"""How the packaged catalogues are read: strictly, and with one kind of error.

A wrong catalogue must stop the process at start, not misname a fault months later. So every
table is read through `Entry`, which refuses what is missing, of the wrong kind, or unknown.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TypeVar

SLUG = re.compile(r"[a-z0-9._-]{1,40}")

_Member = TypeVar("_Member", bound=StrEnum)


class CatalogueError(ValueError):
    """A catalogue file is wrong. Says which file, which entry, what, and what to do."""

    def __init__(self, file: str, entry: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {entry}: {problem}. {remedy}.")
        self.file = file
        self.entry = entry
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Entry:
    """One table of a catalogue file. `name` is what errors call it."""

    file: str
    name: str
    fields: Mapping[str, object]

    def named(self, name: str) -> "Entry":
        """The same table under the name it turned out to carry."""
        return Entry(self.file, name, self.fields)

    def error(self, problem: str, remedy: str) -> CatalogueError:
        return CatalogueError(self.file, self.name, problem, remedy)

    def allow_only(self, keys: Collection[str]) -> None:
        """Refuse a key that nobody reads: it is misspelt, or a promise the code breaks."""
        for key in self.fields:
            if key not in keys:
                raise self.error(f"unknown key {key!r}", f"Use one of {', '.join(sorted(keys))}")

    def text(self, key: str) -> str:
        value = self.fields.get(key)
        if not isinstance(value, str) or not value or value != value.strip():
            raise self.error(f"{key} is missing, blank or not text", f"Write {key} as a string")
        return value

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self.fields else None

    def slug(self, key: str) -> str:
        return self.slug_of(key, self.text(key))

    def slug_of(self, key: str, value: str) -> str:
        if not SLUG.fullmatch(value):
            raise self.error(f"{key} {value!r} is not a slug", f"Match {SLUG.pattern}")
        return value

    def source_url(self, key: str) -> str:
        value = self.text(key)
        if not value.startswith(("https://", "http://")) or " " in value:
            raise self.error(f"{key} {value!r} is no web address", "Give the page the facts are on")
        return value

    def member(self, key: str, words: type[_Member]) -> _Member:
        return self._member_of(key, self.text(key), words)

    def members(self, key: str, words: type[_Member]) -> tuple[_Member, ...]:
        return tuple(self._member_of(key, value, words) for value in self.texts(key))

    def _member_of(self, key: str, value: str, words: type[_Member]) -> _Member:
        try:
            return words(value)
        except ValueError:
            remedy = f"Use one of {', '.join(words)}"
            raise self.error(f"{key} {value!r} is not a {words.__name__}", remedy) from None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, none twice; a missing key is an error, an empty list is not."""
        value = self.fields.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(f"{key} is not a list of strings", f'Write {key} = ["…", "…"]')
        if len(set(value)) != len(value):
            raise self.error(f"{key} names something twice", "Remove the repetition")
        return tuple(value)

    def flag(self, key: str) -> bool:
        value = self.fields.get(key)
        if not isinstance(value, bool):
            raise self.error(f"{key} is not true or false", f"Write {key} = true or false")
        return value

    def whole(self, key: str, low: int, high: int) -> int:
        value = self.fields.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(f"{key} is not a whole number", f"Give {low} to {high}")
        return value

    def optional_whole(self, key: str, low: int, high: int) -> int | None:
        return self.whole(key, low, high) if key in self.fields else None

    def positive(self, key: str, default: float) -> float:
        value = self.fields.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise self.error(f"{key} is not above zero", "Give a positive number or leave it out")
        return float(value)

    def tables(self, key: str) -> tuple["Entry", ...]:
        """The entries of an array of tables, numbered from 1; an empty array is an error."""
        value = self.fields.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(t, dict) for t in value):
            raise self.error(f"no [[{key}]] table", f"Write at least one [[{key}]]")
        within = f"{self.name}, " if self.name != self.file else ""
        return tuple(
            Entry(self.file, f"{within}{key} no. {number}", table)
            for number, table in enumerate(value, start=1)
        )


def parse(file: str, text: str) -> Entry:
    """Read `text` as TOML; the whole file is the entry.

    Raises:
        CatalogueError: not TOML.
    """
    try:
        return Entry(file, file, tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise CatalogueError(file, file, f"not TOML: {exc}", "Correct the syntax") from exc


def packaged(name: str) -> dict[str, str]:
    """File name -> text for the data file `name`, or for every .toml in the folder `name`."""
    place = files("fleet") / "data" / name
    return {found.name: found.read_text("utf-8") for found in _toml_files(place)}


def _toml_files(place: Traversable) -> Iterable[Traversable]:
    if place.is_file():
        return [place]
    found = (item for item in place.iterdir() if item.name.endswith(".toml"))
    return sorted(found, key=lambda item: item.name)
