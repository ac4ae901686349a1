"""A list of devices into the registry: all of it, or nothing where a line is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fleet.device_lists import BadLine, Listed
from storage.connection import Connection
from storage.lending import Fact, LendingError, check_fact, describe
from storage.registry import NewDevice, add_devices, owners_of


@dataclass(frozen=True, slots=True)
class Imported:
    """Ids by what was done: registered, there already, and described by the list."""

    added: Sequence[str]
    known: Sequence[str]
    described: Sequence[str]


def wrong_in(conn: Connection, devices: Sequence[Listed], tenant: str) -> list[BadLine]:
    """Lines that cannot be used as things stand: of another tenant, or with odd facts."""
    owners = owners_of(conn, (device.id for device in devices))
    return [
        BadLine(device.line_no, what)
        for device in devices
        if (what := _fault_in(device, owners.get(device.id, tenant), tenant)) is not None
    ]


def _fault_in(device: Listed, owner: str, tenant: str) -> str | None:
    if owner != tenant:
        return f"{device.id} is registered with another tenant"
    try:
        for name, value in device.facts.items():
            check_fact(Fact(name), value)
    except LendingError as exc:
        return str(exc)
    return None


def put(
    conn: Connection, devices: Sequence[Listed], tenant: str, centre: str | None, status: str
) -> Imported:
    """Register what is new, and describe what the list describes. The caller commits.

    Of a device that is registered already nothing but the facts is touched. `centre` is for lines
    that name none.

    Raises:
        RegistryError: the models are not in the database yet.
    """
    added: list[str] = []
    for of_centre, group in _by_centre(devices, centre):
        new = [NewDevice(one.id, one.model, one.serial, one.individual_no) for one in group]
        added += add_devices(conn, new, tenant=tenant, centre=of_centre, status=status)
    described = [one for one in devices if one.facts]
    for one in described:
        describe(conn, one.id, {Fact(name): value for name, value in one.facts.items()})
    is_added = frozenset(added)
    known = [one.id for one in devices if one.id not in is_added]
    return Imported(added, known, [one.id for one in described])


def _by_centre(
    devices: Sequence[Listed], centre: str | None
) -> Iterator[tuple[str | None, list[Listed]]]:
    groups: dict[str | None, list[Listed]] = {}
    for device in devices:
        groups.setdefault(device.centre or centre, []).append(device)
    yield from groups.items()
