"""JSON and CBOR laid out for people to read, one value a line. Pure.

What others sent is shown, never believed: numbers stay as they were written, a name that stands
twice is shown twice, and both depth and length have a limit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from api.preview import visible
from fleet.wire.reasons import PayloadError
from fleet.wire.records import CBOR, load_cbor

CHARS_MAX: Final = 16_000
DEPTH_MAX: Final = 32
_INLINE_MAX: Final = 72
_INDENT: Final = "  "
_INT_BITS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Readable:
    """A payload laid out; `is_cut` when there is more of it than is shown."""

    kind: Literal["json", "cbor"]
    text: str
    is_cut: bool


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, in their order, also those of one name."""

    __slots__ = ()


def readable(payload: bytes, size: int, content_type: str | None = None) -> Readable | None:
    """Lay a payload out. None: it is neither JSON nor CBOR, or was not kept whole."""
    if len(payload) < size or not payload:
        return None
    if content_type != CBOR:
        found = _json(payload)
        if found is not None:
            return _laid_out("json", found)
    item = _cbor(payload)
    is_meant = content_type == CBOR or isinstance(item, Mapping | list)
    return _laid_out("cbor", item) if is_meant and item is not None else None


def _json(payload: bytes) -> Any:
    """The JSON in a payload; None where it holds no object and no array."""
    try:
        found = json.loads(
            payload.decode("utf-8"),
            object_pairs_hook=_Pairs,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
        )
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _cbor(payload: bytes) -> Any:
    try:
        return load_cbor(payload)
    except PayloadError:
        return None


def _laid_out(kind: Literal["json", "cbor"], value: Any) -> Readable:
    lines: list[str] = []
    room = CHARS_MAX
    for line in _lines(value, 0, "", ""):
        lines.append(line[:room])
        room -= len(line) + 1
        if room <= 0:
            return Readable(kind, "\n".join(lines), is_cut=True)
    return Readable(kind, "\n".join(lines), is_cut=False)


def _lines(value: Any, depth: int, before: str, after: str) -> Iterator[str]:
    """The lines of one value; made one by one, so that nobody makes more than are shown."""
    pad = _INDENT * depth + before
    inline = _inline(value)
    if inline is not None:
        yield pad + inline + after
        return
    opening, closing = "[]" if _is_array(value) else "{}"
    if depth >= DEPTH_MAX:
        yield f"{pad}{opening}…{closing}{after}"
        return
    yield pad + opening
    members = list(_members(value))
    for number, (name, member) in enumerate(members, 1):
        yield from _lines(member, depth + 1, name, "" if number == len(members) else ",")
    yield _INDENT * depth + closing + after


def _is_array(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and not isinstance(value, _Pairs)


def _is_whole(value: Any) -> bool:
    """True for what has members."""
    return isinstance(value, list | tuple | set | frozenset | Mapping)


def _inline(value: Any) -> str | None:
    """A value without members, or a short array of such; None for what takes lines of its own."""
    if not _is_whole(value):
        return _scalar(value)
    if not value:
        return "[]" if _is_array(value) else "{}"
    if not _is_array(value) or len(value) > _INLINE_MAX // 2 or any(map(_is_whole, value)):
        return None
    text = f"[{', '.join(map(_scalar, value))}]"
    return text if len(text) <= _INLINE_MAX else None


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if _is_array(value):
        yield from (("", member) for member in value)
        return
    pairs: Sequence[tuple[Any, Any]] = value if isinstance(value, _Pairs) else list(value.items())
    for name, member in pairs:
        yield f"{'{…}' if _is_whole(name) else _scalar(name)}: ", member


def _scalar(value: Any) -> str:
    """One value, in the words of JSON where it has some and of CBOR's own notation otherwise."""
    match value:
        case _Number() | float():
            text = str(value)
        case None | bool() | str():
            text = json.dumps(value, ensure_ascii=False)
        case bytes():
            text = f"h'{value.hex()}'"
        case int():
            text = str(value) if value.bit_length() <= _INT_BITS_MAX else hex(value)
        case _:
            text = f"{type(value).__name__}({str(value)[:200]})"
    return visible(text)
