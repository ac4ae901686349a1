"""The access log: what an entry says, the chain of hashes over it, and the check of both. Pure.

Each row's hash covers its text and the hash before it, so that an edit shows on the row and a
removal on the row after it. Whoever can rewrite the whole chain can hide that from the rows alone;
a head that was exported and signed earlier shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, Self

from fleet.access.callers import Caller

FORM: Final = "fjarrkoll-audit-1"
START: Final = bytes(32)
"""What the first row of a chain has as the hash before it."""
TEXT_MAX: Final = 200
WHY_MAX: Final = 1000
_FIRST_AT: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST_AT: Final = datetime(3000, 1, 1, tzinfo=UTC)


class EntryError(ValueError):
    """An entry that the log cannot hold; the message names the field and the limit."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to what, on whose commission, when and why.

    Attributes:
        tenant: id of the tenant whose log it belongs to.
        at: when, aware.
        subject: the caller's stable id at the issuer.
        action: a word such as `read`, `change` or `export`.
        object_kind: a word such as `device`, `ticket` or `person`.
        device_id: the device it is about; the log adds the loan it was on, and the person.
        loan_no: an earlier loan, where it is about that one and not the current.
        person: a pseudonym, where it is about a person and no device.
    """

    tenant: str
    at: datetime
    subject: str
    name: str
    role: str
    action: str
    object_kind: str
    object_id: str | None = None
    commission: str | None = None
    care_unit: str | None = None
    device_id: str | None = None
    loan_no: int | None = None
    person: str | None = None
    why: str | None = None
    request_id: str | None = None

    @classmethod
    def by(
        cls, caller: Caller, at: datetime, action: str, object_kind: str, **details: Any
    ) -> Self:
        """An entry in the caller's own tenant; `details` are other fields of the entry.

        What callers send by way of details is made to fit: the log must hold what was asked for,
        also where nothing of the kind can exist.
        """
        return cls(
            tenant=caller.tenant,
            at=at,
            subject=caller.subject,
            name=_fitted("name", caller.name) or "",
            role=str(caller.role),
            commission=caller.commission,
            care_unit=caller.care_unit,
            action=action,
            object_kind=object_kind,
            **{name: _fitted(name, value) for name, value in details.items()},
        )


def _fitted(name: str, value: Any) -> Any:
    """A text without what the log cannot hold, cut to its limit; anything else as it is."""
    if not isinstance(value, str):
        return value
    cut = value[: WHY_MAX if name == "why" else TEXT_MAX]
    return "".join(_OTHER if _is_unfit(char) else char for char in cut) or None


_OTHER: Final = "\N{REPLACEMENT CHARACTER}"


def _is_unfit(char: str) -> bool:
    return char == "\0" or "\ud800" <= char <= "\udfff"


def check_entry(entry: Entry, tenant: str | None = None) -> None:
    """Refuse what the log would refuse. Rows that are read are not checked, only verified.

    Raises:
        EntryError: a field is empty, too long or no text that the database can keep; or the entry
            is not of `tenant`.
    """
    if tenant is not None and entry.tenant != tenant:
        raise EntryError(f"the entry is of tenant {entry.tenant}, and the log of tenant {tenant}")
    if entry.at.tzinfo is None or not _FIRST_AT <= entry.at < _LAST_AT:
        raise EntryError(f"at {entry.at}: give an aware time from 2000 to 2999")
    for name, value in _texts(entry):
        _check_text(name, value)


_NEEDED: Final = ("tenant", "subject", "role", "action", "object_kind")


def _texts(entry: Entry) -> Iterator[tuple[str, str]]:
    for field in fields(entry):
        value = getattr(entry, field.name)
        if isinstance(value, str):
            yield field.name, value


def _check_text(name: str, value: str) -> None:
    longest = WHY_MAX if name == "why" else TEXT_MAX
    if len(value) > longest:
        raise EntryError(f"{name} has {len(value)} characters: use at most {longest}")
    if not value and name in _NEEDED:
        raise EntryError(f"{name} is empty: say who, in which role, and what")
    if any(map(_is_unfit, value)):
        raise EntryError(f"{name} {value[:40]!r}: leave out NUL and halves of surrogate pairs")


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as the log holds it: numbered from 1, and chained."""

    no: int
    entry: Entry
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where a tenant's chain ended at some time: its last row's number and hash."""

    tenant: str
    no: int
    hash: bytes


def canonical(previous: bytes, no: int, entry: Entry) -> str:
    """What a row's hash covers, the same text as the database's `audit_text`.

    After a first line that names the form, each field is its length in bytes, a colon and its
    UTF-8 text, or a dash where there is none; each ends with a line feed. The lengths make it
    impossible for two different rows to have one text.
    """
    values = (
        entry.tenant, str(no), _instant(entry.at), entry.subject, entry.name, entry.role,
        entry.commission, entry.care_unit, entry.action, entry.object_kind, entry.object_id,
        entry.device_id, None if entry.loan_no is None else str(entry.loan_no), entry.person,
        entry.why, entry.request_id, previous.hex(),
    )  # fmt: skip
    return "\n".join((FORM, *map(_field, values), ""))


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _field(value: str | None) -> str:
    return "-" if value is None else f"{len(value.encode())}:{value}"


def digest(previous: bytes, no: int, entry: Entry) -> bytes:
    """SHA-256 over the canonical text."""
    return sha256(canonical(previous, no, entry).encode()).digest()


class Fault(StrEnum):
    """What is wrong with a chain."""

    EDITED = "edited"
    MISSING = "missing"
    REORDERED = "reordered"
    REWRITTEN = "rewritten"
    TRUNCATED = "truncated"
    HEAD_BEHIND = "head_behind"
    HEAD_MISSING = "head_missing"


@dataclass(frozen=True, slots=True)
class Problem:
    """The first row that is wrong, and how; `says` is a sentence for people."""

    no: int
    fault: Fault
    says: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: `checked_n` rows are right, and then comes the problem, if any."""

    tenant: str
    checked_n: int
    problem: Problem | None

    @property
    def is_right(self) -> bool:
        return self.problem is None


