from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

import pytest

from fleet.metrics import MetricKind
from fleet.rules.parameters import (
    Codes,
    Duration,
    Flag,
    MetricName,
    Number,
    ParameterError,
    Value,
    Whole,
    Word,
    Words,
    read_all,
    suggestion,
)


class Side(StrEnum):
    LEFT = "left"
    RIGHT = "right"


VOLTS = {"metric": "battery_voltage_v"}


@pytest.mark.parametrize(
    ("parameter", "value", "given", "expected"),
    [
        (Whole("n", "", low=1, high=5), 5, {}, 5),
        (Number("p", ""), 1, {}, 1.0),
        (Flag("f", ""), False, {}, False),
        (Duration("d", ""), "30 s", {}, timedelta(seconds=30)),
        (Duration("d", ""), "1.5 h", {}, timedelta(minutes=90)),
        (Duration("d", ""), "2min", {}, timedelta(minutes=2)),
        (MetricName("m", ""), "battery_voltage_v", {}, "battery_voltage_v"),
        (Value("v", ""), "21 V", VOLTS, 21.0),
        (Value("v", ""), "-2.5 V", VOLTS, -2.5),
        (Value("v", ""), "2 h", {"metric": "drive_time_s"}, 7200.0),
        (Value("v", ""), "90 s", {"metric": "drive_time_s"}, 90.0),
        (Value("v", ""), "5 count", {"metric": "charge_count"}, 5.0),
        (Value("v", "", per="d"), "0.5 V/d", VOLTS, 0.5),
        (Word("w", "", of=Side), "left", {}, Side.LEFT),
        (Words("w", "", of=Side), ["left"], {}, frozenset({Side.LEFT})),
        (Codes("c", ""), ["vr2/2C00"], {}, frozenset({"vr2/2C00"})),
    ],
)
def test_read(parameter, value, given, expected):
    assert parameter.read(value, given) == expected


@pytest.mark.parametrize(
    ("parameter", "value", "given", "said"),
    [
        (Whole("n", "", low=1, high=5), 6, {}, "6 is out of range. Write 1–5"),
        (Whole("n", ""), True, {}, "not a whole number"),
        (Whole("n", ""), 1.0, {}, "not a whole number"),
        (Number("p", ""), float("nan"), {}, "out of range"),
        (Number("p", ""), "0.5", {}, "not a number"),
        (Flag("f", ""), "yes", {}, "Write true or false"),
        (Duration("d", ""), 30, {}, 'Write it as "30 s"'),
        (Duration("d", ""), "30", {}, "no number with a unit"),
        (Duration("d", ""), "30 sec", {}, "unknown unit of time 'sec'. Use one of s, min, h, d"),
        (Duration("d", ""), "401 d", {}, "out of range"),
        (Duration("d", ""), "99999999999999999999 d", {}, "out of range"),
        (Duration("d", ""), "-1 s", {}, "out of range"),
        (MetricName("m", ""), "battery_volts", {}, "Did you mean battery_v"),
        (MetricName("m", "", kind=MetricKind.COUNTER), "battery_voltage_v", {}, "is a gauge"),
        (Value("v", ""), "21 A", VOLTS, "battery_voltage_v is not measured in 'A'. Use V"),
        (Value("v", ""), "21,5 V", VOLTS, "decimal point"),
        (Duration("d", ""), "1,5 h", {}, "decimal point"),
        (Value("v", ""), 21, VOLTS, 'Write it as "21 V"'),
        (Value("v", "", per="d"), "0.5 V", VOLTS, "Use V/d"),
        (Value("v", ""), "21 V", {}, "metric must be known first"),
        (Word("w", "", of=Side), "lefft", {}, "Did you mean left"),
        (Word("w", "", of=Side), ["left"], {}, "unknown w"),
        (Words("w", "", of=Side), "left", {}, "is not a list"),
        (Words("w", "", of=Side), [], {}, "is not a list"),
        (Codes("c", ""), ["vr2/2C0"], {}, "Did you mean vr2/2C0"),
        (Codes("c", ""), ["2C00"], {}, "unknown code '2C00'"),
    ],
)
def test_refused_with_a_way_out(parameter, value, given, said):
    with pytest.raises(ParameterError) as refused:
        parameter.read(value, given)
    assert said in str(refused.value)


def test_all_problems_at_once_and_defaults():
    parameters = (Whole("days", ""), Flag("known", "", default=False), Duration("hold", ""))
    values, problems = read_all(parameters, {"hold": 3, "holt": 3})
    assert values == {"known": False}
    assert list(problems) == ["holt", "days", "hold"]
    assert "Did you mean hold" in problems["holt"].remedy
    assert problems["days"].problem == "days is missing"


def test_a_suggestion_lists_words_where_none_is_close():
    assert suggestion("x", ["left", "right"]) == "Use one of left, right"
    assert suggestion(3, [str(n) for n in range(100, 120)]).endswith("111, …")
