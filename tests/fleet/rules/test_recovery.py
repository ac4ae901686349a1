"""Did the repair hold? Back, healthy or undecided, by use and not by days alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evidence import rule_of

from fleet import tickets
from fleet.episodes import Episode
from fleet.faults import load_catalogue
from fleet.rules.facts import (
    CodedEpisode,
    DaySeries,
    DeviceProfile,
    Facts,
    Repair,
    Span,
    day_closes_at,
    day_starts_at,
)
from fleet.rules.findings import Finding
from fleet.rules.kinds.recovery import KIND, NotHealthyAfter, Outcome, judge_repair
from fleet.rules.parameters import ParameterError, read_all
from fleet.rules.rule import Window
from fleet.words import Component, DeviceClass

FIRST = date(2026, 3, 2).toordinal()
SYSTEM = "dx.bora-rem24"
FAULTS = {fault.component: fault for fault in load_catalogue() if fault.system == SYSTEM}
BRAKE, ACTUATOR = FAULTS[Component.LEFT_BRAKE], FAULTS[Component.ACTUATOR]


GIVEN = {"metric": "drive_time_s", "at_least": "2 h", "days": 5}


def a_condition(**when: object) -> NotHealthyAfter:
    values, problems = read_all(KIND.parameters, GIVEN | when)
    assert not problems
    condition = KIND.build(values)
    assert isinstance(condition, NotHealthyAfter)
    return condition


CONDITION = a_condition()
RULE = rule_of(KIND, **GIVEN)


def on(day: int, hour: int = 12) -> datetime:
    return day_starts_at(FIRST + day) + timedelta(hours=hour)


def episode(
    day: int, fault: Any = BRAKE, *, hours: float | None = 1.0, no: int = 0
) -> CodedEpisode:
    start = on(day)
    end = None if hours is None else start + timedelta(hours=hours)
    return CodedEpisode(no or day + 1, fault, Episode(start, end or start, end, 1, 1, 0, start))


def facts(
    episodes: list[CodedEpisode], now_day: int, h_per_day: float = 1.0, **known: Any
) -> Facts:
    """Driven `h_per_day` hours each day until `now_day`."""
    days = FIRST + np.arange(now_day + 1)
    high = 1e6 + 3600 * h_per_day * np.arange(1, now_day + 2)
    low = high - 3600 * h_per_day
    series = DaySeries(days, np.ones(now_day + 1), low, high, high, high)
    device = DeviceProfile(
        1, "wc-1", 1, "demo", DeviceClass.POWERED_WHEELCHAIR, "permobil-m3", None
    )
    return Facts(
        device,
        day_closes_at(FIRST + now_day),
        sorted(episodes, key=lambda item: item.episode.started_at),
        {"drive_time_s": series},
        **({"repairs": (REPAIR,)} | known),
    )


REPAIR = Repair(41, "left_brake", on(20), frozenset({f"{SYSTEM}/{BRAKE.code}"}))
BEFORE = [episode(day) for day in (8, 11, 14, 17)]  # every third hour of driving


@pytest.mark.parametrize(
    ("after", "now_day", "h_per_day", "word"),
    [
        ([], 22, 1.0, Outcome.UNDECIDED),  # too early
        ([], 29, 1.0, Outcome.HEALTHY),  # 9 h: three times the usual 3 h
        ([], 28, 1.0, Outcome.UNDECIDED),
        ([], 60, 0.0, Outcome.UNDECIDED),  # 40 days in a corner prove nothing
        ([], 24, 3.0, Outcome.UNDECIDED),  # enough driving, too few days
        ([episode(24)], 26, 1.0, Outcome.BACK),
        ([episode(24)], 60, 1.0, Outcome.BACK),
        ([episode(24, ACTUATOR)], 60, 1.0, Outcome.HEALTHY),  # another part
        ([episode(19, hours=None)], 60, 1.0, Outcome.UNDECIDED),  # it never went away
        ([episode(95)], 96, 1.0, Outcome.HEALTHY),  # beyond the watch: a new fault
    ],
)
def test_the_word_on_a_repair(
    after: list[CodedEpisode], now_day: int, h_per_day: float, word: Outcome
) -> None:
    verdict = judge_repair(CONDITION, REPAIR, facts(BEFORE + after, now_day, h_per_day))
    assert verdict.word is word


def test_the_proof_is_dated_and_measured() -> None:
    verdict = judge_repair(CONDITION, REPAIR, facts(BEFORE, 40))
    assert verdict.needed == pytest.approx(3 * 3 * 3600)
    assert verdict.since_at == day_starts_at(FIRST + 30)
    assert verdict.used == pytest.approx(20 * 3600)
    assert "20,0\u00a0h användning och 9\u00a0dygn" in verdict.said.sv


@pytest.mark.parametrize(
    ("before", "at_most", "needed_h"),
    [
        ([], None, 2),
        ([episode(10)], None, 2),
        ([episode(2), episode(19)], None, 51),
        (BEFORE, "4 h", 4),
    ],
)
def test_how_much_use_proves_it(
    before: list[CodedEpisode], at_most: str | None, needed_h: float
) -> None:
    condition = a_condition(**({"at_most": at_most} if at_most else {}))
    verdict = judge_repair(condition, REPAIR, facts(before, 40))
    assert verdict.needed == pytest.approx(needed_h * 3600)


def test_a_fault_never_reported_cannot_be_proved_gone() -> None:
    by_phone = Repair(42, "left_brake", on(20), frozenset())
    verdict = judge_repair(CONDITION, by_phone, facts([], 60, repairs=(by_phone,)))
    assert verdict.word is Outcome.UNDECIDED


def test_another_code_of_the_same_part_counts_with_less_confidence() -> None:
    stranger = Repair(43, "left_brake", on(20), frozenset({"dx.bora-rem24/none"}))
    (same,) = evaluate(facts([*BEFORE, episode(24)], 30))
    (other,) = evaluate(facts([*BEFORE, episode(24)], 30, repairs=(stranger,)))
    assert other.confidence < same.confidence


def evaluate(about: Facts, from_day: int = 0) -> list[Finding]:
    window = Window(on(from_day, 0), FIRST + from_day, FIRST + 100)
    return RULE.condition.evaluate(RULE, about, window)


def test_what_is_back_is_a_finding_about_that_repair() -> None:
    back = [episode(24), episode(26)]
    (finding,) = evaluate(facts(BEFORE + back, 30))
    assert finding.about == "repair:41"
    assert finding.cause == "left_brake"
    assert finding.started_at == on(24)
    assert finding.occurrence_n == 2
    assert finding.episodes == back
    assert finding.is_open
    assert BRAKE.code in finding.said.happened.sv
    assert "2\u00a0gånger sedan ärende 41" in finding.said.happened.sv


def test_what_is_minor_or_happens_in_the_workshop_is_no_return() -> None:
    codes = frozenset({f"{SYSTEM}/{ACTUATOR.code}"})
    seat = Repair(45, "actuator", on(20), codes)
    assert not tickets.is_for_workshop(ACTUATOR)
    assert not evaluate(facts([episode(24, ACTUATOR)], 30, repairs=(seat,)))
    visit = Span(on(23), on(25))
    assert not evaluate(facts([*BEFORE, episode(24)], 30, quiet=(visit,)))
    assert evaluate(facts([*BEFORE, episode(26)], 30, quiet=(visit,)))


def test_the_next_repair_ends_it_and_answers_for_what_comes_after() -> None:
    again = Repair(44, "left_brake", on(30), REPAIR.codes)
    about = facts([*BEFORE, episode(24), episode(35)], 40, repairs=(REPAIR, again))
    first, second = evaluate(about)
    assert (first.about, first.ended_at) == ("repair:41", on(30))
    assert (second.about, second.started_at) == ("repair:44", on(35))
    assert [f.about for f in evaluate(about, from_day=32)] == ["repair:44"]


def test_nothing_is_said_of_a_repair_that_holds() -> None:
    assert evaluate(facts(BEFORE, 60)) == []


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 60), unique=True, max_size=8))
def test_the_order_of_episodes_changes_nothing(rng: Any, days: list[int]) -> None:
    about = facts([episode(day, no=day + 1) for day in days], 70)
    shuffled = list(about.episodes)
    rng.shuffle(shuffled)
    turned = Facts(
        about.device, about.now, shuffled, about.days, repairs=tuple(reversed(about.repairs))
    )
    assert evaluate(turned) == evaluate(about)
    assert judge_repair(CONDITION, REPAIR, turned) == judge_repair(CONDITION, REPAIR, about)


@settings(max_examples=30, deadline=None)
@given(st.integers(21, 60), st.integers(0, 30))
def test_more_use_never_takes_a_proof_back(now_day: int, more: int) -> None:
    early = judge_repair(CONDITION, REPAIR, facts(BEFORE, now_day))
    late = judge_repair(CONDITION, REPAIR, facts(BEFORE, now_day + more))
    if early.word is Outcome.HEALTHY:
        assert (late.word, late.since_at) == (early.word, early.since_at)


@pytest.mark.parametrize("given_", [{"at_most": "1 h"}, {"days": 9, "watch": "7 d"}])
def test_limits_that_make_no_sense_are_refused(given_: dict[str, Any]) -> None:
    values, problems = read_all(
        KIND.parameters, {"metric": "drive_time_s", "at_least": "2 h"} | given_
    )
    assert not problems
    with pytest.raises(ParameterError):
        KIND.build(values)


def test_a_known_instant_is_needed() -> None:
    (finding,) = evaluate(facts([*BEFORE, episode(24)], 30))
    assert finding.known_at == on(24)
    assert finding.known_at.astimezone(UTC) >= REPAIR.solved_at
