"""What a request may ask for: ids, limits, cursors and ranges of time, checked at the door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, Self

from fastapi import Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from api.problems import invalid, not_found
from api.schemas import OrderKind, TicketState
from api.series import LEAST_BUDGET, POINT_BUDGET, Resolution
from fleet.metrics import METRIC_NAME
from fleet.wire.reasons import Reason
from fleet.wire.topics import is_id
from fleet.words import Component, Severity
from storage import reading
from storage.connection import Connection
from storage.reading import DeviceRow, Span

DEFAULT_RANGE: Final = timedelta(hours=24)
EARLIEST: Final = datetime(2015, 1, 1, tzinfo=UTC)
AHEAD: Final = timedelta(days=2)

_WORD: Final = r"^[^\x00-\x1f]{1,120}$"

DeviceId = Annotated[str, Path(description="The device's id.", max_length=200)]
_Limit = Annotated[int, Field(ge=1, le=500, description="Rows in one answer.")]
_Cursor = Annotated[
    str | None, Field(max_length=400, description="`next_cursor` of the answer before; opaque.")
]
_OfDevice = Annotated[str | None, Field(max_length=200, description="Only of this device.")]
_From = Annotated[AwareDatetime | None, Field(alias="from", description="RFC 3339; inclusive.")]
_To = Annotated[AwareDatetime | None, Field(description="RFC 3339; exclusive.")]

Wanted = Literal["open", "ended"] | TicketState
Sort = Literal["due", "severity"]
Standing = Literal["overdue", "at_risk"]


class _Asked(BaseModel):
    """Query parameters. A misspelt one is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DevicesAsked(_Asked):
    q: str | None = Field(
        None, max_length=80, description="Start of an id, individual number or serial number."
    )
    cursor: _Cursor = None
    limit: _Limit = 50


class SamplesAsked(_Asked):
    metric: str = Field(pattern=f"^{METRIC_NAME.pattern}$", examples=["battery_voltage_v"])
    from_: _From = None
    to: _To = None
    resolution: Resolution = Field(
        "auto", description="`day`: local days of Sweden, of 23 to 25 hours, from hourly values."
    )
    points: int = Field(
        POINT_BUDGET,
        ge=LEAST_BUDGET,
        le=POINT_BUDGET,
        description="At most so many points; what is left out is never the least or greatest.",
    )


class FaultsAsked(_Asked):
    from_: _From = None
    to: _To = None
    cursor: _Cursor = None
    limit: _Limit = 50


class CodesAsked(_Asked):
    """Of one system, or of one code of a system."""

    system: str | None = Field(None, pattern=_WORD, examples=["vr2"])
    code: str | None = Field(None, pattern=_WORD, examples=["3B00"])
    cursor: _Cursor = None
    limit: _Limit = 50

    @model_validator(mode="after")
    def _a_code_needs_its_system(self) -> Self:
        if self.code is not None and self.system is None:
            raise ValueError("a code means something only within its system: name both")
        return self


class TicketsAsked(_Asked):
    state: Wanted = Field("open", description="`open` and `ended` are groups of states.")
    device: str | None = Field(
        None,
        max_length=200,
        description="Only of this device: its id, or the whole of its individual number or serial.",
    )
    severity: Severity | None = None
    component: Component | None = Field(None, description="Only about this part.")
    kind: OrderKind | None = Field(None, description="Only of this order kind.")
    centre: str | None = Field(
        None, max_length=80, pattern=r"^[^\x00]*$", description="Only of this centre, by its id."
    )
    assignee: str | None = Field(
        None,
        max_length=80,
        pattern=r"^[^\x00]*$",
        description="A name; `mine`: the caller's; `none`: nobody's.",
    )
    due: Standing | None = Field(
        None, description="Only where a deadline has passed, or is near enough to be a risk."
    )
    sort: Sort = Field(
        "due", description="Of open tickets: the first deadline first, or the worst first."
    )
    cursor: _Cursor = None
    limit: _Limit = 50


class FindingsAsked(_Asked):
    device: _OfDevice = None
    rule: str | None = Field(None, pattern=r"^[a-z0-9._-]{1,40}$", description="Only of this rule.")
    open: bool | None = Field(None, description="Only those that hold, or that have ended.")
    cursor: _Cursor = None
    limit: _Limit = 50


class LedgerAsked(_Asked):
    device: _OfDevice = None


class QuarantineAsked(_Asked):
    reason: Reason | None = None
    device: _OfDevice = None
    cursor: _Cursor = None
    limit: _Limit = 50


def known_device(conn: Connection, device_id: str) -> DeviceRow:
    """The device called `device_id`.

    Raises:
        ProblemError: 404.
    """
    row = reading.device(conn, device_id) if is_id(device_id) else None
    if row is None:
        raise not_found("device with that id")
    return row


def known_device_no(conn: Connection, device_id: str) -> int:
    """The number of the device called `device_id`.

    Raises:
        ProblemError: 404.
    """
    number = reading.device_no(conn, device_id) if is_id(device_id) else None
    if number is None:
        raise not_found("device with that id")
    return number


def span_of(low: datetime | None, high: datetime | None, now: datetime) -> Span:
    """The range asked for; the last 24 hours when nothing was said.

    Raises:
        ProblemError: 422, the range is empty.
    """
    high = min(high or now, now + AHEAD)
    low = max(low or high - DEFAULT_RANGE, EARLIEST)
    if low >= high:
        raise invalid("query.from", "must be before `to`, and not in the future")
    return Span(low.astimezone(UTC), high.astimezone(UTC))
