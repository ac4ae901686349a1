from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.history.quality import pooled, report_markdown
from firmware_sim.history.shapes import Cause, Pack
from firmware_sim.scoring import (
    CONTACT,
    GRACE_AFTER,
    Forecast,
    Score,
    ScoredTicket,
    SeedScore,
    are_alike,
    score,
)
from fleet.words import Component

START = datetime(2025, 9, 1, tzinfo=UTC)
UNTIL = START + timedelta(days=90)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def cause(**given: Any) -> Cause:
    values: dict[str, Any] = {
        "id": "c1",
        "kind": "lasting",
        "device": "wc-1",
        "component": Component.LEFT_MOTOR,
        "since": day(10),
        "until": day(20),
        "needs_person": True,
        "detectable_since": day(10),
    }
    return Cause(**(values | given))


def ticket(at: float, about: str = "left_motor", **given: Any) -> ScoredTicket:
    values: dict[str, Any] = {
        "id": f"t{at}",
        "device": "wc-1",
        "about": frozenset({about}),
        "order_kind": "au",
        "rule_ids": frozenset({"fault"}),
        "opened_at": day(at),
    }
    return ScoredTicket(**(values | given))


def scored(tickets: Sequence[ScoredTicket], *causes: Cause, **more: Any) -> Score:
    return score(tickets, causes or (cause(),), UNTIL, **more)


def figures(result: Score) -> tuple[float | None, float | None, int]:
    return result.total.recall, result.total.precision, result.total.duplicate_n


@pytest.mark.parametrize(
    ("tickets", "expected"),
    [
        pytest.param([], (0.0, None, 0), id="none"),
        pytest.param([ticket(11)], (1.0, 1.0, 0), id="right"),
        pytest.param([ticket(11), ticket(12)], (1.0, 0.5, 1), id="double"),
        pytest.param([ticket(9)], (0.0, 0.0, 0), id="before it began"),
        pytest.param([ticket(21)], (1.0, 1.0, 0), id="soon after the repair"),
        pytest.param([ticket(23)], (0.0, 0.0, 0), id="long after the repair"),
        pytest.param([ticket(11, "motor")], (1.0, 1.0, 0), id="a part like it"),
        pytest.param([ticket(11, "right_motor")], (0.0, 0.0, 0), id="the other side"),
        pytest.param([ticket(11, device="wc-2")], (0.0, 0.0, 0), id="another device"),
        pytest.param([ticket(11, is_void=True)], (0.0, None, 0), id="withdrawn"),
        pytest.param([ticket(11, is_void=True), ticket(12)], (1.0, 1.0, 0), id="withdrawn once"),
        pytest.param([ticket(11, held=True)], (0.0, None, 0), id="held"),
        pytest.param(
            [ticket(11, device=None, members=frozenset({"wc-1", "wc-2"}))],
            (1.0, 1.0, 0),
            id="in a group",
        ),
    ],
)  # fmt: skip
def test_one_cause(tickets: list[ScoredTicket], expected: tuple[float | None, ...]) -> None:
    assert figures(scored(tickets)) == expected


def test_withdrawn_tickets_are_counted_and_can_be_held_against_the_engine() -> None:
    result = scored([ticket(11, is_void=True), ticket(12)])
    assert result.void_n == 1
    assert result.precision_with_void == 0.5


@pytest.mark.parametrize(
    ("given_", "judged_n"),
    [
        pytest.param({"detectable_since": day(87)}, 1, id="three days before the end"),
        pytest.param({"detectable_since": day(89)}, 0, id="on the last day"),
        pytest.param({"kind": "counting", "detectable_since": day(84)}, 0, id="one count"),
        pytest.param({"kind": "counting", "detectable_since": day(82)}, 1, id="a week of counts"),
        pytest.param({"kind": "dead_radio", "detectable_since": day(77)}, 0, id="a holiday"),
        pytest.param({"until": day(20), "detectable_since": day(21)}, 0, id="heard of afterwards"),
    ],
)
def test_what_nobody_could_know_in_time_is_not_judged(
    given_: dict[str, Any], judged_n: int
) -> None:
    result = scored([], cause(**({"until": None} | given_)))
    assert result.total.needed_n == judged_n


STORM = cause(
    id="s",
    kind="storm",
    device=None,
    members=frozenset({"wc-1", "wc-2", "wc-3"}),
    component=Component.BUS,
)
GROUP = ticket(10.1, "bus", device=None, members=STORM.members, rule_ids=frozenset({"fleet"}))


def singles(**given: Any) -> list[ScoredTicket]:
    return [ticket(10 + n / 100, "bus", device=f"wc-{n}", **given) for n in (1, 2, 3)]


