from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evidence import NOON, at, coded, episode, facts, numbered, rule_of, window

from fleet import tickets
from fleet.faults import load_catalogue
from fleet.rules.findings import Both, Need
from fleet.rules.kinds.fault import KIND
from fleet.rules.reader import shipped_rules
from fleet.rules.rule import Asks
from fleet.words import Component, Severity, Usability

SHIPPED = {
    "severity": "major",
    "fixers": ["technician", "supplier"],
    "except_components": ["measurement"],
}
BRAKE = "dx2.tracer/5"
MAJOR = "rnet.ics/2013"
LOW_BATTERY = "vr2/2C00"


def evaluate(items, now=None, *, rule=None, from_at=None):
    rule = rule or rule_of(KIND, **SHIPPED)
    now = now or at(1)
    known = facts(now, episodes=items)
    return rule.condition.evaluate(rule, known, window(from_at or at(-30), now))


def one(items, now=None, **options):
    (finding,) = evaluate(items, now, **options)
    return finding


def every_fault():
    catalogue = load_catalogue()
    return [*catalogue, catalogue.look_up("vr2", "FFFF"), catalogue.look_up("new.system", "1")]


def test_the_shipped_rule_takes_what_is_for_the_workshop_and_nothing_else():
    for number, fault in enumerate(every_fault()):
        item = coded(number, f"{fault.system}/{fault.code}", episode(NOON))
        assert bool(evaluate([item])) == tickets.is_for_workshop(fault), fault.code


@pytest.mark.parametrize(
    ("folded", "seconds", "need"),
    [
        pytest.param(episode(NOON), 5, Need.TICKET, id="fresh and there"),
        pytest.param(episode(NOON, at(minutes=1)), 90, Need.TICKET, id="fresh and over"),
        pytest.param(episode(NOON, NOON, raised=0, logged=3), 5, Need.HISTORY, id="only a log"),
        pytest.param(
            episode(at(-2), at(-2, minutes=5), received=NOON), 5, Need.HISTORY, id="long over"
        ),
        pytest.param(episode(at(-2), received=NOON), 59, Need.HELD, id="an old raise waits"),
        pytest.param(episode(at(-2), received=NOON), 60, Need.TICKET, id="its clear never came"),
        pytest.param(
            episode(at(-0.9), at(-0.9), received=NOON), 5, Need.TICKET, id="over since yesterday"
        ),
    ],
)
def test_needs_as_before_the_rules(folded, seconds, need):
    finding = one([coded(1, BRAKE, folded)], at(seconds=seconds))
    assert finding.need is need
    assert need == Need(tickets.need_of(folded, at(seconds=seconds)))


def test_a_finding_is_its_episode():
    folded = episode(at(-1), at(-1, minutes=30), raised=2, received=at(-0.9))
    item = coded(7, MAJOR, folded)
    finding = one([item])
    assert (finding.about, finding.cause) == (MAJOR, "power_module")
    assert (finding.severity, finding.usability) == (Severity.MAJOR, Usability.DEGRADED)
    assert finding.component is Component.POWER_MODULE
    assert (finding.started_at, finding.last_at) == (folded.started_at, folded.last_at)
    assert (finding.ended_at, finding.known_at) == (folded.ended_at, folded.first_received_at)
    assert (finding.occurrence_n, finding.episodes) == (2, (item,))
    assert finding.measures["lasted_s"] == 1800


def test_an_unknown_code_reaches_a_technician_unless_the_rule_says_known_only():
    item = coded(1, "new.system/X1", episode(NOON))
    finding = one([item])
    assert (finding.cause, finding.component) == ("new.system/X1", Component.UNKNOWN)
    assert finding.said.title == Both("X1 · okänd felkod", "X1 · unknown fault code")
    assert not evaluate([item], rule=rule_of(KIND, **SHIPPED, known_only=True))


def test_the_rule_may_override_the_catalogue():
    asks = Asks(
        severity=Severity.MINOR, component=Component.BATTERY, action=Both("Ladda", "Charge")
    )
    rule = rule_of(KIND, asks=asks, codes=[LOW_BATTERY])
    finding = one([coded(1, LOW_BATTERY, episode(NOON))], rule=rule)
    assert (finding.severity, finding.cause) == (Severity.MINOR, "battery")
    assert finding.said.action.sv == "Ladda."


def test_flapping_makes_one_surer_finding_and_is_said():
    once = one([coded(1, MAJOR, episode(NOON, at(minutes=1)))])
    flapping = one([coded(1, MAJOR, episode(NOON, at(minutes=40), raised=9))])
    assert flapping.confidence > once.confidence
    assert flapping.measures["raised_count"] == 9
    assert "kommer och går" in flapping.said.happened.sv
    assert "kommer och går" not in once.said.happened.sv
    assert flapping.said.title.sv.endswith("9\N{NO-BREAK SPACE}gånger")


def test_a_user_is_told_not_to_drive_with_a_bad_brake():
    assert "Kör inte" in one([coded(1, BRAKE, episode(NOON))]).said.user.sv
    assert "Kör inte" not in one([coded(1, MAJOR, episode(NOON))]).said.user.sv


def test_a_user_is_told_what_to_do_where_the_user_can():
    rule = rule_of(KIND, codes=[LOW_BATTERY])
    user = one([coded(1, LOW_BATTERY, episode(NOON))], rule=rule).said.user
    assert "Gör så här: " in user.sv
    assert "tekniker" not in user.sv


