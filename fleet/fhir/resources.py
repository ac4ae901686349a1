"""Our things as FHIR R4 resources, in plain dictionaries ready for JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from fleet.fhir.ids import MetricId, ValueId, device_id_to_fhir
from fleet.metrics import Metric, MetricKind
from fleet.models import load_models
from fleet.ticket_states import OrderKind, State
from fleet.words import DEVICE_CLASS_LABELS, DeviceClass

Resource = dict[str, Any]

LOINC: Final = "http://loinc.org"
MDC: Final = "urn:iso:std:iso:11073:10101"
UCUM: Final = "http://unitsofmeasure.org"
OURS: Final = "urn:fjarrkoll"

TASK_STATUS: Final[Mapping[State, str]] = {
    State.NEW: "requested",
    State.TRIAGED: "received",
    State.ASSIGNED: "in-progress",
    State.WAITING: "on-hold",
    State.SOLVED: "completed",
    State.VERIFIED: "completed",
    State.CLOSED: "completed",
    State.VOID: "cancelled",
}
_DEVICE_STATUS: Final = {"active": "active", "pending": "inactive", "revoked": "inactive"}


class DeviceFacts(Protocol):
    """What a Device says. `individual_no` is what is printed on it."""

    @property
    def id(self) -> str: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def centre_name(self) -> str | None: ...
    @property
    def model_id(self) -> str: ...
    @property
    def device_class(self) -> str: ...
    @property
    def maker(self) -> str: ...
    @property
    def model_name(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def serial(self) -> str | None: ...
    @property
    def individual_no(self) -> str | None: ...
    @property
    def fw(self) -> str | None: ...
    @property
    def hw(self) -> str | None: ...


class TicketFacts(Protocol):
    """What a Task says. Texts that name a user never stand in them."""

    @property
    def ticket_no(self) -> int: ...
    @property
    def device_id(self) -> str | None: ...
    @property
    def subject(self) -> str: ...
    @property
    def centre_name(self) -> str | None: ...
    @property
    def cause(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def state_at(self) -> datetime: ...
    @property
    def order_kind(self) -> str: ...
    @property
    def title_sv(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def known_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...
    @property
    def version(self) -> int: ...
    @property
    def finish_due_at(self) -> datetime | None: ...


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _filled(**fields: Any) -> Resource:
    """FHIR has no null and no empty list: what is not known is left out."""
    return {name: value for name, value in fields.items() if value not in (None, [], {}, "")}


def _coding(system: str, code: str, display: str | None = None) -> Resource:
    return _filled(system=system, code=code, display=display)


def _reference(device_id: str) -> Resource:
    return {"reference": f"Device/{device_id_to_fhir(device_id)}"}


def device(row: DeviceFacts) -> Resource:
    """A Device. Who has it is not in it."""
    numbers = (("device-id", row.id), ("individual-no", row.individual_no))
    versions = (("firmware", row.fw), ("hardware", row.hw))
    return _filled(
        resourceType="Device",
        id=device_id_to_fhir(row.id),
        identifier=[
            {"system": f"{OURS}:{row.tenant_id}:{kind}", "value": number}
            for kind, number in numbers
            if number
        ],
        status=_DEVICE_STATUS[row.status],
        manufacturer=row.maker,
        serialNumber=row.serial,
        modelNumber=row.model_id,
        deviceName=[{"name": row.model_name, "type": "model-name"}],
        type=_device_type(row),
        version=[{"type": {"text": kind}, "value": said} for kind, said in versions if said],
        owner=_filled(display=row.centre_name),
    )


def _device_type(row: DeviceFacts) -> Resource:
    model = load_models().get(row.model_id)
    codes = [_coding(f"{OURS}:device-class", row.device_class)]
    if model is not None and model.mdc_type is not None:
        codes.insert(0, _coding(MDC, str(model.mdc_type)))
    if model is not None and model.iso9999 is not None:
        codes.append(_coding("urn:iso:std:iso:9999", model.iso9999.replace(" ", "")))
    known = row.device_class in list(DeviceClass)
    text = DEVICE_CLASS_LABELS["sv"][DeviceClass(row.device_class)] if known else row.device_class
    return {"coding": codes, "text": text}


def metric_codes(name: str, metric: Metric | None) -> Resource:
    """What a metric is called: LOINC and MDC where they exist, and always our own name."""
    codes = []
    if metric is not None and metric.loinc is not None:
        codes.append(_coding(LOINC, metric.loinc))
    if metric is not None and metric.mdc is not None:
        codes.append(_coding(MDC, str(metric.mdc), metric.mdc_ref))
    codes.append(_coding(f"{OURS}:metric", name, metric.label_en if metric else None))
    return _filled(coding=codes, text=metric.label_sv if metric else name)


def device_metric(
    number: MetricId, name: str, metric: Metric | None, is_online: bool | None
) -> Resource:
    """A DeviceMetric: that a device reports a metric, and in which unit."""
    operation = {True: "on", False: "off", None: None}[is_online]
    return _filled(
        resourceType="DeviceMetric",
        id=str(number),
        type=metric_codes(name, metric),
        unit={"coding": [_coding(UCUM, metric.ucum)]} if metric else None,
        source=_reference(number.device_id),
        operationalStatus=operation,
        category="calculation" if metric and metric.kind is MetricKind.COUNTER else "measurement",
    )


def observation(number: ValueId, name: str, metric: Metric | None, value: float) -> Resource:
    """An Observation of one value. Its subject is the device: whose it is stays with the loan."""
    return _filled(
        resourceType="Observation",
        id=str(number),
        status="final",
        code=metric_codes(name, metric),
        subject=_reference(number.device_id),
        effectiveDateTime=instant(number.at),
        valueQuantity=_quantity(value, metric),
        device={"reference": f"DeviceMetric/{number.metric}"},
    )


def _quantity(value: float, metric: Metric | None) -> Resource:
    if metric is None:
        return {"value": value}
    return {"value": value, "unit": metric.ucum, "system": UCUM, "code": metric.ucum}


def task(row: TicketFacts) -> Resource:
    """A Task of one ticket: what is to be done to which device, by when."""
    state = State(row.state)
    focus = _reference(row.device_id) if row.device_id else {"display": row.subject}
    is_urgent = row.order_kind == OrderKind.URGENT_REPAIR
    return _filled(
        resourceType="Task",
        id=str(row.ticket_no),
        meta={"versionId": str(row.version), "lastUpdated": instant(row.updated_at)},
        identifier=[{"system": f"{OURS}:ticket", "value": str(row.ticket_no)}],
        status=TASK_STATUS[state],
        businessStatus={"coding": [_coding(f"{OURS}:ticket-state", state)]},
        intent="order",
        priority="urgent" if is_urgent else "routine",
        code={"coding": [_coding(f"{OURS}:task", "repair")], "text": row.order_kind},
        description=row.title_sv,
        focus=focus,
        authoredOn=instant(row.known_at),
        lastModified=instant(row.updated_at),
        executionPeriod=_period(row, state),
        owner=_filled(display=row.centre_name),
        reasonCode={"coding": [_coding(f"{OURS}:cause", row.cause)]},
        restriction=_restriction(row.finish_due_at),
    )


def _period(row: TicketFacts, state: State) -> Resource:
    is_over = TASK_STATUS[state] in {"completed", "cancelled"}
    return _filled(start=instant(row.known_at), end=instant(row.state_at) if is_over else None)


def _restriction(due_at: datetime | None) -> Resource | None:
    return {"period": {"end": instant(due_at)}} if due_at is not None else None


def bundle(base: str, resources: list[Resource], self_url: str, next_url: str | None) -> Resource:
    """A searchset. There is no total: series are endless."""
    links = [{"relation": "self", "url": self_url}]
    if next_url is not None:
        links.append({"relation": "next", "url": next_url})
    entries = [
        {
            "fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}",
            "resource": resource,
            "search": {"mode": "match"},
        }
        for resource in resources
    ]
    return _filled(resourceType="Bundle", type="searchset", link=links, entry=entries)


_SEARCHES: Final[Mapping[str, Mapping[str, str]]] = {
    "Device": {"identifier": "token"},
    "DeviceMetric": {"source": "reference"},
    "Observation": {"device": "reference", "code": "token", "date": "date"},
    "Task": {"focus": "reference", "status": "token"},
}


def capabilities(base: str, at: datetime) -> Resource:
    """What this server can do, as a CapabilityStatement."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(at),
        "kind": "instance",
        "implementation": {"description": "Fjärrkoll, read only", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [{"mode": "server", "resource": [_capability(kind) for kind in _SEARCHES]}],
    }


def _capability(kind: str) -> Resource:
    parameters = [{"name": name, "type": of} for name, of in _SEARCHES[kind].items()]
    return {
        "type": kind,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "searchParam": parameters,
    }
