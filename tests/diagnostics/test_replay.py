"""Would-be tickets: what people would have had on their desk, from findings known in hindsight."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from support.evidence import DEVICE, at, coded, episode, facts, window

from diagnostics.judgement import Candidate, Owner
from diagnostics.replay import (
    Gap,
    WouldBe,
    device_findings,
    gaps_of,
    hold_outages,
    would_be_tickets,
)
from fleet.models import load_models
from fleet.rules.engine import Rulebook, conclude
from fleet.rules.facts import Contact, DeviceProfile, Facts
from fleet.rules.findings import Need
from fleet.rules.kinds.silence import ABOUT
from fleet.rules.reader import shipped_rules
from fleet.ticket_states import State
from fleet.words import DeviceClass
from storage.findings import Settled

BRAKE = "dx.bora-rem24/6"
OWNER = Owner(DeviceClass.POWERED_WHEELCHAIR, frozenset())
BOOK = Rulebook([shipped_rules()["reported-fault"][0]])


def tickets_of(spans: Iterable[tuple[float, float | None]], *repaired: float) -> list[WouldBe]:
    """Faults of one brake from day to day, looked back on after a hundred days."""
    items = [
        coded(number, BRAKE, episode(at(start), None if end is None else at(end)))
        for number, (start, end) in enumerate(spans, start=1)
    ]
    known = facts(at(100), episodes=items)
    found = conclude(BOOK, BOOK.rules, known, window(at(-30), at(100)))
    return would_be_tickets(OWNER, DEVICE, found, {"left_brake": [at(day) for day in repaired]})


def spans_of(tickets: Iterable[WouldBe]) -> list[tuple[datetime, datetime | None]]:
    return [(ticket.opened_at, ticket.ended_at) for ticket in tickets]


@pytest.mark.parametrize(
    ("spans", "repaired", "expected"),
    [
        pytest.param([(0, None)], [], [(0, None)], id="it lasts"),
        pytest.param([(0, 1)], [], [(0, 8)], id="gone for a week"),
        pytest.param([(0, 1), (5, 6)], [], [(0, 13)], id="back within the week"),
        pytest.param([(0, 1), (9, 10)], [], [(0, 8), (9, 17)], id="back after it"),
        pytest.param([(0, 4)], [4.1], [(0, 4.1)], id="repaired"),
        pytest.param([(0, 1), (20, 24)], [25], [(0, 8), (20, 25)], id="a repair of weeks later"),
        pytest.param([(0, 4), (6, 9)], [4.1, 9.1], [(0, 4.1), (6, 9.1)], id="it did not hold"),
    ],
)
def test_how_long_a_ticket_stands(
    spans: list[tuple[float, float | None]],
    repaired: list[float],
    expected: list[tuple[float, float | None]],
) -> None:
    found = spans_of(tickets_of(spans, *repaired))
    assert found == [(at(start), None if end is None else at(end)) for start, end in expected]


def test_nobody_takes_a_fault_to_be_gone_while_its_device_is_silent() -> None:
    items = [
        coded(number, BRAKE, episode(at(day), at(day + 1))) for number, day in ((1, 0), (2, 12))
    ]
    known = facts(at(100), episodes=items)
    found = conclude(BOOK, BOOK.rules, known, window(at(-30), at(100)))
    silent = replace(found[0], about=ABOUT, cause=ABOUT, started_at=at(2), ended_at=at(9))
    silent = replace(silent, need=Need.HISTORY, episodes=())
    assert spans_of(would_be_tickets(OWNER, DEVICE, found, {})) == [
        (at(0), at(8)),
        (at(12), at(20)),
    ]
    assert spans_of(would_be_tickets(OWNER, DEVICE, [*found, silent], {})) == [(at(0), at(20))]
    dead = replace(silent, ended_at=None)
    assert spans_of(would_be_tickets(OWNER, DEVICE, [found[0], dead], {})) == [(at(0), None)]


def test_what_lasts_over_its_repair_is_asked_for_again() -> None:
    assert spans_of(tickets_of([(0, None)], 4)) == [(at(0), at(4))]
    again = episode(at(0), None, raised=2, last=at(6))
    known = facts(at(100), episodes=[coded(1, BRAKE, again)])
    found = conclude(BOOK, BOOK.rules, known, window(at(-30), at(100)))
    tickets = would_be_tickets(OWNER, DEVICE, found, {"left_brake": [at(4)]})
    assert spans_of(tickets) == [(at(0), at(4)), (at(6), None)], "when it was reported anew"


COMES_BACK = Rulebook([shipped_rules()["minor-fault-keeps-coming"][0]])


def minor_on(*days: float) -> Facts:
    """A minor fault for five minutes at noon on each of these days, looked back on a day later."""
    items = [
        coded(number, "vr2/7902", episode(at(day), at(day, minutes=5)))
        for number, day in enumerate(days, start=1)
    ]
    return facts(at(max(days) + 1), episodes=items)


def test_what_is_heard_of_only_after_the_repair_is_answered_by_it() -> None:
    """A device that sends in the morning tells of the night before its repair."""
    soon, late = (
        coded(n, BRAKE, episode(at(day), at(day, minutes=5))) for n, day in ((1, 0), (2, 3))
    )
    found = conclude(BOOK, BOOK.rules, facts(at(9), episodes=[soon, late]), window(at(-30), at(9)))
    first, second = sorted(found, key=lambda finding: finding.started_at)
    unheard = replace(second, known_at=at(4))
    repairs = {"left_brake": [at(3.5)]}
    tickets = would_be_tickets(OWNER, DEVICE, [first, unheard], repairs)
    assert spans_of(tickets) == [(at(0), at(3.5))]


@pytest.mark.parametrize(
    ("after", "opened"),
    [
        pytest.param([], [4], id="the repair held"),
        pytest.param([8], [4], id="once in a while on a sound device"),
        pytest.param([8, 9, 10, 11], [4], id="four days, of five that make it a finding"),
        pytest.param([8, 9, 10, 11, 12], [4, 12], id="as often as before"),
    ],
)
def test_what_was_counted_before_a_repair_does_not_count_after_it(
    after: list[float], opened: list[float]
) -> None:
    known = minor_on(0, 1, 2, 3, 4, *after)
    found = conclude(COMES_BACK, COMES_BACK.rules, known, window(at(-30), known.now))
    repairs = {finding.cause: [at(6)] for finding in found}
    tickets = would_be_tickets(OWNER, DEVICE, found, repairs)
    assert [ticket.opened_at for ticket in tickets] == [at(day) for day in opened]
    (finding,) = found
    assert finding.is_open
    solved = Settled(State.VERIFIED, at(6))
    assert Candidate(1, finding, solved).is_news is (len(opened) > 1)


def silent(device: DeviceProfile, days: float) -> tuple[list[WouldBe], list[Gap]]:
    """A device not heard of for `days` up to now, and the ticket about it."""
    hours = [int(at(-days - n / 4).timestamp() // 3600) for n in range(120, -1, -1)]
    last_at = at(-days)
    known = replace(facts(at(0)), device=device, contact=Contact(last_at, hours))
    rule = next(r for r, _ in shipped_rules().values() if r.kind == "silence" and r.covers(device))
    found = device_findings(Rulebook([rule]), [rule], known, window(at(-60), at(0)))
    return would_be_tickets(OWNER, device, found, {}), gaps_of(known)


def device(number: int, model: str, **places: str) -> DeviceProfile:
    known = load_models().get(model)
    assert known is not None
    return replace(
        DEVICE,
        device_no=number,
        device_id=f"d{number}",
        device_class=known.device_class,
        model_id=model,
        model=known,
        **places,
    )


def test_a_meter_behind_a_silent_gateway_has_no_ticket() -> None:
    gateway = device(1, "fjarrkoll-gateway")
    meter = device(2, "ble-activity", gateway="d1")
    (of_meter, _), (_, gaps) = silent(meter, 60), silent(gateway, 70)
    assert len(of_meter) == 1
    assert len(hold_outages(of_meter, [], [gateway, meter])) == 1
    assert not hold_outages(of_meter, gaps, [gateway, meter])


def test_devices_whose_silence_says_nothing_are_in_no_census() -> None:
    """Three of three dispensers are an outage, whatever many scales there are beside them."""
    places = {"area": "Mora", "network": "carrier-a"}
    dispensers = [device(n, "pivotell-advance-gsm", **places) for n in range(1, 4)]
    scales = [device(n, "ble-scale", **places) for n in range(10, 60)]
    elsewhere = [device(n, "pivotell-advance-gsm", area="Sala") for n in range(100, 400)]
    found = [silent(one, 3.0) for one in dispensers]
    tickets = [ticket for some, _ in found for ticket in some]
    gaps = [gap for _, some in found for gap in some]
    assert len(tickets) == 3
    held = hold_outages(tickets, gaps, [*dispensers, *scales, *elsewhere])
    assert {ticket.incident for ticket in held} == {"cell:carrier-a, Mora"}


def test_a_device_counts_as_silent_from_the_moment_it_is_missed() -> None:
    (ticket,), (gap,) = silent(device(1, "pivotell-advance-gsm"), 5)
    assert ticket.opened_at == gap.explained_until
    assert gap.is_silent_at(ticket.opened_at)
    assert not gap.is_silent_at(gap.explained_until - timedelta(seconds=1))
