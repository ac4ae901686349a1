"""FHIR R4 views, read only: Device, DeviceMetric, Observation and Task. No person is in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api import cursors
from api.access.gate import Errand, InErrand, log_shown
from api.asking import known_device, span_of
from api.privacy import is_hidden
from api.problems import READING, invalid, not_found
from api.rooms import InRooms
from api.routes import Router
from fleet.access.callers import Caller
from fleet.fhir import dates, resources
from fleet.fhir.ids import (
    DEVICE_ID_MAX,
    MetricId,
    ValueId,
    device_id_from_fhir,
    device_of_reference,
    metric_id,
    value_id,
)
from fleet.fhir.resources import Resource
from fleet.metrics import Metric, load_metrics
from fleet.ticket_states import State
from storage import fhir as stored
from storage import reading
from storage.connection import Connection
from storage.reading import DeviceRow, SampleRow, SeriesKey, Span

MEDIA_TYPE: Final = "application/fhir+json"
COUNT_MAX: Final = 200
_MICROSECOND: Final = timedelta(microseconds=1)


class FhirResponse(JSONResponse):
    media_type = MEDIA_TYPE


router = Router(
    prefix="/api/v1/fhir", tags=["FHIR"], default_response_class=FhirResponse, responses=READING
)


async def base_of(request: Request) -> str:
    """The address that everything here hangs from, as whoever asks reaches it."""
    public = request.app.state.rooms.settings.access.public_url
    own = public.rstrip("/") if public else f"{request.url.scheme}://{request.url.netloc}"
    return f"{own}{router.prefix}"


FhirId = partial(Path, max_length=64, pattern=r"^[A-Za-z0-9.\-]{1,64}$", description="A FHIR id.")
Base = Annotated[str, Depends(base_of)]


class _Search(BaseModel):
    """Parameters of a search. One that is not known here is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(50, alias="_count", ge=1, le=COUNT_MAX)


class DeviceSearch(_Search):
    identifier: str = Field(
        max_length=160,
        description="`system|value` or `value`: the id, or the individual or serial number.",
        examples=["4471 0293"],
    )


class MetricSearch(_Search):
    source: str = Field(max_length=80, examples=["Device/fk-20417"])


class ObservationSearch(_Search):
    device: str = Field(max_length=80, examples=["Device/fk-20417"])
    code: str = Field(
        max_length=120,
        description="Name, LOINC or MDC code of a metric, with or without its system.",
        examples=["battery_voltage_v"],
    )
    date: list[str] = Field(
        [], max_length=2, description="With a prefix, twice for a range. Default: the last day."
    )
    after: str | None = Field(None, alias="_after", max_length=400, description="From a next link.")


class TaskSearch(_Search):
    focus: str = Field(max_length=80, examples=["Device/fk-20417"])
    status: str | None = Field(None, max_length=40, examples=["requested"])
    after: str | None = Field(None, alias="_after", max_length=400, description="From a next link.")


@router.get("/metadata", operation_id="fhir_metadata")
def metadata(base: Base) -> dict[str, Any]:
    """What this server can do, as a CapabilityStatement."""
    return resources.capabilities(base, datetime(2026, 11, 23, tzinfo=UTC))


@router.get("/Device/{device_id}", operation_id="fhir_read_device")
def read_device(
    rooms: InRooms, errand: InErrand, device_id: Annotated[str, FhirId()]
) -> dict[str, Any]:
    """One device."""
    with rooms.read(errand) as conn:
        return resources.device(_device(conn, device_id_from_fhir(device_id)))


@router.get("/Device", operation_id="fhir_search_devices")
def search_devices(
    rooms: InRooms, errand: InErrand, base: Base, asked: Annotated[DeviceSearch, Query()]
) -> dict[str, Any]:
    """Devices by what is printed on them."""
    system, _, value = asked.identifier.rpartition("|")
    with rooms.read(errand) as conn:
        can_be = bool(value) and value.isprintable()
        rows = reading.devices(conn, "", asked.count, value, is_whole=True) if can_be else []
    exact = [row for row in rows if value in _identifiers(row, system)]
    log_shown(rooms, errand, [row.id for row in exact])
    return _bundle(base, "Device", [resources.device(row) for row in exact], asked, None)


def _identifiers(row: DeviceRow, system: str) -> set[str | None]:
    """Whatever the device is called by, or only what one system calls it."""
    if not system:
        return {row.id, row.individual_no, row.serial}
    given = resources.device(row)["identifier"]
    return {item["value"] for item in given if item["system"] == system}


@router.get("/DeviceMetric/{device_metric_id}", operation_id="fhir_read_device_metric")
def read_device_metric(
    rooms: InRooms, errand: InErrand, device_metric_id: Annotated[str, FhirId()]
) -> dict[str, Any]:
    """One metric of one device."""
    number = metric_id(device_metric_id)
    with rooms.read(errand) as conn:
        row = _device(conn, number and number.device_id)
        assert number is not None, "without a number there is no device"
        name = _metric_name(conn, errand, row, number)
    return resources.device_metric(number, name, load_metrics().get(name), row.is_online)


@router.get("/DeviceMetric", operation_id="fhir_search_device_metrics")
def search_device_metrics(
    rooms: InRooms, errand: InErrand, base: Base, asked: Annotated[MetricSearch, Query()]
) -> dict[str, Any]:
    """What a device has reported."""
    with rooms.read(errand) as conn:
        row = _device(conn, device_of_reference(asked.source))
        known = _metrics(conn, row, errand.caller)
    found = [
        resources.device_metric(MetricId(row.id, number), name, metric, row.is_online)
        for number, name, metric in known
    ]
    return _bundle(base, "DeviceMetric", found[: asked.count], asked, None)


