"""Records in JSON and CBOR (contract, section 2). Touches no socket, no clock, no log."""

from __future__ import annotations

import io
import re
from typing import Annotated, Any, Final, Literal, TypeVar

import cbor2
import msgspec

from fleet.wire.reasons import PayloadError, Reason
from fleet.wire.topics import MAX_PAYLOAD_BYTES

JSON: Final = "application/json"
CBOR: Final = "application/cbor"

MAX_SAMPLES: Final = 512
MAX_FAULTS: Final = 64
MAX_ABS_VALUE: Final = 1e12
MAX_SEQ: Final = 2**53 - 1
MAX_CTX_KEYS: Final = 32
MAX_TEXT: Final = 200
EARLIEST_MS: Final = 1_420_070_400_000
"""2015-01-01T00:00:00Z: no device of this contract is older."""
LATEST_AHEAD_MS: Final = 24 * 3600 * 1000

Clock = Literal["synced", "drifting", "unset"]
FaultState = Literal["raised", "cleared", "logged"]
Scalar = bool | int | float | str | None
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""CBOR can carry numbers of any length, too long to convert or even to print."""

_METRIC = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_EPOCH = re.compile(r"[0-9a-f]{16}", re.ASCII)
_SYSTEM = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}", re.ASCII)
_known_metric_names: set[str] = set()
_MAX_REMEMBERED_NAMES = 20_000

T = TypeVar("T")


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault code as a device reports it.

    `at` is device time in milliseconds, None where the controller keeps no time.
    `count` is the controller's own total for a `logged` fault.
    """

    system: str
    code: str
    state: FaultState
    count: Integer | None = None
    at: Integer | None = None
    ctx: dict[str, Scalar] = {}


