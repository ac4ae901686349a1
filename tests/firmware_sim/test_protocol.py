from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firmware_sim.outbox import Appended, Draft, Entry, Outbox, Snapshot
from firmware_sim.protocol import Conversation, Identity, Limits, Verdict
from fleet.wire.messages import Ack

EPOCH = "9f2c61d0a4b7e813"
LIMITS = Limits(window=4, resend_after_s=10)


def talk(
    next_seq: int = 11,
    *,
    oldest: int = 1,
    acked: int = 0,
    boot: int = 1,
    holes: tuple[tuple[int, int], ...] = (),
    urgent: tuple[int, ...] = (),
    limits: Limits = LIMITS,
) -> Conversation:
    held = Snapshot("d", EPOCH, boot, oldest, next_seq, acked, 0, holes, urgent)
    return Conversation(held, Random(1), limits)


def ack(hi: int | None = None, *gaps: tuple[int, int], rewind: int | None = None) -> Ack:
    return Ack(EPOCH, hi, list(gaps), rewind)


def test_a_birth_tells_the_outbox_and_a_will_only_the_boot() -> None:
    birth = talk(acked=3, oldest=2).state(Identity("m", "B", "1.0"), 99, "synced")
    assert birth.outbox is not None
    assert (birth.outbox.oldest_seq, birth.outbox.next_seq, birth.clock_ms) == (2, 11, 99)
    assert talk().will().outbox is None


def test_state_comes_first_at_every_connect() -> None:
    conversation = talk()
    conversation.on_connect()
    assert conversation.take(0, 2).state
    assert not conversation.take(0, 2).state
    conversation.on_connect()
    assert conversation.take(1, 2).state


def test_oldest_first_and_never_more_than_the_window() -> None:
    conversation = talk()
    assert conversation.take(0, 3).records == (1, 2, 3)
    assert conversation.take(0, 3).records == (4,)
    assert conversation.take(0, 3).records == ()
    assert conversation.on_ack(ack(2), 1) == Verdict(settle=2)
    assert conversation.take(1, 9).records == (5, 6)


def test_urgent_records_overtake_and_are_not_sent_twice() -> None:
    conversation = talk(urgent=(3, 8))
    assert conversation.take(0, 4).records == (3, 8, 1, 2)
    conversation.on_ack(ack(3), 1)
    assert conversation.take(1, 9).records == (4, 5, 6, 7)


def test_a_new_urgent_record_goes_although_the_window_is_full() -> None:
    conversation = talk()
    conversation.take(0, 9)
    conversation.on_append(Appended(11, 12, (11,), 0, 0))
    assert conversation.take(0, 9).records == (11,)


def test_an_ack_above_what_was_sent_is_ignored_entirely() -> None:
    conversation = talk(urgent=(9,))
    assert conversation.take(0, 3).records == (9, 1, 2)
    assert conversation.on_ack(ack(9, (1, 1)), 5) == Verdict()
    assert conversation.on_ack(ack(3), 5) == Verdict()
    assert conversation.acked_hi == 0


def test_another_epoch_and_older_numbers_change_nothing() -> None:
    conversation = talk()
    conversation.take(0, 4)
    assert conversation.on_ack(Ack("0" * 16, 3), 1) == Verdict()
    conversation.on_ack(ack(3), 1)
    assert conversation.on_ack(ack(2), 1) == Verdict()
    assert conversation.acked_hi == 3


def test_after_a_restart_everything_stored_may_have_been_sent() -> None:
    conversation = talk(boot=2)
    conversation.take(0, 1)
    assert conversation.on_ack(ack(10), 1) == Verdict(settle=10)
    assert conversation.is_drained


def test_a_silent_backend_is_asked_with_the_oldest_record_only() -> None:
    conversation = talk()
    conversation.take(0, 4)
    due = conversation.next_due()
    assert due is not None
    assert 7.5 <= due <= 12.5
    assert conversation.take(due, 9).records == (1,)
    assert conversation.take(due + 5, 9).records == ()
    later = conversation.next_due()
    assert later is not None
    assert 15 <= later - due <= 25


