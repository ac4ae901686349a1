"""Signs of abnormal use as JSON, CSV and the page tell them: whose counters went far, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from fastapi import Response
from pydantic import Field

from api import sheets, typography
from api.access.gate import Errand, InErrand
from api.fleet import RateOut, model_name
from api.problems import READING
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.schemas import COUNTED_AT, Instant, Out
from fleet.rates import Rate
from fleet.sla.calendar import local_day
from fleet.wear import MonthOfUse, Sign
from fleet.words import Lang
from storage import figures as stored

router = Router(prefix="/api/v1/key-figures", tags=["key figures"], responses=READING)

SIGNS_MAX: Final = 500


@dataclass(frozen=True)
class UseCounted:
    """The farthest signs as they were at `counted_at`, with their months; `n`: all there are."""

    counted_at: datetime
    signs: Sequence[Sign]
    months: Mapping[tuple[str, str], Sequence[MonthOfUse]]
    n: int

    def months_of(self, sign: Sign) -> Sequence[MonthOfUse]:
        return self.months.get((sign.device_id, sign.metric), ())

    @cached_property
    def answer(self) -> SignList:
        """The same as JSON tells it, made once for all who ask."""
        items = [_sign_out(sign, self.months_of(sign)) for sign in self.signs]
        return SignList(counted_at=self.counted_at, sign_n=self.n, items=items)


def use_counted(rooms: Rooms, errand: Errand, now: datetime) -> UseCounted:
    """Signs of abnormal use, as they were not long ago."""

    def count() -> UseCounted:
        with rooms.count(errand) as conn:
            found = stored.signs(conn, SIGNS_MAX)
            months = stored.sign_months(conn, found.first, now)
        return UseCounted(now, found.first, months, found.n)

    return rooms.kept.get(errand.scope, "use", now, count)


class MonthOfUseOut(Out):
    month: str = Field(examples=["2026-11"])
    count: float
    hours: float
    rate: RateOut


class SignOut(Out):
    """One counter of one device, for each 100 hours driven, beyond the limit of its model.

    A sign, no proof, and it does not say why. `from_at` and `until_at` are those of the loan:
    without a start all of the device's life, without an end until now.
    """

    device_id: str
    individual_no: str | None
    model_id: str
    area: str | None
    metric: str
    from_at: Instant | None
    until_at: Instant | None
    count: float
    hours: float
    rate: RateOut
    median: float = Field(description="What is usual in the model.")
    limit: float = Field(description="What is beyond the usual in the model.")
    peer_n: int
    months: list[MonthOfUseOut] = Field(description="The last twelve at most.")


class SignList(Out):
    counted_at: Instant = Field(description=COUNTED_AT)
    sign_n: int
    items: list[SignOut]


@router.get("/use", operation_id="list_signs_of_use")
def list_signs_of_use(rooms: InRooms, errand: InErrand) -> SignList:
    """Signs of abnormal use in the last loan of each device, the farthest first; at most 500."""
    return use_counted(rooms, errand, datetime.now(UTC)).answer


def _sign_out(sign: Sign, months: Sequence[MonthOfUse]) -> SignOut:
    names = (
        "device_id", "individual_no", "model_id", "area", "metric", "from_at", "until_at", "count",
        "hours", "median", "limit", "peer_n",
    )  # fmt: skip
    return SignOut.model_validate(
        {
            **{name: getattr(sign, name) for name in names},
            "rate": RateOut.model_validate(sign.rate),
            "months": [_month_out(month) for month in months],
        }
    )


def _month_out(found: MonthOfUse) -> MonthOfUseOut:
    return MonthOfUseOut(
        month=f"{found.month:%Y-%m}",
        count=found.count,
        hours=found.hours,
        rate=RateOut.model_validate(found.rate),
    )


_HEADINGS: Final[dict[Lang, tuple[str, ...]]] = {
    "sv": (
        "Individnummer", "Id", "Modell", "Kommun", "Räknare", "Lån från", "Lån till", "Månad",
        "Antal", "Körtimmar", "Per 100 körtimmar", "Intervall från", "Intervall till",
        "Vanligt i modellen", "Gräns", "Jämförda hjälpmedel",
    ),
    "en": (
        "Individual number", "Id", "Model", "Municipality", "Counter", "Loan from", "Loan to",
        "Month", "Count", "Hours driven", "Per 100 hours driven", "Interval from", "Interval to",
        "Usual in the model", "Limit", "Devices compared",
    ),
}  # fmt: skip
_WHOLE: Final[dict[Lang, str]] = {"sv": "hela tiden", "en": "all of it"}


def use_csv(rooms: Rooms, errand: Errand, lang: Lang, now: datetime) -> Response:
    """A line for each sign as a whole, and one for each of its months."""
    found = use_counted(rooms, errand, now)
    lines = (line for sign in found.signs for line in _lines(sign, found.months_of(sign), lang))
    name = "tecken-pa-onormalt-slitage" if lang == "sv" else "signs-of-abnormal-use"
    return sheets.answer(f"{name}-{local_day(now)}", _HEADINGS[lang], lines)


def _lines(sign: Sign, months: Sequence[MonthOfUse], lang: Lang) -> Iterator[list[str]]:
    days = ("" if at is None else f"{local_day(at)}" for at in (sign.from_at, sign.until_at))
    head = [
        sign.individual_no or "", sign.device_id, model_name(sign.model_id), sign.area or "",
        typography.metric_label(sign.metric, lang), *days,
    ]  # fmt: skip
    tail = [sheets.decimal(sign.median, lang), sheets.decimal(sign.limit, lang), str(sign.peer_n)]
    yield [*head, _WHOLE[lang], *_use(sign.count, sign.hours, sign.rate, lang), *tail]
    for month in months:
        numbers = _use(month.count, month.hours, month.rate, lang)
        yield [*head, f"{month.month:%Y-%m}", *numbers, *tail]


def _use(count: float, hours: float, rate: Rate, lang: Lang) -> list[str]:
    return [
        sheets.decimal(value, lang) for value in (count, hours, rate.value, rate.low, rate.high)
    ]
