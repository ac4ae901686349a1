"""When a fault needs a person, who gets the order, and what an urgent one is proposed for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from fleet.episodes import Episode
from fleet.faults import FaultCode
from fleet.rules.facts import CodedEpisode
from fleet.rules.findings import Need
from fleet.ticket_states import OrderKind
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability

_WORKSHOP_CLASSES: Final = frozenset({DeviceClass.POWERED_WHEELCHAIR, DeviceClass.APAP})


def route(device_class: DeviceClass | None, episodes: Sequence[CodedEpisode]) -> OrderKind:
    """Who gets the order: workshop, support desk or supplier. Never urgent: that is proposed.

    The workshop repairs wheelchairs and breathing devices. Meters and alarms are swapped by
    support. Dispensers, and codes of a system that nobody here has a table for, go to the
    supplier.
    """
    is_foreign = any(item.fault.device_class is None for item in episodes)
    if is_foreign or device_class is DeviceClass.MEDICATION_DISPENSER:
        return OrderKind.SUPPLIER
    return OrderKind.REPAIR if device_class in _WORKSHOP_CLASSES else OrderKind.SUPPORT


NEEDS_UNKNOWN: Final = "needs_unknown"
"""Nobody has said what the person cannot do without the device: a person has to ask."""

_DEGRADED_TOO: Final = frozenset({"breathing_support"})
"""Needs for which a device that works only in part is as urgent as one that does not."""


def urgent_because(
    order: OrderKind, severity: Severity, usability: Usability, needs: frozenset[str] | None
) -> tuple[str, ...]:
    """Why `akut AU` is proposed for a repair; empty: it is not.

    Acute orders cover basic needs only (Västra Götaland's agreement): eating, toilet, in and out
    of bed, position change, breathing, communication, and the only way to move. The prescriber
    keeps them as coarse flags on the loan. A person confirms, since it is billed separately.

    Args:
        needs: the flags of the current loan; None where no loan is registered.
    """
    if order is not OrderKind.REPAIR or usability is Usability.USABLE:
        return ()
    if needs is None:
        stops = severity is Severity.CRITICAL and usability is Usability.UNUSABLE
        return (NEEDS_UNKNOWN,) if stops else ()
    if usability is Usability.DEGRADED:
        needs = needs & _DEGRADED_TOO
    return tuple(sorted(needs))


HISTORY_AFTER: Final = timedelta(hours=24)
"""A fault that ended this long before we first heard of it is history. A day, so that the
records of one day give the same tickets in whatever order they arrive."""

SETTLE: Final = timedelta(seconds=60)
"""How long an old raise waits for its clear. A device that was out of contact sends both, the
clear seconds after the raise, and a ticket in between would be opened to be voided."""


def is_for_workshop(fault: FaultCode) -> bool:
    """True if the fault is bad enough, and beyond the user. What a patient measured never is."""
    if fault.component is Component.MEASUREMENT:
        return False
    return fault.severity.rank >= Severity.MAJOR.rank and fault.fixer is not Fixer.USER


def need_of(episode: Episode, now: datetime) -> Need:
    """Judge one episode of a fault that `is_for_workshop`.

    A fault that was raised needs a person even if it has cleared: most controllers clear at
    the next power-on, repaired or not. A controller's log alone does not say when it happened.
    """
    if episode.raised_n == 0:
        return Need.HISTORY
    horizon = episode.first_received_at - HISTORY_AFTER
    if episode.last_at >= horizon:
        return Need.TICKET
    if episode.ended_at is not None:
        return Need.HISTORY
    return Need.HELD if now < episode.first_received_at + SETTLE else Need.TICKET


def cause_of(fault: FaultCode) -> str:
    """What one ticket is about: the component, or the code where no component is known."""
    if fault.component is Component.UNKNOWN:
        return f"{fault.system}/{fault.code}"
    return str(fault.component)
