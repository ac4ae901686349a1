"""Untrusted bytes made readable: as text where they are text, otherwise as hex. Pure."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

PREVIEW_BYTES: Final = 400
_KEPT: Final = frozenset("\n\t")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_READABLE_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of a payload; `is_cut` when there is more. `hidden`: not for this reader."""

    kind: Literal["text", "hex", "empty", "hidden"]
    text: str
    is_cut: bool


HIDDEN: Final = Preview("hidden", "", is_cut=False)


def preview(payload: bytes, size: int, limit: int = PREVIEW_BYTES) -> Preview:
    """Show the beginning of `payload`, of which `size` bytes were received."""
    head = payload[:limit]
    is_cut = size > len(head)
    if not head:
        return Preview("empty", "", is_cut)
    text = _decoded(head, is_cut=is_cut)
    if text is None:
        return Preview("hex", head.hex(" "), is_cut)
    return Preview("text", visible(text), is_cut)


def _decoded(head: bytes, *, is_cut: bool) -> str | None:
    """The text, or None when it is not UTF-8 or mostly control characters."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as exc:
        if not (is_cut and exc.start > len(head) - 4):
            return None
        text = head[: exc.start].decode("utf-8")  # cut inside a character
    readable = sum(not _is_hidden(char) for char in text)
    return text if readable >= _READABLE_SHARE * len(text) else None


def _is_hidden(char: str) -> bool:
    return char not in _KEPT and unicodedata.category(char) in _HIDDEN


def visible(text: str) -> str:
    """Write control, format and direction characters as escapes, so that nothing hides."""
    return "".join(_escape(char) if _is_hidden(char) else char for char in text)


def _escape(char: str) -> str:
    point = ord(char)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"
