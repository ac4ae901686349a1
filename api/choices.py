"""The actions that a ticket's page offers, as forms with what each may be told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.schemas import PolicyOut
from api.telling import Say
from fleet.access.callers import Role
from fleet.access.duties import offered_to
from fleet.sla.deadlines import pause_label
from fleet.sla.policies import Policy, UnknownPolicyError, load_policies
from fleet.ticket_actions import PEOPLES_REASONS, Action, Detail, Outcome, Work, required
from fleet.ticket_states import OrderKind

Option = tuple[str, str]
"""A value and its words."""

_IN_ORDER: Final = (
    Action.TAKE,
    Action.RESUME,
    Action.TRIAGE,
    Action.SOLVE,
    Action.ASSIGN,
    Action.WAIT,
    Action.COMMENT,
    Action.CLOSE,
    Action.REOPEN,
    Action.REORDER,
    Action.VOID,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One action as a form. `needs` must be filled in; `options` are for its list, if any."""

    action: Action
    needs: frozenset[Detail]
    options: Sequence[Option] = ()

    @property
    def is_plain(self) -> bool:
        """True if one click says it all."""
        return not self.needs and self.action is not Action.SOLVE


@dataclass(frozen=True, slots=True)
class Choices:
    """What one person may do to one ticket now. `urgent` answers a proposal."""

    plain: Sequence[Choice]
    worded: Sequence[Choice]
    urgent: Sequence[Choice]

    @property
    def is_empty(self) -> bool:
        return not (self.plain or self.worded)


def choices(role: Role, work: Work, policy: PolicyOut | None, say: Say) -> Choices:
    """The forms for a role, in the order in which the work goes."""
    open_now = offered_to(role, work)
    found = [
        Choice(action, required(action, work.state), _options(action, work, policy, say))
        for action in _IN_ORDER
        if action in open_now
    ]
    urgent = [
        Choice(action, required(action, work.state))
        for action in (Action.CONFIRM_URGENT, Action.DECLINE_URGENT)
        if action in open_now
    ]
    return Choices([c for c in found if c.is_plain], [c for c in found if not c.is_plain], urgent)


def _options(action: Action, work: Work, policy: PolicyOut | None, say: Say) -> Sequence[Option]:
    match action:
        case Action.WAIT:
            return _pauses(_policy(policy), say)
        case Action.VOID:
            return [(reason, say.word("void", reason)) for reason in PEOPLES_REASONS]
        case Action.SOLVE:
            return [(str(outcome), say.word("outcome", outcome)) for outcome in Outcome]
        case Action.REORDER:
            return [(str(kind), say.word("kind", kind)) for kind in _kinds(work)]
        case _:
            return ()


def _policy(told: PolicyOut | None) -> Policy:
    """The agreement of the ticket, else the default, as when its clocks are opened."""
    policies = load_policies()
    try:
        return policies.default if told is None else policies.get(told.id, told.version)
    except UnknownPolicyError:
        return policies.default


def _pauses(policy: Policy, say: Say) -> list[Option]:
    return [(pause.reason, pause_label(policy, pause.reason, say.lang)) for pause in policy.pauses]


def _kinds(work: Work) -> list[OrderKind]:
    """Only a repair becomes an urgent one."""
    closed = {work.order_kind}
    if work.order_kind is not OrderKind.REPAIR:
        closed.add(OrderKind.URGENT_REPAIR)
    return [kind for kind in OrderKind if kind not in closed]


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed into a form that was refused, and why; empty before that."""

    action: Action | None = None
    values: Mapping[str, str] | None = None
    reasons: Sequence[str] = ()

    def is_open(self, action: Action) -> bool:
        return self.action is action

    def value(self, action: Action, name: str) -> str:
        return (self.values or {}).get(name, "") if self.action is action else ""


UNTOUCHED: Final = Typed()