def test_a_storm_is_one_ticket_when_its_singles_are_held() -> None:
    result = scored([GROUP, *singles(held=True)], STORM)
    assert figures(result) == (1.0, 1.0, 0)
    assert result.storm_tickets == (1,)
    assert result.held_n == 3


def test_every_single_of_a_storm_beyond_the_first_is_a_duplicate() -> None:
    result = scored(singles(), STORM)
    assert figures(result) == (1.0, pytest.approx(1 / 3), 2)
    assert result.storm_tickets == (3,)
    assert result.tickets_per_cause == 3.0


def test_a_bad_lot_wants_one_ticket_beside_those_of_its_singles() -> None:
    lot = cause(
        id="b",
        kind="bad_batch",
        device=None,
        until=None,
        members=frozenset({"wc-1", "wc-2"}),
        component=Component.BUS,
    )
    one, two = (
        cause(id=f"c{n}", device=f"wc-{n}", component=Component.BUS, part_of="b") for n in (1, 2)
    )
    tickets = [ticket(10 + n / 100, "bus", device=f"wc-{n}") for n in (1, 2)]
    assert figures(scored(tickets, lot, one, two)) == (pytest.approx(2 / 3), 1.0, 0)
    group = ticket(12, "bus", device=None, members=lot.members)
    assert figures(scored([*tickets, group], lot, one, two)) == (1.0, 1.0, 0)
    assert figures(scored([group], lot, one, two)) == (1.0, 1.0, 0)


def test_a_supplier_ticket_is_wrong_where_no_group_is_bad() -> None:
    """It is no second ticket of its single either."""
    group = ticket(12, device=None, order_kind="supplier", members=frozenset({"wc-1", "wc-2"}))
    result = scored([ticket(11), group])
    assert figures(result) == (1.0, 0.5, 0)
    assert result.false_alarms[0].ticket is group


def test_an_open_ticket_that_worse_news_joins_shows_the_new_fault_too() -> None:
    worn = cause(id="worn", kind="battery_wear", component=Component.BATTERY, since=day(0))
    broken = cause(id="broken", component=Component.BATTERY, since=day(14))
    early = ticket(5, "battery", order_kind="fu")
    assert [m.cause.id for m in scored([early], worn, broken).misses] == ["broken"]
    joined = ticket(5, "battery", order_kind="fu", reopened_at=(day(14),))
    assert scored([joined], worn, broken).misses == ()


def test_of_two_alike_parts_the_one_that_is_named_is_meant() -> None:
    supply = cause(id="supply", component=Component.POWER_SUPPLY, since=day(9))
    battery = cause(id="battery", component=Component.BATTERY, since=day(10))
    result = scored([ticket(11, "battery"), ticket(12, "power_supply")], supply, battery)
    assert figures(result) == (1.0, 1.0, 0)


def test_the_second_ticket_is_about_the_second_part_at_fault() -> None:
    """A battery that wears out in a chair whose power supply was dead, and has its ticket."""
    supply = cause(id="supply", kind="dead_power", component=Component.POWER_SUPPLY)
    worn = cause(id="worn", kind="battery_wear", component=Component.BATTERY, since=day(0),
                 until=None, needs_person=False, is_ticket_welcome=True)  # fmt: skip
    tickets = [ticket(11, CONTACT), ticket(20.5, "battery", order_kind="fu")]
    assert figures(scored(tickets, supply, worn)) == (1.0, 1.0, 0)
    assert figures(scored([*tickets, ticket(30, "battery")], supply, worn))[2] == 1
    assert figures(scored(tickets, supply)) == (1.0, 0.5, 1)
    assert figures(scored(tickets[1:], supply, worn)) == (1.0, 1.0, 0)


def test_a_ticket_is_about_what_lasts_before_what_was_just_repaired() -> None:
    worn = cause(id="worn", kind="battery_wear", component=Component.BATTERY, since=day(0))
    loose = cause(id="loose", kind="flapping", component=Component.BATTERY, since=day(18),
                  until=day(27), detectable_since=day(18))  # fmt: skip
    first = ticket(5, "battery", order_kind="fu", reopened_at=(day(18),))
    assert figures(scored([first, ticket(21, "battery")], worn, loose)) == (1.0, 1.0, 0)


def test_an_incident_is_about_the_group_whose_devices_are_its_own() -> None:
    """Not about a bad lot of the same part, however long that has been bad."""
    everybody = frozenset(f"wc-{n}" for n in range(1, 31))
    shared = {"device": None, "detectable_since": day(11)}
    lot = cause(**shared, id="lot", kind="bad_batch", since=day(0), until=None,
                members=frozenset({"wc-1", "wc-2", "wc-3"}))  # fmt: skip
    storm = cause(**shared, id="storm", kind="storm", since=day(10), members=everybody)
    incident = ticket(10, device=None, order_kind="support", members=everybody - {"wc-9"})
    result = scored([incident], lot, storm)
    assert result.storm_tickets == (1,)
    assert [miss.cause.id for miss in result.misses] == ["lot"]


