"""Replay of quarantine: a refused message is decided again from its bytes, by today's registry.

It goes the way that live messages go: the same judge, the same ledger, the same tables, in one
transaction. Its time of receipt is the first one: what a device could not say the time of is still
dated by it, and no deadline is won by our own failure to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from fleet.batch import LedgerEntry, LedgerKey, refuse_scattered
from fleet.intake import Accepted, Message, Refused, Verdict
from fleet.replays import WAY_IN, Became, Moved, Refusal, ReplayRefusedError, move
from fleet.wire.reasons import Reason
from fleet.wire.topics import TopicError, UpChannel, parse_topic
from storage.connection import Connection, DataRejectedError
from storage.intake import SQL as INTAKE_SQL
from storage.intake import Intake, locked_ledger, write_ledger
from storage.quarantine import storable
from storage.queries import load_queries
from storage.reading import QuarantineFilter

_SQL: Final = load_queries("replays.sql")


class NotInQuarantineError(LookupError):
    """There is no refused message of that number."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one message, after COMMIT; in a dry run what would have.

    `reason`, `detail` are set where it was refused again. `message_n` is how often it had come.
    """

    quarantine_no: int
    became: Became
    message_n: int
    sample_n: int = 0
    reason: str | None = None
    detail: str | None = None


class _Kept(NamedTuple):
    topic: bytes
    content_type: str | None
    payload: bytes
    payload_size: int
    epoch: str | None
    seq: int | None
    message_n: int
    received_at: datetime
    replayed_as: str | None

    def message(self) -> Message:
        """The delivery as it came; like a copy that a broker kept, it tells nothing of now."""
        topic = self.topic.decode("utf-8", "surrogateescape")
        received_ms = round(self.received_at.timestamp() * 1000)
        return Message(
            topic, self.payload, self.content_type, received_ms, is_retained=True, is_fresh=False
        )

    def refusal(self) -> Refusal:
        is_settled = self.epoch is not None and self.seq is not None
        return Refusal(self.message_n, (self.epoch or "", self.seq or 0) if is_settled else None)


@dataclass(frozen=True, slots=True)
class NotReplayed:
    """One message that could not be replayed, and why."""

    quarantine_no: int
    detail: str


def waiting(conn: Connection, wanted: QuarantineFilter, limit: int, after_no: int = 0) -> list[int]:
    """What is still in quarantine, the oldest first, within the caller's reach."""
    values = {**asdict(wanted), "limit": limit, "after_no": after_no}
    return [number for (number,) in conn.execute(_SQL["waiting_in_quarantine"], values)]


def replay_each(
    intake: Intake, numbers: Iterable[int], now: datetime, *, dry_run: bool = False
) -> Iterator[Replayed | NotReplayed]:
    """Decide refused messages again, each in a transaction of its own, as they are asked for.

    Raises:
        DatabaseDownError: at one of them; those before it are done.
    """
    for number in numbers:
        try:
            yield replay(intake, number, now, dry_run=dry_run)
        except (NotInQuarantineError, ReplayRefusedError) as exc:
            yield NotReplayed(number, str(exc))


def replay(intake: Intake, quarantine_no: int, now: datetime, *, dry_run: bool = False) -> Replayed:
    """Decide one refused message again.

    Raises:
        NotInQuarantineError: there is no such message.
        ReplayRefusedError: it left quarantine before, is not whole, or says how things were.
        DatabaseDownError: it may or may not have been done; a second try tells.
    """
    errand = _Errand(intake, quarantine_no, now, dry_run=dry_run)
    try:
        return intake.guarded(errand.run)
    except DataRejectedError as exc:
        detail = str(exc)
        return intake.guarded(lambda conn: errand.rejected(conn, detail))


