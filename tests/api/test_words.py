from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from string import Formatter

import pytest

from api.charts import POINT_BUDGET, Frame, Mark, chart
from api.dues import binding, dues
from api.grounds import numbers
from api.history import happened
from api.own import sent_labels
from api.pages.ticket import sections_of
from api.preview import preview, visible
from api.scales import time_ticks, value_scale
from api.series import chosen, hourly, thinned
from api.statics import STATICS
from api.telling import Say, preferred
from api.texts import TEXTS, catalogues
from api.typography import length, number, quantity, when_due
from fleet.ticket_actions import STAYING_KINDS, VoidReason
from fleet.ticket_states import KINDS, OrderKind, State
from fleet.wire.reasons import Reason
from fleet.words import DeviceClass
from storage.lending import BasicNeed
from storage.reading import HourRow, SampleRow, Span, TicketEventRow, TicketRow

START = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize("key", TEXTS)
def test_every_text_is_in_both_languages_with_the_same_blanks(key):
    swedish, english = TEXTS[key]
    assert swedish.strip()
    assert english.strip()
    blanks = [
        {name for _, name, _, _ in Formatter().parse(text) if name} for text in (swedish, english)
    ]
    assert blanks[0] == blanks[1]
    assert "!" not in swedish + english


def test_both_languages_have_the_same_catalogues_with_the_same_keys():
    swedish, english = (
        {name: [message.id for message in catalogue] for name, catalogue in catalogues(lang)}
        for lang in ("sv", "en")
    )
    assert len(swedish) >= 7
    assert swedish == english


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_nothing_in_a_catalogue_waits_for_a_translator_or_is_left_over(lang):
    for name, catalogue in catalogues(lang):
        assert not catalogue.obsolete, name
        assert [message.id for message in catalogue if message.id and message.fuzzy] == [], name
        source = files("api").joinpath("locale", lang, name).read_text("utf-8")
        written = re.findall(r'^msgid "(.+)"$', source, re.MULTILINE)
        assert len(written) == len(set(written)) == len(catalogue), name


def test_every_word_of_the_domain_has_a_text():
    assert {f"reason.{reason}" for reason in Reason} <= TEXTS.keys()
    assert {f"state.{state}" for state in State} <= TEXTS.keys()
    assert {f"kind.{kind}" for kind in OrderKind} <= TEXTS.keys()
    assert {f"kind.short.{kind}" for kind in OrderKind} <= TEXTS.keys()


def _kinds_written():
    """Every kind of event that diagnostics and the store write."""
    source = "".join(
        file.read_text("utf-8")
        for room in ("diagnostics", "storage")
        for file in files(room).iterdir()
        if file.name.endswith(".py")
    )
    made = re.findall(r'TicketEvent\([^()]*?, "(\w+)"', source)
    made += re.findall(r'_tell\([^()]*?, "(\w+)"', source)
    made += re.findall(r'yield "(\w+)", ', source)
    return {*made, *KINDS.values(), *STAYING_KINDS.values()}


def test_every_event_and_reason_has_words():
    kinds = _kinds_written()
    assert {"opened", "notice_drafted", "evidence_added", "urgent_proposed"} <= kinds
    assert {f"event.{kind}" for kind in kinds} <= TEXTS.keys()
    say = spoken("sv")
    for reason in ("not_in_use", "taken_back", "part_of_incident", *VoidReason):
        assert said("voided", reason=str(reason)) != str(reason)
    for need in (*BasicNeed, "needs_unknown"):
        assert say.word("need", str(need)) != str(need)


def spoken(lang):
    return Say(lang, False, "/", {}, START)


def said(kind, lang="sv", **detail):
    event = TicketEventRow(1, START, kind, "Anna Ek", detail)
    return happened([event], spoken(lang))[0].details


@pytest.mark.parametrize("device_class", DeviceClass)
def test_what_a_device_sends_is_named_once_and_without_small_print(device_class):
    sent = sent_labels(device_class, "sv")
    for labels in sent.values():
        assert len(set(labels)) == len(labels)
        assert not any("percentil" in label or "(" in label for label in labels)
    glucose = [purpose for purpose, labels in sent.items() if "glukos" in labels]
    assert glucose == (["care"] if device_class == "glucose_meter" else [])


