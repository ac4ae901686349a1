"""Text for a spreadsheet. Pure."""

from __future__ import annotations

from typing import Final

_FORMULAS: Final = frozenset("=+-@\t\r")


def harmless(text: str) -> str:
    """A cell that a spreadsheet takes for text, whatever it begins with."""
    return f"'{text}" if text[:1] in _FORMULAS else text
