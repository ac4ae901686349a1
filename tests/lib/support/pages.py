"""Every page that people see, each with an address to look at it: what browser tests go through.

A page stands here once or several times, for the faces it has; `face` names the picture that is
kept. `{missed}` and the like stand for the tickets of the seeded fleet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api.access.gate import operation_of
from api.access.policy import shipped_policy
from api.app import create_app
from api.process import ApiSettings
from api.routes import endpoints
from fleet.access.callers import Role

DESK, CHIEF, ADMIN = Role.SERVICE_DESK, Role.CENTRE_MANAGER, Role.ADMINISTRATOR


@dataclass(frozen=True, slots=True)
class Face:
    """A page at one address, as one role sees it; nobody where it needs no sign-in."""

    operation: str
    name: str
    role: Role | None
    path: str


FACES: Final = (
    Face("queue_page", "queue", DESK, "/"),
    Face("queue_page", "queue-empty", DESK, "/?severity=info"),
    Face("queue_page", "queue-by-severity", DESK, "/?sort=severity"),
    Face("queue_page", "queue-overdue", DESK, "/?due=overdue"),
    Face("ticket_page", "ticket", DESK, "/tickets/1"),
    Face("ticket_page", "ticket-similar", DESK, "/tickets/2"),
    Face("ticket_page", "ticket-missed", DESK, "/tickets/{missed}"),
    Face("ticket_page", "ticket-waiting", DESK, "/tickets/3"),
    Face("ticket_page", "ticket-forecast", DESK, "/tickets/{forecast}"),
    Face("ticket_page", "ticket-incident", DESK, "/tickets/{incident}"),
    Face("ticket_page", "ticket-urgent", DESK, "/tickets/{urgent}?lang=en"),
    Face("new_ticket_page", "new-ticket", DESK, "/new-ticket?device=fk-50050"),
    Face("devices_page", "devices", DESK, "/devices"),
    Face("device_page", "device-24h", DESK, "/devices/fk-20417"),
    Face("device_page", "device-7d", DESK, "/devices/fk-20417?range=7d"),
    Face("device_page", "device-30d", DESK, "/devices/fk-20417?range=30d"),
    Face("device_page", "device-english", DESK, "/devices/fk-31102?lang=en"),
    Face("health_page", "data-health", DESK, "/data-health"),
    Face("queue_page", "not-found", DESK, "/nothing"),
    Face("queue_page", "not-allowed", Role.PATIENT, "/"),
    Face("find_page", "find", Role.TECHNICIAN, "/find"),
    Face("find_page", "find-many", Role.TECHNICIAN, "/find?q=4480"),
    Face("fleet_page", "fleet", CHIEF, "/fleet"),
    Face("fleet_devices_page", "fleet-devices", CHIEF, "/fleet/devices"),
    Face("fleet_devices_page", "fleet-silent", CHIEF, "/fleet/devices?show=silent"),
    Face("batteries_page", "batteries", CHIEF, "/fleet/batteries"),
    Face("figures_page", "key-figures", CHIEF, "/key-figures"),
    Face("figure_tickets_page", "key-figures-tickets", CHIEF, "/key-figures/tickets"),
    Face("use_page", "use", CHIEF, "/key-figures/use"),
    Face("rules_page", "rules", ADMIN, "/rules"),
    Face("rule_page", "rule", ADMIN, "/rules/reported-fault"),
    Face("quarantine_page", "quarantine", ADMIN, "/data-health/quarantine"),
    Face("quarantined_page", "quarantined", ADMIN, "/data-health/quarantine/12"),
    Face("first_run_page", "first-run", ADMIN, "/first-run"),
    Face("first_run_page", "first-run-device", ADMIN, "/first-run?device=fk-20417"),
    Face("access_log_page", "access-log", Role.AUDITOR, "/access-log"),
    Face("access_log_page", "spot-check", Role.AUDITOR, "/access-log?sample=5&seed=1"),
    Face("users_page", "users", ADMIN, "/users"),
    Face("persons_page", "persons", ADMIN, "/persons"),
    Face("holds_page", "holds", ADMIN, "/holds"),
    Face("my_device_page", "my-device", Role.PATIENT, "/my-device"),
    Face("my_sharing_page", "my-sharing", Role.PATIENT, "/my-device/fk-20417/sharing"),
    Face("who_looked_page", "who-looked", Role.PATIENT, "/my-device/who-looked"),
    Face("my_loans_page", "my-loans", Role.PRESCRIBER, "/my-loans"),
    Face("sign_in_page", "sign-in", None, "/sign-in"),
    Face("sign_in_page", "signed-out", None, "/sign-in?left=1"),
)
LEADS_ON: Final = {"tickets_page": "/tickets"}
"""Pages that are only an old address of another one."""


def seen_by_others() -> list[Face]:
    """The first face of every page, as each further role that the policy lets in sees it."""
    policy = shipped_policy()
    first = {face.operation: face for face in reversed(FACES)}
    known = {(face.operation, face.role) for face in FACES}
    return [
        Face(operation, f"{face.name}-{role}", role, face.path)
        for operation, face in first.items()
        for role in Role
        if face.role and policy[operation].allows(role) and (operation, role) not in known
    ]


def pages_of(settings: ApiSettings) -> set[str]:
    """The operations that answer a GET with a page, as the application has them."""
    return {
        operation_of(route)
        for route in endpoints(create_app(settings).routes)
        if operation_of(route).endswith("_page") and "GET" in getattr(route, "methods", ())
    }
