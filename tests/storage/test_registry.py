"""Registering devices: what is new, what is refused, and that a batch hears of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.records import any_model, register

from fleet.metrics import load_metrics
from fleet.models import load_models
from fleet.wire.topics import TopicError, shard_of
from storage.connection import connect
from storage.registry import (
    NewDevice,
    RegistryError,
    add_devices,
    find_device,
    set_status,
    sync_catalogues,
)


def version(admin):
    return admin.execute("SELECT version FROM registry_version").fetchone()[0]


def test_the_catalogues_are_copied_once(database, admin):
    for _ in range(2):
        with connect(database) as conn:
            sync_catalogues(conn, datetime.now(UTC))
    names = admin.execute("SELECT name FROM metric WHERE is_catalogued ORDER BY name").fetchall()
    assert [row[0] for row in names] == sorted(metric.name for metric in load_metrics())
    ids = admin.execute("SELECT id FROM model").fetchall()
    assert {row[0] for row in ids} == {model.id for model in load_models()}


def test_a_metric_that_a_device_named_first_becomes_catalogued(database, admin):
    name = next(metric.name for metric in load_metrics())
    admin.execute("INSERT INTO metric (name) VALUES (%s)", [name])
    number = admin.execute("SELECT metric_no FROM metric").fetchone()
    with connect(database) as conn:
        sync_catalogues(conn, datetime.now(UTC))
    assert admin.execute(
        "SELECT metric_no, is_catalogued FROM metric WHERE name = %s", [name]
    ).fetchone() == (number[0], True)


def test_a_device_is_registered_once_with_its_shard(conn):
    sync_catalogues(conn, datetime.now(UTC))
    device = NewDevice("chair-1", any_model(), serial="S1", individual_no="I1")
    assert add_devices(conn, [device], tenant="r1", centre="c1") == ["chair-1"]
    assert add_devices(conn, [device, NewDevice("b", any_model())], tenant="r1") == ["b"]
    found = find_device(conn, "chair-1")
    assert found is not None
    assert (found.id, found.tenant, found.model, found.status, found.shard, found.serial) == (
        "chair-1", "r1", any_model(), "active", shard_of("chair-1"), "S1",
    )  # fmt: skip
    assert find_device(conn, "nobody") is None


def test_a_device_never_changes_hands_by_being_registered_again(database, conn):
    register(database, "chair-1")
    try:
        found = add_devices(conn, [NewDevice("chair-1", any_model())], tenant="r2")
    except RegistryError:
        conn.rollback()
    else:
        assert found == []
    device = find_device(conn, "chair-1")
    assert device is not None
    assert device.tenant == "r1"


@pytest.mark.parametrize("name", ["", "a b", "å", "a/b", "x" * 65, "a\n"])
def test_a_malformed_id_is_not_registered(conn, name):
    sync_catalogues(conn, datetime.now(UTC))
    good = NewDevice("chair-1", any_model())
    for devices, tenant, centre in (
        ([NewDevice(name, any_model())], "r1", None),
        ([good], name, None),
        ([good], "r1", name),
    ):
        with pytest.raises(TopicError):
            add_devices(conn, devices, tenant=tenant, centre=centre)
    assert find_device(conn, "chair-1") is None


def test_an_unknown_model_is_refused_and_the_known_ones_named(conn):
    sync_catalogues(conn, datetime.now(UTC))
    with pytest.raises(RegistryError, match=any_model()):
        add_devices(conn, [NewDevice("chair-1", "hovercraft")], tenant="r1")


def test_a_database_without_catalogues_says_what_to_do(conn):
    with pytest.raises(RegistryError, match="db migrate"):
        add_devices(conn, [NewDevice("chair-1", any_model())], tenant="r1")


def test_every_change_of_a_device_is_noticed(database, admin):
    seen = [version(admin)]
    register(database, "chair-1")
    seen.append(version(admin))
    for status in ("pending", "revoked", "active"):
        with connect(database) as conn:
            assert set_status(conn, "chair-1", status)
        seen.append(version(admin))
    assert seen == sorted(set(seen)), "the version goes up each time"


def test_the_status_of_an_unknown_device_is_no_change(conn):
    assert not set_status(conn, "nobody", "revoked")
