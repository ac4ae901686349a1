"""Kill everything, at every step, under load: nothing is lost, nothing is there twice."""

from __future__ import annotations

from random import Random

import pytest
from support.brokers import Mosquitto
from support.devices import DeviceFleet, problems
from support.limits import ROUNDS
from support.postgres import Cluster

from runtime.failpoints import NAMES

RECOVERY_S = 10.0
STEPS = sorted(name for name in NAMES if name.startswith("ingest_"))


@pytest.mark.parametrize("step", STEPS)
def test_worker_killed_at_a_step(step, shared_database, mosquitto, spawn, fleet_on):
    """A second worker lives on beside the dying one and takes its slots over."""
    rng = Random(step)
    survivor = spawn(shared_database, mosquitto.url).wait_ready()
    fleet = fleet_on(mosquitto.port, seed=rng.getrandbits(32))
    slowest = 0.0
    for _ in range(ROUNDS):
        doomed = spawn(shared_database, mosquitto.url, failpoint=f"{step}:{rng.randint(1, 12)}")
        assert doomed.wait_dead() == -9
        slowest = max(slowest, fleet.await_progress(fleet.names, RECOVERY_S))
    fleet.stop_producing()
    fleet.await_settled(fleet.made(), RECOVERY_S)
    assert problems(shared_database, fleet) == []
    assert min(fleet.made().values()) > 0
    assert survivor.stop() == 0
    print(f"{step}: {ROUNDS} rounds, slowest recovery {slowest:.1f} s")


def test_broker_killed(shared_database, mosquitto, spawn, fleet_on):
    """The broker keeps nothing on disk: each kill forgets sessions, queues and subscriptions."""
    spawn(shared_database, mosquitto.url).wait_ready()
    fleet = fleet_on(mosquitto.port, seed=5)
    _kill_again_and_again(mosquitto, fleet)
    assert problems(shared_database, fleet) == []


@pytest.mark.parametrize("own_cluster", ["plain", "timescale"], indirect=True)
def test_postgres_killed(own_cluster, own_database, mosquitto, spawn, fleet_on):
    spawn(own_database, mosquitto.url).wait_ready()
    fleet = fleet_on(mosquitto.port, seed=6)
    _kill_again_and_again(own_cluster, fleet)
    assert problems(own_database, fleet) == []


def _kill_again_and_again(server: Mosquitto | Cluster, fleet: DeviceFleet) -> None:
    """Kill and start a server at random moments of the load; each time all recovers in time."""
    rng = Random(fleet.seed)
    for _ in range(ROUNDS):
        fleet.await_progress(rng.sample(fleet.names, rng.randint(1, 24)), RECOVERY_S)
        server.kill()
        server.start()
        fleet.await_progress(fleet.names, RECOVERY_S)
    fleet.stop_producing()
    fleet.await_settled(fleet.made(), RECOVERY_S)
