"""The registry: tenants, centres, models, devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg

from fleet.metrics import load_metrics
from fleet.models import load_models
from fleet.wire.topics import checked_id, shard_of
from storage.connection import Connection
from storage.queries import load_queries
from storage.rules import sync_shipped

SQL: Final = load_queries("registry.sql")


class RegistryError(ValueError):
    """A registration that cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What is needed to register one device."""

    id: str
    model: str
    serial: str | None = None
    individual_no: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One registered device."""

    id: str
    tenant: str
    model: str
    status: str
    shard: int
    serial: str | None
    individual_no: str | None
    created_at: datetime


def sync_catalogues(conn: Connection, now: datetime) -> None:
    """Copy the shipped models, metrics and rules into the database. The caller commits."""
    models = list(load_models())
    conn.execute(
        SQL["put_models"],
        {
            "id": [model.id for model in models],
            "device_class": [str(model.device_class) for model in models],
            "maker": [model.maker for model in models],
            "name": [model.name for model in models],
        },
    )
    metrics = list(load_metrics())
    conn.execute(
        SQL["put_metrics"],
        {
            "name": [metric.name for metric in metrics],
            "purpose": [str(metric.purpose) for metric in metrics],
        },
    )
    sync_shipped(conn, now)


def add_devices(  # noqa: PLR0913 - what a registration says, all but two by keyword
    conn: Connection,
    devices: Sequence[NewDevice],
    *,
    tenant: str,
    centre: str | None = None,
    centre_name: str | None = None,
    status: str = "active",
) -> list[str]:
    """Register `devices` with a tenant; return the ids that were new. The caller commits.

    Tenant and centre are made at first mention; `centre_name` is what people read.

    Raises:
        RegistryError: an id is malformed, the model is not in the catalogue, or the device
            belongs to another tenant.
    """
    _check(devices, tenant, centre)
    conn.execute(SQL["put_tenant"], {"id": tenant, "name": tenant})
    if centre is not None:
        conn.execute(
            SQL["put_centre"],
            {"tenant": tenant, "centre": centre, "name": centre_name or centre},
        )
    parameters = {
        "tenant": tenant,
        "centre": centre,
        "status": status,
        "id": [device.id for device in devices],
        "model_id": [device.model for device in devices],
        "shard": [shard_of(device.id) for device in devices],
        "serial": [device.serial for device in devices],
        "individual_no": [device.individual_no for device in devices],
    }
    try:
        return [row[0] for row in conn.execute(SQL["add_devices"], parameters)]
    except psycopg.errors.ForeignKeyViolation as exc:
        raise RegistryError("run `fjarrkoll db migrate` first: the models are missing") from exc


def _check(devices: Iterable[NewDevice], tenant: str, centre: str | None) -> None:
    known = {model.id for model in load_models()}
    checked_id(tenant)
    if centre is not None:
        checked_id(centre)
    for device in devices:
        checked_id(device.id)
        if device.model not in known:
            listed = ", ".join(sorted(known))
            raise RegistryError(f"{device.id}: model {device.model!r} is none of {listed}")


def owners_of(conn: Connection, devices: Iterable[str]) -> dict[str, str]:
    """Device → tenant, of those that are registered."""
    return dict(conn.execute(SQL["owners_of"], {"ids": list(devices)}).fetchall())


def set_status(conn: Connection, device: str, status: str) -> bool:
    """Claim (`active`), suspend (`pending`) or revoke a device; False when it is unknown."""
    found = conn.execute(SQL["set_device_status"], {"id": device, "status": status}).fetchone()
    return found is not None


def find_device(conn: Connection, device: str) -> DeviceRow | None:
    row = conn.execute(SQL["find_device"], {"id": device}).fetchone()
    return None if row is None else DeviceRow(*row)
