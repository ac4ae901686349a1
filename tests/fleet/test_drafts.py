"""What a ticket says, as the findings of one cause write it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evidence import DEVICE, episode
from support.findings import finding, reported

from fleet.drafts import draft, draft_incident
from fleet.faults import FaultCode, load_catalogue
from fleet.rules.findings import Both
from fleet.rules.storms import Member
from fleet.ticket_states import OrderKind
from fleet.ticket_text import MAX_LISTED, spoken_time, times
from fleet.tickets import NEEDS_UNKNOWN, is_for_workshop
from fleet.words import DeviceClass, Severity, Usability

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SPACE = "\N{NO-BREAK SPACE}"
WHEELCHAIR = DeviceClass.POWERED_WHEELCHAIR


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def fault(system="vr2", code="3D00") -> FaultCode:
    return load_catalogue().look_up(system, code)


def test_a_draft_is_a_function_of_the_findings_in_any_order():
    findings = reported(
        (f"vr2/{code}", episode(at(minute), at(minute + 3)))
        for minute, code in enumerate(["3D00", "3D01", "3B00"])
    )
    expected = draft(WHEELCHAIR, findings)
    for seed in range(5):
        shuffled = random.Random(seed).sample(findings, 3)
        assert draft(WHEELCHAIR, shuffled) == expected
    assert (expected.severity, expected.usability) == (Severity.CRITICAL, Usability.UNUSABLE)
    assert (expected.started_at, expected.is_active) == (NOON, False)
    assert (expected.rule_id, expected.rule_version) == ("reported-fault", 1)


def reported_of(told):
    return reported(
        (f"vr2/{code}", episode(at(start), None if length is None else at(start + length)))
        for code, (start, length) in told
    )


SPANS = st.tuples(st.integers(0, 5000), st.none() | st.integers(0, 600))
CODES = st.sampled_from(["3D00", "3D01", "3B00", "7100", "FFFF"])


TOLD = st.lists(
    st.tuples(CODES, SPANS), min_size=1, max_size=5, unique_by=lambda one: (one[0], one[1][0])
).filter(reported_of)


@given(TOLD, st.randoms())
def test_any_findings_in_any_order_make_one_draft(told, shuffle):
    findings = reported_of(told)
    shuffled = list(findings)
    shuffle.shuffle(shuffled)
    made = draft(WHEELCHAIR, findings)
    assert draft(WHEELCHAIR, shuffled) == made
    assert made.severity is max((f.severity for f in findings), key=lambda s: s.rank)
    assert made.known_at == min(f.known_at for f in findings)
    assert made.is_active == any(f.is_open for f in findings)
    assert made.order_kind is OrderKind.REPAIR


def test_the_kind_of_order_is_the_worst_findings_own():
    planned = finding(
        NOON, rule_id="planned", severity=Severity.MINOR, order=OrderKind.PREVENTIVE,
        usability=Usability.USABLE,
    )  # fmt: skip
    worse = finding(at(5), rule_id="worse")
    assert draft(WHEELCHAIR, [planned]).order_kind is OrderKind.PREVENTIVE
    both = draft(WHEELCHAIR, [planned, worse])
    assert (both.order_kind, both.rule_id) == (OrderKind.REPAIR, "worse")
    assert both.started_at == NOON


def test_urgent_is_proposed_with_its_reasons_and_never_given():
    findings = reported([("vr2/3D00", episode(NOON))])
    for needs, because in (
        (frozenset({"toilet", "eating"}), ("eating", "toilet")),
        (frozenset(), ()),
        (None, (NEEDS_UNKNOWN,)),
    ):
        made = draft(WHEELCHAIR, findings, needs)
        assert (made.order_kind, made.urgent_because) == (OrderKind.REPAIR, because)


def test_what_a_ticket_says_in_swedish():
    findings = reported(
        [
            (
                "vr2/3D01",
                replace(episode(at(-1500), at(-1490), raised=2, logged=1), cleared_n=1),
            ),
            ("vr2/3D00", episode(at(65))),
        ]
    )
    text = draft(WHEELCHAIR, findings).text
    motor = "Kabelfel till vänster drivmotor"
    assert text.title.sv == f"3D01 · {motor} (variant) · 4{SPACE}gånger"
    assert text.body.sv == (
        "Vad som har hänt\n"
        f"3D01 · {motor} (variant). Rapporterat 3{SPACE}gånger sedan tor 19{SPACE}nov 12.00."
        f" Varav 1{SPACE}gång enligt hjälpmedlets egen logg."
        f" Upphörde tor 19{SPACE}nov 12.10.\n"
        f"3D00 · {motor}. Rapporterat 1{SPACE}gång, fre 20{SPACE}nov 14.05. Felet pågår.\n"
        "Hjälpmedlet går inte att använda medan felet varar.\n"
        "\n"
        "Det här gäller\n"
        "Drivmotor vänster.\n"
        "\n"
        "Att göra\n"
        f"{fault(code='3D01').action_sv}.\n"
        "\n"
        "Varför det här ärendet finns\n"
        "Allvarlighetsgrad: kritiskt. Felet behöver åtgärdas av en tekniker.\n"
        f"– 3D01 · tor 19{SPACE}nov 12.00–12.10 · 3{SPACE}gånger\n"
        f"– 3D00 · fre 20{SPACE}nov 14.05, pågår · 1{SPACE}gång\n"
        "Regel: reported-fault, version 1\n"
        f"Källa: {fault(code='3D01').source_title}"
    )


def test_a_finding_from_values_speaks_for_itself_and_says_what_was_ruled_out():
    one = finding(NOON, ruled_out=[Both("Laddaren: den laddar fullt", "The charger: it is fine")])
    text = draft(WHEELCHAIR, [one]).text
    assert (text.title.sv, text.title.en) == ("Rubrik", "Title")
    for needed in ("Hände.", "Gör.", "Uteslutet: Laddaren: den laddar fullt.", "Regel: a-rule, "):
        assert needed in text.body.sv
    assert "Allvarlighetsgrad" not in text.body.sv


def test_what_a_ticket_about_an_unknown_code_says():
    (found,) = reported([("acme/E9", episode(at(65), at(85)))])
    text = draft(WHEELCHAIR, [found]).text
    assert text.title.sv == f"E9 · okänd felkod · 1{SPACE}gång"
    assert text.title.en == "E9 · unknown fault code · once"
    for needed in ("E9 i systemet acme", "Kontakta leverantören", "räknas felet som allvarligt"):
        assert needed in text.body.sv
    assert "Felet har upphört men kan komma tillbaka." in text.body.sv
    assert "Källa" not in text.body.sv
    assert f"It ended Fri 20{SPACE}Nov 14:25." in text.body.en


def test_a_long_history_is_summed_up():
    evidence = [
        ("vr2/3D00", episode(at(20.0 * n), at(20.0 * n + 1))) for n in range(MAX_LISTED + 5)
    ]
    text = draft(WHEELCHAIR, reported(evidence)).text
    assert text.body.sv.count("\n– ") == MAX_LISTED + 1
    assert "– 5 tidigare felperioder" in text.body.sv
    assert "– 5 earlier episodes" in text.body.en


def test_every_code_that_opens_tickets_makes_a_readable_one():
    for known in filter(is_for_workshop, load_catalogue()):
        found = reported([(f"{known.system}/{known.code}", episode(NOON))])
        text = draft(known.device_class, found).text
        for line in (*text.title, *text.body, *text.user):
            assert "None" not in line
            assert ".." not in line
            assert "  " not in line


def _members(needs: list[set[str]]) -> list[Member]:
    (lead,) = reported([("vr2/3D00", episode(NOON))])
    return [
        Member(
            replace(DEVICE, device_no=number, device_id=f"chair-{number}", firmware="1.2"),
            replace(lead, started_at=at(number)),
            frozenset(flags),
        )
        for number, flags in enumerate(needs)
    ]


def test_an_incident_says_how_many_since_when_what_they_share_and_who_comes_first():
    members = _members([set(), {"eating"}, {"toilet", "eating"}, set()])
    made = draft_incident(members[0].finding, members, at(10))
    assert made.text.title.sv.endswith("samma fel på 4 hjälpmedel")
    body = made.text.body.sv
    assert "Felet började på 4 hjälpmedel mellan fre 20" in body
    assert f"Programversion 1.2: 100{SPACE}%" in body
    assert "Kontakta först\n– chair-2\n– chair-1\n" in body
    assert "chair-0" not in body
    assert (made.order_kind, made.detail["device_n"]) == (OrderKind.SUPPORT, 4)


def test_an_incident_names_ten_and_counts_the_rest():
    members = _members([{"eating"}] * 13)
    body = draft_incident(members[0].finding, members, NOON).text.body
    assert body.sv.count("\n– chair-") == 10
    assert "– 3 till" in body.sv
    assert "– 3 more" in body.en


@pytest.mark.parametrize(
    ("instant", "sv", "en"),
    [
        ((2026, 11, 20, 13, 5), f"fre 20{SPACE}nov 14.05", f"Fri 20{SPACE}Nov 14:05"),
        ((2026, 6, 30, 22, 30), f"ons 1{SPACE}juli 00.30", f"Wed 1{SPACE}Jul 00:30"),
        ((2025, 12, 31, 23, 30), f"tor 1{SPACE}jan 00.30", f"Thu 1{SPACE}Jan 00:30"),
        ((2025, 3, 8, 8, 0), f"lör 8{SPACE}mars 2025 09.00", f"Sat 8{SPACE}Mar 2025 09:00"),
    ],
)
def test_times_are_local_in_sweden(instant, sv, en):
    told = datetime(*instant, tzinfo=UTC)
    assert spoken_time(told, "sv", 2026) == sv
    assert spoken_time(told, "en", 2026) == en


def test_counts_have_hard_spaces():
    assert times(1200, "sv") == f"1{SPACE}200{SPACE}gånger"
    assert times(1200, "en") == f"1,200{SPACE}times"
