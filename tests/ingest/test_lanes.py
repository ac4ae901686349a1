"""Queue limits by an injected clock, and acknowledgements paced without losing one."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.records import message

from ingest.lanes import AckPacer, Delivery, Lane, LaneQueue, is_closed
from ingest.settings import BatchLimits

LIMITS = BatchLimits(rows_max=5, bytes_max=100, age_max_s=1.0)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return LaneQueue(rows_max=8, bytes_max=200, limits=LIMITS, clock=clock)


def delivery(mid, size=1):
    return Delivery(message(b"x" * size), 0, 1, Lane.BULK, 1, mid)


def put(queue, *mids, size=1):
    queue.put([delivery(mid, size) for mid in mids])


def mids(batch):
    return [item.mid for item in batch]


@pytest.mark.parametrize(
    ("rows", "size", "age_s", "is_expected"),
    [
        (0, 0, 0.0, False),
        (4, 99, 0.99, False),
        (5, 0, 0.0, True),
        (1, 100, 0.0, True),
        (1, 1, 1.0, True),
    ],
)
def test_a_batch_closes_at_whichever_comes_first(rows, size, age_s, is_expected):
    assert is_closed(rows, size, age_s, LIMITS) is is_expected


def test_a_full_batch_goes_off_at_once_and_in_order(queue):
    put(queue, *range(7))
    assert mids(queue.take(0)) == [0, 1, 2, 3, 4]
    assert queue.depth() == 2


def test_a_batch_of_many_bytes_goes_off_at_once(queue):
    put(queue, 1, 2, 3, size=60)
    assert mids(queue.take(0)) == [1, 2], "one message may exceed the limit, no second one"


def test_a_message_larger_than_the_limit_is_a_batch_of_its_own(queue):
    put(queue, 1, size=5_000)
    put(queue, 2)
    assert queue.room() == 0
    assert mids(queue.take(0)) == [1]
    assert queue.room() == 7


def test_an_old_batch_goes_off_with_what_there_is(queue, clock):
    put(queue, 1, 2)
    clock.now += 1.0
    assert mids(queue.take(0)) == [1, 2]


def test_what_is_left_starts_a_new_age(queue, clock):
    put(queue, *range(6))
    clock.now += 5.0
    assert len(queue.take(0)) == 5
    assert queue.depth() == 1
    clock.now += 1.0
    assert mids(queue.take(0)) == [5]


def test_an_empty_queue_gives_nothing(queue):
    assert queue.take(0) == []


def test_the_room_shrinks_by_rows_and_ends_with_the_bytes(queue):
    assert queue.room() == 8
    put(queue, 1, 2)
    assert queue.room() == 6
    put(queue, 3, size=198)
    assert queue.room() == 0
    queue.take(0)
    assert queue.room() == 8


def test_a_waiting_writer_is_let_go(queue):
    found = []
    waiter = threading.Thread(target=lambda: found.append(queue.take(60)))
    waiter.start()
    queue.close()
    waiter.join(10)
    assert found == [[]]
    put(queue, 1)
    assert mids(queue.take(60)) == [1], "what is left is handed out at once"


def test_a_waiting_writer_is_woken_by_the_first_message():
    queue = LaneQueue(8, 200, BatchLimits(rows_max=1), Clock())
    found = []
    waiter = threading.Thread(target=lambda: found.append(queue.take(60)))
    waiter.start()
    put(queue, 1)
    waiter.join(10)
    assert mids(found[0]) == [1]


def test_a_waiting_writer_is_woken_by_the_message_that_fills_the_batch():
    queue = LaneQueue(8, 200, BatchLimits(rows_max=3, age_max_s=60), Clock())
    found = []
    waiter = threading.Thread(target=lambda: found.append(queue.take(60)))
    waiter.start()
    for mid in (1, 2, 3):
        put(queue, mid)
    waiter.join(10)
    assert mids(found[0]) == [1, 2, 3]


@given(st.lists(st.integers(0, 150), max_size=30))
def test_everything_comes_out_once_and_in_order(sizes):
    queue = LaneQueue(1_000, 100_000, LIMITS, Clock())
    queue.put([delivery(mid, size) for mid, size in enumerate(sizes)])
    queue.close()
    found = []
    while batch := queue.take(0):
        assert len(batch) <= LIMITS.rows_max
        assert sum(len(item.message.payload) for item in batch[:-1]) < LIMITS.bytes_max
        found += mids(batch)
    assert found == list(range(len(sizes)))
    assert queue.room() == 1_000


class Pacing(RuleBasedStateMachine):
    """Three devices, acknowledgements numbered upwards, and a clock that only we move."""

    INTERVAL_S = 1.0

    def __init__(self):
        super().__init__()
        self.pacer = AckPacer(self.INTERVAL_S)
        self.now = 10.0
        self.number = 0
        self.offered, self.sent_at, self.sent = {}, {}, {}

    @rule(topic=st.sampled_from("abc"))
    def offer(self, topic):
        self.number += 1
        self.offered[topic] = self.number
        if self.pacer.offer(topic, b"%d" % self.number, self.now):
            self._send(topic, self.number)

    @rule(passed=st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]))
    def time_passes(self, passed):
        self.now += passed

    @rule()
    def send_due(self):
        for topic, payload in self.pacer.due(self.now):
            self._send(topic, int(payload))
        for topic, number in self.offered.items():
            if self.sent[topic] != number:
                assert self.now - self.sent_at[topic] < self.INTERVAL_S, "it is overdue"

    def _send(self, topic, number):
        assert number == self.offered[topic], "the newest wins"
        assert number > self.sent.get(topic, 0), "nothing is sent twice"
        last = self.sent_at.get(topic)
        assert last is None or self.now - last >= self.INTERVAL_S
        self.sent[topic], self.sent_at[topic] = number, self.now

    @invariant()
    def what_waits_has_a_time(self):
        waiting = {topic for topic, number in self.offered.items() if self.sent[topic] != number}
        due_s = self.pacer.next_due_s(self.now)
        assert (due_s is None) is (not waiting)
        if waiting:
            earliest = min(self.sent_at[topic] for topic in waiting) + self.INTERVAL_S
            assert 0 <= due_s <= max(0.0, earliest - self.now)

    def teardown(self):
        self.now += 2 * self.INTERVAL_S
        self.send_due()
        assert self.sent == self.offered, "nothing is lost"


TestPacing = Pacing.TestCase


def test_a_pacer_forgets_devices_that_fell_silent():
    pacer = AckPacer(1.0)
    for number in range(100):
        assert pacer.offer(f"t{number}", b"", 0.0)
    assert pacer.due(1.0) == []
    assert vars(pacer) == vars(AckPacer(1.0))
