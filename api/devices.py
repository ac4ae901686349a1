"""JSON: devices, their samples and their faults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import Query

from api import cursors, series
from api.access.gate import InErrand, log_shown
from api.asking import (
    EARLIEST,
    DeviceId,
    DevicesAsked,
    FaultsAsked,
    SamplesAsked,
    known_device,
    known_device_no,
    span_of,
)
from api.meanings import fault_out
from api.privacy import is_hidden, latest_split, open_settings, open_to
from api.problems import READING, invalid, not_found
from api.rooms import InRooms
from api.routes import Router
from api.schemas import (
    DeviceOut,
    DevicePage,
    FaultPage,
    LatestOut,
    SamplesOut,
    SettingOut,
    VersionOut,
    WholeDeviceOut,
)
from fleet.device_settings import load_device_settings
from fleet.metrics import load_metrics
from storage import device_reading, privacy, reading
from storage.connection import Connection
from storage.device_reading import SettingRow
from storage.reading import FaultKey, SeriesKey, Span

VERSION_ROWS: Final = 50

router = Router(prefix="/api/v1/devices", tags=["devices"], responses=READING)


@router.get("", operation_id="list_devices")
def list_devices(
    rooms: InRooms, errand: InErrand, asked: Annotated[DevicesAsked, Query()]
) -> DevicePage:
    """Devices by id."""
    after = cursors.decode("devices", asked.cursor, cursors.read_text) or ""
    with rooms.read(errand) as conn:
        rows = reading.devices(conn, after, asked.limit + 1, searchable(asked.q))
    shown, following = cursors.cut("devices", rows, asked.limit, "id")
    log_shown(rooms, errand, [row.id for row in shown])
    items = [DeviceOut.model_validate(row) for row in shown]
    return DevicePage(items=items, next_cursor=following)


def searchable(text: str | None) -> str | None:
    """What was typed, trimmed; None for nothing. Characters no id can hold match nothing."""
    trimmed = (text or "").strip()[:80]
    return trimmed.replace("\0", "\ufffd").encode(errors="replace").decode() or None


@router.get("/{device_id}", operation_id="get_device")
def get_device(rooms: InRooms, errand: InErrand, device_id: DeviceId) -> WholeDeviceOut:
    """One device with its latest values, settings and versions as the device reports them.

    Values about the person and settings of the treatment are not for those who repair.
    """
    with rooms.read(errand) as conn:
        row = known_device(conn, device_id)
        latest, _ = latest_split(reading.latest_values(conn, row.device_no), errand.caller)
        told = device_reading.settings(conn, row.device_no)
        versions = device_reading.versions(conn, row.device_no, VERSION_ROWS)
        kept_back = privacy.unshared_times(conn, [row.device_no]).get(row.device_no, ())
    return WholeDeviceOut(
        **DeviceOut.model_validate(row).model_dump(),
        latest=[LatestOut.model_validate(value) for value in latest],
        settings=[_setting(one) for one in open_settings(told, row.device_class, errand.caller)],
        versions=[
            VersionOut(boot=one.boot, fw=one.fw, hw=one.hw, since=one.at) for one in versions
        ],
        unshared_since=next((low for low, high in kept_back if high is None), None),
    )


def _setting(row: SettingRow) -> SettingOut:
    known = load_device_settings().get(row.name)
    return SettingOut(
        name=row.name,
        value=row.value,
        unit=known.ucum if known else None,
        since=row.since,
        reported_at=row.reported_at,
    )


@router.get("/{device_id}/samples", operation_id="get_samples")
def get_samples(
    rooms: InRooms, errand: InErrand, device_id: DeviceId, asked: Annotated[SamplesAsked, Query()]
) -> SamplesOut:
    """Samples of one metric, at most 2,000 points; thinning keeps every peak.

    `auto` gives samples up to 48 hours, hours up to 83 days and local days beyond. Default: the
    last 24 hours. A metric about the person does not exist for those who repair.
    """
    span = span_of(asked.from_, asked.to, datetime.now(UTC))
    chosen = series.chosen(asked.resolution, span)
    span = series.whole_days(span) if chosen == "day" else span
    with rooms.read(errand) as conn:
        device_no = known_device_no(conn, device_id)
        metric_no = reading.metric_no(conn, asked.metric)
        if metric_no is None or is_hidden(asked.metric, errand.caller):
            raise not_found("metric with that name")
        key = SeriesKey(device_no, metric_no)
        found = found_series(conn, key, span, chosen, asked.points)
    known = load_metrics().get(asked.metric)
    told = {
        "device_id": device_id,
        "metric": asked.metric,
        "unit": known.ucum if known else None,
        "from_": span.low,
        "to": span.high,
        "resolution": chosen,
        "step_s": int(found.step.total_seconds()) if found.step else None,
        "row_n": found.row_n,
        "is_thinned": len(found.points) < found.row_n and found.step is None,
        "points": found.points,
    }
    return SamplesOut.model_validate(told)  # its points too, at once: there may be thousands


def found_series(
    conn: Connection,
    key: SeriesKey,
    span: Span,
    resolution: series.Known,
    budget: int = series.POINT_BUDGET,
) -> series.Series:
    """One metric of one device within `budget` points.

    Raises:
        ProblemError: 422, the range holds more rows than one answer may read.
    """
    if resolution == "raw":
        samples = reading.raw_samples(conn, key, span, series.MAX_RAW_ROWS)
        if len(samples) > series.MAX_RAW_ROWS:
            raise invalid("query.resolution", "too many samples; use hour, or a shorter range")
        return series.thinned(samples, span, budget)
    hours = reading.hourly_samples(conn, key, span, series.MAX_HOURS)
    if len(hours) > series.MAX_HOURS:
        raise invalid("query.from", "more than five years; use a shorter range")
    thin = series.daily if resolution == "day" else series.hourly
    return thin(hours, span, budget)


@router.get("/{device_id}/faults", operation_id="list_faults")
def list_faults(
    rooms: InRooms, errand: InErrand, device_id: DeviceId, asked: Annotated[FaultsAsked, Query()]
) -> FaultPage:
    """Faults as reported, newest first, with what they mean. Default: since the beginning."""
    now = datetime.now(UTC)
    span = span_of(asked.from_ or EARLIEST, asked.to or now + timedelta(days=1), now)
    after = cursors.decode("faults", asked.cursor, _fault_key)
    with rooms.read(errand) as conn:
        device_no = known_device_no(conn, device_id)
        rows = reading.faults(conn, device_no, span, asked.limit + 1, after)
    found, following = cursors.cut("faults", rows, asked.limit, "at", "epoch", "seq", "idx")
    shown = open_to(found, errand.caller)
    return FaultPage(items=[fault_out(row) for row in shown], next_cursor=following)


def _fault_key(at: object, epoch: object, seq: object, idx: object) -> FaultKey:
    return (
        cursors.read_instant(at),
        cursors.read_text(epoch),
        cursors.read_number(seq),
        cursors.read_small(idx),
    )
