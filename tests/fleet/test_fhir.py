"""FHIR ids, dates and resources, checked against FHIR's own models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.devicemetric import DeviceMetric
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.task import Task
from hypothesis import given
from hypothesis import strategies as st

from fleet.fhir import resources
from fleet.fhir.dates import parse_date, span
from fleet.fhir.ids import (
    DEVICE_ID_MAX,
    MetricId,
    ValueId,
    device_id_from_fhir,
    device_id_to_fhir,
    device_of_reference,
    metric_id,
    named_device,
    value_id,
)
from fleet.metrics import load_metrics
from fleet.models import load_models
from fleet.ticket_states import OrderKind, State

AT = datetime(2026, 11, 20, 8, 15, 0, 123456, tzinfo=UTC)
IDS = st.from_regex(rf"\A[A-Za-z0-9_-]{{1,{DEVICE_ID_MAX}}}\Z")


@dataclass
class Row:
    id: str = "fk_20417"
    tenant_id: str = "exempel"
    centre_name: str | None = "Norr"
    model_id: str = "otto-bock-b400"
    device_class: str = "powered_wheelchair"
    maker: str = "Otto Bock"
    model_name: str = "B400"
    status: str = "active"
    serial: str | None = "OB-1"
    individual_no: str | None = "4471 0293"
    fw: str | None = "2.4.1"
    hw: str | None = None


@dataclass
class Ticket:
    ticket_no: int = 4711
    device_id: str | None = "fk_20417"
    subject: str = "device"
    centre_name: str | None = "Norr"
    cause: str = "brake"
    state: str = "new"
    state_at: datetime = AT
    order_kind: str = "AU"
    title_sv: str = "Bromsen på vänster sida"
    started_at: datetime = AT
    known_at: datetime = AT
    updated_at: datetime = AT
    version: int = 3
    finish_due_at: datetime | None = AT + timedelta(days=10)


@given(IDS, st.integers(1, 10**9 - 1), st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_ids_lead_back_and_fit_fhir(device_id, metric_no, at):
    at = at.replace(tzinfo=UTC)
    metric, value = MetricId(device_id, metric_no), ValueId(device_id, metric_no, at)
    assert device_id_from_fhir(device_id_to_fhir(device_id)) == device_id
    assert device_of_reference(f"Device/{device_id_to_fhir(device_id)}") == device_id
    assert metric_id(str(metric)) == metric
    assert value_id(str(value)) == value
    fhir_id = device_id_to_fhir(device_id)
    assert named_device({"device_id": fhir_id}, []) == device_id
    assert named_device({"device_metric_id": str(metric)}, []) == device_id
    assert named_device({"observation_id": str(value)}, []) == device_id
    assert named_device({"ticket_no": "7"}, ["50", f"Device/{fhir_id}"]) == device_id
    assert named_device({}, ["50", str(value)]) is None


@pytest.mark.parametrize(
    "text", ["", "1", "fk-1", "fk-1.", "fk-1.0", "fk-1.x", ".1", "å.1", "a_b.1"]
)
def test_what_is_no_metric_has_no_id(text):
    assert metric_id(text) is None
    assert value_id(f"{text}.17") is None or "." in text


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-11-20", "2026-11-20", "2026-11-21"),
        ("eq2026-11-20", "2026-11-20", "2026-11-21"),
        ("ge2026-11-20", "2026-11-20", None),
        ("gt2026-11-20", "2026-11-21", None),
        ("sa2026-11-20", "2026-11-21", None),
        ("le2026-11-20", None, "2026-11-21"),
        ("lt2026-11-20", None, "2026-11-20"),
        ("eb2026-11-20", None, "2026-11-20"),
        ("2026-11-20T08:15+01:00", "2026-11-20T07:15", "2026-11-20T07:16"),
        ("2026-11-20T08:15:30Z", "2026-11-20T08:15:30", "2026-11-20T08:15:31"),
        ("2026-11-20T08:15:30.5Z", "2026-11-20T08:15:30.500", "2026-11-20T08:15:30.600"),
    ],
)
def test_a_date_covers_as_much_as_it_says(text, low, high):
    expected = [
        None
        if t is None
        else datetime.fromisoformat(t + "+00:00" if "T" in t else t + "T00:00+00:00")
        for t in (low, high)
    ]
    assert parse_date(text) == tuple(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20",
        "ne2026",
        "ap2026",
        "2026-13",
        "2026-02-30",
        "2026-11-20T08:15",
        "9999-12-31T23:59:60Z",
    ],
)
def test_what_is_no_date_is_refused(text):
    with pytest.raises((ValueError, OverflowError)):
        parse_date(text)


@given(st.text(max_size=40))
def test_any_text_is_a_date_or_refused(text):
    try:
        low, high = parse_date(text)
    except (ValueError, OverflowError):
        return
    assert low is None or high is None or low < high


def test_two_dates_make_a_range():
    assert span(["ge2026-11-20", "lt2026-11-22"]) == (
        datetime(2026, 11, 20, tzinfo=UTC),
        datetime(2026, 11, 22, tzinfo=UTC),
    )
    assert span([]) == (None, None)


@pytest.mark.parametrize("model", list(load_models()), ids=lambda model: model.id)
def test_every_model_is_a_device_of_fhir(model):
    made = resources.device(
        Row(model_id=model.id, device_class=model.device_class, maker=model.maker)
    )
    assert Device.model_validate(made).id == "fk.20417"


@pytest.mark.parametrize("metric", list(load_metrics()), ids=lambda metric: metric.name)
def test_every_metric_is_a_device_metric_and_its_value_an_observation(metric):
    number = ValueId("fk_20417", 7, AT)
    made = resources.device_metric(number.metric, metric.name, metric, None)
    assert DeviceMetric.model_validate(made).id == "fk.20417.7"
    made = resources.observation(number, metric.name, metric, 24.6)
    found = Observation.model_validate(made)
    assert found.valueQuantity.system == resources.UCUM
    assert found.valueQuantity.code == metric.ucum
    systems = {coding.system: coding.code for coding in found.code.coding}
    assert systems.get(resources.LOINC) == metric.loinc
    assert systems.get(resources.MDC) == (str(metric.mdc) if metric.mdc else None)


def test_a_metric_outside_the_catalogue_is_told_with_its_name_alone():
    made = resources.observation(ValueId("a", 1, AT), "odd_count", None, 3.0)
    assert Observation.model_validate(made).valueQuantity.code is None
    made = resources.device_metric(MetricId("a", 1), "odd_count", None, is_online=True)
    assert DeviceMetric.model_validate(made).operationalStatus == "on"


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", OrderKind)
def test_every_ticket_is_a_task(state, kind):
    made = resources.task(Ticket(state=state, order_kind=kind))
    found = Task.model_validate(made)
    assert found.intent == "order"
    assert found.focus.reference == "Device/fk.20417"
    assert (found.executionPeriod.end is None) == (found.status not in {"completed", "cancelled"})
    assert found.priority == ("urgent" if kind is OrderKind.URGENT_REPAIR else "routine")
    assert found.restriction.period.end == AT.replace(microsecond=123000) + timedelta(days=10)


def test_a_group_and_a_ticket_without_a_deadline_are_tasks_too():
    made = resources.task(Ticket(device_id=None, subject="storm:bus", finish_due_at=None))
    assert Task.model_validate(made).restriction is None


def test_what_the_server_can_do_is_a_capability_statement():
    made = resources.capabilities("https://fjarrkoll.example/api/v1/fhir", AT)
    found = CapabilityStatement.model_validate(made)
    assert {r.type for r in found.rest[0].resource} == {
        "Device",
        "DeviceMetric",
        "Observation",
        "Task",
    }
