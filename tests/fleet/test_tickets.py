from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest

from fleet.episodes import Episode
from fleet.faults import FaultCode, load_catalogue
from fleet.ticket_states import (
    FINISHED,
    TRANSITIONS,
    Event,
    IllegalTransitionError,
    OrderKind,
    State,
    advance,
)
from fleet.tickets import (
    HISTORY_AFTER,
    MAX_LISTED,
    SETTLE,
    Evidence,
    Need,
    cause_of,
    draft,
    is_for_workshop,
    need_of,
    route,
    spoken_time,
    times,
)
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SPACE = "\N{NO-BREAK SPACE}"


def episode(start=0.0, end=None, raised=1, logged=0, *, received=None, last=None) -> Episode:
    def at(minute: float) -> datetime:
        return NOON + timedelta(minutes=minute)

    last = last if last is not None else (start if end is None else end)
    return Episode(
        at(start),
        at(last),
        None if end is None else at(end),
        raised,
        0 if end is None else 1,
        logged,
        at(start if received is None else received),
    )


def fault(system="vr2", code="3D00") -> FaultCode:
    return load_catalogue().look_up(system, code)


ALLOWED = {
    "new": "triage assign solve void recur",
    "triaged": "assign wait solve void recur",
    "assigned": "triage assign wait solve void recur",
    "waiting": "assign resume solve void recur",
    "solved": "assign verify recur",
    "verified": "close",
    "closed": "",
    "void": "",
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_state_meets_every_event(state, event):
    if event in ALLOWED[state].split():
        assert isinstance(advance(state, event), State)
    else:
        with pytest.raises(IllegalTransitionError, match=f"{state} takes no {event}"):
            advance(state, event)


def test_every_state_can_be_reached_and_every_open_one_can_be_finished():
    reached, ahead = {State.NEW}, {State.NEW}
    while ahead:
        ahead = {new for old in ahead for new in TRANSITIONS[old].values()} - reached
        reached |= ahead
    assert reached == set(State)
    ways = {state: set(steps.values()) for state, steps in TRANSITIONS.items()}
    for state in set(State) - FINISHED:
        assert ways[state] & (FINISHED | {State.SOLVED})


def test_a_fault_that_comes_back_never_finishes_a_ticket():
    for steps in TRANSITIONS.values():
        assert steps.get(Event.RECUR) not in {State.SOLVED, *FINISHED}


WHEELCHAIR, SCALE = DeviceClass.POWERED_WHEELCHAIR, DeviceClass.SCALE


@pytest.mark.parametrize(
    ("device_class", "which", "expected"),
    [
        (WHEELCHAIR, fault(code="3D00"), OrderKind.URGENT_REPAIR),
        (WHEELCHAIR, fault(code="7100"), OrderKind.REPAIR),
        (WHEELCHAIR, fault(code="FFFF"), OrderKind.REPAIR),
        (WHEELCHAIR, fault("acme", "1"), OrderKind.SUPPLIER),
        (DeviceClass.APAP, fault(code="7100"), OrderKind.REPAIR),
        (DeviceClass.MEDICATION_DISPENSER, fault("careousel", "x"), OrderKind.SUPPLIER),
        (DeviceClass.PERSONAL_ALARM, fault("climax.scancom", "x"), OrderKind.SUPPORT),
        (DeviceClass.GATEWAY, fault(code="7100"), OrderKind.SUPPORT),
        (SCALE, fault("gatt.2bed.scale", "x"), OrderKind.SUPPORT),
        (SCALE, fault("acme", "1"), OrderKind.SUPPLIER),
        (None, fault(code="7100"), OrderKind.SUPPORT),
    ],
)
def test_routing(device_class, which, expected):
    assert route(device_class, which) is expected


def test_only_bad_faults_beyond_the_user_are_for_the_workshop():
    for known in load_catalogue():
        is_bad = known.severity in {Severity.MAJOR, Severity.CRITICAL}
        assert is_for_workshop(known) == (is_bad and known.fixer is not Fixer.USER)
    assert is_for_workshop(fault("acme", "E9")), "an unknown code must reach a technician"


def test_what_a_patient_measured_never_opens_a_ticket():
    measured = [known for known in load_catalogue() if known.component is Component.MEASUREMENT]
    assert measured
    assert not any(map(is_for_workshop, measured))


DAY = 24 * 60


@pytest.mark.parametrize(
    ("judged", "waited", "expected"),
    [
        pytest.param(episode(), timedelta(0), Need.TICKET, id="open"),
        pytest.param(episode(0, 5), timedelta(0), Need.TICKET, id="cleared just now"),
        pytest.param(episode(0, 5, received=DAY), timedelta(0), Need.TICKET, id="within a day"),
        pytest.param(episode(0, 5, received=DAY + 6), timedelta(0), Need.HISTORY, id="over"),
        pytest.param(episode(0, received=DAY + 1), timedelta(0), Need.HELD, id="old raise"),
        pytest.param(episode(0, received=DAY + 1), SETTLE, Need.TICKET, id="old and settled"),
        pytest.param(
            episode(0, received=DAY + 1, last=DAY), timedelta(0), Need.TICKET, id="still reported"
        ),
        pytest.param(episode(0, 0, 0, 4), timedelta(0), Need.HISTORY, id="a log alone"),
        pytest.param(episode(0, None, 1, 4), timedelta(0), Need.TICKET, id="raised and logged"),
    ],
)
def test_which_episodes_need_a_ticket(judged, waited, expected):
    assert need_of(judged, judged.first_received_at + waited) is expected
    assert timedelta(days=1) == HISTORY_AFTER


def test_one_component_is_one_cause_and_an_unknown_code_is_its_own():
    assert cause_of(fault(code="3D00")) == cause_of(fault(code="3D01")) == "left_motor"
    assert cause_of(fault("acme", "E9")) == "acme/E9"
    assert cause_of(fault(code="0xffff")) == cause_of(fault(code="FFFF")) == "vr2/FFFF"


def test_a_draft_is_a_function_of_the_evidence_in_any_order():
    evidence = [
        Evidence(fault(code=code), episode(minute, minute + 3))
        for minute, code in enumerate(["3D00", "3D01", "3B00"])
    ]
    expected = draft(WHEELCHAIR, evidence)
    for seed in range(5):
        shuffled = random.Random(seed).sample(evidence, 3)
        assert draft(WHEELCHAIR, shuffled) == expected
    assert (expected.severity, expected.usability) == (Severity.CRITICAL, Usability.UNUSABLE)
    assert (expected.started_at, expected.is_active) == (NOON, False)


def test_what_a_ticket_says_in_swedish():
    evidence = [
        Evidence(fault(code="3D01"), episode(-1500, -1490, 2, 1)),
        Evidence(fault(code="3D00"), episode(65)),
    ]
    text = draft(WHEELCHAIR, evidence).text
    motor = "Kabelfel till vänster drivmotor"
    assert text.title_sv == f"3D01 · {motor} (variant) · 4{SPACE}gånger"
    assert text.body_sv == (
        "Vad som har hänt\n"
        f"3D01 · {motor} (variant). Rapporterat 3{SPACE}gånger sedan tor 19{SPACE}nov 12.00."
        f" Av dem 1{SPACE}gång enligt hjälpmedlets egen logg."
        f" Upphörde tor 19{SPACE}nov 12.10.\n"
        f"3D00 · {motor}. Rapporterat 1{SPACE}gång, fre 20{SPACE}nov 14.05. Felet pågår.\n"
        "Hjälpmedlet går inte att använda medan felet varar.\n"
        "\n"
        "Trolig felkälla\n"
        "Drivmotor vänster.\n"
        "\n"
        "Att göra\n"
        f"{fault(code='3D01').action_sv}.\n"
        "\n"
        "Varför det här ärendet finns\n"
        "Felet är kritiskt och behöver en tekniker.\n"
        f"– 3D01 · tor 19{SPACE}nov 12.00–12.10 · 3{SPACE}gånger\n"
        f"– 3D00 · fre 20{SPACE}nov 14.05, pågår · 1{SPACE}gång\n"
        f"Källa: {fault(code='3D01').source_title}"
    )


def test_what_a_ticket_about_an_unknown_code_says():
    text = draft(WHEELCHAIR, [Evidence(fault("acme", "E9"), episode(65, 70))]).text
    assert text.title_sv == f"E9 · okänd felkod · 1{SPACE}gång"
    assert text.title_en == "E9 · unknown fault code · once"
    for needed in ("E9 i systemet acme", "Kontakta leverantören", "räknas felet som allvarligt"):
        assert needed in text.body_sv
    assert "Felet har upphört men kan komma tillbaka." in text.body_sv
    assert "Källa" not in text.body_sv
    assert f"It ended Fri 20{SPACE}Nov 14:10." in text.body_en


def test_a_long_history_is_summed_up():
    evidence = [Evidence(fault(), episode(20.0 * n, 20.0 * n + 1)) for n in range(MAX_LISTED + 5)]
    text = draft(WHEELCHAIR, evidence).text
    assert text.body_sv.count("\n– ") == MAX_LISTED + 1
    assert "– 5 tidigare felperioder" in text.body_sv
    assert "– 5 earlier episodes" in text.body_en


def test_every_code_that_opens_tickets_makes_a_readable_one():
    for known in filter(is_for_workshop, load_catalogue()):
        text = draft(known.device_class, [Evidence(known, episode())]).text
        for line in (text.title_sv, text.title_en, text.body_sv, text.body_en):
            assert "None" not in line
            assert ".." not in line
            assert "  " not in line


@pytest.mark.parametrize(
    ("at", "sv", "en"),
    [
        ((2026, 11, 20, 13, 5), f"fre 20{SPACE}nov 14.05", f"Fri 20{SPACE}Nov 14:05"),
        ((2026, 6, 30, 22, 30), f"ons 1{SPACE}juli 00.30", f"Wed 1{SPACE}Jul 00:30"),
        ((2025, 12, 31, 23, 30), f"tor 1{SPACE}jan 00.30", f"Thu 1{SPACE}Jan 00:30"),
        ((2025, 3, 8, 8, 0), f"lör 8{SPACE}mars 2025 09.00", f"Sat 8{SPACE}Mar 2025 09:00"),
    ],
)
def test_times_are_local_in_sweden(at, sv, en):
    instant = datetime(*at, tzinfo=UTC)
    assert spoken_time(instant, "sv", 2026) == sv
    assert spoken_time(instant, "en", 2026) == en


def test_counts_have_hard_spaces():
    assert times(1200, "sv") == f"1{SPACE}200{SPACE}gånger"
    assert times(1200, "en") == f"1,200{SPACE}times"