@pytest.mark.parametrize(
    ("kind", "detail", "swedish"),
    [
        ("opened", {"findings": [7, 8], "repeats": 3}, "2 iakttagelser, återkom efter ärende 3"),
        ("opened", {"findings": [7], "ticket_version": 1}, "1 iakttagelse"),
        ("assigned", {"from": "new", "to": "assigned", "assignee": "Bo"},
            "nytt → tilldelat, till Bo"),
        ("assigned", {"from": "assigned", "to": "assigned", "assignee": "Bo"}, "till Bo"),
        ("waiting", {"reason": "part_on_order", "why": "x"}, "reservdel är beställd"),
        ("waiting", {"reason": "own words"}, "own words"),
        ("voided", {"reason": "duplicate"}, "finns redan som annat ärende"),
        ("voided", {"from": "AU", "to": "supplier", "reason": "other_order_kind"},
            "avhjälpande underhåll → leverantör, ersatt av ett ärende med annan ordertyp"),
        ("urgent_proposed", {"because": ["eating", "toilet"]}, "att äta, att gå på toaletten"),
        ("solved", {"outcome": "part_replaced", "part": "broms", "minutes": 40},
            "del utbytt, broms, 40 min"),
        ("deadline_breached", {"clock": "finish", "due_at": "2026-11-20T15:00:00+00:00",
            "policy": "vgr", "text_sv": "t"}, "klart senast fre 20 nov 16.00"),
        ("verified", {"rule": "r", "version": 2, "because_sv": "körd i 3 dygn", "because_en": "x"},
            "regel r, version 2, körd i 3 dygn"),
        ("something_new", {"odd": 1}, "odd: 1"),
    ],
)  # fmt: skip
def test_what_happened_is_said_in_words(kind, detail, swedish):
    assert said(kind, **detail).replace("\N{NO-BREAK SPACE}", " ") == swedish


@pytest.mark.parametrize(
    ("hours", "swedish", "english"),
    [
        (14, "i dag kl. 15", "today at 15:00"),
        (14.5, "i dag kl. 15.30", "today at 15:30"),
        (23.5, "i morgon kl. 00.30", "tomorrow at 00:30"),
        (-2, "i går kl. 23", "yesterday at 23:00"),
        (72, "mån 23 nov 01.00", "Mon 23 Nov 01:00"),
    ],
)
def test_near_deadlines_are_said_by_the_day(hours, swedish, english):
    due = START + timedelta(hours=hours)
    assert when_due(due, "sv", START).replace("\N{NO-BREAK SPACE}", " ") == swedish
    assert when_due(due, "en", START).replace("\N{NO-BREAK SPACE}", " ") == english


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("state", "state_h", "due_h", "stopped_h", "is_recorded", "standing"),
    [
        ("new", -9, 2, None, False, "running"),
        ("new", -9, -2, None, False, "late"),  # nobody has recorded it yet
        ("new", -9, -2, None, True, "late"),
        ("waiting", -5, 2, None, False, "paused"),
        ("waiting", -5, -2, None, False, "paused"),
        ("waiting", -1, -2, None, True, "late"),  # had passed before the wait
        ("assigned", -3, 2, -3, False, "met"),
        ("assigned", -3, -4, -3, False, "missed"),
        ("solved", -3, 2, -3, True, "missed"),
        ("void", -3, 2, -3, False, "void"),
    ],
)
def test_how_a_deadline_stands(state, state_h, due_h, stopped_h, is_recorded, standing):
    blank = dict.fromkeys(TicketRow._fields)
    stopped_at = None if stopped_h is None else START + HOUR * stopped_h
    ticket = TicketRow(**{
        **blank,
        "state": state,
        "state_at": START + HOUR * state_h,
        "finish_due_at": START + HOUR * due_h,
        "finish_stopped_at": stopped_at,
        "finish_breached_at": START if is_recorded else None,
    })  # fmt: skip
    (due,) = dues(ticket, START)
    assert (due.clock, due.standing) == ("finish", standing)
    assert (binding([due]) is None) == (stopped_h is not None)


