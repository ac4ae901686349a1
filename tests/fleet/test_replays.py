"""What a replay moves between the terms of the loss equation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import EPOCH, OTHER_EPOCH, entry, message, record

from fleet.batch import LedgerEntry
from fleet.clock import ClockQuality, Shift
from fleet.intake import Accepted
from fleet.ranges import SeqSet
from fleet.replays import Became, Moved, Refusal, ReplayRefusedError, move
from fleet.wire.records import Skipped


def accepted(seq=3, what=None):
    what = what or record(seq)
    return Accepted(message(what), entry(), what, Shift(0, ClockQuality.SYNCED))


def counts(found):
    return found.received_n, found.stored_n, found.duplicate_n, found.quarantined_n


@pytest.mark.parametrize(
    ("received", "lost", "settled", "message_n", "moved", "ledger"),
    [
        # nobody had counted it: it is received by its device now, and stored once
        ([(1, 2)], [], None, 1, Moved(1, 0, -1), (1, 1, 0, 0)),
        ([(1, 2)], [], None, 5, Moved(1, 4, -5), (5, 1, 4, 0)),
        # settled by this very message: it goes over from quarantined to stored
        ([(1, 3)], [], (EPOCH, 3), 1, Moved(1, 0, -1), (0, 1, 0, -1)),
        ([(1, 3)], [], (EPOCH, 3), 4, Moved(1, 3, -4), (3, 1, 3, -1)),
        # sent again and stored meanwhile
        ([(1, 3)], [], None, 1, Moved(0, 1, -1), (1, 0, 1, 0)),
        ([(1, 3)], [], None, 2, Moved(0, 2, -2), (2, 0, 2, 0)),
        # written off as lost, and here it is
        ([(1, 3)], [(3, 3)], None, 1, Moved(1, 0, -1), (1, 1, 0, 0)),
        # the device was registered anew: its new ledger has not counted it
        ([], [], (EPOCH, 3), 1, Moved(1, 0, -1), (1, 1, 0, 0)),
    ],
)
def test_a_message_moves_to_where_it_belongs(received, lost, settled, message_n, moved, ledger):
    found = LedgerEntry(SeqSet(received), SeqSet(lost))
    assert move(accepted(), found, Refusal(message_n, settled)) == moved
    assert counts(found) == ledger
    assert 3 in found.received
    assert 3 not in found.lost
    assert moved.became is (Became.STORED if moved.stored_n else Became.DUPLICATE)


@given(
    received=st.sets(st.integers(1, 9)),
    lost=st.sets(st.integers(1, 9)),
    message_n=st.integers(1, 50),
    is_settled=st.booleans(),
    is_marker=st.booleans(),
)
def test_the_equation_stays_true_whatever_is_replayed(
    received, lost, message_n, is_settled, is_marker
):
    found = LedgerEntry(
        SeqSet((n, n) for n in sorted(received | lost)), SeqSet((n, n) for n in sorted(lost))
    )
    what = accepted(what=Skipped(EPOCH, 3) if is_marker else None)
    moved = move(what, found, Refusal(message_n, (EPOCH, 3) if is_settled else None))
    received_n, stored_n, duplicate_n, quarantined_n = counts(found)
    assert received_n == stored_n + duplicate_n + quarantined_n
    assert moved.stored_n + moved.duplicate_n + moved.quarantined_n == 0
    assert (moved.stored_n, moved.duplicate_n) == (stored_n, duplicate_n)


def test_a_marker_says_that_its_record_is_lost():
    found = LedgerEntry()
    move(accepted(what=Skipped(EPOCH, 3)), found, Refusal(1, None))
    assert 3 in found.lost


def test_a_number_that_changed_is_no_reason_to_guess():
    with pytest.raises(ReplayRefusedError, match="Report it"):
        move(accepted(), LedgerEntry(), Refusal(1, (OTHER_EPOCH, 3)))
