"""Which gaps are new, how each ended, and which to ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.gaps import MAX_ASKED_AT_ONCE, OpenGap, reconcile, to_ask
from fleet.ranges import SeqSet

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
AGE = timedelta(seconds=30)
EARLIER = NOON - timedelta(minutes=5)


def gap(low, high, no=1, opened_at=EARLIER, asked_at=None):
    return OpenGap(no, low, high, opened_at, asked_at)


@pytest.mark.parametrize(
    ("received", "lost", "known", "opened", "closed", "kept"),
    [
        pytest.param([(1, 9)], [], [], [], [], [], id="nothing is missing"),
        pytest.param([(1, 3), (7, 9)], [], [], [(4, 6, NOON)], [], [], id="a new gap"),
        pytest.param([(4, 9)], [], [], [(1, 3, NOON)], [], [], id="the beginning is missing"),
        pytest.param([(1, 3), (7, 9)], [], [(4, 6)], [], [], [(4, 6)], id="a gap that stands"),
        pytest.param([(1, 9)], [], [(4, 6)], [], ["received"], [], id="a gap that was filled"),
        pytest.param([(1, 9)], [(4, 6)], [(4, 6)], [], ["lost_on_device"], [], id="written off"),
        pytest.param(
            [(1, 9)], [(5, 5)], [(4, 6)], [], ["lost_on_device"], [], id="part written off"
        ),
        pytest.param([(1, 9)], [(1, 2)], [(4, 6)], [], ["received"], [], id="a loss elsewhere"),
        pytest.param(
            [(1, 4), (7, 9)],
            [],
            [(4, 6)],
            [(5, 6, EARLIER)],
            ["changed"],
            [],
            id="filled from below",
        ),
        pytest.param(
            [(1, 3), (5, 5), (7, 9)],
            [],
            [(4, 6)],
            [(4, 4, EARLIER), (6, 6, EARLIER)],
            ["changed"],
            [],
            id="filled in the middle",
        ),
        pytest.param(
            [(1, 3), (7, 9)], [], [(4, 6), (11, 12)], [], ["received"], [(4, 6)], id="one of two"
        ),
    ],
)
def test_reconcile(received, lost, known, opened, closed, kept):
    gaps = [gap(*pair, no=number) for number, pair in enumerate(known)]
    changes = reconcile(SeqSet(received), SeqSet(lost), gaps, NOON)
    assert changes.opened == opened
    assert [word for _, word in changes.closed] == closed
    assert [(item.low, item.high) for item in changes.kept] == kept


RANGES = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 4)), max_size=8).map(
    lambda pairs: SeqSet((low, low + more) for low, more in pairs)
)


@given(st.lists(RANGES, min_size=1, max_size=5))
def test_what_is_written_follows_the_ledger_through_any_arrivals(steps):
    """After every step exactly the ledger's gaps are written, none younger than its parts."""
    received, known, number = SeqSet(), [], 0
    for step, more in enumerate(steps):
        for low, high in more:
            received.add_range(low, high)
        now = NOON + step * AGE
        changes = reconcile(received, SeqSet(), known, now)
        assert {no for no, _ in changes.closed} | {item.gap_no for item in changes.kept} == {
            item.gap_no for item in known
        }
        older = known
        known = list(changes.kept)
        for low, high, opened_at in changes.opened:
            number += 1
            known.append(gap(low, high, number, opened_at))
            parts = [g.opened_at for g in older if g.low <= high and low <= g.high]
            assert opened_at == min(parts, default=now)
        assert sorted((item.low, item.high) for item in known) == received.gaps()


@pytest.mark.parametrize(
    ("opened_s", "asked_s", "is_asked"),
    [
        (0, None, False),
        (29, None, False),
        (30, None, True),
        (300, 29, False),
        (300, 30, True),
        (300, 0, False),
    ],
)
def test_a_gap_is_asked_for_after_its_age_and_again_after_the_same(opened_s, asked_s, is_asked):
    opened_at = NOON - timedelta(seconds=opened_s)
    asked_at = None if asked_s is None else NOON - timedelta(seconds=asked_s)
    known = gap(4, 6, opened_at=opened_at, asked_at=asked_at)
    assert to_ask([known], NOON, AGE) == ([known] if is_asked else [])


def test_the_lowest_are_asked_for_first_and_not_all_at_once():
    known = [gap(low, low, no=low) for low in range(100, 0, -1)]
    asked = to_ask(known, NOON, AGE)
    assert [item.low for item in asked] == list(range(1, MAX_ASKED_AT_ONCE + 1))
