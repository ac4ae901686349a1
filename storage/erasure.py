"""A person's right to have what is kept about them, and to have it let go.

Functions take a connection within the scope of the whole tenant and never commit.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import IO, Any, Final

from fleet.privacy import Kept, chunks
from fleet.spreadsheets import harmless
from storage import audit, privacy, reading
from storage.audit import AuditFilter
from storage.connection import Connection
from storage.queries import load_queries
from storage.rows import all_rows

_PIECE: Final = timedelta(days=30)
"""Telemetry that one statement reads or removes: a few hundred thousand values of a busy chair."""
_LOG_PAGE: Final = 1000
_SQL: Final = load_queries("privacy.sql")


@dataclass(frozen=True, slots=True)
class PersonLoan:
    """A loan that is still linked to the person; `hold_no`: an incident keeps it."""

    loan_no: int
    device_no: int
    device_id: str
    individual_no: str | None
    model_id: str
    care_unit: str | None
    basic_needs: list[str]
    started_at: datetime
    ended_at: datetime | None
    hold_no: int | None

    def until(self, now: datetime) -> datetime:
        return now if self.ended_at is None else self.ended_at


def tenants_of(conn: Connection, person: str) -> list[str]:
    """The tenants that know a pseudonym, for the owner of the database."""
    return [tenant for (tenant,) in conn.execute(_SQL["tenants_of_person"], {"person": person})]


def person_loans(conn: Connection, person: str) -> list[PersonLoan]:
    """The loans that are still linked to a person, the oldest first."""
    return all_rows(conn, PersonLoan, _SQL["person_loans"], {"person": person})


@dataclass(frozen=True, slots=True)
class Staying:
    """Something that is not erased. `loan_no` None: it holds for all of it."""

    kept: Kept
    loan_no: int | None = None


@dataclass(frozen=True, slots=True)
class ErasedLoan:
    """What went of one loan."""

    loan_no: int
    device_id: str
    sample_n: int
    answer_n: int
    link_n: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """The receipt of an erasure."""

    erased: Sequence[ErasedLoan]
    block_n: int
    staying: Sequence[Staying]


def erase(conn: Connection, person: str) -> Erasure:
    """Erase what the law lets go of a person's finished loans, but for what an incident keeps.

    Raises:
        PrivacyError: nothing is linked to the person.
    """
    loans = _known_loans(conn, person)
    staying = [stays for loan in loans if (stays := _stays(loan)) is not None]
    kept = {stays.loan_no for stays in staying}
    erased = [_erase_loan(conn, loan) for loan in loans if loan.loan_no not in kept]
    row = conn.execute(_SQL["erase_blocks"], {"person": person}).fetchone()
    assert row is not None, "a function always has one row"
    everywhere = (Kept.RECORD_OF_CARE, Kept.ENGINEERING, Kept.ACCESS_LOG)
    return Erasure(erased, int(row[0]), [*staying, *(Staying(kept) for kept in everywhere)])


def _known_loans(conn: Connection, person: str) -> list[PersonLoan]:
    loans = person_loans(conn, person)
    if not loans:
        raise privacy.PrivacyError(
            "no loan is linked to that pseudonym in this tenant: it is wrong, or was cut already"
        )
    return loans


def _stays(loan: PersonLoan) -> Staying | None:
    if loan.hold_no is not None:
        return Staying(Kept.HELD, loan.loan_no)
    if loan.ended_at is None:
        return Staying(Kept.LOAN_RUNS, loan.loan_no)
    return None


def _erase_loan(conn: Connection, loan: PersonLoan) -> ErasedLoan:
    assert loan.ended_at is not None, "loans that run stay"
    sample_n = 0
    for low, high in chunks(loan.started_at, loan.ended_at, _PIECE):
        values = {"loan_no": loan.loan_no, "low": low, "high": high}
        row = conn.execute(_SQL["erase_samples"], values).fetchone()
        sample_n += int(row[0]) if row else 0
    conn.execute(_SQL["erase_settings"], {"loan_no": loan.loan_no})
    rest = conn.execute(_SQL["erase_loan"], {"loan_no": loan.loan_no}).fetchone()
    answer_n, link_n = rest or (0, 0)
    return ErasedLoan(loan.loan_no, loan.device_id, sample_n, answer_n, link_n)


@dataclass(frozen=True, slots=True)
class Export:
    """How much an export holds."""

    loan_n: int
    sample_n: int
    fault_n: int
    setting_n: int
    ticket_n: int
    refused_n: int
    log_n: int


def export(conn: Connection, tenant: str, person: str, out: IO[bytes], now: datetime) -> Export:
    """Write everything about a person to `out` as a ZIP of JSON and CSV.

    Also what the person does not share is in it: it is theirs. Staff are named by role and unit.

    Raises:
        PrivacyError: nothing is linked to the person.
    """
    loans = _known_loans(conn, person)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _README)
        _write_json(archive, "loans.json", [_loan_out(conn, loan) for loan in loans])
        return Export(
            loan_n=len(loans),
            sample_n=_write_csv(archive, "telemetry.csv", _SAMPLE, _samples(conn, loans, now)),
            fault_n=_write_csv(archive, "faults.csv", _FAULT, _faults(conn, loans, now)),
            setting_n=_write_csv(archive, "settings.csv", _SETTING, _settings(conn, loans)),
            ticket_n=_write_json(archive, "tickets.json", list(_tickets(conn, loans, now))),
            refused_n=_write_csv(archive, "quarantine.csv", _REFUSED, _refused(conn, loans, now)),
            log_n=_write_csv(archive, "access_log.csv", _ENTRY, _entries(conn, tenant, person)),
        )


_README: Final = """\
Allt som Fjärrkoll vet om dina lån. Tider är i UTC.
loans.json       dina lån: hjälpmedel, från och till, vad du delat och vad du svarat
telemetry.csv    mätvärden från hjälpmedlet under lånet
faults.csv       fel som hjälpmedlet har rapporterat
settings.csv     hur hjälpmedlet var inställt; tomt värde: inställningen rapporterades inte längre
tickets.json     ärenden om hjälpmedlet
quarantine.csv   meddelanden från hjälpmedlet som inte gick att läsa in, så som de kom
access_log.csv   vem som har läst eller ändrat uppgifter om dig: roll, enhet och tid

