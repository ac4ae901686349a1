from __future__ import annotations

import pytest

from fleet.catalogue import packaged
from fleet.rules.parameters import MetricName
from fleet.rules.reader import KINDS, RuleFileError, parse_rule, shipped_rules
from fleet.rules.rule import Asks
from fleet.ticket_states import OrderKind
from fleet.words import Component, DeviceClass, Severity

RIGHT = """\
id = "low-voltage"
version = 2
kind = "threshold"
title = { sv = "Låg spänning", en = "Low voltage" }
why = { sv = "Därför", en = "Because" }
source = "ours, without a source"
device_classes = ["powered_wheelchair"]
models = ["permobil-m3"]

[asks]
severity = "major"
component = "battery"
order = "AU"
action = { sv = "Mät", en = "Measure" }

[when]
metric = "battery_voltage_v"
below = "21 V"
hold = "30 s"
"""


def problems(text):
    with pytest.raises(RuleFileError) as refused:
        parse_rule(text, "a.toml")
    return [str(problem) for problem in refused.value.problems]


def without(key):
    return "".join(line for line in RIGHT.splitlines(True) if not line.startswith(f"{key} ="))


def test_a_right_file_is_read():
    rule = parse_rule(RIGHT)
    assert (rule.id, rule.version, rule.kind, rule.care) == ("low-voltage", 2, "threshold", False)
    assert rule.device_classes == {DeviceClass.POWERED_WHEELCHAIR}
    assert rule.models == {"permobil-m3"}
    assert rule.max_day_share == 0.02
    assert rule.asks.order is OrderKind.REPAIR
    assert (rule.asks.severity, rule.asks.component) == (Severity.MAJOR, Component.BATTERY)
    assert rule.condition.needs.samples == ("battery_voltage_v",)
    assert (
        parse_rule(RIGHT.split("[asks]", maxsplit=1)[0] + "[when]" + RIGHT.split("[when]")[1]).asks
        == Asks()
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(
            "version = 2",
            "version = 2\ncolour = 1",
            "a.toml:3: unknown key 'colour'. Use one of id, version,",
            id="unknown key",
        ),
        pytest.param(
            "hold =",
            "hold_for =",
            "a.toml:19: unknown key 'hold_for'. Did you mean hold.",
            id="unknown key of the kind",
        ),
        pytest.param(
            'order = "AU"',
            'odrer = "AU"',
            "a.toml:13: unknown key 'odrer'. Did you mean order.",
            id="unknown key of asks",
        ),
        pytest.param(
            '"threshold"',
            '"treshold"',
            "a.toml:3: unknown kind 'treshold'. Did you mean threshold",
            id="unknown kind",
        ),
        pytest.param(
            '"threshold"', '["threshold"]', "a.toml:3: unknown kind", id="a kind that is no word"
        ),
        pytest.param(
            '"21 V"',
            '"21 A"',
            "a.toml:18: battery_voltage_v is not measured in 'A'. Use V.",
            id="unknown unit",
        ),
        pytest.param(
            '"30 s"',
            '"30 sek"',
            "a.toml:19: unknown unit of time 'sek'. Use one of s, min, h, d.",
            id="unknown unit of time",
        ),
        pytest.param('"30 s"', "30", 'a.toml:19: 30 has no number with a unit. Write it as "30 s"'),
        pytest.param(
            '"permobil-m3"',
            '"permobil-m33"',
            "a.toml:8: unknown model 'permobil-m33'. Did you mean permobil-m3.",
            id="unknown model",
        ),
        pytest.param('["permobil-m3"]', "3", "a.toml:8: models is not a list", id="no list"),
        pytest.param(
            '"powered_wheelchair"',
            '"wheelchair"',
            "a.toml:7: unknown word 'wheelchair'. Did you mean powered_wheelchair.",
            id="unknown class",
        ),
        pytest.param(
            'order = "AU"',
            'order = "akut AU"',
            "a.toml:13: no rule orders akut AU: it is proposed, and a person confirms it. Write",
            id="an urgent order",
        ),
        pytest.param(
            'order = "AU"', 'order = ["AU"]', "a.toml:13: unknown order", id="an order in a list"
        ),
        pytest.param('"major"', '"majr"', "a.toml:11: unknown severity 'majr'. Did you mean major"),
        pytest.param(
            '"low-voltage"', '"Low voltage"', "a.toml:1: id 'Low voltage' is not a slug", id="id"
        ),
        pytest.param(
            "version = 2", "version = 0", "a.toml:2: version is not a whole", id="version"
        ),
        pytest.param(
            'en = "Low voltage"', 'en = " "', "a.toml:4: title is not said in both", id="blank"
        ),
        pytest.param(
            '"ours, without a source"',
            '"a"\nsource_url = "page 3"',
            "a.toml:7: source_url is no web address",
            id="source",
        ),
        pytest.param(
            "version = 2", "version = 2\nmax_day_share = 2", "a.toml:3: 2 is no share", id="share"
        ),
        pytest.param("version = 2", 'version = 2\ncare = "no"', "a.toml:3: care is neither"),
        pytest.param("below", "above = 3\nbelow", "a.toml:18: 3 has no number with a unit"),
    ],
)
def test_refused_with_line_and_way_out(old, new, said):
    assert old in RIGHT
    (problem,) = problems(RIGHT.replace(old, new, 1))
    assert problem.startswith(said)


