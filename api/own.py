"""What somebody is told of a device that they have on loan: how it stands, and what they can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from api.access.gate import REFUSED
from api.access.policy import Log, shipped_policy
from api.asking import known_device
from api.dues import Due, binding, dues
from api.problems import not_found
from api.texts import TEXTS
from fleet.access.audit import Row
from fleet.access.callers import Role
from fleet.faults import FaultCode, load_catalogue
from fleet.privacy import sent
from fleet.rules.findings import Both
from fleet.selfhelp import Step, steps_for
from fleet.standing import Standing, Trouble, standing
from fleet.ticket_states import State
from fleet.words import DeviceClass, Fixer, Severity, Usability
from storage import audit, privacy, reading, tickets
from storage.audit import AuditFilter
from storage.connection import Connection
from storage.privacy import OwnLoan
from storage.reading import DeviceRow, TicketRow

ENDED_SHOWN: Final = 3
_CLASSES: Final = {str(word): word for word in DeviceClass}


@dataclass(frozen=True, slots=True)
class OwnTicket:
    """A ticket as its user meets it. `answers`: step → whether it helped."""

    ticket: TicketRow
    due: Due | None
    steps: Sequence[Step]
    answers: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """A device on loan. `unshared_since` None: everything is shared now."""

    loan: OwnLoan
    device: DeviceRow
    standing: Standing
    tickets: Sequence[OwnTicket]
    ended: Sequence[TicketRow]
    unshared_since: datetime | None


def own_device(conn: Connection, loan: OwnLoan, now: datetime) -> OwnDevice:
    """Everything the user of a device is told of it."""
    device = known_device(conn, loan.device_id)
    numbers = privacy.open_ticket_nos(conn, [loan.device_no])
    rows = reading.tickets(conn, numbers)
    codes = privacy.open_codes(conn, [loan.device_no])[loan.device_no]
    found = [*_of_codes(codes), *_of_tickets(rows)]
    answers = privacy.answers(conn, loan.loan_no)
    return OwnDevice(
        loan=loan,
        device=device,
        standing=standing(found, device.last_contact_at, now),
        tickets=[_own_ticket(conn, row, answers, now) for row in rows],
        ended=reading.ended_tickets_of(conn, loan.device_no, ENDED_SHOWN),
        unshared_since=unshared_since(conn, loan.loan_no),
    )


def unshared_since(conn: Connection, loan_no: int) -> datetime | None:
    return next((start for start, end in privacy.sharing(conn, loan_no) if end is None), None)


def _of_codes(codes: Sequence[tuple[str, str]]) -> list[Trouble]:
    faults = [load_catalogue().look_up(system, code) for system, code in codes]
    return [Trouble(fault.severity, fault.usability) for fault in faults]


def _of_tickets(rows: Sequence[TicketRow]) -> list[Trouble]:
    """What tickets say is wrong now: not what has cleared, nor what somebody has put right."""
    return [
        Trouble(Severity(row.severity), Usability(row.usability))
        for row in rows
        if row.is_active and row.state != State.SOLVED
    ]


def standings(
    conn: Connection, loans: Sequence[OwnLoan], open_rows: Sequence[TicketRow]
) -> dict[int, list[Trouble]]:
    """What is wrong now with each of many devices, by number."""
    codes = privacy.open_codes(conn, [loan.device_no for loan in loans])
    found = {number: _of_codes(pairs) for number, pairs in codes.items()}
    for row in open_rows:
        if row.device_no in found:
            found[row.device_no] += _of_tickets([row])
    return found


def _own_ticket(
    conn: Connection, row: TicketRow, answers: Sequence[privacy.Answer], now: datetime
) -> OwnTicket:
    said = {answer.step: answer.helped for answer in answers if answer.ticket_no == row.ticket_no}
    return OwnTicket(row, binding(dues(row, now)), ticket_steps(conn, row), said)


def ticket_steps(conn: Connection, row: TicketRow) -> list[Step]:
    """What to try for a ticket; nothing once it is put right, or where trying is a danger."""
    is_danger = row.severity == Severity.CRITICAL and row.fixer != Fixer.USER
    if row.state == State.SOLVED or is_danger:
        return []
    episodes = reading.ticket_episodes(conn, row.ticket_no)
    faults = [load_catalogue().look_up(item.system, item.code) for item in episodes]
    return steps_for(row.device_class, row.component, sorted(faults, key=_badness))


def _badness(fault: FaultCode) -> int:
    return -fault.severity.rank


def sent_labels(device_class: str, lang: str) -> dict[str, list[str]]:
    """What a device of a class may send, in words, by why it does; safety, service, care."""
    known = _CLASSES.get(device_class)
    if known is None:
        return {}
    return {
        str(purpose): [_plain(metric.label("sv" if lang == "sv" else "en")) for metric in metrics]
        for purpose, metrics in sent(known).items()
    }


def _plain(label: str) -> str:
    """A label without what its numbers mean, which says nothing to its user."""
    return label.partition(" (")[0]


def own_loan(conn: Connection, device_id: str) -> OwnLoan:
    """The caller's current loan of a device.

    Raises:
        ProblemError: 404.
    """
    loan = privacy.own_loan_of(conn, device_id) if "\0" not in device_id else None
    if loan is None:
        raise not_found("device with that id that you have on loan")
    return loan


def answered(  # noqa: PLR0913, PLR0917 - which loan, which ticket and step, what was said and when
    conn: Connection, loan: OwnLoan, ticket_no: int, step_id: str, helped: bool, now: datetime
) -> None:
    """Keep an answer. A yes is told on the ticket, which stays open: a rule or a person closes it.

    Raises:
        ProblemError: 404, no such ticket of this loan, or no such step for it.
    """
    row = reading.ticket(conn, ticket_no)
    if row is None or row.device_no != loan.device_no:
        raise not_found("ticket of your device with that number")
    step = next((step for step in ticket_steps(conn, row) if step.id == step_id), None)
    if step is None:
        raise not_found("step with that name for this ticket")
    is_new = privacy.answer(conn, loan.loan_no, ticket_no, step_id, helped, now)
    if is_new and helped:
        tickets.record_event(conn, ticket_no, "self_help", "user", _told(step.text), now)


def _told(text: Both) -> dict[str, str]:
    return {"because_sv": text.sv, "because_en": text.en}


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody read or changed something about a person: role, unit and time, and no name.

    `what` is the key of its words.
    """

    at: datetime
    role: str
    care_unit: str | None
    what: str
    device_id: str | None


LOG_PAGE: Final = 100


def looks(
    conn: Connection, tenant: str, person: str, limit: int, before_no: int | None = None
) -> tuple[list[Look], int | None]:
    """Who looked, the newest first, and where to go on. The person's own visits are left out."""
    rows = audit.page(conn, AuditFilter(tenant, person=person), limit, before_no)
    found = [_look(row) for row in rows if row.entry.role != Role.PATIENT]
    return found, rows[-1].no if len(rows) == limit else None


def _look(row: Row) -> Look:
    entry = row.entry
    return Look(entry.at, entry.role, entry.care_unit, what_was_done(entry.action), entry.device_id)


def what_was_done(action: str) -> str:
    """The key of the words for an action; whether it was read or changed where it has none."""
    if action.endswith(REFUSED):
        return "log.refused"
    if f"action.{action}" in TEXTS:
        return f"action.{action}"
    rule = shipped_policy().get(action)
    return "log.read" if rule is not None and rule.log is Log.READ else "log.changed"