def test_numbers_behind_a_finding_have_names_units_and_an_order():
    measures = {
        "latest_d": 31.6, "range_m": 9_512.0, "worst_battery_voltage_v": 20.41, "chance": 3e-7,
        "slope_per_d": -0.02, "limit": 25.3, "deep_discharge_n": 0.0, "silent_s": 7200.0,
        "rate": 0.124, "odd_thing": 1.5,
    }  # fmt: skip
    found = dict(numbers(measures, "battery_voltage_v", spoken("sv")))
    plain = {name: value.replace("\N{NO-BREAK SPACE}", " ") for name, value in found.items()}
    assert plain == {
        "Sämsta värde, batterispänning": "20,4 V",
        "Gräns": "25,3 V",
        "Förändring": "−0,14 V i veckan",
        "Senast om": "32 dygn",
        "Räckvidd på en laddning": "9,5 km",
        "Tyst": "2 tim",
        "Andel med felet": "12 %",
        "Risk att det är slump": "under 0,01 %",
        "Odd_thing": "1,50",
    }
    assert next(iter(found)) == "Sämsta värde, batterispänning"
    assert list(found)[-1] == "Odd_thing"


def test_every_number_that_a_rule_measures_has_a_name():
    source = "".join(file.read_text("utf-8") for file in files("fleet.rules.kinds").iterdir()
                     if file.name.endswith(".py"))  # fmt: skip
    measured = {
        *re.findall(r'measures\["(\w+)"\]', source), *re.findall(r'"(\w+)": float\(', source)
    }  # fmt: skip
    assert {"best_range_m", "silent_n"} <= measured
    assert {f"measure.{name}" for name in measured} - TEXTS.keys() == set()


@pytest.mark.parametrize(
    ("share", "swedish"), [(0.92, "hög (92 %)"), (0.5, "medel (50 %)"), (0.49, "låg (49 %)")]
)
def test_confidence_is_a_word_first(share, swedish):
    assert spoken("sv").confidence(share).replace("\N{NO-BREAK SPACE}", " ") == swedish


@pytest.mark.parametrize("limit", [21.0, 24.9, 30.0])
def test_a_limit_is_drawn_and_said(limit):
    rows = [SampleRow(START + timedelta(minutes=i), 24.0 + i / 60, 0) for i in range(60)]
    span = Span(START, START + timedelta(hours=1))
    frame = Frame(1, "battery_voltage_v", "sv", span.high, span, limit)
    drawn = chart(frame, thinned(rows, span, 100), [])
    line = re.search(r'class="limit" d="M52 ([\d.]+)H508"', str(drawn.svg))
    assert 34 <= float(line[1]) <= 186
    assert "Gränsen är" in str(drawn.svg)
    assert drawn.has_limit


# How a source asks for a text by a prefix and a word: `"kind." ~ x`, f"kind.{x}", word("kind", x).
BUILT = (
    r"""["']((?:\w+\.)+)["']\s*~|f["']((?:\w+\.)+)\{|(?:word|text_or_raw)\(\s*["']([\w.]+)["'],"""
)


def test_every_text_is_used_somewhere():
    root = Path(str(files("api")))
    sources = [*root.rglob("*.py"), *root.rglob("*.html"), *root.rglob("*.js")]
    source = "".join(file.read_text("utf-8") for file in sources)
    quoted = set(re.findall(r"""["']([a-z_]+(?:\.[a-z_0-9]+)+)["']""", source))
    built = {"".join(found).rstrip(".") + "." for found in re.findall(BUILT, source)}
    unused = {
        key
        for key in TEXTS
        if not {key, key.rpartition(".")[0]} & quoted and not key.startswith(tuple(built))
    }
    assert unused == set()


@pytest.mark.parametrize(
    ("value", "decimals", "swedish", "english"),
    [
        (24.6, 1, "24,6", "24.6"),
        (1234567.0, 0, "1\N{NO-BREAK SPACE}234\N{NO-BREAK SPACE}567", "1,234,567"),
        (-3.25, 2, "−3,25", "−3.25"),
        (-0.001, 1, "0,0", "0.0"),
    ],
)
def test_numbers_are_written_as_each_language_does(value, decimals, swedish, english):
    assert number(value, "sv", decimals) == swedish
    assert number(value, "en", decimals) == english


def test_quantities_have_a_hard_space_before_the_unit():
    assert quantity(24.61, "battery_voltage_v", "sv") == "24,6\N{NO-BREAK SPACE}V"
    assert quantity(3.5, "no_such_metric", "sv") == "3,50"
    assert quantity(71, "state_of_charge_pct", "sv") == "71\N{NO-BREAK SPACE}%"
    assert quantity(71, "state_of_charge_pct", "en") == "71%"


