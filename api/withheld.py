"""What of a ticket is kept back from whoever sees a device only from the start of a loan on.

A rule looks back over weeks or months, and what it says quotes them: the time of whoever had the
device before. Staff see devices whole, so nothing is kept back from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from api.grounds import rule_of, whole_finding_out
from api.schemas import BothOut, SaidOut, WholeFindingOut
from storage.connection import Connection
from storage.reading import FindingRow

_NOTHING: Final = BothOut(sv="", en="")
_ONE_EPISODE: Final = "fault"
"""Rules of this kind look back to decide, and speak of nothing but the episode itself."""


def told_findings(
    conn: Connection, rows: Sequence[FindingRow], since: datetime | None
) -> list[WholeFindingOut]:
    """Findings as the caller may read them. `since` None: whole."""
    return [_told(conn, row, since) for row in rows]


def _told(conn: Connection, row: FindingRow, since: datetime | None) -> WholeFindingOut:
    whole = whole_finding_out(row)
    if since is None or _evidence_from(conn, whole) >= since:
        return whole
    nothing = SaidOut(title=_NOTHING, happened=_NOTHING, action=_NOTHING, user=whole.said.user)
    changes = {
        "is_withheld": True, "said": nothing, "measures": {}, "ruled_out": [], "points": [],
        "occurrence_n": 1,
    }  # fmt: skip
    return whole.model_copy(update=changes)


def _evidence_from(conn: Connection, finding: WholeFindingOut) -> datetime:
    """When the oldest thing was that a finding may speak of."""
    oldest = min([finding.started_at, *(point.at for point in finding.points)])
    rule = rule_of(conn, finding.rule_id, finding.rule_version)
    if rule is None:  # how far back it looked is not known
        return datetime.min.replace(tzinfo=oldest.tzinfo)
    if rule.kind == _ONE_EPISODE:
        return oldest
    needs = rule.condition.needs
    back_d = max([needs.lookback_days, *(days for _, days in needs.metric_days)])
    return oldest - timedelta(days=back_d)
