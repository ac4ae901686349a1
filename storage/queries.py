"""Named queries from the `.sql` files beside this module."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def load_queries(file_name: str) -> dict[str, LiteralString]:
    """Read one file of queries, each headed `-- name: …` and a line saying its purpose.

    Raises:
        ValueError: two queries share a name, or one has no purpose line.
    """
    text = files("storage").joinpath("sql", file_name).read_text("utf-8")
    parts = _NAME.split(text)[1:]
    queries: dict[str, LiteralString] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"{file_name}: query {name} stands there twice")
        if not body.strip().startswith("-- "):
            raise ValueError(f"{file_name}: query {name} has no purpose line")
        queries[name] = cast("LiteralString", body.strip())
    return queries


def query_files() -> list[str]:
    """All query files, for tests that walk every query."""
    folder = files("storage").joinpath("sql")
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
