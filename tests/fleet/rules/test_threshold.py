from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evidence import NOON, at, facts, rule_of, window

from fleet.rules.facts import Sample, day_closes_at, day_of
from fleet.rules.findings import Need
from fleet.rules.kinds.threshold import KIND, MAX_POINTS
from fleet.rules.parameters import ParameterError
from fleet.rules.rule import Asks
from fleet.words import Component, Severity

LOW = {
    "metric": "battery_voltage_v",
    "below": "21 V",
    "release": "22 V",
    "hold": "30 s",
    "max_gap": "2 min",
    "apart": "1 h",
}


def samples(*values, every=60.0, start=0.0):
    """A value each `every` seconds from `start` on; None: no sample then."""
    return [
        Sample(at(seconds=start + every * n), value)
        for n, value in enumerate(values)
        if value is not None
    ]


def evaluate(voltage, current=(), *, now=None, from_at=None, rule=None, **changes):
    rule = rule or rule_of(KIND, **LOW | changes)
    now = now or at(3)
    loaded = {"battery_voltage_v": voltage, "motor_left_current_a": current}
    known = facts(now, samples=loaded)
    return rule.condition.evaluate(rule, known, window(from_at or at(-30), now))


def minutes(findings):
    """Start and last sample of each finding, in minutes from `NOON`."""
    minute = timedelta(minutes=1)
    return [((f.started_at - NOON) / minute, (f.last_at - NOON) / minute) for f in findings]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([24, 20.5, 24], [], id="a lone sample has no length"),
        pytest.param([24, 20.5, 20.4, 24], [(2, 2)], id="two samples"),
        pytest.param([21, 21, 21], [], id="at the limit is not below it"),
        pytest.param([20, 21.5, 20, 24], [], id="until it holds every value must be below"),
        pytest.param([20, 20, 21.5, 20, 24], [(1, 3)], id="then short of the release"),
        pytest.param([20, 20, 22, 20, 24], [(1, 1)], id="the release ends it"),
        pytest.param([20, None, 20, 24], [(2, 2)], id="a gap no longer than allowed"),
        pytest.param([20, None, None, 20], [], id="a gap proves nothing"),
        pytest.param([20, 20, None, None, 20], [(1, 1)], id="and ends it"),
    ],
)
def test_below_for_half_a_minute(values, expected):
    assert minutes(evaluate(samples(*values))) == expected


@pytest.mark.parametrize(
    ("changes", "values", "expected"),
    [
        pytest.param({"min_samples": 3}, [20, 20, 24], [], id="too few samples"),
        pytest.param({"min_samples": 3}, [20, 20, 20], [(2, 2)], id="enough samples"),
        pytest.param({"hold": "61 s"}, [20, 20, 24], [], id="too short"),
        pytest.param({"hold": "0 s"}, [24, 20, 24], [(1, 1)], id="no hold asked for"),
        pytest.param(
            {"below": None, "above": "28 V", "release": "27 V"},
            [24, 28.5, 27.5, 28.5, 29, 27.5, 26.9],
            [(4, 5)],
            id="above",
        ),
    ],
)
def test_parameters(changes, values, expected):
    when = {key: value for key, value in (LOW | changes).items() if value is not None}
    assert minutes(evaluate(samples(*values), rule=rule_of(KIND, **when))) == expected


def test_stretches_close_to_each_other_are_one_finding():
    low = [20, 20, 24]
    close = samples(*low) + samples(*low, start=30 * 60)
    (finding,) = evaluate(close)
    assert (finding.occurrence_n, finding.measures["stretch_count"]) == (2, 2)
    far = samples(*low) + samples(*low, start=70 * 60)
    assert len(evaluate(far)) == 2


def test_a_stretch_joins_if_it_holds_in_time_not_if_it_begins_in_time():
    first, second = evaluate(samples(20, 20, 24) + samples(20, 20, start=60.5 * 60))
    assert second.started_at == at(minutes=61.5) > first.ended_at


def test_it_is_over_an_hour_after_the_last_stretch():
    (finding,) = evaluate(samples(20, 20, 24))
    assert finding.ended_at == at(minutes=61)


def test_only_closed_days_are_judged_and_a_day_is_known_when_it_closes():
    voltage = samples(20, 20, 24)
    closes_at = day_closes_at(day_of(NOON))
    assert not evaluate(voltage, now=closes_at - timedelta(seconds=1))
    (finding,) = evaluate(voltage, now=closes_at)
    assert finding.known_at == closes_at


UNDER_LOAD = {"while_metric": "motor_left_current_a", "while_above": "5 A"}


def test_only_under_load():
    voltage = samples(20, 20, 20, 20)
    assert not evaluate(voltage, **UNDER_LOAD)
    assert not evaluate(voltage, samples(2, 8, 2, 2), **UNDER_LOAD)
    assert minutes(evaluate(voltage, samples(2, 8, 8, 2), **UNDER_LOAD)) == [(2, 2)]


def test_a_value_at_rest_neither_proves_nor_ends_it():
    current = samples(8, 0, 8, 8)
    assert minutes(evaluate(samples(20, 25, 20, 24), current, **UNDER_LOAD)) == [(2, 2)]