def when(kind, **parameters):
    head = RIGHT.split("[asks]", maxsplit=1)[0].replace('"threshold"', f'"{kind}"')
    lines = [f"{key} = {value}" for key, value in parameters.items()]
    return f"{head}[when]\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param(
            when("recurrence", counting='"days"', days=8, within='"7 d"'),
            10,
            "8 days do not fit in a window of 7. Lower days or widen within.",
            id="days do not fit in the window",
        ),
        pytest.param(
            when("recurrence", counting='"days"', days=3, within='"36 h"'),
            10,
            "within is no whole number of days",
            id="a window of one and a half day",
        ),
        pytest.param(
            when("recurrence", counting='"rise"', days=3, rise=3, within='"7 d"'),
            10,
            "days is not used when rises are counted. Remove days.",
            id="days and rise",
        ),
        pytest.param(
            when("recurrence", counting='"rise"', within='"7 d"'), 10, "counting rises, but no rise"
        ),
        pytest.param(
            when("recurrence", counting='"days"', within='"7 d"'), 10, "counting days, but no"
        ),
        pytest.param(
            when(
                "recurrence",
                counting='"rise"',
                within='"7 d"',
                metric='"charge_count"',
                rise='"5 count"',
                severity='"major"',
            ),
            10,
            "severity chooses faults, but a metric is counted. Remove severity, or metric.",
            id="faults and a metric",
        ),
        pytest.param(
            when(
                "recurrence",
                counting='"rise"',
                within='"7 d"',
                metric='"speed_m_s"',
                rise='"5 m/s"',
            ),
            13,
            "speed_m_s is a gauge. Name a counter.",
            id="a rise of a gauge",
        ),
        pytest.param(
            when("threshold", metric='"battery_voltage_v"', below='"21 V"', apart='"1 min"'),
            10,
            "apart is shorter than max_gap. Make apart at least max_gap.",
            id="a window shorter than its gap",
        ),
        pytest.param(
            when("fault", debounce='"2 h"', recurs_within='"1 h"'),
            10,
            "recurs_within is shorter than debounce",
            id="debounce",
        ),
        pytest.param(
            when("fault", codes='["vr2/2C0"]'),
            11,
            "unknown code 'vr2/2C0'. Did you mean vr2/2C0",
            id="unknown code",
        ),
        pytest.param(
            when("fault", components='["battry"]'),
            11,
            "unknown components 'battry'. Did you mean battery",
            id="unknown component",
        ),
        pytest.param(
            when("fault", severity='"critical"', severity_at_most='"minor"'),
            10,
            "severity critical is worse than severity_at_most minor",
            id="severities",
        ),
        pytest.param(
            when("fault", codes='["vr2/2C00"]', except_codes='["vr2/2C00"]'),
            10,
            "something is both named and excepted",
            id="excepted",
        ),
        pytest.param(
            when("usage", metric='"drive_time_s"', every='"500 h"', date_every='"12 months"'),
            10,
            "service is due by use or by date",
            id="use and date",
        ),
        pytest.param(
            when("threshold", metric='"batery_voltage_v"', below='"21 V"').replace("below", "#"),
            11,
            "unknown metric 'batery_voltage_v'. Did you mean battery_voltage_v",
            id="unknown metric",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(text, line, said):
    assert any(problem.startswith(f"a.toml:{line}: {said}") for problem in problems(text))


PATIENT = when("threshold", metric='"glucose_mmol_l"', below='"4 mmol/l"')


def test_a_patient_value_needs_care_and_care_orders_no_repair():
    (problem,) = problems(PATIENT)
    assert problem.startswith("a.toml:11: glucose_mmol_l is a value of the patient")
    assert "care = true" in problem
    assert parse_rule("care = true\n" + PATIENT).care
    (problem,) = problems(
        "care = true\n" + PATIENT.replace("[when]", '[asks]\norder = "AU"\n[when]')
    )
    assert problem.startswith("a.toml:12: a care rule orders no repair")


def test_every_metric_parameter_of_every_kind_refuses_patient_values():
    """The reader looks at parameters of this class; a metric must not come in another way."""
    for kind in KINDS.values():
        named = [p for p in kind.parameters if "metric" in p.name and "rise" not in p.name]
        assert all(isinstance(parameter, MetricName) for parameter in named), kind.name


def test_all_that_is_wrong_is_said_at_once_by_line():
    text = RIGHT.replace("version = 2", "version = 1.5").replace('"21 V"', '"21 A"')
    text = text.replace('"major"', '"bad"').replace('"permobil-m3"', '"x"') + "holt = 1\n"
    said = problems(text)
    lines = [int(problem.split(":")[1]) for problem in said]
    assert lines == [2, 8, 11, 18, 20]


@pytest.mark.parametrize("key", ["id", "version", "kind", "title", "why", "source", "metric"])
def test_what_is_missing_is_said(key):
    assert any(key in problem for problem in problems(without(key)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('id = "a"\nid = "b"', "a.toml:2: not TOML"),
        ("", "a.toml:1: unknown kind None"),
        (RIGHT.split("[when]", maxsplit=1)[0], "no [when] table"),
        (RIGHT.split("[asks]", maxsplit=1)[0] + "asks = 3\nwhen = 4\n", "no [when] table"),
    ],
)
def test_what_is_no_rule_file_is_refused(text, said):
    assert any(said in problem for problem in problems(text))


def test_shipped_rules_are_right_and_named_after_their_files():
    files = [name.removesuffix(".toml") for name in packaged("rules")]
    assert list(shipped_rules()) == files
    for rule, _ in shipped_rules().values():
        assert (
            rule.source_url
            or "ours, without a source" in rule.source.lower()
            or "fleet/data" in rule.source
        )
        assert rule.why.sv != rule.why.en


def test_service_is_ordered_as_preventive_maintenance():
    for rule, _ in shipped_rules().values():
        if rule.kind == "usage":
            assert rule.asks.order is OrderKind.PREVENTIVE
            assert rule.asks.component is Component.SERVICE
