"""Store a batch of messages in one transaction. The only way in, for MQTT and HTTP alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import zip_longest
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from fleet.batch import (
    LedgerEntry,
    LedgerKey,
    Plan,
    delay_of,
    ledger_keys,
    plan_batch,
    refuse_scattered,
    refused_again,
)
from fleet.device_settings import is_care
from fleet.intake import Accepted, DeviceEntry, Message, Refused, StateReport, Verdict, judge
from fleet.ranges import SeqSet
from fleet.wire.messages import Ack
from fleet.wire.reasons import Reason
from fleet.wire.records import Record
from fleet.wire.settings import Told, sound
from fleet.wire.topics import is_id
from runtime.failpoints import failpoint
from storage import binary, quarantine
from storage.connection import Connection, DatabaseDownError, DataRejectedError, connect, translated
from storage.queries import load_queries

SQL: Final = load_queries("intake.sql")
Result = TypeVar("Result")
METRICS_PER_TENANT: Final = 1_000
MAX_REMEMBERED_DEVICES: Final = 200_000
MAX_REMEMBERED_REFUSALS: Final = 10_000
_DAY_MS: Final = 86_400_000
_FAULT_COLUMNS: Final = (
    "device_no", "epoch", "seq", "idx", "system", "code", "state", "count", "at", "device_at",
    "received_at", "clock", "ctx",
)  # fmt: skip


class LeaseLostError(DatabaseDownError):
    """Another worker holds some of the slots that this batch came from."""

    def __init__(self, slots: frozenset[int]) -> None:
        super().__init__(f"slots {sorted(slots)} belong to another worker now")
        self.slots = slots


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch, after COMMIT.

    `received = stored + duplicate + quarantined`; `states` come on top. `acks` are keyed by
    `(tenant, device)` and hold what each device may now forget.
    """

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    states: int = 0
    samples: int = 0
    acks: dict[tuple[str, str], Ack] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)


