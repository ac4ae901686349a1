"""Faults merged and told, drawn along the axis, and the sentence that says how a device is."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.charts import LEFT, LOAN, RIGHT, Frame, Mark, chart
from api.plots import Beside
from api.privacy import is_clinical, is_hidden, open_to
from api.series import Point, Series
from api.standing import Known, standing
from api.telling import Say
from api.timelines import LANES_AT_MOST, timeline, told, troubles
from fleet.access.callers import Caller, Role
from fleet.faults import load_catalogue
from fleet.metrics import load_metrics
from fleet.words import Component
from storage.lending import Place, Placement
from storage.reading import DeviceRow, EpisodeRow, Span, TicketRow

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SAY = Say("sv", False, "/", {}, NOW)


def episode(ago, lasts=1.0, code="3B00", system="vr2", raised=1, logged=0):
    started = NOW - ago * HOUR
    ended = None if lasts is None else started + lasts * HOUR
    return EpisodeRow(round(ago * 100), system, code, started, ended or started, ended,
        raised, 1, logged, started)  # fmt: skip


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_stretches_of_one_code_that_follow_closely_are_told_once():
    found = troubles([episode(3), episode(9), episode(6, code="7100"), episode(80)], NOW)
    assert [(one.fault.code, one.times) for one in found] == [("3B00", 2), ("7100", 1), ("3B00", 1)]
    assert plain(told(found[0], SAY)) == (
        "2 gånger sedan fre 20 nov 04.00 · sammanlagt 2 tim · upphörde fre 20 nov 11.00"
        .replace("11.00", "11.00")
    )  # fmt: skip


def test_what_lasts_comes_first_and_says_so():
    found = troubles([episode(30, None, "7100"), episode(1, 0.5)], NOW)
    assert [one.fault.code for one in found] == ["7100", "3B00"]
    assert plain(told(found[0], SAY)) == "1 gång tor 19 nov 07.00 · varade 1 dygn · pågår"


def test_a_controllers_own_count_is_believed_over_the_reports():
    found = troubles([episode(5, logged=17)], NOW)
    assert found[0].times == 17


def frame(length=24):
    return Frame(0, "battery_voltage_v", "sv", NOW, Span(NOW - length * HOUR, NOW))


def test_the_worst_codes_are_drawn_on_top_and_the_rest_counted():
    codes = [fault.code for fault in load_catalogue() if fault.system == "vr2"]
    worst = {code: load_catalogue().look_up("vr2", code).severity for code in codes}
    rows = [episode(3 + n / 10, code=code) for n, code in enumerate(codes[: LANES_AT_MOST + 3])]
    drawn = timeline(frame(), rows, [])
    assert drawn.hidden_n == 3
    assert drawn.svg.count('class="lane ') == LANES_AT_MOST
    ranks = ["critical", "major", "minor", "info"]
    order = [ranks.index(part.split('"')[0]) for part in drawn.svg.split('class="lane ')[1:]]
    assert order == sorted(order)
    assert {worst[code].value for code in codes} <= set(ranks)


def test_bars_stay_within_the_drawing_and_what_is_outside_is_not_drawn():
    rows = [episode(400, None), episode(5, code="7100"), episode(60, 1, code="2C00")]
    svg = timeline(frame(), rows, []).svg
    assert svg.count("<rect") == 2
    assert 'class="bar lasts" x="52.0"' in svg
    assert 'width="456.0"' in svg
    assert timeline(frame(1), [episode(60, 1)], []).svg is None


def test_a_change_of_hands_is_a_flag_and_no_fault():
    marks = [Mark(NOW - 2 * HOUR, LOAN, "info", "ett lån började")]
    series = Series([Point(NOW - HOUR * n, 24.0, 24.0, 24.0) for n in (4, 3, 2)], None, 3)
    svg = chart(frame(), series, marks).svg
    assert svg.count('class="mark loan"') == 1
    assert "Inga fel under perioden" in svg
    assert 'class="mark loan"' in timeline(frame(), [episode(3)], marks).svg


TECHNICIAN = Caller("s", "T", Role.TECHNICIAN, "r1")
PRESCRIBER = Caller("s", "P", Role.PRESCRIBER, "r1", care_unit="u")


def test_values_about_the_person_are_hidden_from_all_who_repair():
    private = [metric.name for metric in load_metrics() if metric.patient]
    assert "bp_systolic_mmhg" in private
    assert all(is_hidden(name, TECHNICIAN) and is_hidden(name, None) for name in private)
    assert not any(is_hidden(name, PRESCRIBER) for name in private)
    assert not is_hidden("battery_voltage_v", TECHNICIAN)


def test_codes_that_say_what_was_measured_are_hidden_from_all_who_repair():
    clinical = [one for one in load_catalogue() if one.component is Component.MEASUREMENT]
    rows = [episode(1), *(episode(2, code=one.code, system=one.system) for one in clinical)]
    assert len(rows) > 1
    assert open_to(rows, TECHNICIAN) == open_to(rows, None) == rows[:1]
    assert open_to(rows, PRESCRIBER) == rows
    assert [is_clinical(row) for row in rows[:2]] == [False, True]


def device(**changes):
    blank = dict.fromkeys(DeviceRow._fields)
    known = {"id": "d", "model_id": "permobil-m3", "status": "active", "last_contact_at": NOW}
    return DeviceRow(**{**blank, **known, **changes})


def ticket(**changes):
    blank = dict.fromkeys(TicketRow._fields)
    known = {"severity": "major", "usability": "unusable", "title_sv": "2C00 · bromsfel vänster"}
    return TicketRow(**{**blank, **known, **changes})


AWAY = Placement(1, Place.WORKSHOP, NOW - 3 * HOUR, None, "Bo", "")
FAULTS = troubles([episode(2, None)], NOW)
ENDED = troubles([episode(9)], NOW)


@pytest.mark.parametrize(
    ("known", "level", "words"),
    [
        (Known(device(status="revoked"), [ticket()], FAULTS, [AWAY]), "quiet", "spärrat"),
        (Known(device(), [ticket()], FAULTS, [AWAY]), "quiet", "På verkstaden sedan fre 20 nov"),
        (Known(device(), [ticket(), ticket(severity="minor")], [], []), "bad",
            "2C00 · bromsfel vänster. Användbarhet: går inte att använda. "
            "Sammanlagt 2 öppna ärenden."),
        (Known(device(), [ticket(usability="usable")], [], []), "warn",
            "Användbarhet: går att använda."),
        (Known(device(), [], FAULTS, []), "warn", "Pågående fel: 3B00 · Vänster drivmotor"),
        (Known(device(last_contact_at=NOW - 13 * HOUR), [], ENDED, []), "warn", "borde ha hörts"),
        (Known(device(last_contact_at=NOW - 11 * HOUR), [], ENDED, []), "good", "för 11 tim sedan"),
        (Known(device(model_id="ble-scale", last_contact_at=NOW - 999 * HOUR), [], [], []), "good",
            "Inga kända fel"),
        (Known(device(last_contact_at=None), [], [], []), "quiet", "aldrig hörts av"),
        (Known(device(), [], [], [replace(AWAY, until_at=NOW)]), "good", "Hördes av nyss"),
    ],
)  # fmt: skip
def test_one_sentence_says_how_a_device_is(known, level, words):
    found = standing(known, SAY)
    assert found.level == level
    assert words in plain(found.sentence)


def test_a_sign_for_many_names_the_first_and_the_worst():
    kinds = ["minor", "minor", "critical", "minor"]
    marks = [
        Mark(NOW - HOUR + timedelta(minutes=n), "raised", kind, f"{kind} {n}", f"s/{n}")
        for n, kind in enumerate(kinds)
    ]
    svg = chart(frame(24 * 30), Series([Point(NOW, 1.0, 1.0, 1.0)], None, 1), marks).svg
    title = re.search(
        r'<g class="mark critical" data-code="s/2"[^>]*><title>(.*?)</title>', svg, re.DOTALL
    )
    assert [line.partition(" · ")[2] for line in title[1].split("\n")] == [
        "minor 0", "critical 2", ""
    ]  # fmt: skip
    assert title[1].endswith("och 2 till")


# What a script reads out, and what was not shared


def decoded(readout):
    """The points as the script takes them apart."""
    at = value = 0
    found = []
    for text in readout.points.split():
        later, more, *reach = map(int, text.split(","))
        at, value = at + later, value + more
        shown = [value, *([value - reach[0], value + reach[1]] if reach else [])]
        found.append((at, *(number / 10**readout.decimals for number in shown)))
    return found


@pytest.mark.parametrize("step", [None, HOUR])
def test_the_points_of_a_drawing_are_told_whole_and_short(step):
    ats = [NOW - 5 * HOUR, NOW - 4 * HOUR, NOW - HOUR]
    points = [
        Point(at, 24.61 - n, 24.0 - n, 25.0 + n) if step else Point(at, -n, -n, -n)
        for n, at in enumerate(ats)
    ]
    readout = chart(frame(), Series(points, step, 3), []).readout
    digits = readout.decimals
    assert decoded(readout) == [
        (point.at.timestamp(), *(round(value, digits) for value in (point.value, point.low,
            point.high)[: 3 if step else 1]))
        for point in points
    ]  # fmt: skip
    assert readout.low <= min(point.low for point in points)
    assert len(readout.points) < 20 * len(points)


def shades(metric="battery_voltage_v", **beside):
    series = Series([Point(NOW - HOUR, 24.0, 24.0, 24.0)], None, 1)
    drawn = chart(replace(frame(), metric=metric, **beside), series, [])
    assert drawn.has_unshared is ('class="unshared"' in drawn.svg)
    places = r'class="unshared" x="([\d.]+)" y="\d+" width="([\d.]+)"'
    return [tuple(map(float, pair)) for pair in re.findall(places, drawn.svg)]


def test_times_that_were_not_shared_are_shaded_within_the_drawing():
    span = frame().span
    middle = span.low + (span.high - span.low) / 2
    width = RIGHT - LEFT
    assert shades(unshared=[(span.low - HOUR, middle)]) == [(LEFT, width / 2)]
    assert shades(unshared=[(middle, None)]) == [(LEFT + width / 2, width / 2)]
    assert shades(unshared=[(span.low - HOUR, span.low), (span.high, None)]) == []
    assert shades() == []


def test_what_safety_needs_is_always_shared():
    beside = Beside(unshared=[(NOW - 2 * HOUR, None)])
    frames = [beside.frame(0, name, frame().span, SAY) for name in ("battery_voltage_v", "x_v")]
    assert [bool(one.unshared) for one in frames] == [False, True]