Everything Fjärrkoll knows about your loans. Times are UTC.
loans.json       your loans: device, from and to, what you shared and what you answered
telemetry.csv    values from the device during the loan
faults.csv       faults that the device reported
settings.csv     how the device was set; no value: the setting was reported no more
tickets.json     tickets about the device
quarantine.csv   messages from the device that could not be stored, as they came
access_log.csv   who read or changed what is about you: role, unit and time
"""
_SAMPLE: Final = ("loan_no", "device", "at", "metric", "value")
_FAULT: Final = ("loan_no", "device", "at", "received_at", "system", "code", "state", "count")
_SETTING: Final = ("loan_no", "device", "at", "setting", "value")
_REFUSED: Final = ("loan_no", "device", "received_at", "reason", "message")
_ENTRY: Final = ("at", "role", "care_unit", "action", "object", "device", "loan_no")


def _loan_out(conn: Connection, loan: PersonLoan) -> Mapping[str, Any]:
    times = privacy.sharing(conn, loan.loan_no)
    return {
        **asdict(loan),
        "not_shared": [{"from": start, "until": end} for start, end in times],
        "self_help": [asdict(answer) for answer in privacy.answers(conn, loan.loan_no)],
    }


def _samples(
    conn: Connection, loans: Iterable[PersonLoan], now: datetime
) -> Iterator[Sequence[Any]]:
    for loan in loans:
        for low, high in chunks(loan.started_at, loan.until(now), _PIECE):
            values = {"loan_no": loan.loan_no, "low": low, "high": high}
            for at, metric, value in conn.execute(_SQL["loan_samples"], values):
                yield loan.loan_no, loan.device_id, at.isoformat(), metric, value


def _faults(
    conn: Connection, loans: Iterable[PersonLoan], now: datetime
) -> Iterator[Sequence[Any]]:
    for loan in loans:
        values = {"device_no": loan.device_no, "low": loan.started_at, "high": loan.until(now)}
        for at, received_at, *rest in conn.execute(_SQL["loan_faults"], values):
            yield loan.loan_no, loan.device_id, at.isoformat(), received_at.isoformat(), *rest


def _settings(conn: Connection, loans: Iterable[PersonLoan]) -> Iterator[Sequence[Any]]:
    for loan in loans:
        values = {"loan_no": loan.loan_no}
        for at, name, value in conn.execute(_SQL["loan_settings"], values):
            yield loan.loan_no, loan.device_id, at.isoformat(), name, value


def _tickets(
    conn: Connection, loans: Iterable[PersonLoan], now: datetime
) -> Iterator[Mapping[str, Any]]:
    for loan in loans:
        values = {"device_no": loan.device_no, "low": loan.started_at, "high": loan.until(now)}
        cursor = conn.execute(_SQL["loan_tickets"], values)
        names = [column.name for column in cursor.description or ()]
        for row in cursor.fetchall():
            events = reading.ticket_events(conn, row[0], limit=None)
            happened = [{"at": event.at, "kind": event.kind} for event in events]
            yield {
                "loan_no": loan.loan_no,
                **dict(zip(names, row, strict=True)),
                "events": happened,
            }


def _refused(
    conn: Connection, loans: Iterable[PersonLoan], now: datetime
) -> Iterator[Sequence[Any]]:
    """Bytes that are no text are written by their numbers, after a backslash and an x."""
    for loan in loans:
        values = {"device": loan.device_id, "low": loan.started_at, "high": loan.until(now)}
        for received_at, reason, payload in conn.execute(_SQL["loan_refused"], values):
            message = bytes(payload).decode("utf-8", "backslashreplace")
            yield loan.loan_no, loan.device_id, received_at.isoformat(), reason, message


def _entries(conn: Connection, tenant: str, person: str) -> Iterator[Sequence[Any]]:
    before_no: int | None = None
    while rows := audit.page(conn, AuditFilter(tenant, person=person), _LOG_PAGE, before_no):
        for row in rows:
            entry = row.entry
            who = (entry.at.isoformat(), entry.role, entry.care_unit, entry.action)
            yield *who, entry.object_kind, entry.device_id, entry.loan_no
        before_no = rows[-1].no


def _write_json(archive: zipfile.ZipFile, name: str, items: Sequence[Any]) -> int:
    archive.writestr(name, json.dumps(items, ensure_ascii=False, indent=1, default=_said))
    return len(items)


def _said(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _write_csv(
    archive: zipfile.ZipFile, name: str, head: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Rows as they come, so that a loan of years needs no more memory than a piece of it."""
    count = 0
    with archive.open(name, "w", force_zip64=True) as raw, io.TextIOWrapper(raw, "utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for count, row in enumerate(rows, 1):  # noqa: B007 - the last one is how many there were
            writer.writerow(_inert(row))
    return count


def _inert(row: Sequence[Any]) -> list[Any]:
    """Text that a spreadsheet would run as a formula is quoted; devices chose some of it."""
    return [harmless(cell) if isinstance(cell, str) else cell for cell in row]
