"""What a person decides about their data, and what is let go when a loan is over.

Functions take a connection within a scope (`storage.scope.enter`) and never commit. Who may do
what is decided by row-level security and by the functions of 0003_privacy.sql.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import psycopg

from fleet.access.audit import Entry
from fleet.privacy import OVERRIDE_FOR, Times
from storage.audit import append
from storage.connection import Connection
from storage.queries import load_queries
from storage.rows import all_rows, one_row

LOANS_MAX: Final = 500
"""Current loans that one person or one unit is shown."""
CHOICES_MAX: Final = 1000
"""How often sharing can be stopped in one loan."""
BLOCKS_MAX: Final = 200
CUT_MAX: Final = 1000
"""Links that are cut in one transaction."""
SYSTEM: Final = "fjarrkoll-diagnose"
SYSTEM_ROLE: Final = "system"
"""Who cuts links, as the access log names it."""
_AT_END: Final = 2**63 - 1
_SQL: Final = load_queries("privacy.sql")


class PrivacyError(ValueError):
    """Something about a person that cannot be done; the message says why and what can."""


@dataclass(frozen=True, slots=True)
class OwnLoan:
    """A current loan of the caller: a patient's own, or one that the caller's unit prescribed."""

    loan_no: int
    device_no: int
    device_id: str
    started_at: datetime


def own_loans(conn: Connection) -> list[OwnLoan]:
    """The caller's current loans, the newest first."""
    rows = conn.execute(_SQL["own_loans"], {"limit": LOANS_MAX})
    return [OwnLoan(*row) for row in rows]


def own_loan_of(conn: Connection, device: str) -> OwnLoan | None:
    """The caller's current loan of a device; None where it is not theirs."""
    row = conn.execute(_SQL["own_loan_of"], {"device": device, "limit": LOANS_MAX}).fetchone()
    return None if row is None else OwnLoan(*row)


def open_codes(conn: Connection, device_nos: Iterable[int]) -> dict[int, list[tuple[str, str]]]:
    """The (system, code) of every fault that is reported now, by device."""
    found: dict[int, list[tuple[str, str]]] = {number: [] for number in device_nos}
    values = {"devices": list(found)}
    for device_no, system, code in conn.execute(_SQL["devices_with_open_faults"], values):
        found[device_no].append((system, code))
    return found


def open_ticket_nos(conn: Connection, device_nos: Iterable[int]) -> list[int]:
    """Open tickets of these devices, the deadline that binds first."""
    rows = conn.execute(_SQL["device_tickets"], {"devices": list(device_nos)})
    return [int(number) for (number,) in rows]


def drafted_notices(conn: Connection, device_nos: Iterable[int]) -> dict[int, datetime]:
    """Ticket → when the prescriber's notice was drafted, where a deadline still runs."""
    rows = conn.execute(_SQL["notices"], {"devices": list(device_nos)})
    return {ticket_no: notified_at for ticket_no, _, notified_at in rows}


def sharing(conn: Connection, loan_no: int) -> Times:
    """When a loan did not share what safety does not need, the newest first."""
    rows = conn.execute(_SQL["sharing"], {"loan_no": loan_no, "limit": CHOICES_MAX})
    return [(from_at, until_at) for from_at, until_at in rows]


def stop_sharing(conn: Connection, loan_no: int, now: datetime) -> None:
    """Share only what safety needs from now on. Again changes nothing.

    Raises:
        PrivacyError: it was stopped too often in this loan.
    """
    values = {"loan_no": loan_no, "now": now, "most": CHOICES_MAX}
    if conn.execute(_SQL["stop_sharing"], values).fetchone() is None:
        raise PrivacyError(f"sharing was stopped {CHOICES_MAX} times in this loan")


def share_again(conn: Connection, loan_no: int, now: datetime) -> None:
    """Share everything from now on; what was not shared before stays so."""
    conn.execute(_SQL["share_again"], {"loan_no": loan_no, "now": now})


