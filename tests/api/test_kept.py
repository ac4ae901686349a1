"""Sums that are kept for a minute: for whom, how long, and that they are counted once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from api.kept import KEPT_FOR, KEPT_MAX, Kept
from fleet.access.scopes import Reach, Scope

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WHOLE, NORTH = Scope("t", Reach.TENANT), Scope("t", Reach.CENTRE, "north")


def test_what_was_counted_is_kept_for_a_minute_and_no_longer():
    kept, numbers = Kept(), count()
    told = [
        kept.get(WHOLE, "a", NOW + after, lambda: next(numbers))
        for after in (timedelta(0), KEPT_FOR - timedelta(microseconds=1), KEPT_FOR, KEPT_FOR)
    ]
    assert told == [0, 0, 1, 1]


def test_a_clock_that_is_set_back_counts_anew():
    kept = Kept()
    kept.get(WHOLE, "a", NOW, lambda: "late")
    assert kept.get(WHOLE, "a", NOW - timedelta(hours=1), lambda: "early") == "early"


@pytest.mark.parametrize(
    "other", [NORTH, Scope("u", Reach.TENANT), Scope("t", Reach.CENTRE, "south")]
)
def test_no_scope_is_given_what_another_counted(other):
    kept = Kept()
    kept.get(WHOLE, "a", NOW, lambda: "mine")
    kept.get(NORTH, "b", NOW, lambda: "north")
    assert kept.get(other, "a", NOW, lambda: "own") == "own"


def test_what_fails_is_not_kept():
    kept = Kept()
    with pytest.raises(ZeroDivisionError):
        kept.get(WHOLE, "a", NOW, lambda: 1 / 0)
    assert kept.get(WHOLE, "a", NOW, lambda: 2) == 2


def test_the_one_that_nobody_asked_for_longest_goes_first():
    kept, numbers = Kept(), count()
    for key in range(KEPT_MAX):
        kept.get(WHOLE, key, NOW, lambda: next(numbers))
    assert kept.get(WHOLE, 0, NOW, lambda: next(numbers)) == 0
    kept.get(WHOLE, "more", NOW, lambda: next(numbers))
    assert kept.get(WHOLE, 0, NOW, lambda: next(numbers)) == 0
    assert kept.get(WHOLE, 1, NOW, lambda: next(numbers)) == KEPT_MAX + 1


def test_many_who_ask_at_once_wait_for_one_count():
    kept, numbers, start = Kept(), count(), threading.Barrier(8)
    told = []

    def ask():
        start.wait(5)
        told.append(kept.get(WHOLE, "a", NOW, lambda: next(numbers)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert told == [0] * 8
