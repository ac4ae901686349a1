import csv
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.catalogue import CatalogueError
from fleet.faults import FaultCatalogue, FaultCode, load_catalogue, parse_catalogue
from fleet.words import (
    Component,
    DeviceClass,
    Fixer,
    Lang,
    Severity,
    Usability,
    label,
    part_label,
)

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "fault_codes.tsv"


REWORDED = {
    "Engage the lever; else replace drive unit": (
        "Set the freewheel lever to drive; else replace drive unit"
    ),
    "Repeat; if repeated contact care, then control test": (
        "Repeat, and contact care if it comes back; then control test"
    ),
    "Repeat, run control test, use backup meter": (
        "Repeat, and contact care if it comes back; run control test, use backup meter"
    ),
}
"""Actions of the published list that a user would not understand, or would meet cut off."""


@pytest.fixture(scope="module")
def catalogue() -> FaultCatalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    if not SHARED.exists():
        pytest.skip("the published fault list ../shared/data/fault_codes.tsv is not here")
    with SHARED.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_all_published_codes_are_known(catalogue: FaultCatalogue) -> None:
    assert len(catalogue) == 470
    assert len(list(catalogue)) == 470
    assert len(catalogue.systems()) == 67
    assert all(fault.known for fault in catalogue)


def test_the_catalogue_is_read_once() -> None:
    assert load_catalogue() is load_catalogue()


def test_every_row_of_the_published_list_is_here(
    catalogue: FaultCatalogue, rows: list[dict[str, str]]
) -> None:
    def facts(row: dict[str, str]) -> tuple[str, ...]:
        keys = ("device_class", "vendor", "family", "code", "component")
        more = ("action_en", "source_title", "source_url")
        return tuple(row[key].casefold() for key in (*keys, *more))

    ours = Counter(
        facts({key: str(getattr(fault, key)) for key in FaultCode.__slots__}) for fault in catalogue
    )
    published = [
        row | {"action_en": REWORDED.get(row["action_en"], row["action_en"])} for row in rows
    ]
    assert ours == Counter(facts(row) for row in published)
    assert {row["action_en"] for row in rows} >= set(REWORDED)


def test_few_classifications_differ_from_the_published_list(
    catalogue: FaultCatalogue, rows: list[dict[str, str]]
) -> None:
    published = {(row["vendor"], row["family"], row["code"].upper()): row for row in rows}
    changed = set()
    for fault in catalogue:
        row = published[(fault.vendor, fault.family, fault.code.upper())]
        if (fault.severity, fault.usability, fault.fixer) != (
            row["severity"],
            row["usability"],
            row["fixer"],
        ):
            changed.add((fault.system, fault.code))
    assert changed == {
        ("careousel-mk3", "ERROR"),
        ("rhino2.hhp", "02.01"),
        ("vr2", "2C02"),
        ("dreamstation", "E-0"),
        ("transcend.flash", "3"),
        ("s9.reminder", "REMINDER: Service"),
        ("gatt.2a5e", "0x000020"),
        ("gatt.2a5e", "0x000100"),
        ("welch-allyn-71xx.spo2", "044000"),
        ("welch-allyn-71xx.spo2", "040500"),
    }


def test_look_up_finds_every_entry(catalogue: FaultCatalogue) -> None:
    for fault in catalogue:
        assert catalogue.look_up(fault.system, fault.code) is fault


@pytest.mark.parametrize(
    ("system", "reported", "code"),
    [
        ("vr2", "2C00", "2C00"),
        ("vr2", "2c00", "2C00"),
        ("vr2", " 0x2c00 ", "2C00"),
        ("egis", "3b01", "3B01"),
        ("welch-allyn-71xx.spo2", "043d00", "043D00"),
        ("gatt.2a18", "0x20", "0x0020"),
        ("gatt.2a18", "0X0020", "0x0020"),
        ("gatt.2a5e", "0x0020", "0x000020"),
        ("gatt.2a5f", "0x4000", "0x004000"),
        ("gatt.2bed", "power_state.charge_level=3", "power_state.charge_level=3"),
        ("vr2.bars", "9", "9"),
        ("beurer-bg55", "Lo", "Lo"),
    ],
)
def test_one_code_has_one_spelling(
    catalogue: FaultCatalogue, system: str, reported: str, code: str
) -> None:
    fault = catalogue.look_up(system, reported)
    assert (fault.known, fault.code) == (True, code)


