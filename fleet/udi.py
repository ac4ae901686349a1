"""What a UDI carrier says, when a scanner or a person gives its text. Pure.

GS1 is read in three spellings: with brackets as it is printed, `(01)07312345678909(21)A17`; as a
scanner sends it, with the group separator after each element of open length; and as a GS1 Digital
Link. Source: GS1 General Specifications, sections 3.2 (application identifiers), 5.10 and 7.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

LONGEST: Final = 200
"""Characters; a carrier holds far less."""

_SEPARATOR: Final = "\x1d"
_SYMBOLOGIES: Final = re.compile(r"^\](?:C1|d2|Q3|e0|J1)")
# Identifier: (least, greatest) length of its element. Fixed ones need no separator.
_LENGTHS: Final[dict[str, tuple[int, int]]] = {
    "00": (18, 18),
    "01": (14, 14),
    "10": (1, 20),
    "11": (6, 6),
    "12": (6, 6),
    "13": (6, 6),
    "15": (6, 6),
    "16": (6, 6),
    "17": (6, 6),
    "20": (2, 2),
    "21": (1, 20),
    "22": (1, 20),
    "240": (1, 30),
    "241": (1, 30),
    "250": (1, 30),
    "8003": (14, 30),
    "8004": (1, 30),
    "8012": (1, 20),
}
_DIGITS_ONLY: Final = frozenset({"00", "01", "11", "12", "13", "15", "16", "17", "20"})
_PRINTED: Final = re.compile(r"\((\d{2,4})\)([^()]+)")
_ELEMENT: Final = re.compile(r"[!-~]+")


class UdiError(ValueError):
    """The text begins like a UDI and cannot be one; the message says where it breaks."""


@dataclass(frozen=True, slots=True)
class Udi:
    """What a carrier says of one device.

    Attributes:
        di: the device identifier, a GTIN of 14 digits: which product it is, not which individual.
        serial: the maker's serial number.
        lot: the maker's lot.
        asset: the owner's own mark, a GIAI or the serial part of a GRAI.
    """

    di: str | None = None
    serial: str | None = None
    lot: str | None = None
    asset: str | None = None

    @property
    def individual(self) -> str | None:
        """What tells one device from the next: the owner's mark first."""
        return self.asset or self.serial


def read_udi(text: str) -> Udi | None:
    """Read the text of a carrier; None for a text that is no UDI, such as a typed number.

    Raises:
        UdiError: it is cut short, or a check digit is wrong.
    """
    whole = _SYMBOLOGIES.sub("", text.strip())
    if len(whole) > LONGEST:
        return None
    if _PRINTED.match(whole):
        return _udi(_printed(whole))
    if whole.startswith(("https://", "http://")):
        return _udi(_linked(whole)) if re.search(r"/(01|8003|8004)/", whole) else None
    if whole != text.strip() or _SEPARATOR in whole or _is_scanned(whole):
        return _udi(_scanned(whole.lstrip(_SEPARATOR)))
    return None


def is_gtin(text: str) -> bool:
    """True for 8, 12, 13 or 14 digits of which the last is the right check digit."""
    if not text.isascii() or not text.isdigit() or len(text) not in {8, 12, 13, 14}:
        return False
    return _check_digit(text[:-1]) == text[-1]


def _check_digit(digits: str) -> str:
    total = sum(int(digit) * (3, 1)[index % 2] for index, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def _is_scanned(text: str) -> bool:
    """Without any sign of GS1: a GTIN that checks, followed by more."""
    return text.startswith("01") and len(text) > 16 and is_gtin(text[2:16])


def _printed(text: str) -> Iterator[tuple[str, str]]:
    rest = _PRINTED.sub("", text).strip()
    if rest:
        raise UdiError(f"{rest[:20]!r} stands outside the brackets' elements")
    for found in _PRINTED.finditer(text):
        yield found[1], found[2].strip()


def _linked(text: str) -> Iterator[tuple[str, str]]:
    parts = [unquote(part) for part in urlsplit(text).path.split("/") if part]
    start = next(place for place, part in enumerate(parts) if part in {"01", "8003", "8004"})
    pairs = parts[start:]
    yield from zip(pairs[::2], pairs[1::2], strict=False)


def _scanned(text: str) -> Iterator[tuple[str, str]]:
    while text:
        identifier = next((text[:size] for size in (2, 3, 4) if text[:size] in _LENGTHS), None)
        if identifier is None:
            raise UdiError(f"{text[:4]!r} is no identifier that a device's mark has")
        least, most = _LENGTHS[identifier]
        body = text[len(identifier) :]
        element = body[:most].partition(_SEPARATOR)[0] if least != most else body[:most]
        yield identifier, element
        text = body[len(element) :].removeprefix(_SEPARATOR)


def _udi(elements: Iterator[tuple[str, str]]) -> Udi:
    found: dict[str, str] = {}
    for identifier, element in elements:
        _check(identifier, element)
        found.setdefault(identifier, element)
    grai = found.get("8003", "")[14:] or None
    return Udi(found.get("01"), found.get("21"), found.get("10"), found.get("8004") or grai)


def _check(identifier: str, element: str) -> None:
    least, most = _LENGTHS.get(identifier, (1, 90))
    if not least <= len(element) <= most:
        raise UdiError(f"({identifier}) has {len(element)} characters, not {least} to {most}")
    if identifier in _DIGITS_ONLY and not (element.isascii() and element.isdigit()):
        raise UdiError(f"({identifier}) is not all digits")
    if not _ELEMENT.fullmatch(element):
        raise UdiError(f"({identifier}) has characters that no mark has")
    if identifier == "01" and not is_gtin(element):
        raise UdiError("the check digit of (01) is wrong: a digit was misread or mistyped")
