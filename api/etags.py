"""Versions of things in HTTP: `ETag`, `If-Match` and `If-None-Match`. Pure.

The tag of a ticket is its version and what the answer says: `"7.3f2a9c01b2d4"`. `If-Match` looks at
the version alone, so `"7"` from the body's `version` does as well.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from api.problems import ProblemError

_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
_ANY: Final = "*"


def tag_of(version: int, body: bytes) -> str:
    return f'"{version}.{sha256(body).hexdigest()[:12]}"'


def version_tag(version: int) -> str:
    """The tag to give back in `If-Match` when only the version is known."""
    return f'"{version}"'


def is_unchanged(if_none_match: str | None, tag: str) -> bool:
    """True if the reader has the answer already."""
    header = (if_none_match or "").strip()
    return header == _ANY or tag.strip('"') in [found[1] for found in _TAG.findall(header)]


def check_version(if_match: str | None, version: int) -> None:
    """Refuse a change of something that is not as the caller saw it.

    Raises:
        ProblemError: 428 nothing was said, 412 another version.
    """
    if if_match is None:
        raise _version_needed()
    if if_match.strip() == _ANY:
        return
    strong = [found[1] for found in _TAG.findall(if_match) if not found[0]]
    if str(version) not in [tag.partition(".")[0] for tag in strong]:
        raise changed_since(f"This is version {version} now; If-Match says {if_match[:80]}.")


def _version_needed() -> ProblemError:
    return ProblemError(
        428,
        "version-needed",
        "The request does not say which version it changes.",
        "Read the ticket, and send its ETag as If-Match.",
    )


def changed_since(detail: str) -> ProblemError:
    return ProblemError(
        412, "changed-since", detail, "Read the ticket again, and decide on what it says now."
    )
