"""Who has a device, where it is, and what groups it with others: loans, placements, facts.

Functions take a connection and never commit. Each first holds the device's row, so that two
people who move or lend one device do it one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from fleet.personal_numbers import is_like_personal_number
from fleet.words import Labels
from storage.connection import Connection
from storage.queries import load_queries

_SQL: Final = load_queries("lending.sql")


class Place(StrEnum):
    """Where a device is. Everywhere but in use it is quiet: it opens no tickets."""

    IN_USE = "in_use"
    WORKSHOP = "workshop"
    TRANSPORT = "transport"
    STORAGE = "storage"


class BasicNeed(StrEnum):
    """What a person cannot do while the device stands still. The prescriber says so."""

    SOLE_MOBILITY = "sole_mobility"
    BREATHING_SUPPORT = "breathing_support"
    COMMUNICATION = "communication"
    EATING = "eating"
    TOILET = "toilet"
    TRANSFER = "transfer"
    POSITION_CHANGE = "position_change"


PLACE_LABELS: Final[Labels[Place]] = {
    "sv": {
        Place.IN_USE: "hos användaren",
        Place.WORKSHOP: "på verkstaden",
        Place.TRANSPORT: "under transport",
        Place.STORAGE: "i förråd",
    },
    "en": {
        Place.IN_USE: "with the user",
        Place.WORKSHOP: "in the workshop",
        Place.TRANSPORT: "in transit",
        Place.STORAGE: "in storage",
    },
}

BASIC_NEED_LABELS: Final[Labels[BasicNeed]] = {
    "sv": {
        BasicNeed.SOLE_MOBILITY: "att förflytta sig (det enda sättet)",
        BasicNeed.BREATHING_SUPPORT: "att andas",
        BasicNeed.COMMUNICATION: "att kommunicera",
        BasicNeed.EATING: "att äta",
        BasicNeed.TOILET: "att gå på toaletten",
        BasicNeed.TRANSFER: "att komma i och ur sängen",
        BasicNeed.POSITION_CHANGE: "att ändra ställning",
    },
    "en": {
        BasicNeed.SOLE_MOBILITY: "getting about (the only way)",
        BasicNeed.BREATHING_SUPPORT: "breathing",
        BasicNeed.COMMUNICATION: "communicating",
        BasicNeed.EATING: "eating",
        BasicNeed.TOILET: "using the toilet",
        BasicNeed.TRANSFER: "getting in and out of bed",
        BasicNeed.POSITION_CHANGE: "changing position",
    },
}


class LendingError(ValueError):
    """A loan, a move or a fact that cannot be recorded; the message says why and what can."""


@dataclass(frozen=True, slots=True)
class Loan:
    """One person's time with one device.

    `person` is a pseudonym. It and `care_unit`, the prescriber's unit, are None where nobody said,
    where the link is cut, and for callers who may not see it.
    """

    loan_no: int
    person: str | None
    care_unit: str | None
    basic_needs: tuple[BasicNeed, ...]
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a device is or was. One that ends where it begins was overruled by a correction."""

    placement_no: int
    place: Place
    from_at: datetime
    until_at: datetime | None
    who: str
    why: str


def start_loan(  # noqa: PLR0913 - which device, to whom, by whom, what depends on it, when
    conn: Connection,
    device: str,
    person: str | None,
    needs: Iterable[BasicNeed],
    at: datetime,
    *,
    care_unit: str | None = None,
) -> Loan:
    """Lend a device.

    Args:
        person: a pseudonym, never a personal number.
        care_unit: the unit that prescribed, such as a healthCareUnitHsaId.

    Raises:
        LendingError: unknown device, out on loan already, or `at` lies in an earlier loan.
    """
    device_no = _held(conn, device)
    _check_name(person or "-", "person")
    _check_name(care_unit or "-", "care unit")
    if person and is_like_personal_number(person):
        raise LendingError("person looks like a personal number: give the pseudonym instead")
    (last_end,) = conn.execute(_SQL["last_loan_end"], {"device_no": device_no}).fetchone() or (
        None,
    )
    if last_end is not None and at < last_end:
        raise LendingError(f"{device} was on loan until {_said(last_end)}: start it then or later")
    listed = [str(need) for need in sorted(set(needs))]
    values = {"device_no": device_no, "basic_needs": listed, "at": at}
    row = conn.execute(_SQL["start_loan"], values).fetchone()
    if row is None:
        loan = _current_loan(conn, device_no)
        since = f" since {_said(loan.started_at)}" if loan is not None else ""
        raise LendingError(f"{device} is out on loan{since}: end that loan first")
    if person:
        link = {"loan_no": row[0], "person": person, "care_unit": care_unit}
        conn.execute(_SQL["link_person"], link)
    _look_again(conn, device_no, at)
    return Loan(row[0], person, care_unit, tuple(map(BasicNeed, listed)), at, None)