def test_a_user_is_not_told_what_the_technician_does_when_that_did_not_help():
    rule = rule_of(KIND, codes=["electra.flash/5"])
    user = one([coded(1, "electra.flash/5", episode(NOON))], rule=rule).said.user
    assert "Ställ frikopplingsspaken i körläge." in user.sv
    assert "drivenheten" not in user.sv


DEBOUNCED = {"codes": [MAJOR], "debounce": "2 min", "recurs_within": "6 h"}


@pytest.mark.parametrize(
    ("spans", "found"),
    [
        pytest.param([(0, 1)], 0, id="a blink"),
        pytest.param([(0, 2)], 0, id="as long as the debounce"),
        pytest.param([(0, 2.1)], 1, id="longer"),
        pytest.param([(0, 1), (300, 301)], 1, id="a second blink soon after"),
        pytest.param([(0, 1), (361, 362)], 0, id="a second blink too late"),
        pytest.param([(0, 1), (300, 310)], 1, id="a blink before a real one stays a blink"),
    ],
)
def test_debounce(spans, found):
    items = numbered((MAJOR, episode(at(minutes=a), at(minutes=b))) for a, b in spans)
    assert len(evaluate(items, rule=rule_of(KIND, **DEBOUNCED))) == found


def test_another_code_is_no_return():
    items = numbered(
        [
            ("vr2/3D00", episode(NOON, at(minutes=1))),
            (MAJOR, episode(at(minutes=60), at(minutes=61))),
        ]
    )
    assert not evaluate(items, rule=rule_of(KIND, **DEBOUNCED))


def test_several_raises_in_one_episode_are_no_blink():
    item = coded(1, MAJOR, episode(NOON, at(minutes=1), raised=2))
    assert evaluate([item], rule=rule_of(KIND, **DEBOUNCED))


def test_what_the_log_counts_too_is_no_blink():
    item = coded(1, MAJOR, episode(NOON, at(minutes=1), logged=2))
    assert evaluate([item], rule=rule_of(KIND, **DEBOUNCED))


def test_a_young_raise_is_held_until_the_debounce_is_over():
    items, rule = [coded(1, MAJOR, episode(NOON))], rule_of(KIND, **DEBOUNCED)
    assert one(items, at(seconds=119), rule=rule).need is Need.HELD
    assert one(items, at(seconds=120), rule=rule).need is Need.TICKET


@pytest.mark.parametrize(
    ("code", "found"),
    [
        pytest.param(MAJOR, 0, id="major"),
        pytest.param("vr2.bars/8", 1, id="critical"),
        pytest.param(BRAKE, 1, id="a brake"),
    ],
)
def test_the_shipped_rule_waits_for_one_blink_but_never_for_what_may_do_harm(code, found):
    rule, _ = shipped_rules()["reported-fault"]
    items = [coded(1, code, episode(NOON, at(minutes=5)))]
    assert len(evaluate(items, rule=rule)) == found
    again = [*items, coded(2, code, episode(at(13), at(13, minutes=5)))]
    assert len(evaluate(again, at(14), rule=rule)) == found + 1


def test_from_where_a_rule_never_waits_is_its_own_matter():
    rule = rule_of(KIND, **DEBOUNCED, at_once="major")
    assert evaluate([coded(1, MAJOR, episode(NOON, at(minutes=1)))], rule=rule)


def test_a_care_rule_asks_for_care_and_alone_sees_measurements():
    measurement = next(f for f in load_catalogue() if f.component is Component.MEASUREMENT)
    code = f"{measurement.system}/{measurement.code}"
    item = coded(1, code, episode(NOON))
    named = {"codes": [code], "severity": "info"}
    assert not evaluate([item], rule=rule_of(KIND, **named))
    assert one([item], rule=rule_of(KIND, care=True, **named)).need is Need.CARE


minutes = st.integers(0, 3000)
spans = st.tuples(minutes, st.one_of(st.none(), st.integers(0, 200)), st.integers(1, 3))
codes = st.sampled_from([MAJOR, "vr2/3D00", BRAKE])


@st.composite
def histories(draw):
    items = draw(
        st.lists(st.tuples(codes, spans), max_size=12, unique_by=lambda i: (i[0], i[1][0]))
    )
    return numbered(
        (
            code,
            episode(
                at(minutes=start),
                None if length is None else at(minutes=start + length),
                raised=raised,
            ),
        )
        for code, (start, length, raised) in items
    )


@settings(deadline=None, max_examples=30)
@given(histories(), st.data())
def test_any_order_and_any_two_windows_give_the_same_findings(items, data):
    rule = rule_of(KIND, debounce="5 min", recurs_within="12 h")
    now = at(3)
    whole = evaluate(items, now, rule=rule)
    assert evaluate(data.draw(st.permutations(items)), now, rule=rule) == whole
    from_at = at(minutes=data.draw(minutes))
    back = timedelta(days=rule.condition.needs.lookback_days)
    loaded = [
        i for i in items if i.episode.ended_at is None or i.episode.ended_at >= from_at - back
    ]
    later = evaluate(loaded, now, rule=rule, from_at=from_at)
    assert later == [f for f in whole if f.ended_at is None or f.ended_at >= from_at]
