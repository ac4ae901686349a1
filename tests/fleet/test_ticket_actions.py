from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fleet.ticket_actions import (
    ACTION_LABELS,
    HITS,
    ORDER_KIND_LABELS,
    OUTCOME_LABELS,
    STATE_LABELS,
    SYSTEM_REASONS,
    TABLE,
    VOID_REASON_LABELS,
    Action,
    ActionRefusedError,
    Detail,
    Outcome,
    Request,
    UrgentAnswer,
    VoidReason,
    Work,
    act,
    allowed,
    offered,
    required,
    successor,
)
from fleet.ticket_states import FINISHED, TRANSITIONS, OrderKind, State, advance

PAGE = Path(__file__).parents[2] / "docs" / "tickets.md"
AU, AKUT = OrderKind.REPAIR, OrderKind.URGENT_REPAIR

# Written out by hand: what people have in each state.
ALLOWED = {
    "new": "triage take assign comment solve void reorder confirm_urgent decline_urgent",
    "triaged": "take assign wait comment solve void reorder confirm_urgent decline_urgent",
    "assigned": "triage assign wait comment solve void reorder confirm_urgent decline_urgent",
    "waiting": "assign resume comment solve void reorder confirm_urgent decline_urgent",
    "solved": "comment close reopen",
    "verified": "comment close",
    "closed": "",
    "void": "",
}


def work(state="new", kind=AU, **fields) -> Work:
    defaults: dict[str, object] = {}
    if state in ("assigned", "waiting"):
        defaults["assignee"] = "Bo"
    if state == "waiting":
        defaults["waiting_reason"] = "part_on_order"
    return Work(State(state), kind, **(defaults | fields))  # type: ignore[arg-type]


def request(action, **fields) -> Request:
    """An action told all that it may need."""
    told: dict[str, object] = {"who": "Anna", "why": "därför"}
    match action:
        case Action.ASSIGN:
            told["assignee"] = "Cilla"
        case Action.WAIT:
            told["reason"] = "part_on_order"
        case Action.VOID:
            told["reason"] = "duplicate"
        case Action.SOLVE:
            told["outcome"] = Outcome.REAL_FAULT
        case Action.REORDER:
            told["new_kind"] = OrderKind.SUPPORT
    return Request(action, **(told | fields))  # type: ignore[arg-type]


PROPOSED = {"urgent_because": ("sole_mobility", "unusable")}


@pytest.mark.parametrize(("state", "action"), list(itertools.product(State, Action)))
def test_every_state_meets_every_action(state, action):
    stands = work(str(state), **PROPOSED)
    if action in ALLOWED[state].split():
        assert action in allowed(state)
        step = act(stands, request(action))
        event = TABLE[action].event
        assert step.work.state is (advance(state, event) if event else state)
    else:
        assert action not in allowed(state)
        with pytest.raises(ActionRefusedError, match=f"{action} is not for a ticket that is"):
            act(stands, request(action))


def test_the_refusal_says_what_is_possible():
    with pytest.raises(ActionRefusedError, match="it has close, comment, reopen"):
        act(work("solved"), request(Action.TAKE))
    with pytest.raises(ActionRefusedError, match="it has nothing more"):
        act(work("closed"), request(Action.TAKE))


def test_every_action_stands_on_the_table_of_states():
    for terms in TABLE.values():
        for state in terms.states:
            assert terms.event is None or terms.event in TRANSITIONS[state]
        assert not terms.states & {State.CLOSED, State.VOID}
        assert terms.why_in <= terms.states


_EMPTY = {
    Detail.WHY: {"why": "  "},
    Detail.ASSIGNEE: {"assignee": " "},
    Detail.REASON: {"reason": None},
    Detail.OUTCOME: {"outcome": None},
    Detail.NEW_KIND: {"new_kind": None},
}


