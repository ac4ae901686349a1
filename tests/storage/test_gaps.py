"""The gap sweep on the database: opened, asked, asked again, and closed with how it ended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.records import EPOCH, NOON, OTHER_EPOCH, birth, message, record, register

from fleet.wire.messages import Ack
from fleet.wire.topics import shard_of
from storage.connection import connect
from storage.gaps import sweep
from storage.intake import Intake

AGE = timedelta(seconds=30)
SHARDS = list(range(256))


@pytest.fixture
def intake(database):
    register(database, "chair-1", "chair-2")
    with Intake(database, "test") as opened:
        yield opened


@pytest.fixture
def sweeper(database):
    """Sweep so many seconds after noon, with the rights of the worker; returns the requests."""

    def run(after_s, shards=SHARDS):
        found = sweep(conn, shards, NOON + timedelta(seconds=after_s), AGE).requests
        conn.commit()
        return [(request.device, request.ack) for request in found]

    with connect(database, role="fjarrkoll_ingest") as conn:
        yield run


def arrive(intake, *seqs, device="chair-1", epoch=EPOCH):
    intake.store([message(record(seq, epoch=epoch), device) for seq in seqs])


def written(admin):
    return admin.execute("SELECT low, high, asked_n, closed_as FROM gap ORDER BY gap_no").fetchall()


def test_a_gap_is_opened_asked_for_after_its_age_and_again(intake, sweeper, admin):
    arrive(intake, 1, 4, 5, 9)
    assert sweeper(0) == []
    assert written(admin) == [(2, 3, 0, None), (6, 8, 0, None)]
    assert sweeper(29) == []
    request = ("chair-1", Ack(EPOCH, 1, [(2, 3), (6, 8)]))
    assert sweeper(30) == [request]
    assert sweeper(35) == []
    assert sweeper(60) == [request]
    assert written(admin) == [(2, 3, 2, None), (6, 8, 2, None)]
    assert admin.execute("SELECT DISTINCT opened_at, asked_at FROM gap").fetchall() == [
        (NOON, NOON + timedelta(seconds=60))
    ]


def test_a_gap_that_is_filled_is_closed_as_received(intake, sweeper, admin):
    arrive(intake, 1, 4)
    sweeper(0)
    arrive(intake, 2, 3)
    assert sweeper(60) == []
    assert written(admin) == [(2, 3, 0, "received")]
    closed = admin.execute("SELECT closed_at FROM gap").fetchone()
    assert closed == (NOON + timedelta(seconds=60),)
    assert sweeper(90) == []


def test_a_gap_that_a_birth_ends_is_closed_as_lost_and_stays_visible(intake, sweeper, admin):
    arrive(intake, 1, 4)
    sweeper(0)
    intake.store([message(birth(oldest=4))])
    assert sweeper(60) == []
    assert written(admin) == [(2, 3, 0, "lost_on_device")]


def test_a_new_epoch_ends_the_gaps_of_the_old_one(intake, sweeper, admin):
    arrive(intake, 1, 4)
    sweeper(0)
    intake.store([message(birth(oldest=1, epoch=OTHER_EPOCH))])
    assert sweeper(60) == []
    assert written(admin) == [(2, 3, 0, "lost_on_device")]


def test_a_gap_that_shrinks_keeps_its_age(intake, sweeper, admin):
    arrive(intake, 1, 9)
    sweeper(0)
    arrive(intake, 2, 3)
    assert sweeper(30) == [], "what is left is written down first"
    assert written(admin) == [(2, 8, 0, "changed"), (4, 8, 0, None)]
    assert sweeper(31) == [("chair-1", Ack(EPOCH, 3, [(4, 8)]))]
    arrive(intake, 5)
    sweeper(32)
    assert written(admin)[1:] == [(4, 8, 1, "changed"), (4, 4, 0, None), (6, 8, 0, None)]


def test_only_the_shards_of_the_worker_are_swept(intake, sweeper, admin):
    arrive(intake, 2)
    arrive(intake, 2, device="chair-2")
    own = shard_of("chair-2")
    assert own != shard_of("chair-1")
    sweeper(0, [own])
    assert written(admin) == [(1, 1, 0, None)]
    assert sweeper(60, [own]) == [("chair-2", Ack(EPOCH, 0, [(1, 1)]))]


def test_two_devices_and_two_epochs_each_get_their_own_request(intake, sweeper):
    arrive(intake, 2)
    arrive(intake, 3, epoch=OTHER_EPOCH)
    arrive(intake, 4, device="chair-2")
    sweeper(0)
    assert sorted(sweeper(60), key=str) == [
        ("chair-1", Ack(OTHER_EPOCH, 0, [(1, 2)])),
        ("chair-1", Ack(EPOCH, 0, [(1, 1)])),
        ("chair-2", Ack(EPOCH, 0, [(1, 3)])),
    ]


def test_an_epoch_without_gaps_is_left_alone(intake, sweeper, admin):
    arrive(intake, 1, 2, 3)
    assert sweeper(60) == []
    assert written(admin) == []