def test_text_codes_keep_their_case(catalogue: FaultCatalogue) -> None:
    assert not catalogue.look_up("caresens", "LO").known


def test_an_alias_answers_under_the_tables_own_name(catalogue: FaultCatalogue) -> None:
    assert catalogue.look_up("gatt.2a5f", "0x000001").system == "gatt.2a5e"
    assert "gatt.2a5f" not in catalogue.systems()
    family = catalogue.family("gatt.2a5f")
    assert family is not None
    assert family.system == "gatt.2a5e"
    assert catalogue.family("nothing") is None


def test_an_unknown_code_is_still_a_fault(catalogue: FaultCatalogue) -> None:
    fault = catalogue.look_up("vr2", "ab12")
    assert not fault.known
    assert (fault.system, fault.code) == ("vr2", "AB12")
    assert fault.device_class is DeviceClass.POWERED_WHEELCHAIR
    assert fault.component is Component.UNKNOWN
    assert (fault.severity, fault.usability) == (Severity.MAJOR, Usability.DEGRADED)
    assert fault.fixer is Fixer.TECHNICIAN
    assert fault.meaning("sv") == "Koden finns inte i katalogen: AB12 i systemet vr2"
    assert fault.action("sv") == "Kontakta leverantören och uppge kod AB12 i systemet vr2"
    assert fault.action("en") == "Contact the supplier with code AB12 of system vr2"


def test_an_unknown_system_is_still_a_fault(catalogue: FaultCatalogue) -> None:
    fault = catalogue.look_up("brand-new", "7")
    assert (fault.known, fault.device_class, fault.vendor) == (False, None, "")
    assert "brand-new" in fault.meaning("sv")
    assert "brand-new" in fault.meaning("en")


@given(st.sampled_from(["vr2", "gatt.2a18", "vr2.bars", "s9.reminder", "?"]), st.text())
def test_any_code_can_be_looked_up(system: str, code: str) -> None:
    assert load_catalogue().look_up(system, code).severity in Severity


# Traps of the published list.


def test_left_and_right_swap_between_products(catalogue: FaultCatalogue) -> None:
    assert catalogue.look_up("dx2.tracer", "3").component is Component.LEFT_MOTOR
    assert catalogue.look_up("dx.bora-rem24", "3").component is Component.RIGHT_MOTOR
    assert catalogue.look_up("dx.flash", "5").component is Component.LEFT_BRAKE
    assert catalogue.look_up("dx.bora-rem24", "5").component is Component.RIGHT_BRAKE


def test_flash_counts_are_not_portable(catalogue: FaultCatalogue) -> None:
    fives = {
        catalogue.look_up(system, "5").component
        for system in ("vr2.bars", "dx.flash", "dx.bora-rem24", "rhino2.scooter")
    }
    assert fives == {
        Component.RIGHT_MOTOR,
        Component.LEFT_BRAKE,
        Component.RIGHT_BRAKE,
        Component.BRAKE,
    }


def test_glucose_bit_5_is_high_and_bit_6_is_low(catalogue: FaultCatalogue) -> None:
    assert "above" in catalogue.look_up("gatt.2a18", "0x0020").meaning_en
    assert "below" in catalogue.look_up("gatt.2a18", "0x0040").meaning_en


