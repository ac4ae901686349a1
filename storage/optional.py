"""Conditions that hold only where their value is given: `(%(state)s::text IS NULL OR …)`.

A plan that has to fit with and without each value fits neither, and one made anew for each
request costs more than most answers. So what is not asked for is taken out of the text, and each
text that remains is planned once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

TEXTS_MAX: Final = 2_000
_HEAD: Final = re.compile(r"\(%\((\w+)\)s::[\w\[\]]+\s+IS NULL\s+OR\s+")


def settled(query: str, values: Mapping[str, Any]) -> str:
    """`query` without the conditions whose value is None, and without asking whether it is.

    Raises:
        KeyError: a value is missing.
        ValueError: a condition's bracket is not closed.
    """
    absent = frozenset(name for name in _names(query) if values[name] is None)
    return _settled(query, absent)


@lru_cache(TEXTS_MAX)
def _names(query: str) -> frozenset[str]:
    return frozenset(_HEAD.findall(query))


@lru_cache(TEXTS_MAX)
def _settled(query: str, absent: frozenset[str]) -> str:
    while head := _HEAD.search(query):
        before, condition, after = query[: head.start()], *_closed(query, head.end())
        query = before + ("true" if head[1] in absent else f"({condition})") + after
    return query


def _closed(query: str, start: int) -> tuple[str, str]:
    """What stands before the bracket that closes one opened before `start`, and after it."""
    depth = 1
    for at in range(start, len(query)):
        depth += {"(": 1, ")": -1}.get(query[at], 0)
        if depth == 0:
            return query[start:at], query[at + 1 :]
    raise ValueError(f"no bracket closes the condition in: …{query[start : start + 60]}")
