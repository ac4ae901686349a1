"""Rows of the database as answers: fault codes get their meaning, clocks their word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Final

from api.dues import Due, binding, dues
from api.preview import HIDDEN, PREVIEW_BYTES, Preview, preview, visible
from api.privacy import may_read_payload
from api.schemas import (
    CLOCK_WORDS,
    DeviceLedgerOut,
    EpisodeOut,
    EquationOut,
    FaultOut,
    MeaningOut,
    PreviewOut,
    QuarantinedOut,
    TicketOut,
)
from fleet.access.callers import Caller
from fleet.faults import load_catalogue
from storage.reading import (
    EpisodeRow,
    FaultRow,
    IntakeTotalRow,
    LedgerRow,
    QuarantineRow,
    TicketRow,
)

_TICKET_FIELDS: Final = tuple(name for name in TicketOut.model_fields if name != "due")
_ticket_values: Final = attrgetter(*_TICKET_FIELDS)


def meaning(system: str, code: str) -> MeaningOut:
    """What a code means; an unknown code says so."""
    fault = load_catalogue().look_up(system, code)
    return MeaningOut(
        sv=fault.meaning_sv,
        en=fault.meaning_en,
        action_sv=fault.action_sv,
        action_en=fault.action_en,
        component=fault.component,
        severity=fault.severity,
        usability=fault.usability,
        fixer=fault.fixer,
        is_known=fault.known,
    )


def fault_out(row: FaultRow) -> FaultOut:
    return FaultOut.model_validate(
        {
            "epoch": row.epoch,
            "seq": row.seq,
            "idx": row.idx,
            "system": row.system,
            "code": row.code,
            "state": row.state,
            "count": row.count,
            "at": row.at,
            "device_at": row.device_at,
            "received_at": row.received_at,
            "clock": CLOCK_WORDS[row.clock],
            "ctx": row.ctx,
            "meaning": meaning(row.system, row.code),
        }
    )


def ticket_out(
    row: TicketRow, now: datetime, instead: Mapping[str, object] = MappingProxyType({})
) -> TicketOut:
    """A ticket as it is answered; `instead` replaces what the reader is not told."""
    fields = dict(zip(_TICKET_FIELDS, _ticket_values(row), strict=True))
    return TicketOut.model_validate({**fields, "due": _due(dues(row, now)), **instead})


def _due(found: list[Due]) -> dict[str, object]:
    clocks = {due.clock: due for due in found}
    first = binding(found)
    return {
        "binding": None if first is None else first.clock,
        "start_by": clocks.get("start"),
        "finish_by": clocks.get("finish"),
    }


def episode_out(row: EpisodeRow) -> EpisodeOut:
    return EpisodeOut(
        episode_no=row.episode_no,
        system=row.system,
        code=row.code,
        started_at=row.started_at,
        last_at=row.last_at,
        ended_at=row.ended_at,
        raised_n=row.raised_n,
        cleared_n=row.cleared_n,
        logged_n=row.logged_n,
        first_received_at=row.first_received_at,
        meaning=meaning(row.system, row.code),
    )


def total_of(rows: Sequence[IntakeTotalRow]) -> EquationOut:
    """The equation over all ways in. It holds only if it holds for each."""
    return EquationOut(
        received_n=sum(row.received_n for row in rows),
        stored_n=sum(row.stored_n for row in rows),
        duplicate_n=sum(row.duplicate_n for row in rows),
        quarantined_n=sum(row.quarantined_n for row in rows),
        state_n=_state_n(rows),
        holds=all(row.holds for row in rows),
    )


def _state_n(rows: Sequence[IntakeTotalRow]) -> int | None:
    counts = [row.state_n for row in rows if row.state_n is not None]
    return sum(counts) if len(counts) == len(rows) else None


def ledger_out(row: LedgerRow) -> DeviceLedgerOut:
    settled = row.settled()
    return DeviceLedgerOut(
        epoch=row.epoch,
        hi=settled.contiguous_hi(),
        highest=settled.highest(),
        missing=settled.gaps()[:100],
        received_n=row.received_n,
        stored_n=row.stored_n,
        duplicate_n=row.duplicate_n,
        quarantined_n=row.quarantined_n,
        holds=row.holds,
        first_at=row.first_at,
        last_at=row.last_at,
    )


def payload_of(row: QuarantineRow, caller: Caller | None, limit: int = PREVIEW_BYTES) -> Preview:
    """The beginning of a refused message, where the caller may read it."""
    if not may_read_payload(row.device_class, caller):
        return HIDDEN
    return preview(row.payload, row.payload_size, limit)


def quarantined_out(
    row: QuarantineRow, caller: Caller | None = None, limit: int = PREVIEW_BYTES
) -> QuarantinedOut:
    """A refused message, with the first `limit` bytes of its payload.

    Whoever is not known gets no payload about a person.
    """
    shown = payload_of(row, caller, limit)
    return QuarantinedOut.model_validate(
        {
            "quarantine_no": row.quarantine_no,
            "reason": row.reason,
            "detail": visible(row.detail),
            "topic": visible(row.topic.decode("utf-8", "backslashreplace")),
            "tenant_id": row.tenant_id,
            "device_id": row.device_id,
            "content_type": row.content_type and visible(row.content_type),
            "payload_size": row.payload_size,
            "payload": PreviewOut(kind=shown.kind, text=shown.text, is_cut=shown.is_cut),
            "epoch": row.epoch,
            "seq": row.seq,
            "message_n": row.message_n,
            "received_at": row.received_at,
            "last_at": row.last_at,
            "replayed_at": row.replayed_at,
            "replayed_as": row.replayed_as,
        }
    )
