"""What people do with tickets: which action in which state, what each requires. Pure.

`TABLE` says it all; `act` applies one action to what stands on a ticket. The order kind of a
ticket never changes: an action that asks for another kind ends this ticket, and says which kind
the linked new one gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from fleet.ticket_states import KINDS, Event, OrderKind, State, advance
from fleet.words import Labels


class Action(StrEnum):
    TRIAGE = "triage"
    TAKE = "take"
    ASSIGN = "assign"
    WAIT = "wait"
    RESUME = "resume"
    COMMENT = "comment"
    SOLVE = "solve"
    CLOSE = "close"
    REOPEN = "reopen"
    VOID = "void"
    REORDER = "reorder"
    CONFIRM_URGENT = "confirm_urgent"
    DECLINE_URGENT = "decline_urgent"


class Outcome(StrEnum):
    """What the work came to. The first, fourth and fifth prove the ticket right."""

    REAL_FAULT = "real_fault"
    NO_FAULT_FOUND = "no_fault_found"
    USER_ERROR = "user_error"
    PART_REPLACED = "part_replaced"
    SOLVED_REMOTELY = "solved_remotely"

    @property
    def is_hit(self) -> bool:
        """True if there was a fault, so that the rule that opened the ticket was right."""
        return self in HITS


HITS: Final = frozenset({Outcome.REAL_FAULT, Outcome.PART_REPLACED, Outcome.SOLVED_REMOTELY})


class VoidReason(StrEnum):
    """Why a ticket is not carried out. `SYSTEM_REASONS` are never a person's to give."""

    DUPLICATE = "duplicate"
    FALSE_ALARM = "false_alarm"
    DEVICE_WITHDRAWN = "device_withdrawn"
    TEST = "test"
    HANDLED_ELSEWHERE = "handled_elsewhere"
    OTHER_ORDER_KIND = "other_order_kind"
    OVER_BEFORE_KNOWN = "over_before_known"
    NOT_IN_USE = "not_in_use"
    EXPLAINED_BY_ANOTHER_FAULT = "explained_by_another_fault"
    TAKEN_BACK = "taken_back"
    PART_OF_INCIDENT = "part_of_incident"


SYSTEM_REASONS: Final = frozenset(
    {
        VoidReason.OTHER_ORDER_KIND,
        VoidReason.OVER_BEFORE_KNOWN,
        VoidReason.NOT_IN_USE,
        VoidReason.EXPLAINED_BY_ANOTHER_FAULT,
        VoidReason.TAKEN_BACK,
        VoidReason.PART_OF_INCIDENT,
    }
)


class UrgentAnswer(StrEnum):
    CONFIRMED = "confirmed"
    DECLINED = "declined"


class Detail(StrEnum):
    """What an action may have to be told, besides who does it."""

    WHY = "why"
    ASSIGNEE = "assignee"
    REASON = "reason"
    OUTCOME = "outcome"
    PART = "part"
    NEW_KIND = "new_kind"


@dataclass(frozen=True, slots=True)
class Terms:
    """When an action is open to people. `event` None leaves the state as it is."""

    states: frozenset[State]
    event: Event | None
    needs: frozenset[Detail] = frozenset()
    why_in: frozenset[State] = frozenset()
    """States in which the action takes something from somebody, and so has to say why."""


_UNSTARTED: Final = frozenset({State.NEW, State.TRIAGED})
_AT_WORK: Final = frozenset({*_UNSTARTED, State.ASSIGNED, State.WAITING})
_UNENDED: Final = frozenset({*_AT_WORK, State.SOLVED, State.VERIFIED})

