"""Who may sign in at the built-in issuer: one person of each role, and two programs. Only data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet.access.callers import Role


@dataclass(frozen=True, slots=True)
class Player:
    """Somebody that the built-in issuer vouches for; `claims` are beyond name and role."""

    subject: str
    name: str
    role: Role
    sv: str
    en: str
    claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody of one issuer, all of the same tenant."""

    tenant: str
    people: tuple[Player, ...]
    services: tuple[Player, ...]


DEMO_PERSON: Final = "p-astrid"
DEMO_CARE_UNIT: Final = "SE0000000000-VC01"
DEMO_DEVICE: Final = "wc-000001"


def demo_cast(
    tenant: str,
    *,
    person: str = DEMO_PERSON,
    care_unit: str = DEMO_CARE_UNIT,
    device: str = DEMO_DEVICE,
) -> Cast:
    """One person of each role in `tenant`; a patient, a prescriber and a device of their own."""
    people = (
        _player("tova", "Tova Tekniker", Role.TECHNICIAN, "tekniker", "technician"),
        _player("karim", "Karim Kundtjänst", Role.SERVICE_DESK, "kundtjänst", "service desk"),
        _player(
            "frida", "Frida Förskrivare", Role.PRESCRIBER, "förskrivare", "prescriber",
            care_unit=care_unit,
        ),
        _player("astrid", "Astrid Användare", Role.PATIENT, "användare", "user", person=person),
        _player("cilla", "Cilla Chef", Role.CENTRE_MANAGER, "chef", "centre manager"),
        _player(
            "adam", "Adam Administratör", Role.ADMINISTRATOR, "administratör", "administrator"
        ),
        _player("greta", "Greta Granskare", Role.AUDITOR, "granskare av loggen", "auditor"),
    )  # fmt: skip
    services = (
        _player(
            "program", "Programmet", Role.ADMINISTRATOR, "program", "a program", kind="service"
        ),
        _player(
            "device", f"Hjälpmedlet {device}", Role.DEVICE, "hjälpmedel", "a device",
            kind="service", device=device,
        ),
    )  # fmt: skip
    return Cast(tenant, people, services)


def _player(who: str, name: str, role: Role, sv: str, en: str, **claims: str) -> Player:
    reach = {} if role in {Role.PATIENT, Role.DEVICE} else {"commission": f"SE0000000000-{who}"}
    return Player(f"demo-{who}", name, role, sv, en, reach | claims)