def unshared_times(conn: Connection, device_nos: Iterable[int]) -> dict[int, Times]:
    """When the loans of these devices did not share; devices that always did are left out."""
    found: dict[int, list[tuple[datetime, datetime | None]]] = {}
    values = {"devices": list(device_nos)}
    for device_no, from_at, until_at in conn.execute(_SQL["unshared_times"], values):
        found.setdefault(device_no, []).append((from_at, until_at))
    return dict(found)


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody said of a step that they tried."""

    ticket_no: int | None
    step: str
    helped: bool
    at: datetime


def answer(  # noqa: PLR0913, PLR0917 - the columns of one row
    conn: Connection, loan_no: int, ticket_no: int | None, step: str, helped: bool, now: datetime
) -> bool:
    """Keep what somebody said of a step; False where they had said so before."""
    values = {"loan_no": loan_no, "ticket_no": ticket_no, "step": step, "helped": helped}
    row = conn.execute(_SQL["answer"], {**values, "now": now}).fetchone()
    return row is not None


def answers(conn: Connection, loan_no: int) -> list[Answer]:
    return [Answer(*row) for row in conn.execute(_SQL["answers"], {"loan_no": loan_no})]


@dataclass(frozen=True, slots=True)
class Block:
    """A unit that a person keeps out. `care_unit` None: every unit but `kept_unit`."""

    block_no: int
    care_unit: str | None
    kept_unit: str | None
    from_at: datetime


def blocks(conn: Connection) -> list[Block]:
    """What the caller, a patient, keeps out now."""
    return [Block(*row) for row in conn.execute(_SQL["blocks"])]


def own_units(conn: Connection) -> list[str]:
    """The units that prescribed what the caller has on loan."""
    return [unit for (unit,) in conn.execute(_SQL["own_units"], {"limit": LOANS_MAX})]


def add_block(
    conn: Connection, care_unit: str | None, now: datetime, kept_unit: str | None = None
) -> None:
    """Keep a unit out of everything about the caller; None: all units but `kept_unit`.

    Raises:
        PrivacyError: too many are kept out.
    """
    values = {"care_unit": care_unit, "kept_unit": kept_unit, "now": now, "most": BLOCKS_MAX}
    if conn.execute(_SQL["add_block"], values).fetchone() is None:
        raise PrivacyError(f"{BLOCKS_MAX} units are kept out already")


def end_block(conn: Connection, block_no: int, now: datetime) -> bool:
    """Let a unit in again; False where the caller has no such block."""
    row = conn.execute(_SQL["end_block"], {"block_no": block_no, "now": now}).fetchone()
    return row is not None


def blocked_loan_n(conn: Connection) -> int:
    """How many current loans of the caller's unit are kept from the caller."""
    row = conn.execute(_SQL["blocked_loan_n"]).fetchone()
    assert row is not None, "a function always has one row"
    return int(row[0])


def override_block(
    conn: Connection, individual_no: str, why: str, length: timedelta = OVERRIDE_FOR
) -> str | None:
    """Open a blocked loan for this caller in an emergency; the device's id, None: no such block.

    Raises:
        psycopg.errors.CheckViolation: no reason that says anything, or too long.
    """
    values = {"individual": individual_no, "why": why, "length": length}
    row = conn.execute(_SQL["override_block"], values).fetchone()
    assert row is not None, "a function always has one row"
    return None if row[0] is None else str(row[0])


@dataclass(frozen=True, slots=True)
class CutLink:
    """A finished loan whose person is forgotten."""

    tenant: str
    loan_no: int
    device_id: str
    ended_at: datetime


def cut_links(conn: Connection, before: datetime, limit: int = CUT_MAX) -> list[CutLink]:
    """Forget who had loans that ended before a time. What an incident keeps is left."""
    rows = conn.execute(_SQL["cut_links"], {"before": before, "limit": limit})
    return [CutLink(*row) for row in rows]


def note_cut(conn: Connection, cut: Iterable[CutLink], now: datetime) -> None:
    """Note in each tenant's access log which links were cut; no person stands there.

    Append last in the transaction: whoever appends holds the end of the log.
    """
    by_tenant: dict[str, list[Entry]] = {}
    for one in cut:
        by_tenant.setdefault(one.tenant, []).append(
            Entry(
                tenant=one.tenant,
                at=now,
                subject=SYSTEM,
                name="",
                role=SYSTEM_ROLE,
                action="cut_link",
                object_kind="loan",
                object_id=str(one.loan_no),
                device_id=one.device_id,
                loan_no=one.loan_no,
            )
        )
    for tenant in sorted(by_tenant):
        append(conn, tenant, by_tenant[tenant])


@dataclass(frozen=True, slots=True)
class Hold:
    """An order to keep everything about a device or a person until it is released."""

    hold_no: int
    device_id: str | None
    person: str | None
    why: str
    who: str
    from_at: datetime
    released_at: datetime | None
    released_by: str | None
    released_why: str | None