TABLE: Final[Mapping[Action, Terms]] = {
    Action.TRIAGE: Terms(frozenset({State.NEW, State.ASSIGNED}), Event.TRIAGE),
    # Taking is for what nobody has, so that two people cannot both take one.
    Action.TAKE: Terms(_UNSTARTED, Event.ASSIGN),
    Action.ASSIGN: Terms(
        _AT_WORK, Event.ASSIGN, frozenset({Detail.ASSIGNEE}), _AT_WORK - _UNSTARTED
    ),
    Action.WAIT: Terms(
        frozenset({State.TRIAGED, State.ASSIGNED}), Event.WAIT, frozenset({Detail.REASON})
    ),
    Action.RESUME: Terms(frozenset({State.WAITING}), Event.RESUME),
    # Such as that somebody phoned. Also of a repair that nobody has closed yet.
    Action.COMMENT: Terms(_UNENDED, None, frozenset({Detail.WHY})),
    Action.SOLVE: Terms(_AT_WORK, Event.SOLVE, frozenset({Detail.OUTCOME})),
    # Closing what nothing has verified takes a person's word for it.
    Action.CLOSE: Terms(
        frozenset({State.SOLVED, State.VERIFIED}), Event.CLOSE, why_in=frozenset({State.SOLVED})
    ),
    Action.REOPEN: Terms(frozenset({State.SOLVED}), Event.REOPEN, frozenset({Detail.WHY})),
    Action.VOID: Terms(_AT_WORK, Event.VOID, frozenset({Detail.REASON})),
    Action.REORDER: Terms(_AT_WORK, Event.VOID, frozenset({Detail.NEW_KIND, Detail.WHY})),
    Action.CONFIRM_URGENT: Terms(_AT_WORK, Event.VOID),
    Action.DECLINE_URGENT: Terms(_AT_WORK, None, frozenset({Detail.WHY})),
}

STAYING_KINDS: Final[Mapping[Action, str]] = {
    Action.COMMENT: "commented",
    Action.DECLINE_URGENT: "urgent_declined",
}
"""What a ticket's history calls an action that leaves the state as it is."""

_URGENT: Final = frozenset({Action.CONFIRM_URGENT, Action.DECLINE_URGENT})


def allowed(state: State) -> frozenset[Action]:
    """The actions that people have in `state`."""
    return frozenset(action for action, terms in TABLE.items() if state in terms.states)


def required(action: Action, state: State) -> frozenset[Detail]:
    """What `action` has to be told in `state`, besides who does it."""
    terms = TABLE[action]
    return terms.needs | ({Detail.WHY} if state in terms.why_in else frozenset())


class ActionRefusedError(ValueError):
    """The action cannot be done as asked; the message says why and what can."""


