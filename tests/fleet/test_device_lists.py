"""Lists of devices: what is read, and what each bad line is told."""

from __future__ import annotations

from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import device_lists
from fleet.device_lists import DeviceListError, read_devices

HEAD = "id,model,serial,individual_no,centre,area,network,batch,in_service_on\n"
GOOD = "wc-1,permobil-m3,PM-1,4471 0001,norr,Hisingen,Telia 4G,B7,2025-03-01\n"


def what_of(line):
    (bad,) = read_devices(HEAD + GOOD + line).bad
    assert bad.line_no == 3
    return bad.what


def test_a_line_is_read_with_its_facts():
    (one,) = read_devices(HEAD + GOOD).devices
    assert (one.line_no, one.id, one.model, one.centre) == (2, "wc-1", "permobil-m3", "norr")
    assert (one.serial, one.individual_no) == ("PM-1", "4471 0001")
    assert one.facts == {
        "area": "Hisingen", "network": "Telia 4G", "batch": "B7", "in_service_on": date(2025, 3, 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["model;id\npermobil-m3;wc-1\n", "id,model\r\n\r\nwc-1 , permobil-m3\r\n",
     'id,model,serial\n"wc-1","permobil-m3",\n,,\n'],
)  # fmt: skip
def test_columns_come_in_any_order_and_spreadsheets_differ(text):
    (one,) = read_devices(text).devices
    assert (one.id, one.model, one.serial, one.facts) == ("wc-1", "permobil-m3", None, {})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("wc-2,permobil-m3\n", "2 fields, where line 1 names 9 columns"),
        (",permobil-m3,,,,,,,\n", "id is empty"),
        ("wc-2,,,,,,,,\n", "model is empty"),
        ("wc 2,permobil-m3,,,,,,,\n", "id 'wc 2': use 1 to 64"),
        ("wc-2,permobil-m3,,,å,,,,\n", "centre 'å': use 1 to 64"),
        ("wc-2,rollator,,,,,,,\n", "model 'rollator' is not in the catalogue"),
        ("wc-1,permobil-m3,,,,,,,\n", "id 'wc-1' stands on line 2 too"),
        ("wc-2,permobil-m3,,4471 0001,,,,,\n", "individual_no '4471 0001' stands on line 2 too"),
        ("wc-2,permobil-m3,,,,,,,1 mars\n", "in_service_on '1 mars': write it as 2025-03-01"),
        (f"wc-2,permobil-m3,{'x' * 81},,,,,,\n", "serial is longer than 80"),
    ],
)
def test_a_bad_line_is_told_what_is_wrong(line, said):
    assert what_of(line).startswith(said)


def test_bad_lines_do_not_hide_one_another():
    found = read_devices(HEAD + "wc 1,x,,,,,,,\n" + GOOD + "wc-3,x,,,,,,,\n")
    assert [bad.line_no for bad in found.bad] == [2, 4]
    assert [one.line_no for one in found.devices] == [3]


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no column ''"), ("id,model,colour\n", "no column 'colour'"),
     ("id,serial\n", "'model' is missing"), ("id,model,id\n", "stands twice"),
     ("id,model\n", "no device"), ('id,model\n"wc-1,permobil-m3\n', "line 2 is no CSV")],
)  # fmt: skip
def test_what_is_no_list_is_refused(text, said):
    with pytest.raises(DeviceListError, match=said):
        read_devices(text)


def test_a_list_has_an_end(monkeypatch):
    monkeypatch.setattr(device_lists, "LINES_MAX", 2)
    lines = "".join(f"wc-{number},permobil-m3\n" for number in range(3))
    with pytest.raises(DeviceListError, match="several files"):
        read_devices("id,model\n" + lines)


@given(st.text(alphabet=st.sampled_from('idmodel,;\n\r"\0 å1-'), max_size=60))
def test_any_text_is_read_or_refused(text):
    for head in ("", "id,model\n"):
        with suppress(DeviceListError):
            read_devices(head + text)
