"""What stored findings become when they are concluded anew. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from fleet.rules.findings import Finding


class StoredFinding(NamedTuple):
    """A finding as it stands in the database, under its number."""

    finding_no: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What to do with stored findings so that they become the concluded ones.

    Attributes:
        kept: the stored number and what it now says, whether or not it changed.
        added: findings that have no number yet.
        gone: numbers to delete, each with the number that took it over, or None.
    """

    kept: tuple[StoredFinding, ...]
    added: tuple[Finding, ...]
    gone: tuple[tuple[int, int | None], ...]


def reconcile_findings(stored: Sequence[StoredFinding], concluded: Sequence[Finding]) -> Reconciled:
    """Let findings keep their numbers and the time they were first known.

    Equal identity first, then shared time of the same rule and subject, oldest first.
    """
    left = {_identity(finding): finding for finding in concluded}
    kept: dict[int, Finding] = {}
    rest = []
    for old in stored:
        same = left.pop(_identity(old.finding), None)
        if same is None:
            rest.append(old)
        else:
            kept[old.finding_no] = _known_since(old.finding, same)
    for old in rest:
        heir = next((f for f in left.values() if _is_continued(old.finding, f)), None)
        if heir is not None:
            kept[old.finding_no] = _known_since(old.finding, left.pop(_identity(heir)))
    gone = tuple(
        (old.finding_no, _heir_of(old.finding, kept)) for old in rest if old.finding_no not in kept
    )
    kept_rows = tuple(StoredFinding(*item) for item in kept.items())
    return Reconciled(kept_rows, tuple(left.values()), gone)


def _identity(finding: Finding) -> tuple[str, str, datetime]:
    return (finding.rule_id, finding.about, finding.started_at)


def _known_since(old: Finding, new: Finding) -> Finding:
    """Of a reported fault it is stored when it was received; of values, when they were judged."""
    if new.episodes:
        return new
    return replace(new, known_at=min(old.known_at, new.known_at))


def _is_continued(old: Finding, new: Finding) -> bool:
    if (old.rule_id, old.about) != (new.rule_id, new.about):
        return False
    old_end, new_end = old.ended_at, new.ended_at
    return (old_end is None or new.started_at <= old_end) and (
        new_end is None or old.started_at <= new_end
    )


def _heir_of(old: Finding, kept: dict[int, Finding]) -> int | None:
    return next((no for no, finding in kept.items() if _is_continued(old, finding)), None)
