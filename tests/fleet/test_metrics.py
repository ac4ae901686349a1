import csv
from pathlib import Path

import pytest

from fleet.catalogue import CatalogueError
from fleet.metrics import METRIC_NAME, MetricKind, load_metrics, parse_metrics
from fleet.words import DeviceClass

CODES = Path(__file__).parents[2].parent / "shared" / "data" / "codes.csv"


def test_every_class_has_metrics() -> None:
    for device_class in DeviceClass:
        assert len(load_metrics().of(device_class)) >= 5, device_class


def test_the_metrics_of_the_device_contract_are_known() -> None:
    names = "battery_voltage_v state_of_charge_pct drive_time_s odometer_m motor_current_a"
    for name in names.split():
        metric = load_metrics().get(name)
        assert metric is not None
        assert DeviceClass.POWERED_WHEELCHAIR in metric.device_classes
        assert not metric.patient


def test_an_unknown_name_is_none() -> None:
    metrics = load_metrics()
    assert metrics.get("teapot_c") is None
    assert "teapot_c" not in metrics
    assert len(metrics) == len(list(metrics))


def test_names_are_well_formed() -> None:
    assert all(METRIC_NAME.fullmatch(metric.name) for metric in load_metrics())
    for bad in ("", "9v", "Volt_v", "a-b", "a" * 64, "spänning_v", "a\n"):
        assert METRIC_NAME.fullmatch(bad) is None


def test_labels_are_unique_in_each_language() -> None:
    for lang in ("sv", "en"):
        labels = [metric.label(lang) for metric in load_metrics()]
        assert len(set(labels)) == len(labels)


def test_what_is_shown_in_another_unit_is_converted() -> None:
    shown = {m.name: (m.display_factor, m.display_unit) for m in load_metrics()}
    assert shown["odometer_m"] == (0.001, "km")
    assert shown["speed_m_s"] == (3.6, "km/h")
    assert shown["drive_time_s"] == (1 / 3600, "h")
    assert shown["battery_voltage_v"] == (1.0, "V")


@pytest.mark.parametrize(
    "name",
    [
        "bp_systolic_mmhg",
        "body_weight_kg",
        "glucose_mmol_l",
        "hba1c_mmol_mol",
        "spo2_pct",
        "step_count",
        "ahi_per_h",
        "therapy_time_s",
        "pressure_set_cmh2o",
        "dose_missed_count",
        "alarm_count",
    ],
)
def test_what_concerns_the_patient_says_so(name: str) -> None:
    metric = load_metrics().get(name)
    assert metric is not None
    assert metric.patient


def test_a_control_solution_is_never_a_patient_value() -> None:
    metric = load_metrics().get("glucose_control_mmol_l")
    assert metric is not None
    assert not metric.patient


def test_every_value_of_a_loinc_code_concerns_a_patient() -> None:
    assert all(metric.patient for metric in load_metrics() if metric.loinc)


def test_codes_are_those_of_the_published_list() -> None:
    if not CODES.exists():
        pytest.skip("the published code list ../shared/data/codes.csv is not here")
    lines = [line for line in CODES.read_text("utf-8").splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    mdc = {(int(row["mdc_code"]), row["mdc_refid"]) for row in rows if row["mdc_code"]}
    units = {(row["loinc"], row["ucum"]) for row in rows}
    for metric in load_metrics():
        if metric.mdc is not None:
            assert (metric.mdc, metric.mdc_ref) in mdc, metric.name
        if metric.loinc is not None:
            assert (metric.loinc, metric.ucum) in units, metric.name


GOOD = """
[[metric]]
name = "lamp_voltage_v"
label_en = "lamp voltage"
label_sv = "lampspänning"
kind = "gauge"
ucum = "V"
loinc = "12345-6"
mdc = 123
mdc_ref = "MDC_LAMP"
patient = false
purpose = "service"
device_classes = ["scale"]
display_unit = "V"
decimals = 1
"""


def test_a_good_entry_is_read() -> None:
    metric = parse_metrics(GOOD).get("lamp_voltage_v")
    assert metric is not None
    assert (metric.kind, metric.ucum, metric.display_factor) == (MetricKind.GAUGE, "V", 1.0)
    assert metric.device_classes == {DeviceClass.SCALE}


def test_no_class_means_any_class() -> None:
    metric = parse_metrics(GOOD.replace('device_classes = ["scale"]\n', "")).get("lamp_voltage_v")
    assert metric is not None
    assert metric.device_classes == set(DeviceClass)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[metric]]", "[[metric]", "not TOML"),
        ("[[metric]]", "[[other]]", "unknown key 'other'"),
        ("[[metric]]", "[metric]", r"no \[\[metric\]\] table"),
        ('"lamp_voltage_v"', '"lamp_voltage"', "does not end in its unit V"),
        ('"lamp_voltage_v"', '"Lamp_v"', "not a metric name"),
        ('"lamp_voltage_v"', "7", "name is missing"),
        ('label_sv = "lampspänning"\n', "", "label_sv is missing"),
        ('"gauge"', '"dial"', "kind 'dial' is not a MetricKind"),
        ('ucum = "V"', 'ucum = "volt"', "unit 'volt' is unknown"),
        ('"12345-6"', '"12345"', "is no LOINC code"),
        ("mdc = 123\n", "", "mdc and mdc_ref go together"),
        ("mdc = 123\n", "mdc = -1\n", "mdc is not a whole number"),
        ("patient = false", 'patient = "no"', "patient is not true or false"),
        ('"service"', '"fun"', "purpose 'fun' is not a Purpose"),
        ('"service"', '"care"', "purpose care does not fit patient"),
        ("patient = false", "patient = true", "purpose service does not fit patient"),
        ('["scale"]', '["toaster"]', "'toaster' is not a DeviceClass"),
        ('["scale"]', "[]", "device_classes is empty"),
        ('["scale"]', "[1]", "device_classes is not a list of strings"),
        ("decimals = 1", "decimals = true", "decimals is not a whole number"),
        ("decimals = 1", "decimals = 1\ndisplay_factor = 0", "display_factor is not above zero"),
        ("decimals = 1", "decimals = 1\ndisplay_factor = nan", "display_factor is not above"),
        ("decimals = 1", "decimals = 1\ndesimals = 1", "unknown key 'desimals'"),
    ],
)
def test_a_wrong_entry_is_refused(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(CatalogueError, match=message) as caught:
        parse_metrics(GOOD.replace(old, new, 1), "bad.toml")
    assert caught.value.file == "bad.toml"


def test_a_name_stands_once() -> None:
    with pytest.raises(CatalogueError, match="lamp_voltage_v: the name stands twice"):
        parse_metrics(GOOD + GOOD)