def end_loan(conn: Connection, device: str, at: datetime) -> Loan:
    """End the current loan.

    Raises:
        LendingError: unknown device, not on loan, or `at` is before the loan's start.
    """
    device_no = _held(conn, device)
    ended = _changed_loan(conn, "end_loan", device_no, at=at)
    if ended is None:
        loan = _current_loan(conn, device_no)
        if loan is None:
            raise LendingError(f"{device} is not on loan: see `fjarrkoll loan list {device}`")
        raise LendingError(f"the loan began {_said(loan.started_at)}: it cannot end before that")
    _look_again(conn, device_no, at)
    return ended


def change_needs(conn: Connection, device: str, needs: Iterable[BasicNeed]) -> Loan:
    """Set the basic needs of the current loan.

    Raises:
        LendingError: unknown device, or not on loan.
    """
    listed = [str(need) for need in sorted(set(needs))]
    device_no = _held(conn, device)
    loan = _changed_loan(conn, "change_needs", device_no, basic_needs=listed)
    if loan is None:
        raise LendingError(f"{device} is not on loan: see `fjarrkoll loan list {device}`")
    _look_again(conn, device_no, None)
    return loan


def loans(conn: Connection, device: str) -> list[Loan]:
    """The loans of a device, the newest first."""
    return [_loan(row) for row in conn.execute(_SQL["loans"], {"device": device})]


def _changed_loan(conn: Connection, name: str, device_no: int, **values: object) -> Loan | None:
    row = conn.execute(_SQL[name], {"device_no": device_no, **values}).fetchone()
    if row is None:
        return None
    found = conn.execute(_SQL["loan_by_no"], {"loan_no": row[0]}).fetchone()
    assert found is not None, "the loan was changed a statement ago"
    return _loan(found)


def _current_loan(conn: Connection, device_no: int) -> Loan | None:
    row = conn.execute(_SQL["current_loan"], {"device_no": device_no}).fetchone()
    return None if row is None else _loan(row)


def _loan(row: Sequence[Any]) -> Loan:
    number, person, care_unit, needs, started_at, ended_at = row
    return Loan(number, person, care_unit, tuple(map(BasicNeed, needs)), started_at, ended_at)


def hold(conn: Connection, device: str) -> None:
    """Hold a device's row until the transaction ends: nobody else lends or moves it meanwhile.

    Raises:
        LendingError: unknown device.
    """
    _held(conn, device)


def _held(conn: Connection, device: str) -> int:
    row = conn.execute(_SQL["device_no"], {"device": device}).fetchone()
    if row is None:
        raise LendingError(f"{device} is not registered: see `fjarrkoll device add --help`")
    return int(row[0])


