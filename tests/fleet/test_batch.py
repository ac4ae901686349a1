"""What a batch does to the ledger: any arrival order, duplicates, losses, and the equation."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.records import EPOCH, OTHER_EPOCH, birth, entry, message, names, record, will

from fleet import batch
from fleet.batch import LedgerEntry, ledger_keys, plan_batch, refuse_scattered, refused_again
from fleet.intake import Accepted, Refused, StateReport
from fleet.ranges import SeqSet
from fleet.wire.reasons import Reason
from fleet.wire.records import Skipped

CHAIR, APAP = entry(1), entry(2, "apap-1")
KEY = (1, EPOCH)


def accepted(seq, *, epoch=EPOCH, device=CHAIR, skipped=False):
    told = Skipped(epoch, seq) if skipped else record(seq, epoch=epoch)
    return Accepted(message(told, device.device_id), device, told, (0, 0))


def refused(seq, *, epoch=EPOCH, device=CHAIR):
    identity = None if seq is None else (epoch, seq)
    return Refused(message(b"?"), Reason.MALFORMED, "", "r1", "chair-1", device, identity)


def report(state, device=CHAIR):
    return StateReport(message(state, device.device_id), device, state)


def empty(*verdicts):
    return {key: LedgerEntry() for key in ledger_keys(verdicts)}


def run(verdicts, ledger=None):
    ledger = empty(*verdicts) if ledger is None else ledger
    return plan_batch(verdicts, ledger), ledger


def add_up(entries):
    for known in entries:
        assert known.received_n == known.stored_n + known.duplicate_n + known.quarantined_n


seqs = st.integers(1, 15)
verdicts_of = st.builds(
    lambda make, seq, epoch, device: make(seq, epoch=epoch, device=device),
    st.sampled_from([accepted, accepted, refused]),
    seqs,
    st.sampled_from([EPOCH, OTHER_EPOCH]),
    st.sampled_from([CHAIR, APAP]),
)
verdicts_lists = st.lists(verdicts_of | st.builds(lambda: refused(None)), max_size=30)


@given(verdicts_lists)
def test_the_equation_holds_in_every_batch(verdicts):
    plan, ledger = run(verdicts)
    assert plan.received_n == len(verdicts)
    assert plan.received_n == len(plan.stored) + plan.duplicate_n + len(plan.quarantined)
    add_up(ledger.values())
    in_ledger = [v for v in verdicts if not isinstance(v, Refused) or v.identity]
    assert sum(known.received_n for known in ledger.values()) == len(in_ledger)


@given(verdicts_lists, st.data())
def test_any_permutation_cut_anywhere_ends_in_the_same_ledger(verdicts, data):
    _, expected = run(verdicts)
    shuffled = data.draw(st.permutations(verdicts))
    ledger = empty(*verdicts)
    totals = dict.fromkeys(ledger, 0)
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        _plan, _ = run(shuffled[:size], ledger)
        shuffled = shuffled[size:]
        for key, known in ledger.items():
            add_up([known])
            totals[key] += known.received_n
            ledger[key] = LedgerEntry(known.received, known.lost)
    for key, known in expected.items():
        assert ledger[key].received == known.received
        assert totals[key] == known.received_n


@given(verdicts_lists)
def test_all_of_it_again_is_all_duplicates(verdicts):
    _, ledger = run(verdicts)
    before = copy.deepcopy({key: known.received for key, known in ledger.items()})
    plan, _ = run(verdicts, ledger)
    assert plan.stored == []
    assert [item.identity for item in plan.quarantined] == [None] * len(plan.quarantined)
    assert {key: known.received for key, known in ledger.items()} == before


class OneEpoch(RuleBasedStateMachine):
    """One ledger row through records, refusals, markers and births, against plain sets."""

    def __init__(self):
        super().__init__()
        self.ledger = {KEY: LedgerEntry()}
        self.settled, self.lost, self.stored = set(), set(), []

    @rule(seq=seqs)
    def record_arrives(self, seq):
        plan, _ = run([accepted(seq)], self.ledger)
        is_new = seq not in self.settled or seq in self.lost
        assert (plan.duplicate_n, names(plan.stored)) == (
            (0, [(EPOCH, seq)]) if is_new else (1, [])
        )
        self.settled.add(seq)
        self.lost.discard(seq)
        if is_new:
            self.stored.append(seq)

    @rule(seq=seqs)
    def refused_record_arrives(self, seq):
        plan, _ = run([refused(seq)], self.ledger)
        is_new = seq not in self.settled or seq in self.lost
        assert len(plan.quarantined) == is_new
        self.settled.add(seq)
        self.lost.discard(seq)

    @rule(seq=seqs)
    def marker_arrives(self, seq):
        plan, _ = run([accepted(seq, skipped=True)], self.ledger)
        assert plan.duplicate_n == (seq in self.settled)
        if seq not in self.settled:
            self.settled.add(seq)
            self.lost.add(seq)

    @rule(oldest=seqs)
    def birth_arrives(self, oldest):
        plan, _ = run([report(birth(oldest=oldest))], self.ledger)
        assert plan.received_n == 0
        assert plan.acks["r1", "chair-1"].epoch == EPOCH
        gone = set(range(1, oldest)) - self.settled
        self.settled |= gone
        self.lost |= gone

    @rule()
    def birth_of_a_new_epoch_arrives(self):
        self.ledger[1, OTHER_EPOCH] = LedgerEntry()
        run([report(birth(oldest=1, epoch=OTHER_EPOCH))], self.ledger)
        del self.ledger[1, OTHER_EPOCH]
        gone = set(range(1, max(self.settled, default=0))) - self.settled
        self.settled |= gone
        self.lost |= gone

    @invariant()
    def same(self):
        known = self.ledger[KEY]
        assert known.received == SeqSet((seq, seq) for seq in self.settled)
        assert known.lost == SeqSet((seq, seq) for seq in self.lost)
        assert len(self.stored) == len(set(self.stored)), "a record was stored twice"
        assert known.is_gapped is bool(known.received.gaps())
        add_up([known])


TestOneEpoch = OneEpoch.TestCase


def test_a_birth_closes_only_the_gaps_of_its_own_device():
    verdicts = [accepted(5), accepted(5, device=APAP), report(birth(oldest=3))]
    _, ledger = run(verdicts)
    assert list(ledger[KEY].lost) == [(1, 2)]
    assert list(ledger[2, EPOCH].lost) == []


@pytest.mark.parametrize("state", [will(), birth(), birth(epoch=None, oldest=9)])
def test_a_state_without_an_outbox_closes_nothing(state):
    plan, ledger = run([accepted(5), report(state)])
    assert list(ledger[KEY].received) == [(5, 5)]
    assert plan.states


def test_every_speaker_in_a_batch_is_answered():
    verdicts = [accepted(1), accepted(2), refused(7, device=APAP), refused(None)]
    plan, _ = run(verdicts)
    found = {who: (ack.epoch, ack.hi, ack.gaps) for who, ack in plan.acks.items()}
    assert found == {("r1", "chair-1"): (EPOCH, 2, []), ("r1", "apap-1"): (EPOCH, 0, [])}


def test_duplicates_are_answered_too():
    ledger = {KEY: LedgerEntry(SeqSet([(1, 9)]))}
    plan, _ = run([accepted(4)], ledger)
    assert plan.acks["r1", "chair-1"].hi == 9


def test_a_refusal_may_be_settled_or_not():
    kept = refused_again(accepted(4), Reason.TOO_MANY_METRICS, "why", is_settled=True)
    assert (kept.identity, kept.device_id, kept.tenant) == ((EPOCH, 4), "chair-1", "r1")
    assert refused_again(accepted(4), Reason.OUT_OF_RANGE, "why").identity is None


def test_a_ledger_row_is_not_torn_into_ever_more_ranges(monkeypatch):
    monkeypatch.setattr(batch, "MAX_GAPS", 3)
    ledger = {KEY: LedgerEntry(SeqSet([(1, 1), (5, 5), (9, 9)]))}
    verdicts = [
        accepted(1),
        accepted(2),
        accepted(4),
        accepted(7),
        refused(7),
        accepted(20),
        accepted(7, device=APAP),
        report(birth()),
    ]
    found = refuse_scattered(list(verdicts), ledger)
    assert [isinstance(v, Refused) for v in found] == [
        False, False, False, True, True, True, False, False,
    ]  # fmt: skip
    assert {v.identity for v in found if isinstance(v, Refused)} == {None}, "sent again later"
    assert refuse_scattered(verdicts, {KEY: LedgerEntry()}) is verdicts