@pytest.mark.parametrize(
    ("system", "codes"),
    [
        ("gatt.2a35", ["0x0004", "0x0008", "0x0010"]),
        ("gatt.2a18", ["0x0020", "0x0040"]),
        ("gatt.2a5e", ["0x000020", "0x000100"]),
        ("welch-allyn-71xx.spo2", ["040200", "040500"]),
        ("caresens", ["Lo", "Hi"]),
        ("climax.contact-id", ["100", "101", "102", "120", "641", "602"]),
        ("climax.scancom", ["555555559"]),
        ("pivotell-advance", ["Dose Not Taken", "Dose Dispensed"]),
        ("philips-dispenser", ["Missed doses", "Early doses"]),
        ("simplyhome-dispenser", ["Late dose"]),
    ],
)
def test_results_and_alarms_are_not_faults(
    catalogue: FaultCatalogue, system: str, codes: list[str]
) -> None:
    for code in codes:
        fault = catalogue.look_up(system, code)
        assert fault.known
        classed = (fault.severity, fault.usability, fault.fixer)
        assert classed == (Severity.INFO, Usability.USABLE, Fixer.USER), fault


def test_information_needs_no_technician(catalogue: FaultCatalogue) -> None:
    called_out = [f for f in catalogue if f.severity is Severity.INFO and f.fixer == "technician"]
    assert called_out == []


def test_what_is_critical_stops_or_limits_the_device(catalogue: FaultCatalogue) -> None:
    for fault in catalogue:
        if fault.severity is Severity.CRITICAL:
            assert fault.usability is not Usability.USABLE, fault


# Language.

ENGLISH = re.compile(
    r"\b(the|and|or|of|with|check|replace|charge|charger|brake|battery|cable|wiring|fault|error|"
    r"exchange|restart|motor plug|joystick|throttle|device|user|repeat|strip)\b",
    re.IGNORECASE,
)


def test_swedish_texts_are_swedish(catalogue: FaultCatalogue) -> None:
    for fault in catalogue:
        for text in (fault.meaning_sv, fault.action_sv):
            assert not ENGLISH.search(text), text
            assert text[0] == text[0].upper()
            assert text[-1] not in ".!"
        assert fault.action_sv != fault.action_en
        assert fault.meaning_sv != fault.meaning_en


def test_one_english_action_has_one_swedish(catalogue: FaultCatalogue) -> None:
    pairs = {(fault.action_en, fault.action_sv) for fault in catalogue}
    assert len(pairs) == len({english for english, _ in pairs})


@pytest.mark.parametrize("lang", ["sv", "en"])
@pytest.mark.parametrize("words", [DeviceClass, Severity, Usability, Fixer, Component])
def test_every_word_has_a_label(
    words: type[DeviceClass | Severity | Usability | Fixer | Component], lang: Lang
) -> None:
    labels = [label(word, lang) for word in words]
    assert all(labels)
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_every_part_has_a_word_for_its_user(lang: Lang) -> None:
    """All but what is no part of the device."""
    parts = {part: part_label(part, lang) for part in Component}
    nameless = {part for part, word in parts.items() if word is None}
    assert nameless == {
        Component.DEVICE,
        Component.SERVICE,
        Component.UNKNOWN,
        Component.USER_ACTION,
    }
    assert len(set(parts.values())) == len(parts) - len(nameless) + 1


def test_labels_follow_the_house_words() -> None:
    assert label(Component.LEFT_MOTOR, "sv") == "drivmotor vänster"
    assert label(Severity.MAJOR, "sv") == "allvarligt"
    assert label(Fixer.USER, "sv") == "kan åtgärdas av dig"
    assert label(DeviceClass.SCALE, "en") == "scale"


def test_severities_are_ranked() -> None:
    assert sorted(Severity, key=lambda s: s.rank) == ["info", "minor", "major", "critical"]


# Bad data stops the load and says what to do.

GOOD = """
[[family]]
system = "a.b"
device_class = "scale"
vendor = "Maker"
name = "Table"
code_kind = "hex"

[[family.fault]]
code = "0A"
meaning_en = "Low battery"
meaning_sv = "Låg batterinivå"
component = "battery"
severity = "minor"
usability = "usable"
fixer = "user"
action_en = "Change battery"
action_sv = "Byt batteri"
source_title = "Manual"
source_url = "https://example.org/manual"
"""


