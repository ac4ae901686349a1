"""Whoever asks for something, with the role and the reach that their sign-in gave them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What somebody is to the centre. One sign-in has one role, as one commission has."""

    TECHNICIAN = "technician"
    SERVICE_DESK = "service_desk"
    PRESCRIBER = "prescriber"
    PATIENT = "patient"
    CENTRE_MANAGER = "centre_manager"
    ADMINISTRATOR = "administrator"
    DEVICE = "device"
    AUDITOR = "auditor"


STAFF: Final = frozenset({
    Role.TECHNICIAN, Role.SERVICE_DESK, Role.CENTRE_MANAGER, Role.ADMINISTRATOR, Role.AUDITOR,
})  # fmt: skip
"""Roles that see devices as engineering objects; the others see loans that concern them."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One signed-in person, service or device.

    Attributes:
        subject: stable id at the issuer, such as an employeeHsaId. Never a personal number.
        name: what stands in a ticket's history and in the access log.
        tenant: id of the tenant; nothing of any other exists for this caller.
        centre: id of the only centre whose devices are seen; None for all of the tenant's.
        commission: id of the commission the caller acts on, such as a commissionHsaId.
        care_unit: id of the unit whose loans a prescriber sees, such as a healthCareUnitHsaId.
        person: a patient's pseudonym, as it stands on their loans.
        device: a device's own id.
        is_service: a program with a token of its own, not a person.
    """

    subject: str
    name: str
    role: Role
    tenant: str
    centre: str | None = None
    commission: str | None = None
    care_unit: str | None = None
    person: str | None = None
    device: str | None = None
    is_service: bool = False

    @property
    def is_staff(self) -> bool:
        return self.role in STAFF
