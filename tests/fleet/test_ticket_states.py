from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from fleet.ticket_states import (
    FINISHED,
    TRANSITIONS,
    Event,
    IllegalTransitionError,
    State,
    advance,
    mermaid,
)

PAGE = Path(__file__).parents[2] / "docs" / "tickets.md"

# Written out by hand, so that a slip in the table is seen: `.` refuses.
GRID = """
            new       triaged   assigned  waiting   solved    verified  closed    void
triage      triaged   .         triaged   .         .         .         .         .
assign      assigned  assigned  assigned  assigned  .         .         .         .
wait        .         waiting   waiting   .         .         .         .         .
resume      .         .         .         assigned  .         .         .         .
solve       solved    solved    solved    solved    .         .         .         .
verify      .         .         .         .         verified  .         .         .
close       .         .         .         .         closed    closed    .         .
void        void      void      void      void      .         .         .         .
recur       new       triaged   assigned  waiting   new       .         .         .
reopen      .         .         .         .         triaged   .         .         .
"""


def _expected() -> dict[tuple[State, Event], State | None]:
    head, *lines = [line.split() for line in GRID.strip().splitlines()]
    return {
        (State(state), Event(event)): None if cell == "." else State(cell)
        for event, *cells in lines
        for state, cell in zip(head, cells, strict=True)
    }


EXPECTED = _expected()


def test_the_grid_is_whole():
    assert set(EXPECTED) == set(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_state_meets_every_event(state, event):
    new = EXPECTED[state, event]
    if new is not None:
        assert advance(state, event) is new
    else:
        with pytest.raises(IllegalTransitionError, match=f"{state} takes no {event}"):
            advance(state, event)


def test_every_state_can_be_reached_and_every_one_can_be_left_for_an_end():
    def reached_from(start: State) -> set[State]:
        reached, ahead = {start}, {start}
        while ahead:
            ahead = {new for old in ahead for new in TRANSITIONS[old].values()} - reached
            reached |= ahead
        return reached

    assert reached_from(State.NEW) == set(State)
    for state in State:
        assert reached_from(state) & {State.CLOSED, State.VOID}


def test_a_fault_that_comes_back_never_finishes_a_ticket():
    for steps in TRANSITIONS.values():
        assert steps.get(Event.RECUR) not in {State.SOLVED, *FINISHED}


def test_what_is_finished_never_opens_again():
    for state in FINISHED:
        assert set(TRANSITIONS[state].values()) <= FINISHED


def test_the_diagram_has_each_step_once():
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", mermaid(), re.MULTILINE)
    drawn = [(State(o), Event(e), State(n)) for o, n, es in arrows for e in es.split(", ")]
    steps = [(o, e, n) for o, row in TRANSITIONS.items() for e, n in row.items() if n is not o]
    assert sorted(drawn) == sorted(steps)


def test_the_page_has_the_diagram_of_the_table():
    (shown,) = re.findall(r"```mermaid\n(.*?)\n```", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown == mermaid(), "put the output of fleet.ticket_states.mermaid() there"