@pytest.mark.parametrize(
    ("time", "swedish", "english"),
    [
        (timedelta(seconds=10), "0 min", "0 min"),
        (timedelta(minutes=59), "59 min", "59 min"),
        (timedelta(hours=23), "23 tim", "23 h"),
        (timedelta(days=1), "1 dygn", "1 day"),
        (timedelta(days=12), "12 dygn", "12 days"),
        (timedelta(days=-1), "0 min", "0 min"),
    ],
)
def test_lengths_of_time(time, swedish, english):
    assert length(time, "sv").replace("\N{NO-BREAK SPACE}", " ") == swedish
    assert length(time, "en").replace("\N{NO-BREAK SPACE}", " ") == english


@pytest.mark.parametrize(
    ("payload", "kind", "text"),
    [
        (b"", "empty", ""),
        (b'{"a": 1}\n', "text", '{"a": 1}\n'),
        ("å<&".encode(), "text", "å<&"),
        (b"\x00\x01\x02\xff", "hex", "00 01 02 ff"),
        (b"\x00" * 40, "hex", " ".join(["00"] * 40)),
        (b"a lot of readable text and one \x00", "text", "a lot of readable text and one \\x00"),
    ],
)
def test_payloads_are_shown_as_text_or_hex(payload, kind, text):
    shown = preview(payload, len(payload))
    assert (shown.kind, shown.text, shown.is_cut) == (kind, text, False)


def test_a_payload_cut_inside_a_character_is_still_text():
    payload = ("x" * 399 + "å").encode()
    shown = preview(payload, len(payload))
    assert (shown.kind, shown.text, shown.is_cut) == ("text", "x" * 399, True)


def test_nothing_hides_in_visible_text():
    assert visible("a\u202eb\u200bc\x1bd") == "a\\u202eb\\u200bc\\x1bd"


def _samples(count, step_s=60):
    return [
        SampleRow(START + timedelta(seconds=step_s * i), float((i * 7919) % 1000), 0)
        for i in range(count)
    ]


@pytest.mark.parametrize("budget", [4, 40, 2000])
@pytest.mark.parametrize("count", [0, 1, 39, 40, 41, 10_000])
def test_thinning_keeps_the_budget_the_order_and_the_extremes(count, budget):
    rows = _samples(count)
    span = Span(START, START + timedelta(seconds=60 * max(count, 1)))
    found = thinned(rows, span, budget)
    assert len(found.points) <= max(budget, min(count, budget))
    assert found.row_n == count
    instants = [point.at for point in found.points]
    assert instants == sorted(set(instants))
    if count:
        values = [row.value for row in rows]
        kept = [point.value for point in found.points]
        assert (min(kept), max(kept)) == (min(values), max(values))
        assert (kept[0], kept[-1]) == (values[0], values[-1])


def test_the_fullest_chart_leaves_room_for_four_on_a_page():
    rows = [
        HourRow(START + timedelta(hours=i), 60, -99.123 * (i % 7), 99.123 * (i % 5), 1.5 * i, 0.0)
        for i in range(720)
    ]
    span = Span(START, START + timedelta(days=30))
    marks = [
        Mark(START + timedelta(hours=2 * i), "raised", "major", "x" * 80, "vr2/7100")
        for i in range(300)
    ]
    frame = Frame(0, "battery_current_a", "sv", span.high, span)
    drawn = chart(frame, hourly(rows, span, POINT_BUDGET), marks)
    assert len(str(drawn.svg).encode()) + len(drawn.readout.points) < 30_000
    assert ET.fromstring(str(drawn.svg)).tag == "svg"


def test_a_line_is_not_drawn_across_missing_values():
    rows = [
        SampleRow(START + timedelta(minutes=i), 1.0 + i, 0) for i in (0, 1, 2, 3, 300, 301, 600)
    ]
    span = Span(START, START + timedelta(hours=24))
    frame = Frame(0, "battery_voltage_v", "sv", span.high, span)
    drawn = str(chart(frame, thinned(rows, span, 100), []).svg)
    line = re.search(r'class="line" d="([^"]+)"', drawn)[1]
    assert line.count("M") == 3
    assert line.endswith("h0")  # a single value is a dot