def hold(  # noqa: PLR0913 - what is held, why, by whom and when, by keyword
    conn: Connection,
    *,
    device: str | None = None,
    person: str | None = None,
    why: str,
    who: str,
    now: datetime,
) -> int:
    """Keep everything about a device or about a person; return the hold's number.

    Raises:
        PrivacyError: neither or both named, unknown device, held already, or no reason.
    """
    if (device is None) == (person is None):
        raise PrivacyError("name a device or a person, one of the two")
    name = "hold_person" if device is None else "hold_device"
    values = {"device": device, "person": person, "why": why, "who": who, "now": now}
    try:
        with conn.transaction():
            row = conn.execute(_SQL[name], values).fetchone()
    except psycopg.errors.UniqueViolation as exc:
        raise PrivacyError("that is held already: see `fjarrkoll hold list`") from exc
    except psycopg.errors.CheckViolation as exc:
        raise PrivacyError("the reason is too short or too long: use 3 to 500 characters") from exc
    if row is None:
        raise PrivacyError(f"{device} is not registered: see `fjarrkoll device add --help`")
    return int(row[0])


def release_hold(
    conn: Connection, hold_no: int, who: str, now: datetime, why: str | None = None
) -> bool:
    """End a hold; False where there is none that runs.

    Raises:
        psycopg.errors.CheckViolation: the reason is not of 3 to 500 characters.
    """
    values = {"hold_no": hold_no, "who": who, "now": now, "why": why}
    return conn.execute(_SQL["release_hold"], values).fetchone() is not None


def hold_of(conn: Connection, device_no: int) -> Hold | None:
    """The hold that runs on a device; None where none does, or it is not the caller's to see."""
    return one_row(conn, Hold, _SQL["device_hold"], {"device_no": device_no})


def holds(conn: Connection, limit: int, before_no: int | None = None) -> list[Hold]:
    """Holds of the tenant, the newest first."""
    values = {"limit": limit, "before_no": _AT_END if before_no is None else before_no}
    return all_rows(conn, Hold, _SQL["holds"], values)


class Bounds(NamedTuple):
    """What of a ticket is the caller's to see. `since` None: all of it.

    `rests_on_older`: on something from before that.
    """

    since: datetime | None
    rests_on_older: bool


def told_from(conn: Connection, ticket_no: int) -> Bounds:
    """From when on the caller sees the device of a ticket that exists."""
    row = conn.execute(_SQL["told_from"], {"ticket_no": ticket_no}).fetchone()
    assert row is not None, "the ticket was read in the same view of the data"
    since, is_cut = row
    return Bounds(since, since is not None and is_cut)


LOG_SLACK: Final = timedelta(minutes=1)
"""How much later than its time an entry may come into the log; requests of many threads do."""


def log_range(
    conn: Connection, tenant: str, from_at: datetime | None, until_at: datetime | None
) -> tuple[int, int] | None:
    """The numbers between which the entries of a time stand; None: the log is empty.

    Entries come in the order of time, give or take `LOG_SLACK`, so the ends are found by halving
    and nothing of five years is read. A few entries outside the time may stand within.
    """
    row = conn.execute(_SQL["log_ends"], {"tenant": tenant}).fetchone()
    if row is None or row[0] is None:
        return None
    low, high = int(row[0]), int(row[1])
    first = low if from_at is None else _first_no(conn, tenant, from_at - LOG_SLACK, low, high)
    last = high if until_at is None else _first_no(conn, tenant, until_at + LOG_SLACK, low, high)
    return (first, last) if first <= last else None


def _first_no(conn: Connection, tenant: str, at: datetime, low: int, high: int) -> int:
    """The number of the first entry from a time on; `high` where all came before."""
    while low < high:
        middle = (low + high) // 2
        row = conn.execute(_SQL["log_time"], {"tenant": tenant, "no": middle}).fetchone()
        if row is not None and row[0] < at:
            low = middle + 1
        else:
            high = middle
    return low


@dataclass(frozen=True, slots=True)
class Checked:
    """A spot check of an entry in the access log."""

    entry_no: int
    name: str
    at: datetime
    note: str | None


def checked(
    conn: Connection, tenant: str, actions: Sequence[str], entry_nos: Iterable[int]
) -> dict[int, Checked]:
    """Which of these entries somebody has checked; `actions` are how the log names a check."""
    values: dict[str, Any] = {"tenant": tenant, "actions": list(actions)}
    values["entries"] = [str(number) for number in entry_nos]
    rows = conn.execute(_SQL["checked_entries"], values)
    return {row[0]: Checked(*row) for row in rows}
