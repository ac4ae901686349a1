"""The settings catalogue: strict, and closed where nobody knows what a setting means."""

from __future__ import annotations

import pytest

from firmware_sim.devices.configured import settings_at
from fleet.catalogue import CatalogueError
from fleet.device_settings import is_care, load_device_settings, parse_device_settings
from fleet.wire.settings import Told, encoded, sound
from fleet.words import DeviceClass

GOOD = {
    "name": '"tilt_max_deg"',
    "label_en": '"Tilt"',
    "label_sv": '"Vinkel"',
    "care": "false",
    "ucum": '"deg"',
    "unit": '"°"',
    "device_classes": '["powered_wheelchair"]',
}


def text(**change: str | None) -> str:
    fields = {key: value for key, value in (GOOD | change).items() if value is not None}
    return "[[setting]]\n" + "\n".join(f"{key} = {value}" for key, value in fields.items())


@pytest.mark.parametrize(
    ("name", "device_class", "expected"),
    [
        pytest.param("pressure_max_cmh2o", "apap", True, id="the treatment"),
        pytest.param("mask_type", "apap", False, id="not the treatment"),
        pytest.param("nobody_knows", "apap", True, id="unknown, on a device that treats"),
        pytest.param("nobody_knows", "medication_dispenser", True, id="another such"),
        pytest.param("nobody_knows", "powered_wheelchair", False, id="unknown, on a chair"),
        pytest.param("forward_speed_max_pct", "powered_wheelchair", False, id="speed"),
        pytest.param("forward_speed_max_pct", "apap", True, id="a name of another class"),
        pytest.param("ramp_min", "scale", True, id="the treatment, wherever it is said"),
        pytest.param("forward_speed_max_pct", "", True, id="no class"),
        pytest.param("nobody_knows", "ventilator", True, id="an unknown class"),
    ],
)
def test_what_nobody_knows_is_closed(name, device_class, expected):
    assert is_care(name, device_class) is expected


def test_labels_are_unique_in_each_language():
    for lang in ("sv", "en"):
        labels = [setting.label(lang) for setting in load_device_settings()]
        assert len(set(labels)) == len(labels)


def test_a_page_has_the_known_ones_first_in_the_order_of_the_file():
    settings = load_device_settings()
    names = ["zz", "mask_type", "aa", "drive_profile"]
    assert sorted(names, key=settings.place) == ["drive_profile", "mask_type", "aa", "zz"]


def test_a_good_entry_is_read():
    (setting,) = parse_device_settings(text())
    assert (setting.name, setting.unit, setting.care) == ("tilt_max_deg", "°", False)
    assert setting.word("x", "sv") == "x"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": '"Tilt_deg"'}, "not a setting's name"),
        ({"name": '"tilt_max"'}, "does not end in its unit"),
        ({"ucum": '"furlong"'}, "is unknown"),
        ({"unit": None}, "go together"),
        ({"care": None}, "care is not true or false"),
        ({"device_classes": "[]"}, "device_classes is empty"),
        ({"device_classes": '["boat"]'}, "device_classes"),
        ({"colour": '"red"'}, "unknown key"),
        ({"words": '[{ value = "a", sv = "b" }]'}, "en is missing"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_entry_says_what_is_wrong(change, says):
    with pytest.raises(CatalogueError, match=says):
        parse_device_settings(text(**change))


def test_no_name_stands_twice():
    with pytest.raises(CatalogueError, match="stands twice"):
        parse_device_settings(f"{text()}\n{text()}")


@pytest.mark.parametrize("device_class", DeviceClass)
def test_simulated_devices_report_what_the_catalogue_knows_of_them(device_class):
    known = {setting.name for setting in load_device_settings().of(device_class)}
    for boot in (1, 5, 12):
        values = settings_at(device_class, "S-1", boot)
        assert values.keys() <= known
        assert sound(encoded(values)) == Told(values, 0)
    assert bool(known) == bool(values) or device_class is DeviceClass.HBA1C_METER
    changed = (
        settings_at(device_class, "S-1", 5).items() ^ settings_at(device_class, "S-1", 1).items()
    )
    assert len(changed) == (2 if values else 0), "one setting, before and after"