def test_a_chart_without_values_says_so():
    span = Span(START, START + timedelta(hours=24))
    drawn = chart(Frame(0, "battery_voltage_v", "sv", span.high, span), thinned([], span, 9), [])
    assert drawn.svg is None
    assert drawn.summary == "Inga värden för batterispänning under perioden."


def test_a_label_becomes_text_in_the_drawing():
    rows = [SampleRow(START, 1.0, 0)]
    span = Span(START, START + timedelta(hours=24))
    mark = Mark(START + timedelta(hours=1), "raised", "critical", '<script>&"')
    drawn = str(chart(Frame(0, "x_v", "en", span.high, span), thinned(rows, span, 9), [mark]).svg)
    assert "<script" not in drawn
    assert "&lt;script&gt;&amp;" in drawn


def test_hours_are_joined_until_they_fit():
    rows = [
        HourRow(START + timedelta(hours=i), 10, -float(i), float(i), 10.0 * i, 0.0)
        for i in range(5000)
    ]
    span = Span(START, START + timedelta(hours=5000))
    found = hourly(rows, span, 2000)
    assert len(found.points) <= 2000
    assert found.step == timedelta(hours=3)
    assert sum(point.sample_n for point in found.points) == 50_000
    assert max(point.high for point in found.points) == 4999
    assert min(point.low for point in found.points) == -4999


def test_auto_picks_samples_for_short_ranges_and_hours_for_long_ones():
    assert chosen("auto", Span(START, START + timedelta(hours=48))) == "raw"
    assert chosen("auto", Span(START, START + timedelta(hours=49))) == "hour"
    assert chosen("raw", Span(START, START + timedelta(days=9))) == "raw"


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 0), (23.1, 27.4), (-5, 5), (1e-3, 2e-3), (1e9, 1e9 + 1), (0, 1e12), (99.95, 100)],
)
def test_a_value_scale_holds_the_values_on_few_round_ticks(low, high):
    scale = value_scale(low, high, 0.1)
    slack = scale.step * 1e-6
    assert scale.low <= low + slack
    assert scale.high >= high - slack
    assert 2 <= len(scale.ticks()) <= 8


def test_time_ticks_are_local_and_few_also_across_a_change_of_the_clock():
    for start in (START, datetime(2026, 10, 24, 7, tzinfo=UTC), datetime(2026, 3, 28, tzinfo=UTC)):
        for length_h in (1, 24, 48, 168, 720):
            span = Span(start, start + timedelta(hours=length_h))
            ticks = time_ticks(span)
            assert len(ticks) <= 9
            assert all(span.low <= tick.at < span.high for tick in ticks)
            if length_h > 60:
                assert all(tick.at.hour == 0 for tick in ticks)


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("", "sv"),
        ("en", "en"),
        ("sv-FI", "sv"),
        ("fr, en;q=0.1", "en"),
        ("en;q=0", "sv"),
        ("*", "sv"),
        (";;;,=", "sv"),
    ],
)
def test_the_preferred_language(header, lang):
    assert preferred(header) == lang


def test_a_ticket_text_falls_into_sections():
    body = "Att göra\nByt delen.\n\nEn ensam mening utan rubrik.\n\nVarför\n– a\n– b"
    assert sections_of(body) == [
        ("Att göra", ["Byt delen."]),
        ("", ["En ensam mening utan rubrik."]),
        ("Varför", ["– a", "– b"]),
    ]
    assert sections_of("") == [("", [""])]


def test_the_style_sheet_has_enough_contrast():
    sheet = STATICS["fjarrkoll.css"].body.decode()
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", sheet))
    texts = [
        ("ink", "paper"),
        ("ink", "ground"),
        ("soft", "paper"),
        ("soft", "ground"),
        ("link", "paper"),
        ("link", "ground"),
        ("critical", "critical-ground"),
        ("major", "major-ground"),
        ("minor", "minor-ground"),
        ("good", "paper"),
        ("paper", "deep"),
    ]
    assert all(_contrast(colours[a], colours[b]) >= 4.5 for a, b in texts)
    signs = [
        ("line", "paper"),
        ("line", "band"),
        ("edge", "paper"),
        ("critical", "paper"),
        ("major", "paper"),
    ]
    assert all(_contrast(colours[a], colours[b]) >= 3 for a, b in signs)


def _contrast(one, other):
    """WCAG 2 contrast ratio."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