def verify(
    tenant: str, rows: Iterable[Row], head: Head | None, exported: Iterable[Head] = ()
) -> Verdict:
    """Check one tenant's chain from its first row on; stops at the first that is wrong.

    Args:
        rows: all of them, by number.
        head: the end that the database has noted, read in the same view; None: none.
        exported: heads of this tenant that were exported earlier and whose signature is right.
    """
    known = _by_no(exported)
    last_no, last_hash = 0, START
    for row in rows:
        problem = _row_problem(tenant, row, last_no, last_hash) or _export_problem(row, known)
        if problem is not None:
            return Verdict(tenant, problem.no - 1, problem)
        last_no, last_hash = row.no, row.hash
    return Verdict(tenant, last_no, _end_problem(last_no, last_hash, head, known))


def _by_no(exported: Iterable[Head]) -> Mapping[int, frozenset[bytes]]:
    known: dict[int, frozenset[bytes]] = {}
    for head in exported:
        known[head.no] = known.get(head.no, frozenset()) | {head.hash}
    return known


def _row_problem(tenant: str, row: Row, last_no: int, last_hash: bytes) -> Problem | None:
    expected = last_no + 1
    if row.no > expected:
        return Problem(expected, Fault.MISSING, f"rows {expected} to {row.no - 1} are missing")
    if row.no < expected:
        return Problem(row.no, Fault.REORDERED, f"row {row.no} comes after row {last_no}")
    if row.entry.tenant != tenant:
        return Problem(row.no, Fault.EDITED, f"row {row.no} is of tenant {row.entry.tenant}")
    if row.hash == digest(last_hash, row.no, row.entry):
        return None if row.previous == last_hash else _edited(row)
    return _unchained(row, last_hash)


def _unchained(row: Row, last_hash: bytes) -> Problem:
    """A row whose hash does not follow from the row before and from what it says."""
    if row.previous == last_hash:
        return _edited(row)
    if row.hash != digest(row.previous, row.no, row.entry):
        says = f"row {row.no} was written for another place in the log"
        return Problem(row.no, Fault.REORDERED, says)
    if row.no == 1:
        return Problem(1, Fault.REWRITTEN, "row 1 does not begin the chain: it was rewritten")
    says = f"row {row.no - 1} was rewritten: row {row.no} was chained to another one"
    return Problem(row.no - 1, Fault.REWRITTEN, says)


def _edited(row: Row) -> Problem:
    return Problem(row.no, Fault.EDITED, f"row {row.no} was edited: its hash does not match it")


def _export_problem(row: Row, known: Mapping[int, frozenset[bytes]]) -> Problem | None:
    if known.get(row.no, frozenset()) <= {row.hash}:
        return None
    earlier = max((no for no in known if no < row.no), default=0)
    says = (
        f"a row from {earlier + 1} to {row.no} was rewritten since the head at row {row.no} was"
        " exported"
    )
    return Problem(row.no, Fault.REWRITTEN, says)


def _end_problem(
    last_no: int, last_hash: bytes, head: Head | None, known: Mapping[int, frozenset[bytes]]
) -> Problem | None:
    furthest = max(known, default=0)
    if furthest > last_no:
        says = f"rows {last_no + 1} to {furthest} are missing: a head at {furthest} was exported"
        return Problem(last_no + 1, Fault.TRUNCATED, says)
    if head is None:
        says = f"the database has no head for {last_no} rows: it was removed"
        return Problem(last_no, Fault.HEAD_MISSING, says) if last_no else None
    if head.no > last_no:
        says = f"rows {last_no + 1} to {head.no} are missing: the head is at {head.no}"
        return Problem(last_no + 1, Fault.TRUNCATED, says)
    return _head_problem(last_no, last_hash, head)


def _head_problem(last_no: int, last_hash: bytes, head: Head) -> Problem | None:
    if head.no < last_no:
        says = f"row {head.no + 1} is beyond the head: it was not appended, or the head set back"
        return Problem(head.no + 1, Fault.HEAD_BEHIND, says)
    if head.hash != last_hash:
        says = f"row {last_no} was rewritten: the head has another hash for it"
        return Problem(last_no, Fault.REWRITTEN, says)
    return None
