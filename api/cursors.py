"""Where a reader of a list has come to, as text that means nothing to anyone else."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeVar

from api.problems import ProblemError, invalid

Key = TypeVar("Key")
Row = TypeVar("Row")
_MAX_LENGTH: Final = 400


def encode(kind: str, key: tuple[Any, ...]) -> str:
    """A cursor of the list `kind` at `key`."""
    parts = [part.isoformat() if isinstance(part, date) else part for part in key]
    text = json.dumps([kind, *parts], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def cut(kind: str, rows: Sequence[Row], limit: int, *key: str) -> tuple[list[Row], str | None]:
    """The rows of one page, and the cursor of the next where one row more than `limit` was read.

    `key` names the attributes of a row that its place in the list `kind` is told by.
    """
    shown = list(rows[:limit])
    if len(rows) <= limit:
        return shown, None
    return shown, encode(kind, tuple(getattr(shown[-1], name) for name in key))


def decode(kind: str, cursor: str | None, read: Callable[..., Key]) -> Key | None:
    """The key in `cursor`, made of its parts by `read`; None for no cursor.

    Raises:
        ProblemError: 422, it is not a cursor of this list.
    """
    if not cursor:
        return None
    try:
        return read(*_parts(kind, cursor))
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as exc:
        raise _not_a_cursor() from exc


def _parts(kind: str, cursor: str) -> list[Any]:
    if len(cursor) > _MAX_LENGTH:
        raise ValueError("too long")
    padded = cursor + "=" * (-len(cursor) % 4)
    found: object
    parts: list[Any]
    found, *parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    if found != kind:
        raise ValueError("another list's cursor")
    return parts


def _not_a_cursor() -> ProblemError:
    return invalid("query.cursor", "is not a cursor of this list; start again without it")


def read_text(text: Any) -> str:
    """A part that must be text without NUL."""
    if not isinstance(text, str) or "\0" in text or not text.isprintable():
        raise ValueError("not text")
    return text


def read_number(number: Any, limit: int = 2**63) -> int:
    """A part that must be a whole number from 0 up to, and not including, `limit`."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < limit:
        raise ValueError("not a number")
    return number


def read_small(number: Any) -> int:
    """A part that must fit an SQL `int`."""
    return read_number(number, 2**31)


def read_instant(text: Any) -> datetime:
    """A part that must be an instant with an offset."""
    instant = datetime.fromisoformat(read_text(text))
    if instant.tzinfo is None:
        raise ValueError("no offset")
    return instant
