from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evidence import DEVICE, at, facts, rule_of, window

from fleet.rules.facts import day_closes_at, day_starts_at
from fleet.rules.findings import NOTHING, Need, Said
from fleet.rules.kinds import fault
from fleet.rules.rule import Asks, Needs, Verdict, Window, cause_of_rule, fold_days
from fleet.words import Component, DeviceClass, Severity

RULE = rule_of(fault.KIND)
DAY = day_starts_at(740_000)


def a_window(first, last):
    return Window(day_starts_at(first), first, last)


def fold(yes, first=740_000, last=740_010, rule=RULE, decided=None):
    def judge(day, was_on):
        if day - 740_000 in yes:
            said = Said(NOTHING, NOTHING, NOTHING)
            return Verdict(said, 0.5, measures=(("day", float(day)), ("on", float(was_on))))
        return None

    return fold_days(rule, "x", a_window(first, last), judge, decided)


def test_runs_of_days():
    first, second = fold({1, 2, 9, 10})
    assert (first.started_at, first.ended_at) == (day_starts_at(740_001), day_starts_at(740_003))
    assert (second.started_at, second.ended_at) == (day_starts_at(740_009), None)
    assert (first.occurrence_n, first.known_at) == (2, day_closes_at(740_001))
    assert first.measures == {"day": 740_002.0, "on": 1.0}


def test_days_without_data_keep_the_state():
    (only,) = fold({1, 4}, decided=[740_000, 740_001, 740_004, 740_005])
    assert (only.started_at, only.ended_at) == (day_starts_at(740_001), day_starts_at(740_005))


def test_what_is_asked_is_in_the_finding():
    asks = Asks(severity=Severity.CRITICAL, component=Component.RADIO)
    (finding,) = fold({1}, rule=replace(RULE, asks=asks))
    assert (finding.severity, finding.cause, finding.need) == ("critical", "radio", Need.TICKET)
    (cared,) = fold({1}, rule=replace(RULE, care=True))
    assert cared.need is Need.CARE


@given(st.sets(st.integers(0, 10)))
def test_a_day_is_in_a_finding_if_and_only_if_it_is_judged_so(yes):
    inside = {
        day - 740_000
        for f in fold(yes)
        for day in range(740_000, 740_011)
        if f.started_at <= day_starts_at(day)
        and (not f.ended_at or day_starts_at(day) < f.ended_at)
    }
    assert inside == yes


@pytest.mark.parametrize(
    ("component", "cause"),
    [(None, "rule:a-rule"), (Component.UNKNOWN, "rule:a-rule"), (Component.BATTERY, "battery")],
)
def test_the_cause_is_the_component_or_the_rule(component, cause):
    assert cause_of_rule(replace(RULE, asks=Asks(component=component))) == cause


@pytest.mark.parametrize(
    ("classes", "models", "covered"),
    [
        (set(), set(), True),
        ({DeviceClass.POWERED_WHEELCHAIR}, set(), True),
        ({DeviceClass.APAP}, set(), False),
        (set(), {"permobil-m3"}, True),
        ({DeviceClass.POWERED_WHEELCHAIR}, {"invacare-bora"}, False),
    ],
)
def test_who_is_covered(classes, models, covered):
    rule = replace(RULE, device_classes=frozenset(classes), models=frozenset(models))
    assert rule.covers(DEVICE) is covered


def test_only_faults_speak_at_once():
    assert not Needs(episodes=True).on_agenda
    assert Needs(metrics=("drive_time_s",)).on_agenda
    assert facts(at(0)).now == at(0)
    assert window(at(0), at(2)).days == range(window(at(0), at(2)).first_day, at(1).toordinal() + 1)
