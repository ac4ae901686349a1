"""Settings in a birth (contract, section State): what of them can be kept. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec

from fleet.wire.records import MAX_ABS_VALUE

MAX_SETTINGS: Final = 64
MAX_SETTING_TEXT: Final = 64

Setting = bool | int | float | str

NONE_SENT: Final = msgspec.Raw()

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Told:
    """The whole set a device reported, and how many of its settings could not be kept."""

    values: Mapping[str, Setting]
    left_out_n: int


_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
_by_name = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encoded(values: Mapping[str, Setting]) -> msgspec.Raw:
    """Settings as a birth carries them."""
    return msgspec.Raw(msgspec.json.encode(values))


def sound(sent: msgspec.Raw) -> Told | None:
    """What of a birth's `settings` can be kept; None where it says nothing about settings.

    Never an error: a birth says where the outbox stands, and a setting must not cost it.
    """
    try:
        by_name = _by_name.decode(sent)
    except _UNREADABLE:
        return None
    fit = (
        (name, value)
        for name, raw in by_name.items()
        if _NAME.fullmatch(name) and _is_sound(value := _read(raw))
    )
    values = dict(islice(fit, MAX_SETTINGS))
    return Told(values, len(by_name) - len(values))


def _read(raw: msgspec.Raw) -> Any:
    """One value; None where it is none that any program could hold."""
    try:
        return msgspec.json.decode(raw)
    except _UNREADABLE:
        return None


def _is_sound(value: object) -> bool:
    if isinstance(value, str):
        return value.isprintable() and len(value) <= MAX_SETTING_TEXT
    return isinstance(value, bool | int | float) and abs(value) <= MAX_ABS_VALUE
