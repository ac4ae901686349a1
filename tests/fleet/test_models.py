import csv
from pathlib import Path

import pytest

from fleet.catalogue import CatalogueError
from fleet.faults import load_catalogue
from fleet.metrics import load_metrics
from fleet.models import Models, load_models, parse_models
from fleet.words import DeviceClass

TYPES = Path(__file__).parents[2].parent / "shared" / "data" / "device_types.csv"


def test_every_class_has_a_model() -> None:
    for device_class in DeviceClass:
        assert load_models().of(device_class), device_class


def test_wheelchairs_speak_different_tables() -> None:
    chairs = load_models().of(DeviceClass.POWERED_WHEELCHAIR)
    tables = [set(chair.fault_systems) for chair in chairs]
    assert len(chairs) >= 2
    assert all(not one & other for one in tables for other in tables if one is not other)


def test_models_are_looked_up_by_id() -> None:
    model = load_models().get("permobil-m3")
    assert model is not None
    assert (model.maker, model.iso9999) == ("Permobil", "12 23 06")
    assert load_models().get("nonesuch") is None
    assert "nonesuch" not in load_models()
    assert len(load_models()) == len(list(load_models()))


def test_a_wheelchair_may_be_silent_for_half_a_day() -> None:
    for model in load_models().of(DeviceClass.POWERED_WHEELCHAIR):
        assert model.longest_silence_s == 12 * 3600


@pytest.mark.parametrize(
    "device_class",
    [
        DeviceClass.BLOOD_PRESSURE_MONITOR,
        DeviceClass.SCALE,
        DeviceClass.GLUCOSE_METER,
        DeviceClass.HBA1C_METER,
        DeviceClass.PULSE_OXIMETER,
    ],
)
def test_silence_of_a_meter_says_nothing(device_class: DeviceClass) -> None:
    assert all(model.longest_silence_s is None for model in load_models().of(device_class))


def test_type_codes_are_those_of_the_published_list() -> None:
    if not TYPES.exists():
        pytest.skip("the published type list ../shared/data/device_types.csv is not here")
    lines = [line for line in TYPES.read_text("utf-8").splitlines() if not line.startswith("#")]
    pairs = {(row["iso9999_2011"], row["mdc"]) for row in csv.DictReader(lines)}
    for model in load_models():
        assert (model.iso9999 or "", str(model.mdc_type or "")) in pairs, model.id


GOOD = """
[[model]]
id = "maker-one"
device_class = "powered_wheelchair"
maker = "Maker"
name = "One"
fault_systems = ["vr2"]
metrics = ["battery_voltage_v"]
report_interval_s = 60
longest_silence_s = 3600
iso9999 = "12 23 06"
mdc_type = 1
raw_decoder = "rhino2"
"""


def read(text: str) -> Models:
    return parse_models(text, load_catalogue(), load_metrics(), "bad.toml")


def test_a_good_entry_is_read() -> None:
    model = read(GOOD).get("maker-one")
    assert model is not None
    assert model.device_class is DeviceClass.POWERED_WHEELCHAIR
    assert (model.report_interval_s, model.raw_decoder) == (60, "rhino2")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[model]]", "[[model", "not TOML"),
        ("[[model]]", "[[other]]", "unknown key 'other'"),
        ('"maker-one"', '"Maker One"', "id 'Maker One' is not a slug"),
        ('"powered_wheelchair"', '"toaster"', "'toaster' is not a DeviceClass"),
        ('maker = "Maker"\n', "", "maker is missing"),
        ('fault_systems = ["vr2"]\n', "", "fault_systems is not a list"),
        ('["vr2"]', '["vr9"]', "fault system 'vr9' is not in the catalogue"),
        ('["vr2"]', '["gatt.2a5f"]', "fault system 'gatt.2a5f' is not in the catalogue"),
        ('["vr2"]', '["caresens"]', "fault system 'caresens' belongs to glucose_meter"),
        ('["battery_voltage_v"]', '["battery_voltage"]', "'battery_voltage' is not in"),
        ('["battery_voltage_v"]', '["spo2_pct"]', "'spo2_pct' is not for powered_wheelchair"),
        ('["battery_voltage_v"]', "[]", "metrics is empty"),
        ("report_interval_s = 60\n", "", "go together"),
        ("report_interval_s = 60", "report_interval_s = 0", "report_interval_s is not a whole"),
        ("longest_silence_s = 3600", "longest_silence_s = 9", "shorter than report_interval_s"),
        ('"12 23 06"', '"122306"', "is no ISO 9999 code"),
        ("mdc_type = 1", 'mdc_type = "1"', "mdc_type is not a whole number"),
        ('"rhino2"', '"Rhino 2"', "raw_decoder 'Rhino 2' is not a slug"),
        ("mdc_type = 1", "mdc_typ = 1", "unknown key 'mdc_typ'"),
    ],
)
def test_a_wrong_entry_is_refused(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(CatalogueError, match=message) as caught:
        read(GOOD.replace(old, new, 1))
    assert caught.value.file == "bad.toml"


def test_an_id_stands_once() -> None:
    with pytest.raises(CatalogueError, match="maker-one: the id stands twice"):
        read(GOOD + GOOD)