@dataclass(frozen=True, slots=True)
class Request:
    """One action, as a person asks for it.

    `reason` is a word: for `wait` one that the agreement's policy knows, for `void` a
    `VoidReason`. `why` is in the person's own words; for `comment` it is the note.
    """

    action: Action
    who: str
    why: str = ""
    assignee: str | None = None
    reason: str | None = None
    outcome: Outcome | None = None
    part: str | None = None
    minutes: int | None = None
    new_kind: OrderKind | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What people have set on a ticket."""

    state: State
    order_kind: OrderKind
    assignee: str | None = None
    waiting_reason: str | None = None
    outcome: Outcome | None = None
    outcome_part: str | None = None
    outcome_minutes: int | None = None
    urgent_because: tuple[str, ...] = ()
    urgent_answer: UrgentAnswer | None = None

    @property
    def is_urgency_open(self) -> bool:
        """True if `akut AU` is proposed and nobody has answered."""
        is_proposed = bool(self.urgent_because) and self.order_kind is OrderKind.REPAIR
        return is_proposed and self.urgent_answer is None and self.state in _AT_WORK


@dataclass(frozen=True, slots=True)
class Step:
    """What an action makes of a ticket. With `new_kind`, a linked ticket takes its place."""

    work: Work
    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    new_kind: OrderKind | None = None


def offered(work: Work) -> frozenset[Action]:
    """The actions to show on this ticket: allowed in its state, and with something to answer."""
    actions = allowed(work.state)
    return actions if work.is_urgency_open else actions - _URGENT


def act(work: Work, request: Request) -> Step:
    """Apply one action.

    Raises:
        ActionRefusedError: not in this state, not without more words, or not with these.
    """
    request = _trimmed(request)
    _check_person(request)
    _check_state(work, request.action)
    _check_told(work, request)
    _check_words(request)
    _check_order(work, request)
    return _step(work, request)


def successor(work: Work, new_kind: OrderKind) -> Work:
    """What stands on the ticket that takes the place of `work`.

    Somebody has looked, by choosing the kind, so it is triaged; who takes it is open.
    """
    answer = work.urgent_answer
    if new_kind is OrderKind.URGENT_REPAIR and work.urgent_because:
        answer = UrgentAnswer.CONFIRMED
    because = work.urgent_because
    return Work(State.TRIAGED, new_kind, urgent_because=because, urgent_answer=answer)


def _step(work: Work, request: Request) -> Step:
    event = TABLE[request.action].event
    if event is None:
        return Step(_stayed(work, request), STAYING_KINDS[request.action], {"why": request.why})
    new = advance(work.state, event)
    detail = {"from": str(work.state), "to": str(new), **_told(request)}
    return Step(_worked(work, request, new), KINDS[event], detail, _new_kind(request))


def _stayed(work: Work, request: Request) -> Work:
    if request.action is Action.DECLINE_URGENT:
        return replace(work, urgent_answer=UrgentAnswer.DECLINED)
    return work


def _worked(work: Work, request: Request, new: State) -> Work:
    reason = request.reason if new is State.WAITING else None
    assignee = _assignee(work, request)
    moved = replace(work, state=new, waiting_reason=reason, assignee=assignee)
    match request.action:
        case Action.SOLVE:
            return _solved(moved, request)
        case Action.REOPEN:
            return replace(moved, outcome=None, outcome_part=None)
        case _:
            return _answered(moved, request)


def _assignee(work: Work, request: Request) -> str | None:
    match request.action:
        case Action.TRIAGE | Action.REOPEN:
            return None
        case Action.TAKE:
            return request.who
        case Action.ASSIGN:
            return request.assignee
        case Action.RESUME:
            return work.assignee or request.who
        case _:
            return work.assignee


def _solved(work: Work, request: Request) -> Work:
    """Minutes add up: the second repair of a ticket costs time as well."""
    minutes = work.outcome_minutes
    if request.minutes is not None:
        minutes = (minutes or 0) + request.minutes
    return replace(
        work, outcome=request.outcome, outcome_part=request.part, outcome_minutes=minutes
    )


def _answered(work: Work, request: Request) -> Work:
    if _new_kind(request) is not OrderKind.URGENT_REPAIR or not work.urgent_because:
        return work
    return replace(work, urgent_answer=work.urgent_answer or UrgentAnswer.CONFIRMED)


def _new_kind(request: Request) -> OrderKind | None:
    if request.action is Action.CONFIRM_URGENT:
        return OrderKind.URGENT_REPAIR
    return request.new_kind if request.action is Action.REORDER else None


_TOLD: Final[Mapping[Action, tuple[str, ...]]] = {
    Action.TAKE: ("assignee",),
    Action.ASSIGN: ("assignee",),
    Action.WAIT: ("reason",),
    Action.SOLVE: ("outcome", "part", "minutes"),
    Action.VOID: ("reason",),
    Action.REORDER: ("reason", "new_kind"),
    Action.CONFIRM_URGENT: ("reason", "new_kind"),
}


def _told(request: Request) -> dict[str, Any]:
    """What belongs to the action, for the ticket's history. Empty things are left out."""
    new_kind = _new_kind(request)
    told: dict[str, Any] = {
        "reason": VoidReason.OTHER_ORDER_KIND if new_kind else request.reason,
        "new_kind": new_kind,
        "assignee": request.who if request.action is Action.TAKE else request.assignee,
        "outcome": request.outcome,
        "part": request.part,
    }
    listed = _TOLD.get(request.action, ())
    words: dict[str, Any] = {key: str(told[key]) for key in told if key in listed and told[key]}
    if "minutes" in listed and request.minutes is not None:
        words["minutes"] = request.minutes
    return words | ({"why": request.why} if request.why else {})


NAME_MAX: Final = 80
WHY_MAX: Final = 2000
MINUTES_MAX: Final = 6000
"""A hundred hours on one repair is a slip of the finger."""

MACHINE_NAMES: Final = frozenset({"diagnostics", "diagnose"})


def _trimmed(request: Request) -> Request:
    assignee, part = (_or_none(text) for text in (request.assignee, request.part))
    who, why = request.who.strip(), request.why.strip()
    return replace(request, who=who, why=why, assignee=assignee, part=part)


def _or_none(text: str | None) -> str | None:
    return (text or "").strip() or None


