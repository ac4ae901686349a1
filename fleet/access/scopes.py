"""How far a caller reaches: which devices exist for them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from fleet.access.callers import Caller, Role


class Reach(StrEnum):
    """What the key of a scope names. Row-level security knows these words."""

    TENANT = "tenant"
    CENTRE = "centre"
    CARE_UNIT = "care_unit"
    PERSON = "person"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Scope:
    """One tenant's devices: all of them, or those that `key` reaches.

    `subject` is who asks, where a way past a block is one caller's and not the whole unit's.
    """

    tenant: str
    reach: Reach
    key: str = ""
    subject: str = field(default="", compare=False)


class NoReachError(ValueError):
    """The sign-in does not say whose devices the caller may see."""


def scope_of(caller: Caller) -> Scope:
    """The scope of a caller.

    Raises:
        NoReachError: a prescriber without a unit, a patient without a pseudonym, a device
            without an id.
    """
    match caller.role:
        case Role.PATIENT:
            return _narrow(caller, Reach.PERSON, caller.person)
        case Role.PRESCRIBER:
            return _narrow(caller, Reach.CARE_UNIT, caller.care_unit)
        case Role.DEVICE:
            return _narrow(caller, Reach.DEVICE, caller.device)
        case _ if caller.centre:
            return Scope(caller.tenant, Reach.CENTRE, caller.centre)
        case _:
            return Scope(caller.tenant, Reach.TENANT)


def _narrow(caller: Caller, reach: Reach, key: str | None) -> Scope:
    if not key:
        raise NoReachError(
            f"the sign-in of this {caller.role} names no {reach}: the claim map or the provider"
            " must supply it"
        )
    return Scope(caller.tenant, reach, key, caller.subject)