class Series(msgspec.Struct, frozen=True):
    """More samples, taken `dt` milliseconds from the record's `at`."""

    dt: Integer
    m: dict[str, float]


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message with an identity: `(device, epoch, seq)`. Times are device milliseconds."""

    epoch: str
    seq: Integer
    at: Integer
    boot: Integer | None = None
    up: Integer | None = None
    clock: Clock = "synced"
    m: dict[str, float] = {}
    series: list[Series] = []
    faults: list[Fault] = []
    device: str | None = None


class Skipped(msgspec.Struct, frozen=True):
    """Sent in place of a record that the device no longer has."""

    epoch: str
    seq: int
    skipped: bool = True
    device: str | None = None


class _Identity(msgspec.Struct):
    epoch: str
    seq: Integer
    skipped: bool = False
    device: str | None = None


_json_record = msgspec.json.Decoder(Record)
_json_identity = msgspec.json.Decoder(_Identity)
_SALVAGE = re.compile(
    rb'"epoch"\s*:\s*"([0-9a-f]{16})"[^{}\[\]]{0,80}?"seq"\s*:\s*([0-9]{1,16})\s*[,}]'
)

_SALVAGE_CBOR = re.compile(
    rb"eepochp([0-9a-f]{16})cseq(?:([\x01-\x17])|\x18(.)|\x19(.{2})|\x1a(.{4})|\x1b(.{8}))",
    re.DOTALL,
)
"""The same for CBOR: `epoch` and, right behind it, `seq`, each with its length in front."""


def decode_record(payload: bytes, content_type: str | None = None) -> Record | Skipped:
    """Decode and check one record. It is taken whole or refused whole.

    Raises:
        PayloadError: `malformed`, `too_large` or `out_of_range`. Times are judged by
            `fleet.clock`, which knows when the record was received.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadError(Reason.TOO_LARGE, f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    try:
        record = _decode(payload, content_type)
    except PayloadError:
        skipped = _skipped(payload, content_type)
        if skipped is None:
            raise
        return skipped
    _check(record)
    return record


def _decode(payload: bytes, content_type: str | None) -> Record:
    if content_type == CBOR:
        return _convert(load_cbor(payload), Record)
    if content_type not in (None, "", JSON) and not _is_json(content_type):
        raise PayloadError(Reason.MALFORMED, f"content type {content_type!r} is not JSON or CBOR")
    try:
        return _json_record.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise PayloadError(Reason.MALFORMED, str(exc)[:MAX_TEXT]) from exc


def _is_json(content_type: str) -> bool:
    """JSON with parameters, as in `application/json; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower() == JSON


def _skipped(payload: bytes, content_type: str | None) -> Skipped | None:
    """The payload as a `skipped` marker, which has no `at`; None when it is not one."""
    try:
        if content_type == CBOR:
            marker = _convert(load_cbor(payload), _Identity)
        else:
            marker = _json_identity.decode(payload)
    except (PayloadError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not marker.skipped:
        return None
    _check_identity(marker.epoch, marker.seq)
    return Skipped(marker.epoch, marker.seq, device=marker.device)


def load_cbor(payload: bytes) -> Any:
    """Load exactly one CBOR item.

    Raises:
        PayloadError: not CBOR, cut short, followed by more, or nested without end.
    """
    stream = io.BytesIO(payload)
    try:
        item = cbor2.load(stream)
    except (
        cbor2.CBORDecodeError,
        ValueError,
        TypeError,
        RecursionError,
        MemoryError,
        OverflowError,
    ) as exc:
        raise PayloadError(Reason.MALFORMED, f"CBOR: {str(exc)[:MAX_TEXT]}") from exc
    if stream.tell() != len(payload):
        raise PayloadError(Reason.MALFORMED, "CBOR: bytes after the first item")
    return item


def _convert(item: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(item, kind)
    except (ValueError, TypeError, RecursionError) as exc:
        raise PayloadError(Reason.MALFORMED, str(exc)[:MAX_TEXT]) from exc


def _check(record: Record) -> None:
    _check_identity(record.epoch, record.seq)
    count = len(record.m)
    _check_values(record.m)
    for item in record.series:
        count += len(item.m)
        _check_values(item.m)
        if not -(2**45) < item.dt < 2**45:
            raise PayloadError(Reason.BAD_TIME, f"dt {item.dt} is beyond any device's life")
    if count > MAX_SAMPLES or len(record.series) > MAX_SAMPLES:
        raise PayloadError(Reason.OUT_OF_RANGE, f"{count} samples, at most {MAX_SAMPLES}")
    if len(record.faults) > MAX_FAULTS:
        raise PayloadError(
            Reason.OUT_OF_RANGE, f"{len(record.faults)} faults, at most {MAX_FAULTS}"
        )
    for fault in record.faults:
        _check_fault(fault)
    for name, number in (("boot", record.boot), ("up", record.up)):
        if number is not None and not 0 <= number < 2**53:
            raise PayloadError(Reason.OUT_OF_RANGE, f"{name} {number} is negative or too large")


def _check_identity(epoch: str, seq: int) -> None:
    if not _EPOCH.fullmatch(epoch):
        raise PayloadError(Reason.MALFORMED, "epoch is not 16 lower-case hex digits")
    if not 1 <= seq <= MAX_SEQ:
        raise PayloadError(Reason.OUT_OF_RANGE, f"seq {seq} is outside 1 to {MAX_SEQ}")


def _check_values(values: dict[str, float]) -> None:
    for name, value in values.items():
        if not -MAX_ABS_VALUE <= value <= MAX_ABS_VALUE:  # NaN fails this too
            raise PayloadError(Reason.OUT_OF_RANGE, f"{name[:80]!r} is {value!r}")
        if name not in _known_metric_names:
            _learn_metric_name(name)


def _learn_metric_name(name: str) -> None:
    if not _METRIC.fullmatch(name):
        raise PayloadError(Reason.MALFORMED, f"metric name {name[:80]!r} is not well-formed")
    if len(_known_metric_names) < _MAX_REMEMBERED_NAMES:
        _known_metric_names.add(name)


def _check_fault(fault: Fault) -> None:
    if not _SYSTEM.fullmatch(fault.system):
        raise PayloadError(Reason.MALFORMED, f"fault system {fault.system[:80]!r}")
    if not 1 <= len(fault.code) <= 80 or not _is_clean(fault.code):
        raise PayloadError(Reason.MALFORMED, f"fault code {fault.code[:80]!r}")
    if fault.count is not None and not 0 <= fault.count < 2**31:
        raise PayloadError(Reason.OUT_OF_RANGE, f"fault count {fault.count}")
    if len(fault.ctx) > MAX_CTX_KEYS or not all(map(_is_clean_item, fault.ctx.items())):
        raise PayloadError(Reason.OUT_OF_RANGE, "ctx holds too much, or text that cannot be kept")


def _is_clean(text: str) -> bool:
    """True if a database and a page can hold the text: no NUL, no control, no lone surrogate."""
    return text.isprintable() and len(text) <= MAX_TEXT


def _is_clean_item(item: tuple[str, Scalar]) -> bool:
    key, value = item
    if isinstance(value, str):
        return _is_clean(key) and _is_clean(value)
    if isinstance(value, float | int):
        return _is_clean(key) and abs(value) <= MAX_ABS_VALUE  # NaN fails this too
    return _is_clean(key)


def salvage_identity(payload: bytes, content_type: str | None = None) -> tuple[str, int] | None:
    """Find `(epoch, seq)` in a payload that was refused, or None.

    The ledger counts a quarantined record as received, so that the device is not asked for
    it for ever; for that its identity must be readable even when the rest is not.
    """
    head = payload[:MAX_PAYLOAD_BYTES]
    try:
        if content_type == CBOR:
            found = _convert(load_cbor(head), _Identity)
        else:
            found = _json_identity.decode(head)
        _check_identity(found.epoch, found.seq)
    except (PayloadError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _search_identity(head)
    return found.epoch, found.seq


def _search_identity(head: bytes) -> tuple[str, int] | None:
    """Look for the identity in bytes that are neither, whatever they call themselves."""
    if match := _SALVAGE.search(head):
        epoch, seq = match[1].decode(), int(match[2])
    elif match := _SALVAGE_CBOR.search(head):
        epoch, seq = match[1].decode(), int.from_bytes(match[match.lastindex or 0], "big")
    else:
        return None
    return (epoch, seq) if 1 <= seq <= MAX_SEQ else None


def encode_record(record: Record | Skipped, content_type: str = JSON) -> bytes:
    """Encode as JSON or CBOR; fields at their default are left out."""
    if content_type == CBOR:
        return cbor2.dumps(msgspec.to_builtins(record))
    return msgspec.json.encode(record)