def test_when_the_backend_is_heard_all_that_waited_goes_again() -> None:
    conversation = talk()
    conversation.take(0, 4)
    conversation.on_ack(ack(1), 6)
    assert conversation.take(13, 9).records == (5,)  # progress: the others are likely on the way
    conversation.on_ack(ack(1), 17)
    assert conversation.take(17 + 12.5, 2).records == (2, 3)
    assert conversation.take(17 + 12.5, 9).records == (4, 5)


def test_a_new_connection_sends_again_what_was_under_way() -> None:
    conversation = talk()
    conversation.take(0, 4)
    conversation.on_ack(ack(2), 1)
    conversation.on_connect()
    assert conversation.take(2, 9).records == (3, 4, 5, 6)


def test_gaps_are_sent_again_once_per_moment() -> None:
    conversation = talk()
    conversation.take(0, 4)
    conversation.on_ack(ack(1, (2, 3)), 31)
    assert conversation.take(31, 2).records == (2, 3)
    conversation.on_ack(ack(1, (2, 3)), 32)
    assert 2 not in conversation.take(32, 9).records


def test_a_gap_not_yet_sent_waits_for_its_turn() -> None:
    conversation = talk(urgent=(10,))
    conversation.take(0, 3)
    conversation.on_ack(ack(0, (1, 9)), 31)
    assert conversation.take(31, 2).records == (1, 2)
    assert conversation.take(31, 9).records == (10, 3, 4)


def test_what_is_gone_is_told_by_state_and_the_third_time_by_a_marker() -> None:
    conversation = talk(holes=((2, 3),))
    conversation.take(0, 9)
    for now in (31, 32):
        conversation.on_ack(ack(1, (2, 3)), now)
        burst = conversation.take(now, 9)
        assert (burst.state, burst.skips) == (True, ())
    conversation.on_ack(ack(1, (2, 3)), 33)
    burst = conversation.take(33, 9)
    assert (burst.state, burst.skips) == (False, (2, 3))
    assert conversation.skipped(2).skipped


def test_holes_are_stepped_over() -> None:
    conversation = talk(holes=((1, 2), (5, 9)))
    conversation.on_loss(4, 4)
    assert conversation.take(0, 9).records == (3, 10)
    assert conversation.sent_through == 10


def test_dropped_records_are_told_by_state() -> None:
    conversation = talk()
    conversation.take(0, 4)
    conversation.on_append(Appended(11, 13, (), 6, 7))
    burst = conversation.take(1, 9)
    assert burst.state
    assert burst.records == (7, 8, 9, 10)
    assert conversation.on_ack(ack(6), 2) == Verdict(settle=6)


def test_a_rewind_sends_history_again_and_does_not_count_it_twice() -> None:
    conversation = talk()
    conversation.take(0, 4)
    conversation.on_ack(ack(4), 1)
    conversation.take(1, 4)
    conversation.on_ack(ack(8), 2)
    assert conversation.on_ack(ack(rewind=3), 3) == Verdict(rewind=3)
    assert conversation.on_ack(ack(rewind=3), 3) == Verdict()
    assert conversation.take(3, 9).records == (3, 4, 5, 6)
    assert conversation.sent_distinct == 8
    assert conversation.on_ack(ack(8), 4) == Verdict(settle=8)


def test_a_forged_gap_without_end_is_bounded() -> None:
    conversation = talk(limits=Limits(window=4, asked_max=5))
    conversation.take(0, 4)
    conversation.on_ack(ack(0, (1, 2**52)), 31)
    assert len(conversation.take(31, 99).records) == 4