@pytest.mark.parametrize(
    ("state", "action", "needs"),
    [
        ("new", Action.TRIAGE, ""),
        ("new", Action.TAKE, ""),
        ("new", Action.ASSIGN, "assignee"),
        ("assigned", Action.ASSIGN, "assignee why"),
        ("waiting", Action.ASSIGN, "assignee why"),
        ("triaged", Action.WAIT, "reason"),
        ("waiting", Action.RESUME, ""),
        ("verified", Action.COMMENT, "why"),
        ("assigned", Action.SOLVE, "outcome"),
        ("verified", Action.CLOSE, ""),
        ("solved", Action.CLOSE, "why"),
        ("solved", Action.REOPEN, "why"),
        ("new", Action.VOID, "reason"),
        ("assigned", Action.REORDER, "new_kind why"),
        ("new", Action.CONFIRM_URGENT, ""),
        ("new", Action.DECLINE_URGENT, "why"),
    ],
)
def test_what_an_action_needs_is_demanded_and_nothing_else(state, action, needs):
    stands = work(state, **PROPOSED)
    assert required(action, State(state)) == {Detail(word) for word in needs.split()}
    for detail, fields in _EMPTY.items():
        if detail in needs.split():
            with pytest.raises(ActionRefusedError, match=f"{action} of a ticket that is {state}"):
                act(stands, request(action, **fields))
        elif not (action is Action.VOID and detail is Detail.REASON):
            act(stands, request(action, **fields))


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("who", ["", "   ", "diagnostics", "Diagnose", "x" * 81, "a\nb"])
def test_every_action_needs_a_person(action, who):
    state = next(iter(TABLE[action].states))
    with pytest.raises(ActionRefusedError, match="name"):
        act(work(str(state), **PROPOSED), request(action, who=who))


@pytest.mark.parametrize(
    ("action", "fields", "words"),
    [
        (Action.SOLVE, {"outcome": Outcome.PART_REPLACED}, "which part was replaced"),
        (Action.SOLVE, {"minutes": -1}, "-1 minutes: use 0 to 6000"),
        (Action.SOLVE, {"minutes": 6001}, "6001 minutes"),
        (Action.VOID, {"reason": "other_order_kind"}, "use one of duplicate"),
        (Action.VOID, {"reason": "over_before_known"}, "use one of"),
        (Action.VOID, {"reason": "för att"}, "void reason 'för att'"),
        (Action.REORDER, {"new_kind": AU}, "AU already"),
        (Action.TRIAGE, {"why": "x" * 2001}, "2000 characters"),
        (Action.ASSIGN, {"assignee": "diagnostics"}, "system's own name"),
    ],
)
def test_words_that_cannot_be_right_are_refused(action, fields, words):
    with pytest.raises(ActionRefusedError, match=words):
        act(work("new"), request(action, **fields))


@pytest.mark.parametrize(
    ("state", "action", "keys"),
    [
        ("new", Action.TRIAGE, ""),
        ("new", Action.TAKE, "assignee"),
        ("new", Action.ASSIGN, "assignee"),
        ("triaged", Action.WAIT, "reason"),
        ("assigned", Action.SOLVE, "outcome part minutes"),
        ("new", Action.VOID, "reason"),
        ("new", Action.REORDER, "reason new_kind"),
        ("solved", Action.CLOSE, ""),
    ],
)
def test_the_history_has_what_belongs_to_the_action_and_nothing_else(state, action, keys):
    told = {
        "assignee": "Cilla", "reason": "duplicate", "outcome": Outcome.REAL_FAULT, "part": "broms",
        "minutes": 0, "new_kind": OrderKind.SUPPORT,
    }  # fmt: skip
    detail = act(work(state), request(action, **told)).detail
    assert set(detail) == {"from", "to", "why", *keys.split()}
    assert all(type(value) in (str, int) for value in detail.values()), "fit for JSON"


def test_a_ticket_gets_and_loses_its_technician():
    taken = act(work(), request(Action.TAKE, who=" Anna ")).work
    assert taken.assignee == "Anna"
    given = act(taken, request(Action.ASSIGN)).work
    assert (given.state, given.assignee) == (State.ASSIGNED, "Cilla")
    assert act(given, request(Action.TRIAGE)).work.assignee is None