def _check_person(request: Request) -> None:
    if not request.who:
        raise ActionRefusedError(f"{request.action} needs to know who: give a name")
    for name in (request.who, request.assignee or ""):
        if len(name) > NAME_MAX or not (name or "x").isprintable():
            raise ActionRefusedError(f"a name has at most {NAME_MAX} visible characters")
        if name.lower() in MACHINE_NAMES:
            raise ActionRefusedError(f"{name!r} is the system's own name: give a person's")


def _check_state(work: Work, action: Action) -> None:
    if work.state in TABLE[action].states:
        return
    actions = ", ".join(sorted(allowed(work.state))) or "nothing more"
    raise ActionRefusedError(f"{action} is not for a ticket that is {work.state}; it has {actions}")


_ASKED: Final[Mapping[Detail, str]] = {
    Detail.WHY: "why, in a few words",
    Detail.ASSIGNEE: "to whom",
    Detail.REASON: "a reason",
    Detail.OUTCOME: f"an outcome: {', '.join(Outcome)}",
    Detail.PART: "which part was replaced",
    Detail.NEW_KIND: f"the new order kind: {', '.join(OrderKind)}",
}


def _check_told(work: Work, request: Request) -> None:
    needs = required(request.action, work.state)
    if request.outcome is Outcome.PART_REPLACED:
        needs |= {Detail.PART}
    missing = [detail for detail in Detail if detail in needs and not getattr(request, detail)]
    if missing:
        asked = " and ".join(_ASKED[detail] for detail in missing)
        raise ActionRefusedError(f"{request.action} of a ticket that is {work.state} needs {asked}")


def _check_words(request: Request) -> None:
    if request.action is Action.VOID and request.reason not in PEOPLES_REASONS:
        listed = ", ".join(PEOPLES_REASONS)
        raise ActionRefusedError(f"void reason {request.reason!r}: use one of {listed}")
    if len(request.why) > WHY_MAX or len(request.part or "") > WHY_MAX:
        raise ActionRefusedError(f"a text has at most {WHY_MAX} characters")
    if request.minutes is not None and not 0 <= request.minutes <= MINUTES_MAX:
        raise ActionRefusedError(f"{request.minutes} minutes: use 0 to {MINUTES_MAX}")


PEOPLES_REASONS: Final = tuple(str(reason) for reason in VoidReason if reason not in SYSTEM_REASONS)


def _check_order(work: Work, request: Request) -> None:
    if request.action in _URGENT and not work.is_urgency_open:
        raise ActionRefusedError(_why_not_urgent(work))
    new_kind = _new_kind(request)
    if new_kind is work.order_kind:
        raise ActionRefusedError(f"the ticket is {new_kind} already")
    if new_kind is OrderKind.URGENT_REPAIR and work.order_kind is not OrderKind.REPAIR:
        raise ActionRefusedError(f"only AU becomes akut AU: reorder {work.order_kind} to AU first")


def _why_not_urgent(work: Work) -> str:
    if work.urgent_answer is not None:
        return f"whether the ticket is urgent was {work.urgent_answer} already"
    if work.order_kind is not OrderKind.REPAIR:
        return f"only AU becomes akut AU, and the ticket is {work.order_kind}"
    return "nothing proposes akut AU for this ticket: reorder it, and say why"


ACTION_LABELS: Final[Labels[Action]] = {
    "sv": {
        Action.TRIAGE: "bedöm",
        Action.TAKE: "ta ärendet",
        Action.ASSIGN: "tilldela",
        Action.WAIT: "låt vänta",
        Action.RESUME: "återuppta",
        Action.COMMENT: "anteckna",
        Action.SOLVE: "markera som åtgärdat",
        Action.CLOSE: "avsluta",
        Action.REOPEN: "öppna igen",
        Action.VOID: "makulera",
        Action.REORDER: "byt ordertyp",
        Action.CONFIRM_URGENT: "bekräfta som akut",
        Action.DECLINE_URGENT: "inte akut",
    },
    "en": {
        Action.TRIAGE: "triage",
        Action.TAKE: "take it",
        Action.ASSIGN: "assign",
        Action.WAIT: "put on hold",
        Action.RESUME: "resume",
        Action.COMMENT: "add a note",
        Action.SOLVE: "mark as solved",
        Action.CLOSE: "close",
        Action.REOPEN: "reopen",
        Action.VOID: "void",
        Action.REORDER: "change the order kind",
        Action.CONFIRM_URGENT: "confirm as urgent",
        Action.DECLINE_URGENT: "not urgent",
    },
}

