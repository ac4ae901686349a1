"""State (contract, section 3) and application acknowledgement (section 4)."""

from __future__ import annotations

import re

import msgspec

from fleet.wire.reasons import PayloadError, Reason
from fleet.wire.records import MAX_SEQ, MAX_TEXT, Clock
from fleet.wire.settings import NONE_SENT
from fleet.wire.topics import MAX_PAYLOAD_BYTES

_EPOCH = re.compile(r"[0-9a-f]{16}", re.ASCII)
_MAX_CLOCK_MS = 2**53


class OutboxSpan(msgspec.Struct, frozen=True):
    """What a device still holds: `oldest_seq` up to, and not including, `next_seq`."""

    oldest_seq: int
    next_seq: int


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """A birth (`online`) or a last will (not `online`). `clock_ms` is the device's clock.

    `settings` is the JSON that was sent, unread and whatever it is, or empty:
    `fleet.wire.settings` says what can be kept.
    """

    online: bool
    boot: int
    epoch: str | None = None
    clock_ms: int | None = None
    clock: Clock = "synced"
    model: str | None = None
    hw: str | None = None
    fw: str | None = None
    outbox: OutboxSpan | None = None
    device: str | None = None
    settings: msgspec.Raw = NONE_SENT


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything of the epoch up to `hi` is settled; `gaps` are wanted again, ends included.

    `rewind` asks for history after a restore: send again from that record on.
    """

    epoch: str
    hi: int | None = None
    gaps: list[tuple[int, int]] = []
    rewind: int | None = None


_state = msgspec.json.Decoder(State)
_ack = msgspec.json.Decoder(Ack)


def decode_state(payload: bytes) -> State:
    """Decode and check a birth or a last will.

    Raises:
        PayloadError: `malformed`, `too_large` or `out_of_range`.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadError(Reason.TOO_LARGE, f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    try:
        state = _state.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise PayloadError(Reason.MALFORMED, str(exc)[:MAX_TEXT]) from exc
    _check_state(state)
    return state


def _check_state(state: State) -> None:
    if not 0 <= state.boot < 2**53:
        raise PayloadError(Reason.OUT_OF_RANGE, f"boot {state.boot}")
    if state.epoch is not None and not _EPOCH.fullmatch(state.epoch):
        raise PayloadError(Reason.MALFORMED, "epoch is not 16 lower-case hex digits")
    if state.clock_ms is not None and not 0 <= state.clock_ms < _MAX_CLOCK_MS:
        raise PayloadError(Reason.OUT_OF_RANGE, f"clock_ms {state.clock_ms}")
    for text in (state.model, state.hw, state.fw):
        if text is not None and not (text.isprintable() and len(text) <= MAX_TEXT):
            raise PayloadError(Reason.MALFORMED, "model, hw or fw holds text that cannot be kept")
    span = state.outbox
    if span is not None and not 1 <= span.oldest_seq <= span.next_seq <= MAX_SEQ + 1:
        raise PayloadError(Reason.OUT_OF_RANGE, f"outbox {span.oldest_seq} to {span.next_seq}")


def encode_state(state: State) -> bytes:
    return msgspec.json.encode(state)


def encode_ack(ack: Ack) -> bytes:
    return msgspec.json.encode(ack)


def decode_ack(payload: bytes) -> Ack:
    """Decode an acknowledgement as a device does.

    Raises:
        PayloadError: `malformed`; the device ignores it and waits for the next.
    """
    try:
        return _ack.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise PayloadError(Reason.MALFORMED, str(exc)[:MAX_TEXT]) from exc
