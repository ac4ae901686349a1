"""The rules that are on, read anew when somebody has turned one on or off."""

from __future__ import annotations

from fleet.rules.engine import Rulebook
from fleet.rules.inhibition import load_inhibitions
from storage import rules
from storage.connection import Connection


class Rules:
    """Keeps the rulebook of one process. A switch takes effect with the next pass."""

    def __init__(self) -> None:
        self._switch_no = -1
        self._book = Rulebook(())

    def book(self, conn: Connection) -> Rulebook:
        switch_no = rules.newest_switch(conn)
        if switch_no != self._switch_no:
            self._book = Rulebook(rules.enabled(conn), load_inhibitions())
            self._switch_no = switch_no
        return self._book