def test_who_resumes_what_nobody_has_takes_it():
    waiting = act(work("triaged"), request(Action.WAIT)).work
    assert (waiting.assignee, waiting.waiting_reason) == (None, "part_on_order")
    assert act(waiting, request(Action.RESUME)).work.assignee == "Anna"
    resumed = act(work("waiting"), request(Action.RESUME)).work
    assert (resumed.assignee, resumed.waiting_reason) == ("Bo", None)


def test_a_repair_that_did_not_hold_loses_its_outcome_and_keeps_its_minutes():
    told = {"outcome": Outcome.PART_REPLACED, "part": "broms vänster", "minutes": 40}
    first = act(work("assigned"), request(Action.SOLVE, **told))
    assert first.detail["part"] == "broms vänster"
    again = act(first.work, request(Action.REOPEN)).work
    assert (again.state, again.assignee) == (State.TRIAGED, None)
    assert (again.outcome, again.outcome_part) == (None, None)
    told = {"outcome": Outcome.SOLVED_REMOTELY, "minutes": 5}
    second = act(again, request(Action.SOLVE, **told)).work
    assert (second.outcome, second.outcome_part) == (Outcome.SOLVED_REMOTELY, None)
    assert second.outcome_minutes == 45


def test_urgency_is_answered_only_where_it_is_proposed():
    assert {Action.CONFIRM_URGENT, Action.DECLINE_URGENT} <= offered(work(**PROPOSED))
    for stands, words in [
        (work(), "nothing proposes"),
        (work(kind=OrderKind.SUPPORT, **PROPOSED), "only AU becomes akut AU"),
        (work(kind=AKUT, **PROPOSED), "only AU becomes akut AU"),
        (work(urgent_answer=UrgentAnswer.DECLINED, **PROPOSED), "was declined already"),
    ]:
        assert not {Action.CONFIRM_URGENT, Action.DECLINE_URGENT} & offered(stands)
        for action in (Action.CONFIRM_URGENT, Action.DECLINE_URGENT):
            with pytest.raises(ActionRefusedError, match=words):
                act(stands, request(action))


def test_a_note_changes_nothing_else():
    stands = work("waiting", **PROPOSED)
    step = act(stands, request(Action.COMMENT, why=" ringde ", reason="x", new_kind=AKUT))
    assert (step.work, step.kind, step.detail) == (stands, "commented", {"why": "ringde"})
    assert step.new_kind is None


def test_a_declined_proposal_leaves_the_ticket_where_it_is():
    step = act(work("assigned", **PROPOSED), request(Action.DECLINE_URGENT, why="reservstol"))
    assert (step.kind, step.detail) == ("urgent_declined", {"why": "reservstol"})
    assert step.work == work("assigned", urgent_answer=UrgentAnswer.DECLINED, **PROPOSED)
    with pytest.raises(ActionRefusedError, match="declined already"):
        act(step.work, request(Action.CONFIRM_URGENT))


def test_a_confirmed_proposal_asks_for_an_urgent_ticket():
    step = act(work("new", **PROPOSED), request(Action.CONFIRM_URGENT))
    assert (step.work.state, step.work.order_kind) == (State.VOID, AU)
    assert (step.work.urgent_answer, step.new_kind) == (UrgentAnswer.CONFIRMED, AKUT)
    assert (step.detail["reason"], step.detail["new_kind"]) == ("other_order_kind", "akut AU")
    new = successor(step.work, AKUT)
    assert new == Work(State.TRIAGED, AKUT, urgent_answer=UrgentAnswer.CONFIRMED, **PROPOSED)
    assert not new.is_urgency_open


@pytest.mark.parametrize("kind", [kind for kind in OrderKind if kind is not AU])
def test_only_a_repair_becomes_an_urgent_repair(kind):
    if kind is not AKUT:
        with pytest.raises(ActionRefusedError, match=r"reorder .* to AU first"):
            act(work(kind=kind), request(Action.REORDER, new_kind=AKUT))
    assert act(work(kind=kind), request(Action.REORDER, new_kind=AU)).new_kind is AU