def test_only_in_hours_in_which_a_slow_value_was_always_good():
    """The charge is told once a record, not with each voltage."""
    rule = rule_of(KIND, **LOW, given_metric="state_of_charge_pct", given_above="50 %")
    voltage = samples(20, 20, start=600) + samples(20, 20, start=4200) + samples(20, 20, start=7800)
    charge = samples(80, 70, every=900.0) + samples(55, 49, every=900.0, start=3600)
    loaded = {"battery_voltage_v": voltage, "state_of_charge_pct": charge}
    found = rule.condition.evaluate(rule, facts(at(3), samples=loaded), window(at(-30), at(3)))
    assert minutes(found) == [(11, 11)]
    assert found[0].said.happened.sv.endswith("räknas.")
    assert rule.condition.needs.samples == ("battery_voltage_v", "state_of_charge_pct")


def test_needs_name_the_suspicious_hours():
    needs = rule_of(KIND, **LOW | UNDER_LOAD).condition.needs
    assert needs.samples == ("battery_voltage_v", "motor_left_current_a")
    assert needs.bounds == (("battery_voltage_v", 21.0, None),)
    assert needs.on_agenda
    above = rule_of(KIND, metric="battery_voltage_v", above="30 V").condition.needs
    assert above.bounds == (("battery_voltage_v", None, 30.0),)


def test_hours_that_another_rule_asked_for_change_nothing():
    """By hysteresis alone the next hour would go on with the stretch."""
    low = samples(20, 20, start=58 * 60)
    quiet_hour = samples(*[21.5] * 30, start=60 * 60)
    assert evaluate(low + quiet_hour) == evaluate(low)


def test_what_the_finding_says():
    asks = Asks(severity=Severity.MAJOR, component=Component.BATTERY)
    rule = rule_of(KIND, asks=asks, **LOW | UNDER_LOAD)
    (finding,) = evaluate(samples(20, 19.4, 20), samples(9, 9, 9), rule=rule)
    assert (finding.about, finding.cause) == ("battery_voltage_v", "battery")
    assert finding.need is Need.TICKET
    assert finding.said.title.sv == "Titel · lägst 19,4\N{NO-BREAK SPACE}V"
    assert finding.measures["worst_battery_voltage_v"] == 19.4
    assert finding.measures["limit_battery_voltage_v"] == 21.0
    assert [point.value for point in finding.points] == [20, 19.4, 20]
    happened = finding.said.happened.sv
    assert happened.startswith("Batterispänning under 21,0\N{NO-BREAK SPACE}V")
    assert "som längst 2\N{NO-BREAK SPACE}minuter" in happened
    assert "ström i vänster drivmotor var över 5,0\N{NO-BREAK SPACE}A räknas" in happened


def test_the_evidence_is_limited_and_has_the_worst_value():
    values = [20.5] * 301
    values[217] = 18.0
    (finding,) = evaluate(samples(*values, every=10))
    assert MAX_POINTS / 2 < len(finding.points) <= MAX_POINTS + 1
    assert min(point.value for point in finding.points) == 18.0


def test_a_care_rule_asks_for_care():
    rule = rule_of(KIND, care=True, **LOW)
    assert evaluate(samples(20, 20), rule=rule)[0].need is Need.CARE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"above": "30 V"}, "exactly one"),
        ({"release": "20 V"}, "bad side"),
        ({"apart": "1 min"}, "shorter than max_gap"),
        ({"while_metric": "motor_left_current_a"}, "exactly one"),
        ({"while_metric": "battery_voltage_v", "while_above": "5 V"}, "the metric itself"),
        ({"given_metric": "state_of_charge_pct"}, "given_below and given_above: exactly one"),
    ],
)
def test_senseless_values_are_refused(changes, said):
    with pytest.raises(ParameterError, match=said):
        rule_of(KIND, **LOW | changes)


volts = st.sampled_from([18.0, 20.0, 21.0, 21.5, 22.0, 25.0])
records = st.dictionaries(
    st.integers(0, 6 * 60), st.tuples(volts, st.sampled_from([0.0, 9.0])), max_size=60
)


def told(findings):
    return [(f.started_at, f.last_at, f.ended_at, f.measures) for f in findings]


@settings(deadline=None, max_examples=40)
@given(records, st.integers(0, 6 * 60), st.data())
def test_any_order_and_any_two_windows_give_the_same_findings(drawn, minute, data):
    voltage = [Sample(at(minutes=m), v) for m, (v, _) in drawn.items()]
    current = [Sample(at(minutes=m), a) for m, (_, a) in drawn.items()]
    changes = UNDER_LOAD | {"max_gap": "5 min", "apart": "20 min"}
    whole = evaluate(voltage, current, **changes)
    shuffled = data.draw(st.permutations(voltage))
    assert told(evaluate(shuffled, current, **changes)) == told(whole)
    from_at = at(minutes=minute)
    for finding in reversed(whole):
        if finding.started_at < from_at <= (finding.ended_at or at(9)):
            from_at = finding.started_at
    later = evaluate(voltage, current, from_at=from_at, **changes)
    assert told(later) == told(f for f in whole if f.ended_at is None or f.ended_at >= from_at)


@settings(deadline=None, max_examples=40)
@given(records)
def test_every_finding_rests_on_values_that_held(drawn):
    voltage = [Sample(at(minutes=m), v) for m, (v, _) in drawn.items()]
    by_time = dict(voltage)
    for finding in evaluate(voltage, max_gap="1 min", apart="1 min"):
        before = finding.started_at - timedelta(minutes=1)
        assert by_time[before] < 21
        assert by_time[finding.started_at] < 21
        assert by_time[finding.last_at] < 22