@router.get("/Observation/{observation_id}", operation_id="fhir_read_observation")
def read_observation(
    rooms: InRooms, errand: InErrand, observation_id: Annotated[str, FhirId()]
) -> dict[str, Any]:
    """One value."""
    number = value_id(observation_id)
    with rooms.read(errand) as conn:
        row = _device(conn, number and number.device_id)
        assert number is not None, "without a number there is no device"
        name = _metric_name(conn, errand, row, number.metric)
        span = Span(number.at, number.at + _MICROSECOND)
        values = reading.raw_samples(conn, SeriesKey(row.device_no, number.metric_no), span, 1)
    if not values:
        raise not_found("Observation with that id")
    return resources.observation(number, name, load_metrics().get(name), values[0].value)


@router.get("/Observation", operation_id="fhir_search_observations")
def search_observations(
    rooms: InRooms, errand: InErrand, base: Base, asked: Annotated[ObservationSearch, Query()]
) -> dict[str, Any]:
    """Values of one metric of one device, the oldest first. Default: the last 24 hours."""
    span = _span(asked)
    with rooms.read(errand) as conn:
        row = _device(conn, device_of_reference(asked.device))
        found = [item for item in _metrics(conn, row, errand.caller) if _is_code(asked.code, item)]
        if not found:
            return _bundle(base, "Observation", [], asked, None)
        key = SeriesKey(row.device_no, found[0][0])
        values = reading.raw_samples(conn, key, span, asked.count)
    shown, following = cursors.cut("observations", values, asked.count, "at")
    return _bundle(base, "Observation", _observations(row, found[0], shown), asked, following)


Known = tuple[int, str, Metric | None]


def _observations(row: DeviceRow, known: Known, values: Sequence[SampleRow]) -> list[Resource]:
    number, name, metric = known
    return [
        resources.observation(ValueId(row.id, number, value.at), name, metric, value.value)
        for value in values
    ]


def _span(asked: ObservationSearch) -> Span:
    """The range asked for, from where the page before ended.

    Raises:
        ProblemError: 422.
    """
    try:
        low, high = dates.span(asked.date)
    except (ValueError, OverflowError) as exc:
        raise invalid("query.date", str(exc)) from exc
    after = cursors.decode("observations", asked.after, cursors.read_instant)
    return span_of(after + _MICROSECOND if after else low, high, datetime.now(UTC))


@router.get("/Task/{ticket_no}", operation_id="fhir_read_task")
def read_task(
    rooms: InRooms, errand: InErrand, ticket_no: Annotated[int, Path(ge=1, lt=2**63)]
) -> dict[str, Any]:
    """One ticket."""
    with rooms.read(errand) as conn:
        row = reading.ticket(conn, ticket_no)
    if row is None:
        raise not_found("Task with that id")
    return resources.task(row)


@router.get("/Task", operation_id="fhir_search_tasks")
def search_tasks(
    rooms: InRooms, errand: InErrand, base: Base, asked: Annotated[TaskSearch, Query()]
) -> dict[str, Any]:
    """The tickets about one device, the newest first."""
    states = [s for s in State if asked.status in {None, resources.TASK_STATUS[s]}]
    before = cursors.decode("tasks", asked.after, cursors.read_number) or 2**63 - 1
    with rooms.read(errand) as conn:
        row = _device(conn, device_of_reference(asked.focus))
        limit = asked.count + 1
        numbers = stored.tickets_of_device(conn, row.device_no, states, before, limit)
        rows = reading.tickets(conn, numbers[: asked.count])
    more = len(numbers) > asked.count
    following = cursors.encode("tasks", (numbers[asked.count - 1],)) if more else None
    return _bundle(base, "Task", [resources.task(row) for row in rows], asked, following)


def _device(conn: Connection, device_id: str | None) -> DeviceRow:
    """The device within the caller's reach.

    Raises:
        ProblemError: 404.
    """
    if device_id is None:
        raise not_found("device with that id")
    return known_device(conn, device_id)


def _metric_name(conn: Connection, errand: Errand, row: DeviceRow, number: MetricId) -> str:
    """The name of a metric that the device has reported and the caller may see.

    Raises:
        ProblemError: 404.
    """
    name = stored.metric_name(conn, number.metric_no)
    is_there = stored.has_metric(conn, row.device_no, number.metric_no)
    if name is None or not is_there or is_hidden(name, errand.caller):
        raise not_found("DeviceMetric with that id")
    return name


def _metrics(conn: Connection, row: DeviceRow, caller: Caller) -> list[Known]:
    """Number, name and catalogue entry of what the caller may see of a device."""
    if len(row.id) > DEVICE_ID_MAX:
        return []
    found = stored.metrics_of(conn, row.device_no)
    names = [(number, name) for number, name in found if not is_hidden(name, caller)]
    return [(number, name, load_metrics().get(name)) for number, name in names]


def _is_code(asked: str, known: Known) -> bool:
    system, _, code = asked.rpartition("|")
    codings = resources.metric_codes(known[1], known[2])["coding"]
    return any(c["code"] == code and system in {"", c["system"]} for c in codings)


def _bundle(
    base: str, kind: str, found: list[Resource], asked: _Search, following: str | None
) -> Resource:
    said = asked.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
    own = f"{base}/{kind}?{urlencode(said, doseq=True)}"
    more = {**said, "_after": following}
    after = f"{base}/{kind}?{urlencode(more, doseq=True)}" if following else None
    return resources.bundle(base, found, own, after)
