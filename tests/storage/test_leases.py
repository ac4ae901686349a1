"""Slots: fair shares, takeover, fences, and no two holders at a time."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import message, record, register

from storage.connection import connect
from storage.intake import SQL as INTAKE_SQL
from storage.intake import Intake, LeaseLostError
from storage.leases import Slot, release, renew, share

ROLE = "fjarrkoll_ingest"
LEASE = timedelta(seconds=60)
A, B, C = (uuid.UUID(int=n) for n in (1, 2, 3))


@pytest.fixture
def worker(database):
    """Renew as one worker or another; what it holds, slot → fence."""

    def run(who, lease=LEASE):
        held, count = renew(conn, who, lease)
        conn.commit()
        assert count == 4
        return held

    with connect(database, role=ROLE) as conn:
        run.release = lambda who: (release(conn, who), conn.commit())
        yield run


def expire(admin, who):
    admin.execute("UPDATE ingest_slot SET expires_at = '-infinity' WHERE holder = %s", [who])
    admin.execute(
        "UPDATE ingest_worker SET seen_at = seen_at - interval '2 min' WHERE worker = %s", [who]
    )


def test_one_worker_takes_everything_and_keeps_its_fences(worker):
    held = worker(A)
    assert held == {0: 1, 1: 1, 2: 1, 3: 1}
    assert worker(A) == held


def test_workers_come_to_hold_fair_shares(worker):
    worker(A)
    assert worker(B) == {}, "nothing is free yet"
    assert set(worker(A)) == {0, 1}
    assert worker(B) == {2: 3, 3: 3}, "freed once, taken once: two fences on"
    assert set(worker(A)) == {0, 1}


def test_a_worker_that_leaves_is_taken_over_at_once(worker):
    worker(A)
    worker.release(A)
    assert set(worker(B)) == {0, 1, 2, 3}


def test_a_silent_worker_is_taken_over_after_its_lease(worker, admin):
    before = worker(A)
    assert worker(B) == {}
    expire(admin, A)
    after = worker(B)
    assert set(after) == {0, 1, 2, 3}
    assert all(after[slot] > before[slot] for slot in after)


def test_a_worker_that_wakes_up_gets_new_fences_or_nothing(worker, admin):
    before = worker(A)
    expire(admin, A)
    assert worker(A) == {slot: fence + 1 for slot, fence in before.items()}
    expire(admin, A)
    worker(B)
    assert worker(A) == {}


def test_workers_silent_for_long_are_forgotten(worker, admin):
    worker(A)
    admin.execute("UPDATE ingest_worker SET seen_at = seen_at - interval '11 min'")
    worker(B)
    assert admin.execute("SELECT worker FROM ingest_worker").fetchall() == [(B,)]


def test_the_batch_of_a_zombie_is_refused(database, worker, admin):
    register(database, "chair-1")
    old = worker(A)
    expire(admin, A)
    new = worker(B)
    with Intake(database, "zombie") as zombie, Intake(database, "heir") as heir:
        with pytest.raises(LeaseLostError) as caught:
            zombie.store([message(record(1))], old)
        assert caught.value.slots == {0, 1, 2, 3}
        assert heir.store([message(record(1))], new).stored == 1
    assert admin.execute("SELECT source FROM intake_total").fetchall() == [("heir/0",)]


def test_a_batch_under_way_does_not_hold_up_a_renewal(database, worker):
    """Writers follow each other without a pause: a lock of theirs would end every lease."""
    held = worker(A)
    question = {"slots": list(held), "fences": list(held.values())}
    with connect(database, role=ROLE) as batch, connect(database, role=ROLE) as taker:
        assert len(batch.execute(INTAKE_SQL["held_slots"], question).fetchall()) == 4
        taker.execute("SET lock_timeout = 20")
        assert renew(taker, A, LEASE) == (held, 4)


workers = st.sampled_from([A, B, C])
slot_lists = st.lists(st.tuples(st.none() | workers, st.booleans()), min_size=1, max_size=16).map(
    lambda found: [Slot(n, holder, 0, is_live) for n, (holder, is_live) in enumerate(found)]
)


@given(slot_lists, st.integers(0, 20))
def test_a_share_is_fair_and_takes_only_what_nobody_holds(slots, worker_count):
    decision = share(slots, A, worker_count)
    fair = -(-len(slots) // max(1, worker_count))
    mine = {slot.slot for slot in slots if slot.holder == A and slot.is_live}
    of_others = {slot.slot for slot in slots if slot.holder not in (A, None) and slot.is_live}
    assert len(decision.keep) + len(decision.take) <= fair
    assert set(decision.keep) | set(decision.free) == mine
    assert not set(decision.take) & (mine | of_others)
    assert not set(decision.keep) & set(decision.free)
    if len(decision.keep) + len(decision.take) < fair:
        assert len(decision.take) == len(slots) - len(mine) - len(of_others)


def test_eight_racing_workers_never_hold_one_slot_at_a_time(database, admin):
    """Each (slot, fence) has one holder ever, so that a fence tells whose a batch is."""
    start, holders, failures = threading.Barrier(8), {}, []
    guard = threading.Lock()

    def race(who):
        try:
            with connect(database, role=ROLE) as conn:
                start.wait()
                for turn in range(12):
                    held, _ = renew(conn, who, LEASE)
                    with guard:  # still inside the transaction that decided it
                        for item in held.items():
                            holders.setdefault(item, set()).add(who)
                    conn.commit()
                    if turn % 4 == 3:
                        release(conn, who)
                        conn.commit()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=race, args=(uuid.uuid4(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert holders
    assert [item for item, found in holders.items() if len(found) > 1] == []
    fences = dict(admin.execute("SELECT slot, fence FROM ingest_slot").fetchall())
    assert all(fence <= fences[slot] for slot, fence in holders)