class Durability(RuleBasedStateMachine):
    """Outbox and conversation against a model: nothing unsettled is ever forgotten.

    The backend of the model commits what reaches it, acknowledges only what it committed or was
    told is lost, and may itself be restored to an earlier state within the grace.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 0.0
        self.content: dict[int, bytes] = {}
        self.gone: set[int] = set()
        self.committed: dict[int, bytes] = {}
        self.told_lost: set[int] = set()
        self.flying: list[int] = []

    @initialize()
    def start(self) -> None:
        self.box = Outbox(Path(self.folder.name) / "o.db", Random(1), limit=40, grace=10_000)
        self.box.boot(["d"])
        self._begin()

    def _begin(self) -> None:
        self.talk = Conversation(
            self.box.load("d"), Random(2), Limits(window=6, resend_after_s=5, again_after_s=0)
        )
        self.talk.on_connect()

    @rule(urgent=st.lists(st.booleans(), min_size=1, max_size=12))
    def append(self, urgent: list[bool]) -> None:
        first = self.talk.next_seq
        drafts = [
            Draft("urgent" if u else "bulk", lambda _, seq: f"record {seq}".encode())
            for u in urgent
        ]
        before = set(self.held())
        done = self.box.append([Entry("d", drafts)])["d"]
        new = range(first, first + len(urgent))
        self.content.update({seq: f"record {seq}".encode() for seq in new})
        if done.dropped:
            self.gone |= (before | set(new)) - set(self.held())
        self.talk.on_append(done)

    def held(self) -> list[int]:
        return [s.seq for s in self.box.fetch("d", range(1, 5_000))]

    @rule(limit=st.integers(1, 8), lost=st.sets(st.integers(0, 7)))
    def send(self, limit: int, lost: set[int]) -> None:
        """Send a burst; the network loses some of it."""
        burst = self.talk.take(self.now, limit)
        if burst.state:
            span = self.talk.state(Identity("m", "", ""), 0, "synced").outbox
            assert span is not None
            self.told_lost |= set(range(1, span.oldest_seq)) - set(self.committed)
        self.told_lost |= set(burst.skips)
        for position, stored in enumerate(self.box.fetch("d", burst.records)):
            if position not in lost:
                assert stored.payload == self.content[stored.seq]
                self.committed[stored.seq] = stored.payload

    def settled_hi(self) -> int:
        hi = 0
        while hi + 1 in self.committed or hi + 1 in self.told_lost:
            hi += 1
        return hi

    @rule(wait=st.floats(0.5, 400), with_gaps=st.booleans())
    def acknowledge(self, wait: float, with_gaps: bool) -> None:
        self.now += wait
        hi = self.settled_hi()
        highest = max(self.committed, default=0)
        missing = [
            n
            for n in range(hi + 1, highest)
            if n not in self.committed | dict.fromkeys(self.told_lost)
        ]
        gaps = [(n, n) for n in missing] if with_gaps else []
        self.obey(Ack(self.talk.epoch, hi, gaps))

    def obey(self, message: Ack) -> None:
        verdict = self.talk.on_ack(message, self.now)
        if verdict.settle is not None:
            self.box.settle({"d": verdict.settle})
        if verdict.rewind is not None:
            self.box.rewind("d", verdict.rewind)

    @rule(above=st.integers(1, 1_000))
    def forged(self, above: int) -> None:
        """An acknowledgement of what was never sent."""
        hi = self.talk.sent_through + above
        self.obey(Ack(self.talk.epoch, hi, [(1, hi)]))

    @rule()
    def reconnect(self) -> None:
        self.talk.on_connect()

    @rule()
    def restart(self) -> None:
        self.box.boot(["d"])
        self._begin()

    @precondition(lambda self: self.committed)
    @rule(data=st.data())
    def backend_restored(self, data: st.DataObject) -> None:
        keep = data.draw(st.integers(0, self.settled_hi()))
        self.committed = {seq: p for seq, p in self.committed.items() if seq <= keep}
        self.obey(Ack(self.talk.epoch, rewind=keep + 1))

    @rule(first=st.integers(1, 60), length=st.integers(1, 5))
    def flash_loses(self, first: int, length: int) -> None:
        before = set(self.held())
        self.box.lose("d", first, first + length - 1)
        self.talk.on_loss(first, first + length - 1)
        self.gone |= before - set(self.held())

    @invariant()
    def nothing_is_forgotten(self) -> None:
        if not hasattr(self, "box"):
            return
        everywhere = set(self.held()) | set(self.committed) | self.gone
        assert everywhere >= set(self.content)
        assert self.talk.acked_hi == self.box.load("d").acked_hi
        assert self.talk.acked_hi <= self.settled_hi()
        assert self.told_lost <= self.gone | set(self.committed)

    def teardown(self) -> None:
        """With a kind network everything still held arrives in the end."""
        if hasattr(self, "box"):
            self.talk.on_connect()
            for _ in range(400):
                self.send(8, set())
                self.acknowledge(40, True)
                if self.talk.is_drained:
                    break
            assert self.talk.is_drained
            missing = set(self.content) - set(self.committed) - self.gone
            assert not missing
            self.box.close()
        self.folder.cleanup()


TestDurability = Durability.TestCase
TestDurability.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