def test_a_ticket_on_what_needs_nobody_is_a_false_alarm_that_says_why() -> None:
    passing = cause(kind="passing", needs_person=False)
    result = scored([ticket(11)], passing)
    assert result.total.precision == 0.0
    assert [alarm.why for alarm in result.false_alarms] == ["needs nobody: passing"]


NOISE = cause(component=Component.BUS, kind="noise", needs_person=False)
LOW = cause(
    component=Component.BATTERY,
    kind="low_battery",
    needs_person=False,
    children=frozenset({"x/1"}),
)


@pytest.mark.parametrize(
    ("causes", "why"),
    [
        ([], "nothing was wrong"),
        ([LOW], "only follows from low_battery"),
        ([cause(component=Component.BATTERY)], "another part: lasting"),
        ([NOISE], "meanwhile only noise"),
        ([cause(since=day(40), until=day(50))], "outside the time of lasting"),
    ],
)
def test_a_false_alarm_names_what_was_true(causes: list[Cause], why: str) -> None:
    result = score([ticket(11)], causes, UNTIL)
    assert [alarm.why for alarm in result.false_alarms] == [why]


@pytest.mark.parametrize(
    ("tickets", "why"),
    [
        ([], "no ticket at all"),
        ([ticket(11, is_void=True)], "its ticket was withdrawn"),
        ([ticket(11, held=True)], "its ticket was held under a group that is about something else"),
        ([ticket(40)], "only tickets outside its time, 2025-10-11 00:00"),
        ([ticket(11, "joystick")], "only tickets about joystick"),
    ],
)
def test_a_miss_says_why(tickets: list[ScoredTicket], why: str) -> None:
    assert [miss.why for miss in scored(tickets).misses] == [why]


def test_what_shows_too_late_or_never_is_no_miss() -> None:
    late = cause(id="late", since=day(89), until=None, detectable_since=day(89))
    never = cause(id="never", detectable_since=None)
    result = scored([], late, never)
    assert result.misses == ()
    assert (result.judged_late_n, result.never_shown_n) == (1, 1)
    assert result.total.recall is None


def test_an_early_ticket_on_slow_wear_is_right_though_it_is_not_needed_yet() -> None:
    wear = cause(kind="battery_wear", component=Component.BATTERY, since=day(5), until=None,
                 needs_person=False, is_ticket_welcome=True, detectable_since=None)  # fmt: skip
    result = scored([ticket(30, "battery")], wear)
    assert figures(result) == (None, 1.0, 0)


@pytest.mark.parametrize("again", [(), (22.0,)])
def test_a_repeat_is_found_by_a_new_ticket_or_by_the_first_taken_up_again(
    again: tuple[float, ...],
) -> None:
    first = cause()
    repeat = cause(id="c2", since=day(22), until=day(30), detectable_since=day(22), repeat_of="c1")
    tickets = [ticket(10.5, reopened_at=tuple(map(day, again)))]
    if not again:
        tickets.append(ticket(22.5))
    assert figures(scored(tickets, first, repeat)) == (1.0, 1.0, 0)
    assert scored(tickets[:1], first, repeat).total.recall == (1.0 if again else 0.5)


def test_a_silent_area_takes_one_notice_and_no_singles() -> None:
    outage = cause(id="o", kind="carrier_outage", device=None, component=Component.RADIO,
                   needs_person=False, members=frozenset({"wc-1", "wc-2"}))  # fmt: skip
    notice = ticket(11, CONTACT, device=None, members=outage.members)
    assert figures(scored([notice], outage)) == (None, 1.0, 0)
    assert figures(scored([ticket(11, CONTACT)], outage)) == (None, 0.0, 0)


def test_hours_to_a_ticket_are_counted_from_the_first_sign() -> None:
    result = scored([ticket(10.5)])
    assert result.by_kind["lasting"].delays_h == (12.0,)
    assert result.by_rule["fault"].delays_h == (12.0,)


def test_a_ticket_of_two_rules_counts_for_both_and_once_in_all() -> None:
    result = scored([ticket(11, rule_ids=frozenset({"fault", "recurrence"}))])
    assert {rule: tally.right_n for rule, tally in result.by_rule.items()} == {
        "fault": 1,
        "recurrence": 1,
    }
    assert result.total.ticket_n == 1


PACKS = {"wc-1": (Pack(day(-500), day(40)), Pack(day(45), day(900)))}
WEAR = cause(kind="battery_wear", component=Component.BATTERY, since=day(10), until=day(45),
             detectable_since=day(40), battery_end_at=day(40))  # fmt: skip