def test_a_good_table_is_read() -> None:
    catalogue = parse_catalogue({"good.toml": GOOD})
    assert catalogue.look_up("a.b", "0a").meaning("sv") == "Låg batterinivå"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('code = "0A"', 'code = "0A', "not TOML"),
        ("[[family]]", "[[famili]]", "unknown key 'famili'"),
        ("[[family.fault]]", "[family.fault]", r"no \[\[fault\]\] table"),
        ('vendor = "Maker"\n', "", "vendor is missing"),
        ('vendor = "Maker"', 'vendor = "Maker"\ncolour = "red"', "unknown key 'colour'"),
        ('system = "a.b"', 'system = "A b"', "system 'A b' is not a slug"),
        ('system = "a.b"', f'system = "{"a" * 41}"', "is not a slug"),
        ('system = "a.b"', 'system = "a.b"\naliases = "c"', "aliases is not a list"),
        ('system = "a.b"', 'system = "a.b"\naliases = ["C"]', "aliases 'C' is not a slug"),
        ('system = "a.b"', 'system = "a.b"\naliases = ["a.b"]', "'a.b' is taken"),
        ('system = "a.b"', 'system = "a.b"\naliases = ["c", "c"]', "names something twice"),
        ('"scale"', '"toaster"', "device_class 'toaster' is not a DeviceClass"),
        ('"hex"', '"morse"', "code_kind 'morse' is not a CodeKind"),
        ('code = "0A"', 'code = "0a"', "hex code is not in upper case"),
        ('code = "0A"', "code = 10", "code is missing, blank or not text"),
        ('code = "0A"', 'code = "0A"\nseverty = "minor"', "unknown key 'severty'"),
        ('"Byt batteri"', '""', "action_sv is missing"),
        ('"Byt batteri"', '" Byt batteri"', "action_sv is missing, blank"),
        ('"Byt batteri"', '"Change battery"', "Swedish text equals the English"),
        ('"Låg batterinivå"', '"Low battery"', "Swedish text equals the English"),
        ('component = "battery"', 'component = "turbo"', "'turbo' is not a Component"),
        ('component = "battery"', 'component = "unknown"', "known code has component unknown"),
        ('component = "battery"', 'component = "measurement"', "clinical result"),
        ('"minor"', '"grave"', "severity 'grave' is not a Severity"),
        ('"usable"', '"fine"', "usability 'fine' is not a Usability"),
        ('fixer = "user"', 'fixer = "nobody"', "fixer 'nobody' is not a Fixer"),
        ('source_title = "Manual"\n', "", "source_title is missing"),
        ('"https://example.org/manual"', '"a book"', "is no web address"),
    ],
)
def test_a_wrong_table_is_refused(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(CatalogueError, match=message) as caught:
        parse_catalogue({"bad.toml": GOOD.replace(old, new, 1)})
    assert caught.value.file == "bad.toml"
    assert caught.value.entry
    assert caught.value.remedy


def test_an_error_names_the_entry() -> None:
    with pytest.raises(CatalogueError) as caught:
        parse_catalogue({"bad.toml": GOOD.replace('"minor"', '"grave"')})
    assert str(caught.value) == (
        "bad.toml: a.b, code 0A: severity 'grave' is not a Severity. "
        "Use one of info, minor, major, critical."
    )


def test_a_code_stands_once_in_a_system() -> None:
    fault = GOOD[GOOD.index("[[family.fault]]") :]
    with pytest.raises(CatalogueError, match="stands twice"):
        parse_catalogue({"bad.toml": GOOD + fault})


def test_a_system_stands_once_in_all_files() -> None:
    with pytest.raises(CatalogueError, match=r"'a\.b' is taken by one\.toml"):
        parse_catalogue({"one.toml": GOOD, "two.toml": GOOD})