STATE_LABELS: Final[Labels[State]] = {
    "sv": {
        State.NEW: "nytt",
        State.TRIAGED: "bedömt",
        State.ASSIGNED: "tilldelat",
        State.WAITING: "väntar",
        State.SOLVED: "åtgärdat",
        State.VERIFIED: "bekräftat",
        State.CLOSED: "avslutat",
        State.VOID: "makulerat",
    },
    "en": {state: str(state) for state in State},
}

OUTCOME_LABELS: Final[Labels[Outcome]] = {
    "sv": {
        Outcome.REAL_FAULT: "verkligt fel",
        Outcome.NO_FAULT_FOUND: "inget fel hittat",
        Outcome.USER_ERROR: "handhavande",
        Outcome.PART_REPLACED: "del utbytt",
        Outcome.SOLVED_REMOTELY: "åtgärdat på distans",
    },
    "en": {
        Outcome.REAL_FAULT: "real fault",
        Outcome.NO_FAULT_FOUND: "no fault found",
        Outcome.USER_ERROR: "handling",
        Outcome.PART_REPLACED: "part replaced",
        Outcome.SOLVED_REMOTELY: "solved remotely",
    },
}

VOID_REASON_LABELS: Final[Labels[VoidReason]] = {
    "sv": {
        VoidReason.DUPLICATE: "finns redan som annat ärende",
        VoidReason.FALSE_ALARM: "inget fel, larmade i onödan",
        VoidReason.DEVICE_WITHDRAWN: "hjälpmedlet är taget ur bruk",
        VoidReason.TEST: "test eller utbildning",
        VoidReason.HANDLED_ELSEWHERE: "hanteras på annat sätt",
        VoidReason.OTHER_ORDER_KIND: "ersatt av ett ärende med annan ordertyp",
        VoidReason.OVER_BEFORE_KNOWN: "felet var redan över när det blev känt",
        VoidReason.NOT_IN_USE: "hjälpmedlet var inte hos användaren",
        VoidReason.EXPLAINED_BY_ANOTHER_FAULT: "följd av ett annat fel",
        VoidReason.TAKEN_BACK: "underlaget visade sig inte stämma",
        VoidReason.PART_OF_INCIDENT: "ingår i ett samlat ärende för flera hjälpmedel",
    },
    "en": {
        VoidReason.DUPLICATE: "there is another ticket for it",
        VoidReason.FALSE_ALARM: "no fault, a false alarm",
        VoidReason.DEVICE_WITHDRAWN: "the device is out of service",
        VoidReason.TEST: "test or training",
        VoidReason.HANDLED_ELSEWHERE: "handled in another way",
        VoidReason.OTHER_ORDER_KIND: "replaced by a ticket of another order kind",
        VoidReason.OVER_BEFORE_KNOWN: "the fault was over before it was known",
        VoidReason.NOT_IN_USE: "the device was not with its user",
        VoidReason.EXPLAINED_BY_ANOTHER_FAULT: "a consequence of another fault",
        VoidReason.TAKEN_BACK: "the evidence did not hold",
        VoidReason.PART_OF_INCIDENT: "part of a group ticket for several devices",
    },
}

ORDER_KIND_LABELS: Final[Labels[OrderKind]] = {
    "sv": {
        OrderKind.REPAIR: "avhjälpande underhåll",
        OrderKind.URGENT_REPAIR: "akut avhjälpande underhåll",
        OrderKind.PREVENTIVE: "förebyggande underhåll",
        OrderKind.SUPPORT: "support",
        OrderKind.SUPPLIER: "leverantör",
    },
    "en": {
        OrderKind.REPAIR: "repair",
        OrderKind.URGENT_REPAIR: "urgent repair",
        OrderKind.PREVENTIVE: "preventive maintenance",
        OrderKind.SUPPORT: "support",
        OrderKind.SUPPLIER: "supplier",
    },
}