class Intake:
    """One connection's way in, with what it has learnt of devices and metrics.

    Not thread-safe: one per writing thread. `source` names the way in for the loss equation;
    what came through a slot is counted under that slot, which one worker holds at a time, so
    that no two writers wait for each other's counters.
    """

    def __init__(
        self,
        url: str,
        source: str,
        role: str = "fjarrkoll_ingest",
        metrics_per_tenant: int = METRICS_PER_TENANT,
    ) -> None:
        self._url = url
        self._source = source
        self._role = role
        self._limit = metrics_per_tenant
        self._conn: Connection | None = None
        self._forget()

    def __enter__(self) -> Intake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _forget(self) -> None:
        self._version = -1
        self._devices: dict[str, DeviceEntry | None] = {}
        self._catalogued: dict[str, int] = {}
        self._metrics: dict[str, dict[str, int]] = {}
        self._refused_names: set[tuple[str, str]] = set()
        self._days: set[int] = set()

    def store(self, messages: Sequence[Message], held: Mapping[int, int] | None = None) -> Outcome:
        """Store `messages` in one transaction; when this returns they are committed.

        Args:
            messages: in order of arrival.
            held: slot → fence that must still be ours at COMMIT; None checks nothing.

        Raises:
            DataRejectedError: the database refused the data; nothing was stored.
            LeaseLostError: a slot is no longer ours; nothing was stored.
            DatabaseDownError: it may or may not have been committed; store it again.
        """
        return self.guarded(lambda conn: self._store(conn, messages, held, None))

    def store_parts(
        self, messages: Sequence[Message], held: Mapping[int, int] | None = None
    ) -> Iterator[tuple[Sequence[Message], Outcome]]:
        """Store `messages`, halving a batch that the database refuses until it is culprits only.

        Yields each part after its COMMIT. A single refused message goes to quarantine as
        `rejected_by_database`, so that nothing blocks its neighbours and nothing vanishes.
        """
        try:
            yield messages, self.store(messages, held)
        except DataRejectedError as exc:
            if len(messages) == 1:
                reason = str(exc)
                yield messages, self.guarded(lambda c: self._store(c, messages, held, reason))
                return
            middle = len(messages) // 2
            yield from self.store_parts(messages[:middle], held)
            yield from self.store_parts(messages[middle:], held)

    def guarded(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` on the connection; after any trouble start over with a new one.

        Raises:
            DataRejectedError: the database refused the data.
            DatabaseDownError: it may or may not have been committed.
        """
        try:
            if self._conn is None or self._conn.closed:
                self._conn = connect(self._url, role=self._role, name=f"fjarrkoll {self._source}")
                self._conn.execute(SQL["tune_session"])
                self._conn.commit()
            result = work(self._conn)
        except psycopg.Error as exc:
            error = translated(exc)
            self._recover(keep_connection=isinstance(error, DataRejectedError))
            raise error from exc
        except BaseException:
            self._recover(keep_connection=True)
            raise
        return result

    def _recover(self, *, keep_connection: bool) -> None:
        self._forget()
        if self._conn is None:
            return
        try:
            if keep_connection:
                self._conn.rollback()
                return
        except psycopg.Error:
            pass
        self.close()

    def _store(
        self,
        conn: Connection,
        messages: Sequence[Message],
        held: Mapping[int, int] | None,
        rejected: str | None,
    ) -> Outcome:
        verdicts = self.judged(conn, messages)
        if rejected is not None:
            verdicts = [_rejected(verdict, rejected) for verdict in verdicts]
        self.make_partitions(conn, verdicts)
        conn.commit()
        failpoint("ingest_decoded")
        now = datetime.now(UTC)
        ledger = locked_ledger(conn, verdicts, now)
        if held:  # only now: waiting for a ledger row may have outlasted the lease
            _check_slots(conn, held)
        plan = plan_batch(refuse_scattered(verdicts, ledger), ledger)
        source = f"{self._source}/{min(held)}" if held else self._source
        samples = self._write(conn, plan, source, now)
        failpoint("ingest_before_commit")
        conn.commit()
        failpoint("ingest_after_commit")
        return Outcome(
            plan.received_n,
            len(plan.stored),
            plan.duplicate_n,
            len(plan.quarantined),
            len(plan.states),
            samples,
            plan.acks,
            plan.quarantined,
        )

    def judged(
        self, conn: Connection, messages: Sequence[Message], *, is_binding: bool = True
    ) -> list[Verdict]:
        """What becomes of each message by today's registry.

        New metric names are registered and committed; not where the verdict binds nobody.
        """
        self._learn(conn, messages)
        verdicts = [judge(message, self._devices.get) for message in messages]
        return self._with_metrics(conn, verdicts) if is_binding else verdicts

    def _learn(self, conn: Connection, messages: Iterable[Message]) -> None:
        """Know every device that the batch names, as the registry has it now."""
        version = _one(conn.execute(SQL["registry_version"]))
        if version != self._version or len(self._devices) > MAX_REMEMBERED_DEVICES:
            self._forget()
            self._version = version
            self._catalogued = dict(conn.execute(SQL["catalogued_metrics"]).fetchall())
        named = {_named_device(message.topic) for message in messages}
        unknown = [name for name in named if name not in self._devices]
        if unknown:
            self._devices.update(dict.fromkeys(unknown))
            for row in conn.execute(SQL["resolve_devices"], {"ids": unknown}):
                self._devices[row[0]] = _entry(row)
        self._learn_skews(conn, named)

    def _learn_skews(self, conn: Connection, named: set[str]) -> None:
        entries = {e.device_no: e for name in named if (e := self._devices[name]) is not None}
        for entry in entries.values():
            if entry.skews:
                entry.skews.clear()
        rows = conn.execute(SQL["skewed_boots"], {"devices": _literal(list(entries))})
        for device_no, boot, skew_ms in rows:
            entries[device_no].skews[boot] = skew_ms

    def _with_metrics(self, conn: Connection, verdicts: list[Verdict]) -> list[Verdict]:
        """Register metric names met for the first time; refuse records beyond the limit."""
        new: dict[str, dict[str, None]] = {}
        for verdict in verdicts:
            if isinstance(verdict, Accepted) and isinstance(verdict.record, Record):
                tenant = verdict.device.tenant
                known = self._metrics.get(tenant)
                if known is None:
                    known = self._known_metrics(conn, tenant)
                for values in _all_values(verdict.record):
                    if not values.keys() <= known.keys():
                        new.setdefault(tenant, {}).update(
                            dict.fromkeys(n for n in values if n not in known)
                        )
        if not new:
            return verdicts
        for tenant, names in new.items():
            self._register(conn, tenant, list(names))
        return [self._refused_if_unregistered(verdict) for verdict in verdicts]

    def _known_metrics(self, conn: Connection, tenant: str) -> dict[str, int]:
        rows = conn.execute(SQL["tenant_metrics"], {"tenant": tenant})
        known = self._catalogued | dict(rows.fetchall())
        self._metrics[tenant] = known
        return known

    def _register(self, conn: Connection, tenant: str, names: list[str]) -> None:
        """Give numbers to new names, in a transaction of its own, as far as the limit allows."""
        names = [name for name in names if (tenant, name) not in self._refused_names]
        if not names:
            return
        conn.commit()
        row = conn.execute(SQL["lock_tenant_metrics"], {"tenant": tenant}).fetchone()
        assert row is not None, "a known device has a tenant"
        self._known_metrics(conn, tenant)
        used = len(self._metrics[tenant]) - len(self._catalogued)
        names = [name for name in names if name not in self._metrics[tenant]]
        allowed = names[: max(0, self._limit - used)]
        if allowed:
            conn.execute(SQL["add_metrics"], {"names": sorted(allowed)})
            conn.execute(SQL["add_tenant_metrics"], {"names": allowed, "tenant_no": row[0]})
            self._known_metrics(conn, tenant)
        conn.commit()
        if len(self._refused_names) < MAX_REMEMBERED_REFUSALS:
            self._refused_names.update((tenant, name) for name in names[len(allowed) :])

    def _refused_if_unregistered(self, verdict: Verdict) -> Verdict:
        if not (isinstance(verdict, Accepted) and isinstance(verdict.record, Record)):
            return verdict
        known = self._metrics[verdict.device.tenant]
        for values in _all_values(verdict.record):
            if not values.keys() <= known.keys():
                name = next(name for name in values if name not in known)
                detail = f"{name}: the tenant already uses {self._limit} names of its own"
                return refused_again(verdict, Reason.TOO_MANY_METRICS, detail, is_settled=True)
        return verdict

    def make_partitions(self, conn: Connection, verdicts: Iterable[Verdict]) -> None:
        days = {
            instant // _DAY_MS
            for verdict in verdicts
            if isinstance(verdict, Accepted) and isinstance(verdict.record, Record)
            for instant in _span(verdict)
        }
        for day in sorted(days - self._days):
            conn.execute(SQL["ensure_partition"], {"month": _date(day)})
            conn.commit()
            self._days.add(day)

    def _write(self, conn: Connection, plan: Plan, source: str, now: datetime) -> int:
        samples = self.write_records(conn, plan.stored)
        # In one order of devices everywhere, and a device's own in the order of arrival.
        for report in sorted(plan.states, key=lambda report: report.device.device_no):
            _write_state(conn, report)
        _write_settings(conn, plan.states)
        write_ledger(conn, plan.ledger, now)
        quarantine.keep(conn, plan.quarantined)
        delay = delay_of(plan.stored, datetime.now(UTC).timestamp() * 1000)
        conn.execute(
            SQL["count_intake"],
            {
                "source": source,
                "received": plan.received_n,
                "stored": len(plan.stored),
                "duplicate": plan.duplicate_n,
                "quarantined": len(plan.quarantined),
                "state": len(plan.states),
                "receipt_delay_s": delay.receipt_s,
                "age_s": delay.age_s,
            },
        )
        return samples

    def write_records(self, conn: Connection, stored: Sequence[Accepted]) -> int:
        """Write the samples and faults of records that are new; return how many samples."""
        samples = self._copy_samples(conn, stored)
        _insert_faults(conn, stored)
        return samples

    def _copy_samples(self, conn: Connection, stored: Sequence[Accepted]) -> int:
        rows: list[bytes] = []
        dirty: set[tuple[int, int]] = set()
        for accepted in stored:
            if isinstance(accepted.record, Record):
                metrics = self._metrics[accepted.device.tenant]
                _add_rows(accepted, accepted.record, metrics, rows, dirty)
        if not rows:
            return 0
        _copy(conn, "copy_samples", rows)
        _copy(conn, "copy_dirty_hours", [binary.dirty_row(hour, no) for hour, no in dirty])
        return len(rows)


def _named_device(topic: str) -> str:
    """The device level of a topic, only to look it up before judging; empty when it is no id."""
    levels = topic.split("/", 5)
    return levels[4] if len(levels) > 4 and is_id(levels[4]) else ""


def _one(cursor: psycopg.Cursor[tuple[Any, ...]]) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]


def _all_values(record: Record) -> Iterator[dict[str, float]]:
    yield record.m
    for item in record.series:
        yield item.m


def _span(accepted: Accepted) -> tuple[int, ...]:
    """Every estimated instant of the record's samples."""
    record = accepted.record
    assert isinstance(record, Record)
    at = record.at + accepted.shift.shift_ms
    if not record.series:
        return (at,)
    return (at, *(at + item.dt for item in record.series))


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def _rejected(verdict: Verdict, detail: str) -> Verdict:
    """The verdict on a message that the database itself refused."""
    if isinstance(verdict, Accepted):
        return refused_again(verdict, Reason.REJECTED_BY_DATABASE, detail, is_settled=True)
    if isinstance(verdict, StateReport):
        device = verdict.device
        return Refused(
            verdict.message,
            Reason.REJECTED_BY_DATABASE,
            detail,
            device.tenant,
            device.device_id,
            device,
        )
    return verdict


def _check_slots(conn: Connection, held: Mapping[int, int]) -> None:
    rows = conn.execute(SQL["held_slots"], {"slots": list(held), "fences": list(held.values())})
    ours = {row[0] for row in rows}
    if ours != held.keys():
        raise LeaseLostError(frozenset(held.keys() - ours))


def locked_ledger(
    conn: Connection, verdicts: list[Verdict], now: datetime
) -> dict[LedgerKey, LedgerEntry]:
    keys = ledger_keys(verdicts)
    reporting = [v.device.device_no for v in verdicts if isinstance(v, StateReport)]
    if reporting:
        keys.update(conn.execute(SQL["known_epochs"], {"devices": _literal(reporting)}).fetchall())
    ledger = _lock(conn, keys)
    missing = keys - ledger.keys()
    if missing:
        conn.execute(SQL["open_ledger"], _columns(missing) | {"at": now})
        ledger |= _lock(conn, missing)
    return ledger


def _columns(keys: Iterable[LedgerKey]) -> dict[str, Any]:
    ordered = sorted(keys)
    return {
        "devices": _literal([key[0] for key in ordered]),
        "epochs": _literal([key[1] for key in ordered]),
    }


def _literal(items: Sequence[object], quote: str = "") -> str:
    """An array literal of numbers, hex or ranges, which need no escaping.

    The driver's own list adaptation escapes element by element and costs a fifth of a batch.
    """
    return "{" + quote + f"{quote},{quote}".join(map(str, items)) + quote + "}" if items else "{}"


def _lock(conn: Connection, keys: Iterable[LedgerKey]) -> dict[LedgerKey, LedgerEntry]:
    rows = conn.execute(SQL["lock_ledger"], _columns(keys))
    return {
        (device_no, epoch): LedgerEntry(SeqSet.from_sql(received), SeqSet.from_sql(lost))
        for device_no, epoch, received, lost in rows
    }


def write_ledger(conn: Connection, ledger: Mapping[LedgerKey, LedgerEntry], now: datetime) -> None:
    if not ledger:
        return
    keys = sorted(ledger)
    entries = [ledger[key] for key in keys]
    parameters = _columns(keys) | {
        "received": _literal([entry.received.to_sql() for entry in entries], '"'),
        "lost": _literal([entry.lost.to_sql() for entry in entries], '"'),
        "gapped": _literal([entry.is_gapped for entry in entries]),
        "received_n": _literal([entry.received_n for entry in entries]),
        "stored_n": _literal([entry.stored_n for entry in entries]),
        "duplicate_n": _literal([entry.duplicate_n for entry in entries]),
        "quarantined_n": _literal([entry.quarantined_n for entry in entries]),
        "at": now,
    }
    conn.execute(SQL["write_ledger"], parameters)


def _add_rows(
    accepted: Accepted,
    record: Record,
    metrics: dict[str, int],
    rows: list[bytes],
    dirty: set[tuple[int, int]],
) -> None:
    shift_ms, clock = accepted.shift
    device_no = accepted.device.device_no
    received_ms = accepted.message.received_ms
    instants = [(record.at, record.m)] if record.m else []
    if record.series:
        instants += [(record.at + item.dt, item.m) for item in record.series if item.m]
    for device_ms, values in instants:
        at = device_ms + shift_ms
        kept = device_ms if shift_ms else None
        prefix = binary.sample_prefix(at, received_ms, device_no, clock, kept)
        rows += binary.sample_rows(prefix, metrics, values)
        dirty.add((at - at % binary.HOUR_MS, device_no))


def _copy(conn: Connection, name: str, rows: list[bytes]) -> None:
    with conn.cursor() as cursor, cursor.copy(SQL[name]) as copy:
        copy.write(b"".join((binary.HEADER, *rows, binary.TRAILER)))


def _insert_faults(conn: Connection, stored: Iterable[Accepted]) -> None:
    faulty = [a for a in stored if isinstance(a.record, Record) and a.record.faults]
    if not faulty:
        return
    rows = [row for accepted in faulty for row in _fault_rows(accepted)]
    columns = dict(zip(_FAULT_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    conn.execute(SQL["insert_faults"], columns)
    inbox = {
        "device_no": [a.device.device_no for a in faulty],
        "epoch": [a.record.epoch for a in faulty],
        "seq": [a.record.seq for a in faulty],
        "received_at": [_instant(a.message.received_ms) for a in faulty],
    }
    conn.execute(SQL["insert_inbox"], inbox)


def _fault_rows(accepted: Accepted) -> Iterator[tuple[Any, ...]]:
    record = accepted.record
    assert isinstance(record, Record)
    shift_ms, clock = accepted.shift
    for idx, fault in enumerate(record.faults):
        device_ms = record.at if fault.at is None else fault.at
        yield (
            accepted.device.device_no,
            record.epoch,
            record.seq,
            idx,
            fault.system,
            fault.code,
            fault.state,
            fault.count,
            _instant(device_ms + shift_ms),
            _instant(device_ms) if shift_ms else None,
            _instant(accepted.message.received_ms),
            int(clock),
            msgspec.json.encode(fault.ctx).decode() if fault.ctx else None,
        )


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _write_state(conn: Connection, report: StateReport) -> None:
    state, message = report.state, report.message
    parameters: dict[str, Any] = {
        "device_no": report.device.device_no,
        "boot": state.boot,
        "at": _instant(message.received_ms),
        "is_copy": message.is_retained,
    }
    if not state.online:
        conn.execute(SQL["write_will"], parameters)
        return
    skew_ms = None
    if message.is_timely and state.clock_ms is not None:
        skew_ms = state.clock_ms - message.received_ms
    span = state.outbox
    parameters |= {
        "epoch": state.epoch,
        "clock": state.clock,
        "skew_ms": skew_ms,
        "model": state.model,
        "hw": state.hw,
        "fw": state.fw,
        "oldest_seq": None if span is None else span.oldest_seq,
        "next_seq": None if span is None else span.next_seq,
        "told_at": None if report.told_ms is None else _instant(report.told_ms),
    }
    conn.execute(SQL["write_birth"], parameters)
    conn.execute(SQL["write_boot"], parameters)


def _entry(row: Sequence[Any]) -> DeviceEntry:
    device_id, device_no, tenant, status, shard, device_class = row
    return DeviceEntry(device_no, device_id, tenant, status, shard, device_class=device_class)


def _write_settings(conn: Connection, reports: Iterable[StateReport]) -> None:
    """One statement where births carry settings, and none else.

    A device that was born more than once in a batch has as many, in the order of arrival: each
    change is told, and when it was.
    """
    births: dict[int, list[tuple[StateReport, Told]]] = {}
    for report in reports:
        told = sound(report.state.settings) if report.state.online else None
        if told is not None:
            births.setdefault(report.device.device_no, []).append((report, told))
    for turn in zip_longest(*(births[device_no] for device_no in sorted(births))):
        conn.execute(SQL["write_settings"], _settings([birth for birth in turn if birth]))


def _settings(births: Sequence[tuple[StateReport, Told]]) -> dict[str, list[Any]]:
    """The columns of one birth a device, and of the settings in them."""
    named = [
        (report.device, name, value)
        for report, told in births
        for name, value in told.values.items()
    ]
    return {
        "device_no": [report.device.device_no for report, _ in births],
        "boot": [report.state.boot for report, _ in births],
        "at": [None if r.told_ms is None else _instant(r.told_ms) for r, _ in births],
        "is_copy": [report.message.is_retained for report, _ in births],
        "left_out_n": [told.left_out_n for _, told in births],
        "of_device": [device.device_no for device, _, _ in named],
        "name": [name for _, name, _ in named],
        "value": [msgspec.json.encode(value).decode() for _, _, value in named],
        "is_care": [is_care(name, device.device_class) for device, name, _ in named],
    }