def forecast(at: float, earliest: float, latest: float, confidence: float = 0.8) -> Forecast:
    return Forecast("wc-1", day(at), day(earliest), day(latest), confidence)


def test_a_forecast_is_judged_by_the_pack_in_service_when_it_was_made() -> None:
    forecasts = [forecast(50, 800, 1000), forecast(20, 30, 50), forecast(30, 50, 60)]
    battery = scored([], WEAR, forecasts=forecasts, packs=PACKS).battery
    assert (battery.forecast_n, battery.covered_n) == (3, 2)
    assert (battery.first_n, battery.first_covered_n) == (2, 2)
    assert battery.lead_days == (20.0,)
    assert (battery.ended_n, battery.foretold_n) == (1, 1)


def test_a_forecast_after_the_end_foretold_nothing() -> None:
    battery = scored([], WEAR, forecasts=[forecast(42, 41, 50)], packs=PACKS).battery
    assert (battery.foretold_n, battery.lead_days) == (0, (-2.0,))


def test_the_bands_compare_what_was_stated_with_what_came_true() -> None:
    forecasts = [
        forecast(20, 30, 50, 0.8),
        forecast(21, 60, 70, 0.85),
        forecast(22, 30, 50, 1.0),
        forecast(23, 30, 50, 0.0),
    ]
    bands = scored([], WEAR, forecasts=forecasts, packs=PACKS).battery.bands
    filled = {(b.low, b.high): (b.forecast_n, b.right_n) for b in bands if b.forecast_n}
    assert filled == {(0.8, 0.9): (2, 1), (0.9, 1.0): (1, 1), (0.0, 0.5): (1, 1)}
    band = next(band for band in bands if band.low == 0.8)
    assert band.stated == pytest.approx(0.825)
    assert band.measured == 0.5


def test_parts_are_alike_both_ways_and_only_where_said() -> None:
    parts = [*Component, CONTACT]
    assert all(are_alike(a, b) == are_alike(b, a) for a in parts for b in parts)
    assert all(are_alike(a, a) for a in parts)
    assert not are_alike(Component.LEFT_MOTOR, Component.RIGHT_MOTOR)
    assert are_alike("contact", "radio")


tickets = st.lists(
    st.builds(
        ticket,
        st.floats(0, 89),
        st.sampled_from(["left_motor", "bus", "motor", CONTACT]),
        device=st.sampled_from(["wc-1", "wc-2"]),
        is_void=st.booleans(),
        held=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda made: made.id,
)


@given(tickets, st.randoms(use_true_random=False))
def test_every_ticket_is_counted_once_in_whatever_order_they_come(
    made: list[ScoredTicket], shuffler: Any
) -> None:
    causes = (cause(), STORM, cause(id="c3", since=day(15), until=day(60), component=Component.BUS))
    result = score(made, causes, UNTIL)
    total = result.total
    assert total.ticket_n + result.void_n + result.held_n == len(made)
    assert total.right_n + total.duplicate_n + len(result.false_alarms) == total.ticket_n
    assert total.found_n + len(result.misses) == total.needed_n
    assert total.right_n == result.cause_n
    shuffled = list(made)
    shuffler.shuffle(shuffled)
    assert score(shuffled, causes, UNTIL).total == total


def test_the_grace_after_a_repair_ends() -> None:
    late = 20 + GRACE_AFTER / timedelta(days=1)
    assert scored([ticket(late)]).total.recall == 1.0
    assert scored([ticket(late + 0.01)]).total.recall == 0.0


def test_the_page_shows_each_seed_and_judges_by_the_worst() -> None:
    good, bad = scored([ticket(11)]), scored([ticket(11), ticket(12)])
    runs = [SeedScore(n, 2000, 90, "all", one) for n, one in enumerate((good, bad), start=1)]
    page = report_markdown(runs, "fjarrkoll sim --score")
    lines = {line.split(" | ")[0]: line for line in page.splitlines() if line.startswith("| ")}
    assert lines["| duplicates"] == "| duplicates | 0 | 0 | 1 | 1 | no |"
    assert lines["| precision of tickets"].endswith("| 1.000 | 0.500 | 0.667 | no |")
    assert (
        lines["| tickets of the worst storm"] == "| tickets of the worst storm | 1 | – | – | – |  |"
    )
    assert "fjarrkoll sim --score" in page
    assert "-0.0" not in page


def test_a_page_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="run at least one seed"):
        report_markdown([], "x")


def test_pooling_adds_up() -> None:
    one, other = scored([ticket(11)]), scored([ticket(11), ticket(12)])
    assert pooled([one, other]).total == one.total + other.total
    assert pooled([one]) == one