_ORDERS = st.sampled_from([None, *OrderKind])
_REQUESTS = st.builds(
    Request,
    action=st.sampled_from(Action),
    who=st.sampled_from(["Anna", "Bo", "", "diagnostics"]),
    why=st.sampled_from(["", "därför"]),
    assignee=st.sampled_from([None, "Cilla"]),
    reason=st.sampled_from([None, "part_on_order", "duplicate", "other_order_kind"]),
    outcome=st.sampled_from([None, *Outcome]),
    part=st.sampled_from([None, "batteri"]),
    minutes=st.none() | st.integers(-5, 7000),
    new_kind=_ORDERS,
)


@given(_REQUESTS, st.sampled_from(State), st.sampled_from(OrderKind), st.booleans())
def test_an_action_is_done_whole_or_refused(asked, state, kind, is_proposed):
    stands = work(str(state), kind, **(PROPOSED if is_proposed else {}))
    try:
        step = act(stands, asked)
    except ActionRefusedError:
        return
    assert asked.action in allowed(state)
    assert step.work.order_kind is kind, "the order kind never changes"
    assert (step.work.state is State.WAITING) == (step.work.waiting_reason is not None)
    assert step.work.state is not State.ASSIGNED or step.work.assignee
    assert (step.new_kind is None) or (step.work.state is State.VOID and step.new_kind is not kind)
    assert step.detail.get("to", state) == step.work.state
    assert state not in FINISHED or step.work.state in FINISHED


class Walk(RuleBasedStateMachine):
    """Anything anybody asks for, in any order; replaced tickets go on as their successors."""

    def __init__(self) -> None:
        super().__init__()
        self.stands = work(**PROPOSED)
        self.answers = 0
        self.minutes = 0

    @rule(asked=_REQUESTS)
    def ask(self, asked: Request) -> None:
        try:
            step = act(self.stands, asked)
        except ActionRefusedError:
            return
        self.answers += asked.action in {Action.CONFIRM_URGENT, Action.DECLINE_URGENT}
        if asked.action is Action.SOLVE:
            self.minutes += asked.minutes or 0
        self.stands = step.work
        if step.new_kind is not None:
            self.stands, self.minutes = successor(step.work, step.new_kind), 0

    @rule()
    def start_over(self) -> None:
        if self.stands.state in FINISHED:
            self.stands, self.answers, self.minutes = work(**PROPOSED), 0, 0

    @invariant()
    def urgency_is_answered_at_most_once(self) -> None:
        assert self.answers <= 1

    @invariant()
    def an_outcome_is_there_exactly_once_solved(self) -> None:
        is_over = self.stands.state in {State.SOLVED, State.VERIFIED, State.CLOSED}
        assert is_over == (self.stands.outcome is not None)

    @invariant()
    def no_minute_is_lost(self) -> None:
        assert (self.stands.outcome_minutes or 0) == self.minutes

    @invariant()
    def urgent_means_confirmed(self) -> None:
        if self.stands.order_kind is AKUT:
            assert self.stands.urgent_answer is UrgentAnswer.CONFIRMED


TestWalk = Walk.TestCase


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (ACTION_LABELS, Action),
        (STATE_LABELS, State),
        (OUTCOME_LABELS, Outcome),
        (VOID_REASON_LABELS, VoidReason),
        (ORDER_KIND_LABELS, OrderKind),
    ],
)
def test_every_word_has_a_label_of_its_own_in_both_languages(labels, words):
    for lang in ("sv", "en"):
        assert set(labels[lang]) == set(words)
        assert len(set(labels[lang].values())) == len(words)
        assert all(text.strip() and "!" not in text for text in labels[lang].values())


def test_the_page_lists_every_action_outcome_and_reason():
    cells = set(re.findall(r"^\| `(\w+)`", PAGE.read_text("utf-8"), re.MULTILINE))
    peoples = set(VoidReason) - SYSTEM_REASONS
    assert cells >= {*Action, *Outcome, *peoples}
    for outcome in Outcome:
        assert outcome.is_hit is (outcome in HITS)