def _said(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _check_name(name: str, what: str) -> None:
    if not name.strip() or len(name) > 80 or not name.isprintable():
        raise LendingError(f"{what} {name!r}: use 1 to 80 visible characters")


def place(  # noqa: PLR0913, PLR0917 - which device, where, when, who and why
    conn: Connection,
    device: str,
    where: Place,
    at: datetime,
    who: str,
    why: str = "",
    *,
    is_correction: bool = False,
) -> Placement:
    """Move a device. Where it is already, nothing changes.

    Args:
        at: when it moved. Before the last move only with `is_correction`, which overrules
            everything said of the time since; the overruled rows stay, and last no time.

    Raises:
        LendingError: unknown device, nobody named, or a change of the past without the order.
    """
    _check_name(who, "who")
    device_no = _held(conn, device)
    current = _current_placement(conn, device_no)
    if is_correction:
        conn.execute(_SQL["overrule_placements"], {"device_no": device_no, "at": at})
        return _opened_placement(conn, device_no, where, at, who, why)
    if current is not None and current.place is where and current.from_at <= at:
        return current
    _check_after(device, at, current)
    conn.execute(_SQL["close_placement"], {"device_no": device_no, "at": at})
    return _opened_placement(conn, device_no, where, at, who, why)


def _check_after(device: str, at: datetime, current: Placement | None) -> None:
    if current is not None and at < current.from_at:
        raise LendingError(
            f"{device} is {current.place} since {_said(current.from_at)}, as {current.who} said:"
            " to change the past, order a correction"
        )


def placements(conn: Connection, device: str) -> list[Placement]:
    """Where a device has been, the newest first; overruled rows too."""
    return [_placement(row) for row in conn.execute(_SQL["placements"], {"device": device})]


def _current_placement(conn: Connection, device_no: int) -> Placement | None:
    row = conn.execute(_SQL["current_placement"], {"device_no": device_no}).fetchone()
    return None if row is None else _placement(row)


def _opened_placement(  # noqa: PLR0913, PLR0917 - the columns of one row
    conn: Connection, device_no: int, where: Place, at: datetime, who: str, why: str
) -> Placement:
    values = {"device_no": device_no, "place": str(where), "at": at, "who": who, "why": why}
    row = conn.execute(_SQL["open_placement"], values).fetchone()
    assert row is not None, "an insert has a row"
    _look_again(conn, device_no, at)
    return _placement(row)


def _look_again(conn: Connection, device_no: int, at: datetime | None) -> None:
    """Have diagnostics look at the device from `at` on; None: from now on."""
    conn.execute(_SQL["look_again"], {"device_no": device_no, "at": at})


def _placement(row: Sequence[Any]) -> Placement:
    return Placement(row[0], Place(row[1]), *row[2:])


Span = tuple[datetime, datetime | None]


def quiet_spans(
    conn: Connection, device_nos: Iterable[int], from_at: datetime
) -> dict[int, list[Span]]:
    """When each device was not with its user: half-open times, oldest first.

    Every device asked for has an entry. The first span may begin before `from_at`; None means
    that it lasts.
    """
    spans: dict[int, list[Span]] = {device_no: [] for device_no in device_nos}
    values = {"devices": list(spans), "from_at": from_at}
    for device_no, start, end in conn.execute(_SQL["quiet_spans"], values):
        spans[device_no].append((start, end))
    return spans


def current_needs(conn: Connection, device_nos: Iterable[int]) -> dict[int, frozenset[str]]:
    """The basic needs that depend on each device now; a device without a loan is left out."""
    rows = conn.execute(_SQL["current_needs"], {"devices": list(device_nos)})
    return {device_no: frozenset(words) for device_no, words in rows}


class Fact(StrEnum):
    """What groups devices when many fail at once."""

    AREA = "area"
    NETWORK = "network"
    BATCH = "batch"
    IN_SERVICE_ON = "in_service_on"


_FACT_WORD: Final = re.compile(r"[\w][\w .,:/&+-]{0,59}")
_STREET: Final = re.compile(r"(gatan|vägen|gränd|stigen|street|road)\s*\d", re.IGNORECASE)


def describe(
    conn: Connection, device: str, facts: Mapping[Fact, str | date | None]
) -> dict[Fact, str | date | None]:
    """Set the given facts of a device, None to forget one; return all of them.

    Raises:
        LendingError: unknown device, or a fact that cannot be one.
    """
    for fact, value in facts.items():
        check_fact(fact, value)
    given = [str(fact) for fact in facts]
    values = {str(fact): facts.get(fact) for fact in Fact}
    parameters = {"device": device, "given": given, **values}
    row = conn.execute(_SQL["describe_device"], parameters).fetchone()
    if row is None:
        raise LendingError(f"{device} is not registered: see `fjarrkoll device add --help`")
    return dict(zip(Fact, row, strict=True))


def check_fact(fact: Fact, value: str | date | None) -> None:
    """Refuse what cannot be a fact.

    Raises:
        LendingError: not of its kind, odd characters, or an address.
    """
    if value is None:
        return
    if (fact is Fact.IN_SERVICE_ON) is not isinstance(value, date):
        raise LendingError(f"{fact} {value!r}: in_service_on is a date, and the others are words")
    if isinstance(value, str) and not _FACT_WORD.fullmatch(value):
        raise LendingError(
            f"{fact} {value!r}: use 1 to 60 letters, digits, spaces or . , : / & + -"
        )
    if fact is Fact.AREA and _STREET.search(str(value)):
        raise LendingError(f"area {value!r} is an address: name the district, nothing closer")
