"""One step over finished loans: who had them is forgotten when the time is up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from storage import privacy
from storage.connection import Connection

LIMIT: Final = 500


def forget_persons(conn: Connection, now: datetime, keep_days: int, limit: int = LIMIT) -> int:
    """Cut the links of loans that ended more than `keep_days` ago, and note each in the log.

    Everything is in the caller's transaction, who commits; several processes may do it at once.
    What an incident hold keeps is left. Returns how many were cut: `limit` means there are more.
    """
    cut = privacy.cut_links(conn, now - timedelta(days=keep_days), limit)
    privacy.note_cut(conn, cut, now)
    return len(cut)
