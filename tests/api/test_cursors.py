"""Pages of lists: what is shown, and where the next page begins."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import NamedTuple

import pytest

from api.cursors import cut, decode

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Row(NamedTuple):
    at: datetime
    no: int
    day: date = date(2026, 11, 29)


ROWS = [Row(NOON.replace(minute=number), number) for number in range(4)]


@pytest.mark.parametrize(("read_n", "shown_n"), [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_a_list_that_ends_on_the_page_has_no_next_one(read_n, shown_n):
    assert cut("list", ROWS[:read_n], 3, "no") == (ROWS[:shown_n], None)


def test_one_row_too_many_is_left_for_the_page_that_begins_after_the_last_shown():
    shown, following = cut("list", ROWS, 3, "at", "no", "day")
    assert shown == ROWS[:3]
    parts = decode("list", following, lambda *parts: parts)
    assert parts == (ROWS[2].at.isoformat(), 2, "2026-11-29")