@dataclass(frozen=True, slots=True)
class _Errand:
    intake: Intake
    quarantine_no: int
    now: datetime
    dry_run: bool

    def run(self, conn: Connection) -> Replayed:
        message = _checked(conn, self.quarantine_no, "refused_message").message()
        verdicts = self.intake.judged(conn, [message], is_binding=not self.dry_run)
        if not self.dry_run:
            self.intake.make_partitions(conn, verdicts)
        conn.rollback()  # names and partitions are committed by themselves
        ledger = locked_ledger(conn, [v for v in verdicts if isinstance(v, Accepted)], self.now)
        verdict = refuse_scattered(verdicts, ledger)[0]
        # The ledger first, then quarantine: the order of every writer.
        kept = _checked(conn, self.quarantine_no, "hold_refused_message")
        if isinstance(verdict, Accepted):
            return self._ended(conn, self._moved(conn, verdict, ledger, kept))
        return self._ended(conn, self._refused_again(conn, kept, verdict))

    def rejected(self, conn: Connection, detail: str) -> Replayed:
        """The database itself refused it, as it may refuse a live message."""
        kept = _checked(conn, self.quarantine_no, "hold_refused_message")
        verdict = Refused(kept.message(), Reason.REJECTED_BY_DATABASE, detail)
        return self._ended(conn, self._refused_again(conn, kept, verdict))

    def _ended(self, conn: Connection, found: Replayed) -> Replayed:
        if self.dry_run:
            conn.rollback()
        else:
            conn.commit()
        return found

    def _moved(
        self,
        conn: Connection,
        accepted: Accepted,
        ledger: Mapping[LedgerKey, LedgerEntry],
        kept: _Kept,
    ) -> Replayed:
        key = (accepted.device.device_no, accepted.record.epoch)
        moved = move(accepted, ledger[key], kept.refusal())
        found = Replayed(self.quarantine_no, moved.became, kept.message_n)
        if self.dry_run:
            return found
        sample_n = self.intake.write_records(conn, [accepted] if moved.stored_n else [])
        write_ledger(conn, {key: ledger[key]}, self.now)
        _note_moved(conn, self.quarantine_no, moved, self.now)
        return replace(found, sample_n=sample_n)

    def _refused_again(self, conn: Connection, kept: _Kept, verdict: Verdict) -> Replayed:
        """It stays, and no count changes: it was counted when it came."""
        assert isinstance(verdict, Refused), "a state is not replayed"
        reason, detail = str(verdict.reason), storable(verdict.detail)
        row = {"quarantine_no": self.quarantine_no, "now": self.now}
        conn.execute(_SQL["note_refused_again"], row | {"reason": reason, "detail": detail})
        return Replayed(
            self.quarantine_no, Became.REFUSED, kept.message_n, reason=reason, detail=detail
        )


def _checked(conn: Connection, quarantine_no: int, query: str) -> _Kept:
    row = conn.execute(_SQL[query], {"quarantine_no": quarantine_no}).fetchone()
    if row is None:
        raise NotInQuarantineError(f"there is no message {quarantine_no} in quarantine")
    kept = _Kept(*row)
    _check(kept, quarantine_no)
    return kept


def _check(kept: _Kept, quarantine_no: int) -> None:
    if kept.replayed_as in {Became.STORED, Became.DUPLICATE}:
        raise ReplayRefusedError(
            f"message {quarantine_no} left quarantine before, as {kept.replayed_as}."
        )
    if len(kept.payload) < kept.payload_size:
        raise ReplayRefusedError(
            f"message {quarantine_no} is not whole: {len(kept.payload)} of {kept.payload_size}"
            " bytes were kept. The device has to send it again in smaller records."
        )
    if _channel(kept.topic) == UpChannel.STATE:
        raise ReplayRefusedError(
            f"message {quarantine_no} says how the device was when it connected, and that is over."
            " It says so anew at its next connection."
        )


def _channel(topic: bytes) -> str | None:
    try:
        return parse_topic(topic.decode("utf-8", "replace")).channel
    except TopicError:
        return None


def _note_moved(conn: Connection, quarantine_no: int, moved: Moved, now: datetime) -> None:
    """The row, then the totals: the order of every writer."""
    row = {"quarantine_no": quarantine_no, "became": str(moved.became), "now": now}
    conn.execute(_SQL["note_replayed"], row)
    conn.execute(_SQL["count_left_quarantine"], {"message_n": moved.quarantined_n})
    conn.execute(
        INTAKE_SQL["count_intake"],
        {
            "source": WAY_IN,
            "received": 0,
            "stored": moved.stored_n,
            "duplicate": moved.duplicate_n,
            "quarantined": moved.quarantined_n,
            "state": 0,
            "receipt_delay_s": None,
            "age_s": None,
        },
    )
