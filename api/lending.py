"""Loans and places as answers: what may be said of them, and which version they are.

A loan has no version of its own: the tag of a device's loans is made of all that they say, so it
changes with each of them.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from api.problems import ProblemError
from api.schemas_device import LendingOut, LoanOut, PlacementOut, PlacementsOut
from fleet.personal_numbers import is_like_personal_number
from storage import lending
from storage.connection import Connection
from storage.lending import Loan, Place, Placement

UNIT: Final = re.compile(r"[!-~][ -~]{0,79}")
"""A care unit's id, or a pseudonym, in ASCII."""
EARLIEST_LOAN: Final = timedelta(days=366)
"""How long ago a loan or a move may have been that is registered afterwards."""


def is_pseudonym(text: str) -> bool:
    """Whether a person may be called that here. A personal number is no pseudonym."""
    return UNIT.fullmatch(text) is not None and not is_like_personal_number(text)


def tag_of_loans(loans: list[Loan]) -> str:
    """The strong entity tag of a device's loans. Pure."""
    told = [
        [loan.loan_no, sorted(loan.basic_needs), loan.started_at.timestamp(),
            loan.ended_at and loan.ended_at.timestamp()]
        for loan in loans
    ]  # fmt: skip
    return f'"{sha256(json.dumps(told).encode()).hexdigest()[:20]}"'


def check_tag(if_match: str | None, loans: list[Loan]) -> None:
    """Refuse a change of loans that are not as the caller saw them.

    Raises:
        ProblemError: 428 nothing was said, 412 they have changed.
    """
    if if_match is None:
        raise ProblemError(
            428,
            "version-needed",
            "The request does not say which version of the loans it changes.",
            "Read the device's loans, and send their ETag as If-Match.",
        )
    said = [tag.strip() for tag in if_match.split(",")]
    if "*" not in said and tag_of_loans(loans) not in said:
        raise ProblemError(
            412,
            "changed-since",
            "The loans of this device have changed since they were read.",
            "Read them again, and decide on what they say now.",
        )


def lending_out(device_id: str, loans: list[Loan]) -> LendingOut:
    """The loans without the persons."""
    items = [
        LoanOut(
            loan_no=loan.loan_no,
            basic_needs=list(loan.basic_needs),
            started_at=loan.started_at,
            ended_at=loan.ended_at,
        )
        for loan in loans
    ]
    is_lent = any(loan.ended_at is None for loan in loans)
    return LendingOut(device_id=device_id, is_lent=is_lent, items=items)


def placements_out(device_id: str, rows: list[Placement]) -> PlacementsOut:
    items = [PlacementOut.model_validate(row) for row in rows]
    return PlacementsOut(device_id=device_id, place=place_of(rows), items=items)


def place_of(rows: list[Placement]) -> Place:
    """Where the device is now; one that was never moved is with its user."""
    return next((row.place for row in rows if row.until_at is None), Place.IN_USE)


def last_end(loans: list[Loan]) -> datetime | None:
    """When the newest of the ended loans ended."""
    return max((loan.ended_at for loan in loans if loan.ended_at), default=None)


def current(loans: list[Loan]) -> Loan | None:
    return next((loan for loan in loans if loan.ended_at is None), None)


def loans_of(conn: Connection, device_id: str) -> list[Loan]:
    """The loans within reach, the newest first."""
    return lending.loans(conn, device_id)
