"""Relative links in the project's Markdown lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_REFERENCE = re.compile(r"^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_MADE_BY_TESTS = ("docs/images/queue.png", "docs/images/device.png")
_NOT_OURS = {"node_modules", "build", "dist"}


def _pages() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.md")):
        parts = path.relative_to(ROOT).parts
        if not any(part.startswith(".") or part in _NOT_OURS for part in parts):
            yield path


@cache
def _prose(path: Path) -> str:
    return _FENCED.sub("", path.read_text("utf-8"))


def _targets(path: Path) -> list[str]:
    text = _CODE.sub("", _prose(path))
    return [*_LINK.findall(text), *_REFERENCE.findall(text)]


@cache
def _anchors(path: Path) -> set[str]:
    """Anchors as the usual forges make them: lower case, words joined by hyphens."""
    found: set[str] = set()
    for heading in _HEADING.findall(_prose(path)):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        found.add(plain)
    return found


def _is_dead(page: Path, target: str) -> bool:
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return False
    place, _, anchor = target.partition("#")
    path = (page.parent / place).resolve() if place else page
    if path.is_relative_to(ROOT) and str(path.relative_to(ROOT)) in _MADE_BY_TESTS:
        return False
    if not (path.is_relative_to(ROOT) and path.exists()):
        return True
    return bool(anchor) and path.suffix == ".md" and anchor not in _anchors(path)


def test_there_are_pages() -> None:
    assert ROOT / "README.md" in set(_pages())


@pytest.mark.parametrize("page", list(_pages()), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_dead(page: Path) -> None:
    dead = [target for target in _targets(page) if _is_dead(page, target)]
    assert not dead, f"{page.relative_to(ROOT)} links to nothing: {dead}"


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    assert _is_dead(page, "docs/never-written.md")
    assert _is_dead(page, "README.md#no-such-heading")
    assert _is_dead(page, "../outside.md")
    assert not _is_dead(page, "https://example.org/anything")
