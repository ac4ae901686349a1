from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.udi import LONGEST, Udi, UdiError, is_gtin, read_udi

GS = "\x1d"
DI = "07312345678909"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"(01){DI}(21)A17", Udi(DI, "A17")),
        (f" (01) {DI} (21) A17 ", Udi(DI, "A17")),
        (f"(01){DI}(11)260101(10)L-9(21)OB-88213-A", Udi(DI, "OB-88213-A", "L-9")),
        (f"]d201{DI}21A17", Udi(DI, "A17")),
        (f"]C101{DI}10LOT{GS}21A17", Udi(DI, "A17", "LOT")),
        (f"01{DI}1126010110LOT{GS}21A17{GS}240X", Udi(DI, "A17", "LOT")),
        (f"{GS}01{DI}21A17", Udi(DI, "A17")),
        (f"01{DI}21A17", Udi(DI, "A17")),
        (f"(01){DI}", Udi(DI)),
        ("(8004)735000012345", Udi(asset="735000012345")),
        (f"(8003){DI}IND17", Udi(asset="IND17")),
        (f"(01){DI}(21)A17(8004)735IND", Udi(DI, "A17", asset="735IND")),
        (f"https://id.gs1.org/01/{DI}/21/A%2F17", Udi(DI, "A/17")),
        (f"https://example.org/med/01/{DI}/10/L/21/A?x=1", Udi(DI, "A", "L")),
    ],
)  # fmt: skip
def test_a_carrier_is_read_in_each_spelling(text, expected):
    assert read_udi(text) == expected


def test_the_owners_mark_tells_devices_apart_before_the_makers_serial():
    assert Udi(DI, "A17", asset="IND").individual == "IND"
    assert Udi(DI, "A17").individual == "A17"
    assert Udi(DI).individual is None


@pytest.mark.parametrize(
    "text",
    ["", "4471 0293", "44710293", "OB-88213-A", "fk-20417", DI, "0101010101", "(x)", "01" * 9,
        "https://example.org/devices/1", "1" * (LONGEST + 1)],
)  # fmt: skip
def test_what_people_type_is_no_udi(text):
    assert read_udi(text) is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("(01)07312345678901(21)A", "check digit"),
        ("(01)0731234567890(21)A", "13 characters"),
        ("(01)0731234567890A(21)A", "digits"),
        (f"(01){DI}(21){'9' * 21}", "21 characters"),
        (f"(01){DI}(21)A17 rest(x", "brackets"),
        (f"]d201{DI}9xA17", "identifier"),
        (f"]d201{DI}21", "0 characters"),
        (f"]d201{DI}21Å17", "no mark has"),
        (f"https://id.gs1.org/01/{DI[:-1]}1/21/A", "check digit"),
    ],
)
def test_a_broken_carrier_says_where(text, where):
    with pytest.raises(UdiError, match=where):
        read_udi(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [(DI, True), ("7312345678909", True), ("96385074", True), ("96385075", False), ("", False),
        ("4471", False), ("٠٧٣١٢٣٤٥٦٧٨٩٠٩", False)],
)  # fmt: skip
def test_a_product_number_is_known_by_its_check_digit(text, is_one):
    assert is_gtin(text) is is_one


@given(st.text(max_size=240))
def test_any_text_is_read_or_refused(text):
    with suppress(UdiError):
        found = read_udi(text)
        assert found is None or found != Udi()


SERIAL = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="()"),
    min_size=1, max_size=20)  # fmt: skip


@given(SERIAL, SERIAL)
def test_print_and_scan_say_the_same(serial, lot):
    printed = read_udi(f"(01){DI}(10){lot}(21){serial}")
    assert printed == Udi(DI, serial, lot)
    assert read_udi(f"]d201{DI}10{lot}{GS}21{serial}") == printed
