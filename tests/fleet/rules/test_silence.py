"""Silence is judged by the device's own rhythm, and what fell silent together is said once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evidence import rule_of

from fleet.models import load_models
from fleet.rules.facts import Contact, DeviceProfile, Facts, Span
from fleet.rules.findings import Finding, Need
from fleet.rules.kinds import silence
from fleet.rules.kinds.silence import EVERYBODY, KIND, Group, SilentDevice, outages
from fleet.rules.parameters import ParameterError, read_all
from fleet.rules.rule import Rule, Window
from fleet.ticket_states import OrderKind
from fleet.words import DeviceClass

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def a_rule(**when: object) -> Rule:
    return rule_of(KIND, **{"at_least": "2 d"} | when)


RULE = a_rule()
WINDOW = Window(MONDAY, MONDAY.toordinal(), MONDAY.toordinal())
DAILY = [day * 24 + hour for day in range(60) for hour in (2, 5, 8, 11, 14, 17, 20, 23)]
WEEKENDS = [day * 24 + hour for day in range(60) for hour in range(10, 18) if day % 7 in {5, 6}]


def facts(
    hours: Sequence[int], silent: timedelta, model_id: str = "permobil-m3", **known: Any
) -> Facts:
    """Silent since the last of `hours`, counted from a Monday."""
    model = load_models().get(model_id)
    device = DeviceProfile(
        1, "wc-1", 1, "demo", DeviceClass.POWERED_WHEELCHAIR, model_id, model, gateway="gw-1"
    )
    first_h = int(MONDAY.timestamp() // 3600)
    last_at = MONDAY + hours[-1] * HOUR + timedelta(minutes=20)
    gateway_last_at = known.pop("gateway_last_at", None)
    contact = Contact(last_at, [first_h + hour for hour in hours], gateway_last_at)
    return Facts(device, last_at + silent, contact=contact, **known)


def evaluate(about: Facts, rule: Rule = RULE) -> list[Finding]:
    return rule.condition.evaluate(rule, about, WINDOW)


@pytest.mark.parametrize(
    ("hours", "silent", "is_found"),
    [
        (DAILY, 47 * HOUR, False),
        (DAILY, 49 * HOUR, True),
        (WEEKENDS, 6 * DAY, False),  # from Sunday to the next Saturday
        (WEEKENDS, 13 * DAY, False),  # a weekend away
        (WEEKENDS, 15 * DAY, True),  # nothing explains more than `at_most`
        (DAILY[:8], 4 * DAY, False),  # a day's history is no rhythm: 2.5 times what is least
        (DAILY[:8], 6 * DAY, True),
    ],
)
def test_silence_is_judged_by_the_device_s_own_rhythm(
    hours: list[int], silent: timedelta, is_found: bool
) -> None:
    assert bool(evaluate(facts(hours, silent))) == is_found


def test_what_has_no_rhythm_yet_waits_for_a_week_or_for_what_the_rule_explains() -> None:
    """Not for many times as long as a rule that has holidays in it explains anyway."""
    patient = a_rule(at_least="16 d", at_most="28 d")
    assert not evaluate(facts(DAILY[:8], 15 * DAY), patient)
    assert evaluate(facts(DAILY[:8], 17 * DAY), patient)
    less_patient = a_rule(at_least="4 d", at_most="28 d")
    assert not evaluate(facts(DAILY[:8], 6 * DAY), less_patient)
    assert evaluate(facts(DAILY[:8], 8 * DAY), less_patient)


def test_one_holiday_is_remembered() -> None:
    """Who was away for eight days once may be away for eight days again."""
    with_holiday = [hour for hour in DAILY if not 20 <= hour // 24 < 28]
    assert not evaluate(facts(with_holiday, 9 * DAY))
    assert evaluate(facts(DAILY, 9 * DAY))


def test_weekend_users_raise_no_alarm_in_half_a_year() -> None:
    """Each hour of 26 weeks in which two weekends are spent elsewhere."""
    hours = [h for week in range(4) for h in (x + week * 168 for x in range(130, 138))]
    for week in range(4, 26):
        now_h = hours[-1] + 1
        coming = 130 + week * 168
        silent_until = coming if week not in {10, 18} else coming + 168
        assert not evaluate(facts(hours[-200:], (silent_until - now_h) * HOUR))
        if week not in {10, 18}:
            hours += range(coming, coming + 8)


def test_a_finding_says_since_when_and_what_is_usual() -> None:
    (finding,) = evaluate(facts(DAILY, 3 * DAY))
    last_at = MONDAY + DAILY[-1] * HOUR + timedelta(minutes=20)
    assert (finding.about, finding.cause) == ("contact", f"rule:{RULE.id}")
    assert (finding.started_at, finding.ended_at) == (last_at, None)
    assert finding.known_at == last_at + 2 * DAY
    assert finding.said.title.sv == "Har inte hörts av sedan fre 1\u00a0maj 01.20"
    assert "Ingen kontakt på 3\u00a0dygn." in finding.said.happened.sv
    assert "tyst i 3\u00a0timmar." in finding.said.happened.sv
    assert finding.measures["usual_s"] == 3 * 3600
    assert finding.confidence > 0.85


@pytest.mark.parametrize(
    ("device_class", "said"),
    [(DeviceClass.POWERED_WHEELCHAIR, "behöver du inte göra"), (DeviceClass.PERSONAL_ALARM, "112")],
)
def test_whoever_wears_an_alarm_is_told_not_to_rely_on_it(
    device_class: DeviceClass, said: str
) -> None:
    about = facts(DAILY, 3 * DAY)
    (finding,) = evaluate(replace(about, device=replace(about.device, device_class=device_class)))
    assert said in finding.said.user.sv
    is_alarm = device_class is DeviceClass.PERSONAL_ALARM
    assert ("larma" in finding.said.user.sv) == is_alarm


def test_the_finding_is_the_same_however_long_it_lasts() -> None:
    (early,), (late,) = evaluate(facts(DAILY, 3 * DAY)), evaluate(facts(DAILY, 40 * DAY))
    assert early.started_at == late.started_at
    assert early.known_at == late.known_at


@given(st.sampled_from([DAILY, WEEKENDS, DAILY[:8]]), st.integers(0, 40 * 24))
def test_the_timer_rings_exactly_when_silence_becomes_a_finding(
    hours: list[int], silent_h: int
) -> None:
    about = facts(hours, silent_h * HOUR)
    at = silence.next_check_at(RULE, about)
    assert at is not None
    if evaluate(about):
        assert about.now < at <= about.now + DAY
    else:
        assert not evaluate(replace(about, now=at))
        assert evaluate(replace(about, now=at + timedelta(seconds=1)))


@pytest.mark.parametrize("model_id", ["ble-scale", "ble-blood-pressure", "no-such-model"])
def test_who_reports_on_measurement_only_is_never_judged(model_id: str) -> None:
    about = facts(DAILY, 300 * DAY, model_id)
    assert evaluate(about) == []
    assert silence.next_check_at(RULE, about) is None


@pytest.mark.parametrize(
    ("gateway_silent", "need"),
    [(timedelta(minutes=10), Need.TICKET), (4 * DAY, Need.EXPLAINED), (DAY, Need.TICKET)],
)
def test_a_gateway_that_fell_silent_first_explains_it(
    gateway_silent: timedelta, need: Need
) -> None:
    about = facts(DAILY, 4 * DAY)
    assert about.contact is not None
    contact = replace(about.contact, gateway_last_at=about.now - gateway_silent)
    (finding,) = evaluate(replace(about, contact=contact))
    assert finding.need is need
    assert any("gw-1" in both.sv for both in finding.ruled_out)


def test_in_the_workshop_it_is_quiet_and_counts_anew_afterwards() -> None:
    last_at = facts(DAILY, DAY).contact.last_at  # type: ignore[union-attr]
    inside = facts(DAILY, 5 * DAY, quiet=[Span(last_at + DAY, None)])
    assert [f.need for f in evaluate(inside)] == [Need.QUIET]
    back = facts(DAILY, 5 * DAY, quiet=[Span(last_at + DAY, last_at + 4 * DAY)])
    assert evaluate(back) == []


def test_a_look_costs_little() -> None:
    waiting, silent = facts(DAILY, DAY), facts(DAILY, 3 * DAY)
    begun = time.process_time()
    for _ in range(200):
        evaluate(waiting)
    assert (time.process_time() - begun) / 200 < 50e-6
    begun = time.process_time()
    for _ in range(100):
        evaluate(silent)
    assert (time.process_time() - begun) / 100 < 1e-3


@pytest.mark.parametrize("given_", [{"at_least": "20 d"}, {"lookback": "3 d"}])
def test_limits_that_make_no_sense_are_refused(given_: dict[str, Any]) -> None:
    values, problems = read_all(KIND.parameters, given_)
    assert not problems
    with pytest.raises(ParameterError):
        KIND.build(values)


# Groups: 2,000 devices, ten areas of 200, two networks of 1,000, a gateway for every ten.


def keys(device_no: int) -> frozenset[Group]:
    return silence.groups_of(
        [
            ("gateway", f"gw-{device_no // 10}"),
            ("area", f"a{device_no // 200}"),
            ("network", f"n{device_no % 2}"),
            ("centre", None),
        ]
    )


CENSUS: dict[Group, int] = (
    {EVERYBODY: 2000}
    | {
        group: sum(group in keys(no) for no in range(2000))
        for group in {group for no in range(2000) for group in keys(no)}
        if group[0] != "gateway"
    }
    | {("gateway", f"gw-{n}"): 10 for n in range(200)}
)


def fell_silent(device_nos: Iterable[int], at: datetime, seed: int = 1) -> list[SilentDevice]:
    rng = Random(seed)
    return [SilentDevice(no, at - rng.random() * HOUR, HOUR, keys(no)) for no in device_nos]


def strays(n: int, seed: int = 2) -> list[SilentDevice]:
    """Devices that fell silent each by itself within ten days."""
    rng = Random(seed)
    return [
        SilentDevice(no, MONDAY + rng.random() * 10 * DAY, HOUR, keys(no))
        for no in rng.sample(range(2000), n)
    ]


AT = MONDAY + 5 * DAY


@pytest.mark.parametrize(
    ("down", "subject"),
    [
        (range(420, 430), "gateway:gw-42"),
        (range(400, 600), "area:a2"),
        (range(1, 2000, 2), "network:n1"),
        ([no for no in range(400, 600) if no % 4], "area:a2"),
    ],
)
def test_the_group_that_explains_most_is_named_once(down: Sequence[int], subject: str) -> None:
    alone = [device for device in strays(30) if device.device_no not in set(down)]
    (outage,) = outages(fell_silent(down, AT) + alone, CENSUS)
    assert outage.subject == subject
    assert set(down) <= set(outage.device_nos)
    assert len(outage.device_nos) <= len(down) + 2
    assert AT - HOUR <= outage.started_at <= AT
    assert outage.chance < 1e-4


def test_one_network_in_one_area_is_named_where_the_census_knows_it() -> None:
    """Twenty of eighty in the area and of four hundred in the network are too few to tell."""
    at_place = silence.groups_of([("area", "Mora"), ("network", "carrier-a")])
    silent = [SilentDevice(number, AT, HOUR, at_place) for number in range(20)]
    census = {EVERYBODY: 2000, ("area", "Mora"): 80, ("network", "carrier-a"): 400}
    assert not outages(silent, census)
    (outage,) = outages(silent, {**census, (silence.CELL, "carrier-a, Mora"): 40})
    assert (outage.subject, len(outage.device_nos)) == ("cell:carrier-a, Mora", 20)


def test_two_outages_at_two_times_are_two() -> None:
    both = fell_silent(range(400, 600), AT) + fell_silent(range(1000, 1010), AT + 2 * DAY)
    assert [o.subject for o in outages(both, CENSUS)] == ["area:a2", "gateway:gw-100"]


def test_a_fleet_in_which_all_are_in_one_network_can_still_go_down() -> None:
    census = {EVERYBODY: 50, ("network", "n"): 50}
    group = frozenset({("network", "n")})
    silent = [SilentDevice(no, AT, HOUR, group) for no in range(40)]
    (outage,) = outages(silent, census)
    assert outage.subject == "network:n"


def test_single_devices_are_no_outage() -> None:
    assert sum(bool(outages(strays(40, seed), CENSUS)) for seed in range(60)) == 0


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_in_which_devices_are_named_changes_nothing(rng: Random) -> None:
    silent = fell_silent(range(420, 430), AT) + strays(30)
    shuffled = list(silent)
    rng.shuffle(shuffled)
    assert outages(shuffled, CENSUS) == outages(silent, CENSUS)


def test_five_thousand_devices_are_grouped_in_a_moment() -> None:
    rng = Random(5)
    group = frozenset({("network", "n"), ("area", "a")})
    silent = [SilentDevice(no, AT - rng.random() * HOUR, HOUR, group) for no in range(5000)]
    begun = time.process_time()
    (outage,) = outages(silent, {EVERYBODY: 20_000, ("network", "n"): 6000, ("area", "a"): 9000})
    assert outage.subject == "network:n"
    assert len(outage.device_nos) == 5000
    assert time.process_time() - begun < 1


def test_an_outage_says_how_many_and_is_a_matter_for_support() -> None:
    (outage,) = outages(fell_silent(range(420, 430), AT), CENSUS)
    finding = silence.outage_finding(RULE, outage, AT + DAY)
    assert finding.said.title.sv == "Gatewayen gw-42: tappad kontakt med 10 hjälpmedel samtidigt"
    assert finding.order is OrderKind.SUPPORT
    assert finding.occurrence_n == 10
    assert finding.is_open
