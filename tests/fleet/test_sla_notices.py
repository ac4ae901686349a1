"""What people read about a deadline."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleet.sla.notices import Promised, at_risk, late
from fleet.sla.policies import Clock

DUE = datetime(2026, 11, 26, 15, 0, tzinfo=UTC)
PROMISED = Promised(
    17, "wc-17", Clock.START, DUE, "Samarbetsavtalet", "påbörjas inom 3 arbetsdagar"
)
SPACE = "\N{NO-BREAK SPACE}"


def test_a_warning_says_what_by_when_and_what_the_reader_can_do():
    notice = at_risk(PROMISED, DUE - timedelta(hours=8))
    assert notice.subject_sv == "Ärende 17 riskerar att bli försenat"
    assert notice.text_sv == (
        f"Ärende 17 om wc-17 ska påbörjas senast tors 26{SPACE}nov 16.00. Det är inte säkert att"
        " vi hinner. Hör av dig om användaren inte klarar sig utan hjälpmedlet så länge.\n\n"
        "Enligt Samarbetsavtalet: påbörjas inom 3 arbetsdagar."
    ).replace("tors", "tor")
    assert "is to begin by Thu 26" in notice.text_en


def test_after_the_deadline_it_says_so():
    notice = late(replace(PROMISED, clock=Clock.FINISH), DUE + timedelta(hours=1))
    assert notice.subject_sv == "Ärende 17 är försenat"
    assert "skulle ha varit klart senast" in notice.text_sv
    assert "should have been done by" in notice.text_en


@pytest.mark.parametrize(
    ("write", "clock", "sv", "en"),
    [
        (at_risk, Clock.START, "ska påbörjas", "is to begin"),
        (at_risk, Clock.FINISH, "ska vara klart", "is to be done"),
        (late, Clock.START, "skulle ha påbörjats", "should have begun"),
        (late, Clock.FINISH, "skulle ha varit klart", "should have been done"),
    ],
)
def test_the_words_of_each_clock(write, clock, sv, en):
    notice = write(replace(PROMISED, clock=clock), DUE)
    assert f"{sv} senast" in notice.text_sv
    assert f"{en} by" in notice.text_en


def test_a_ticket_about_a_group_names_no_device():
    notice = at_risk(replace(PROMISED, device=None), DUE)
    assert notice.text_sv.startswith("Ärende 17 om flera hjälpmedel ")
    assert notice.text_en.startswith("Ticket 17 about several devices ")


def test_the_year_stands_where_it_is_another():
    notice = at_risk(PROMISED, DUE.replace(year=2025))
    assert f"26{SPACE}nov 2026 16.00" in notice.text_sv
