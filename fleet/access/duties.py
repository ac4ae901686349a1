"""Which roles may do what to tickets. Pure; the endpoint's policy has let them in before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fleet.access.callers import Role
from fleet.ticket_actions import Action, Work, offered

_ALL: Final = frozenset(Action)
_OF_THE_DESK: Final = frozenset({
    Action.VOID, Action.REORDER, Action.CONFIRM_URGENT, Action.DECLINE_URGENT,
})  # fmt: skip
"""What decides which order is carried out, and what it costs: the service desk's to say."""

ACTIONS_OF: Final[Mapping[Role, frozenset[Action]]] = {
    Role.SERVICE_DESK: _ALL,
    Role.CENTRE_MANAGER: _ALL,
    Role.TECHNICIAN: _ALL - _OF_THE_DESK,
}


def actions_of(role: Role) -> frozenset[Action]:
    """What a role may do to tickets; nothing, where the table does not say."""
    return ACTIONS_OF.get(role, frozenset())


def offered_to(role: Role, work: Work) -> frozenset[Action]:
    """The actions to show somebody: theirs to take, and open on this ticket now."""
    return offered(work) & actions_of(role)
