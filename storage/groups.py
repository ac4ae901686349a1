"""Groups of devices: who is silent together, and who faults above its peers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from fleet.models import load_models
from fleet.rules.kinds.fleet import FleetDevice
from fleet.rules.kinds.silence import DIMENSIONS, Group, SilentDevice, groups_of
from fleet.words import DeviceClass
from storage.connection import Connection
from storage.queries import load_queries

_SQL: Final = load_queries("groups.sql")
_CLASSES: Final = {str(device_class): device_class for device_class in DeviceClass}


def _named(groups: Iterable[Group]) -> dict[str, list[str]]:
    """Groups by dimension, under the names the queries use."""
    return {f"{d}s": sorted(value for name, value in groups if name == d) for d in DIMENSIONS}


def silent_peers(
    conn: Connection, tenant_no: int, groups: Iterable[Group], now: datetime, at_most: timedelta
) -> list[SilentDevice]:
    """Devices of these groups that are silent now; what was silent before `at_most` is left out."""
    models = [model for model in load_models() if model.longest_silence_s is not None]
    parameters = {
        "tenant_no": tenant_no,
        "now": now,
        "at_most": at_most,
        "models": [model.id for model in models],
        "silences": [timedelta(seconds=model.longest_silence_s or 0) for model in models],
        **_named(groups),
    }
    return [_silent(*row) for row in conn.execute(_SQL["silent_peers"], parameters)]


def _silent(  # noqa: PLR0913, PLR0917 - the columns of a row
    device_no: int,
    last_at: datetime,
    gateway: str | None,
    area: str | None,
    network: str | None,
    centre: str | None,
    model_id: str,
) -> SilentDevice:
    model = load_models().get(model_id)
    interval_s = (model.longest_silence_s if model is not None else None) or 0
    known = zip(DIMENSIONS, (gateway, area, network, centre), strict=True)
    return SilentDevice(device_no, last_at, timedelta(seconds=interval_s), groups_of(known))


def census(conn: Connection, tenant_no: int, groups: Iterable[Group]) -> dict[Group, int]:
    """How many devices each of these groups has, and the tenant under ("all", "")."""
    models = [model.id for model in load_models() if model.longest_silence_s is not None]
    parameters = {"tenant_no": tenant_no, "models": models, **_named(groups)}
    rows = conn.execute(_SQL["census"], parameters)
    return {(dimension, value): count for dimension, value, count in rows}


def silent_findings(conn: Connection, device_nos: Sequence[int]) -> dict[int, int]:
    """Open findings about lost contact of these devices: finding -> device."""
    rows = conn.execute(_SQL["silent_findings"], {"devices": list(device_nos)})
    return dict(rows.fetchall())


def void_over_groups(conn: Connection, now: datetime) -> list[int]:
    """Make untouched group tickets void whose devices are all well again; return them."""
    numbers = [row[0] for row in conn.execute(_SQL["over_groups"])]
    if numbers:
        conn.execute(_SQL["void_groups"], {"tickets": numbers, "now": now})
    return numbers


class Tenant(NamedTuple):
    tenant_no: int
    tenant_id: str


def tenant_to_judge(conn: Connection, day: int) -> Tenant | None:
    """A tenant whose fleet has not been judged up to `day`, ours until the transaction ends."""
    row = conn.execute(_SQL["tenants_to_judge"], {"day": day}).fetchone()
    return None if row is None else Tenant(*row)


def note_judged(conn: Connection, tenant_no: int, day: int) -> None:
    conn.execute(_SQL["judged"], {"tenant_no": tenant_no, "day": day})


def fleet_devices(conn: Connection, tenant_no: int) -> list[FleetDevice]:
    """A tenant's active devices; those of a class this release does not know are left out."""
    rows = conn.execute(_SQL["fleet_devices"], {"tenant_no": tenant_no})
    return [
        FleetDevice(no, tenant, model, firmware, batch, _CLASSES[word])
        for no, tenant, model, firmware, batch, word in rows
        if word in _CLASSES
    ]


def faulted(
    conn: Connection, tenant_no: int, from_at: datetime, to_at: datetime
) -> dict[str, frozenset[int]]:
    """Devices by the component that faulted on them in a range of event time."""
    rows = conn.execute(
        _SQL["faulted"], {"tenant_no": tenant_no, "from_at": from_at, "to_at": to_at}
    )
    return {component: frozenset(devices) for component, devices in rows}


def members(
    conn: Connection, device_nos: Sequence[int], component: str, from_at: datetime
) -> list[int]:
    """The findings of single devices that a group's ticket links."""
    parameters = {"devices": list(device_nos), "component": component, "from_at": from_at}
    return [row[0] for row in conn.execute(_SQL["members"], parameters)]
