"""What stands in the menu of each role: places that the policy of the endpoints lets them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.access.policy import shipped_policy
from fleet.access.callers import Caller


@dataclass(frozen=True, slots=True)
class Place:
    """One entry: an address, the key of its text, and the endpoint whose roles see it."""

    path: str
    key: str
    operation: str


PLACES: Final[Sequence[Place]] = (
    Place("/my-device", "mine.nav", "my_device_page"),
    Place("/my-loans", "prescriber.nav", "my_loans_page"),
    Place("/", "app.tickets", "queue_page"),
    Place("/devices", "app.devices", "devices_page"),
    Place("/find", "find.nav", "find_page"),
    Place("/fleet", "fleet.nav", "fleet_page"),
    Place("/key-figures", "figures.nav", "figures_page"),
    Place("/rules", "rules.nav", "rules_page"),
    Place("/data-health", "app.health", "health_page"),
    Place("/users", "users.nav", "users_page"),
    Place("/persons", "persons.nav", "persons_page"),
    Place("/holds", "holds.nav", "holds_page"),
    Place("/access-log", "log.nav", "access_log_page"),
)


def places(caller: Caller | None) -> list[Place]:
    """The menu of whoever asks; nobody who is not signed in has one."""
    if caller is None:
        return []
    policy = shipped_policy()
    return [place for place in PLACES if policy[place.operation].allows(caller.role)]


def home(caller: Caller) -> str:
    """The address that a role starts from."""
    found = places(caller)
    return found[0].path if found else "/"
