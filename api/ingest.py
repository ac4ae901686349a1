"""JSON in: the same records as over MQTT, answered after COMMIT with the acknowledgement."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import starmap
from typing import Annotated, Any, Final

import msgspec
from fastapi import Depends, Request

from api.access.gate import Errand, InErrand
from api.asking import known_device_no
from api.problems import STORING, ProblemError, invalid, not_found, too_large
from api.rooms import InRooms, IntakePool, Meters, Rooms
from api.routes import Router
from api.schemas import AckOut, IngestOut, RefusalOut
from fleet.access.callers import Role
from fleet.intake import Message
from fleet.wire.records import JSON
from fleet.wire.topics import Topic, TopicError, UpChannel, parse_topic, up_topic
from storage.intake import Outcome

router = Router(prefix="/api/v1", tags=["ingest"])

MAX_RECORDS: Final = 1_000
_CHANNELS: Final = (UpChannel.URGENT.value, UpChannel.BULK.value, UpChannel.STATE.value)


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """Records stay the bytes they came as: nothing is re-encoded before it is judged."""

    tenant: str
    device: str
    channel: str
    record: msgspec.Raw = msgspec.Raw()
    records: list[msgspec.Raw] | None = None


_decoder: Final = msgspec.json.Decoder(_Body)
_RECORD: Final[dict[str, Any]] = {
    "type": "object",
    "description": "One record of the device contract, section 2, or a state, section 3.",
    "examples": [
        {
            "epoch": "9f2c61d0a4b7e813",
            "seq": 4711,
            "at": 1795294714123,
            "m": {"battery_voltage_v": 24.6},
        }
    ],
}
_REQUEST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["tenant", "device", "channel"],
                    "oneOf": [{"required": ["record"]}, {"required": ["records"]}],
                    "additionalProperties": False,
                    "properties": {
                        "tenant": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
                        "device": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
                        "channel": {"enum": list(_CHANNELS)},
                        "record": _RECORD,
                        "records": {
                            "type": "array",
                            "items": _RECORD,
                            "minItems": 1,
                            "maxItems": MAX_RECORDS,
                        },
                    },
                }
            }
        },
    }
}


async def _messages(request: Request) -> list[Message]:
    """The records of the request, each as its own message in the bytes it came as.

    Raises:
        ProblemError: 413, 415 or 422.
    """
    _check_content_type(request.headers.get("content-type", ""))
    return messages_of(await request.body(), time.time_ns() // 1_000_000)


def _check_content_type(text: str) -> None:
    """Only JSON: a form of another site cannot send that without asking first."""
    if text.partition(";")[0].strip().lower() != JSON:
        raise ProblemError(
            415, "not-json", f"The content type is not {JSON}.", f"Send Content-Type: {JSON}."
        )


def messages_of(body: bytes, received_ms: int) -> list[Message]:
    """Take a request apart. Pure.

    Raises:
        ProblemError: 413 or 422.
    """
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise invalid("body", str(exc)[:200]) from exc
    topic = _topic(request)
    records = _records(request)
    if len(records) > MAX_RECORDS:
        raise too_large(f"The body holds {len(records)} records, at most {MAX_RECORDS}.")
    return [Message(topic, bytes(record), JSON, received_ms) for record in records]


def _topic(request: _Body) -> str:
    if request.channel not in _CHANNELS:
        raise invalid("body.channel", f"is not one of {', '.join(_CHANNELS)}")
    try:
        return up_topic(request.tenant, request.device, UpChannel(request.channel))
    except TopicError as exc:
        raise invalid("body.tenant, body.device", str(exc)[:200]) from exc


def _records(request: _Body) -> Sequence[msgspec.Raw]:
    is_single = bool(bytes(request.record))
    if is_single == (request.records is not None):
        raise invalid("body", "give either record or records")
    records = [request.record] if is_single else request.records or []
    if not records:
        raise invalid("body.records", "is empty")
    return records


@router.post("/ingest", operation_id="ingest_records", responses=STORING, openapi_extra=_REQUEST)
def ingest_records(
    rooms: InRooms, errand: InErrand, messages: Annotated[list[Message], Depends(_messages)]
) -> IngestOut:
    """Store records of one device; answers 200 only after COMMIT.

    A device speaks for itself; an administrator's program for every device within its reach.

    The same code as for MQTT from decoding on. A record that cannot be stored goes to quarantine
    and is listed in `refused`; the request still succeeds. Sending the same records again is
    harmless: the ledger counts them as duplicates.
    """
    _check_speaker(rooms, errand, parse_topic(messages[0].topic))
    answer = _stored(rooms.intake, messages)
    _count(rooms.meters, answer)
    return answer


def _check_speaker(rooms: Rooms, errand: Errand, topic: Topic) -> None:
    """Refuse records of a device that the caller does not speak for, whether it exists or not.

    What a program sends for a device is in the access log before it is stored.

    Raises:
        ProblemError: 403 a person, 404.
    """
    caller = errand.caller
    is_own = caller.role is not Role.DEVICE or caller.device == topic.device
    if topic.tenant != caller.tenant or not is_own:
        raise not_found("device with that id")
    if caller.role is Role.DEVICE:
        return
    if not caller.is_service:
        raise _not_a_program()
    with rooms.change(replace(errand, objects={"device": topic.device})) as conn:
        known_device_no(conn, topic.device)


def _not_a_program() -> ProblemError:
    return ProblemError(
        403,
        "not-a-program",
        "Records of other devices are taken from programs, not from people.",
        "Sign in with the client credentials of a program.",
    )


def _stored(pool: IntakePool, messages: Sequence[Message]) -> IngestOut:
    with pool.borrow() as intake:
        outcomes = [outcome for _, outcome in intake.store_parts(messages)]
    return IngestOut(
        ack=_ack(outcomes),
        received=sum(outcome.received for outcome in outcomes),
        stored=sum(outcome.stored for outcome in outcomes),
        duplicate=sum(outcome.duplicate for outcome in outcomes),
        quarantined=sum(outcome.quarantined for outcome in outcomes),
        states=sum(outcome.states for outcome in outcomes),
        refused=_refusals(messages, outcomes),
    )


def _ack(outcomes: Sequence[Outcome]) -> AckOut | None:
    """The newest acknowledgement; they are cumulative, and there is only one device."""
    acks = [ack for outcome in outcomes for ack in outcome.acks.values()]
    return AckOut.model_validate(acks[-1]) if acks else None


def _refusals(messages: Sequence[Message], outcomes: Sequence[Outcome]) -> list[RefusalOut]:
    places = {id(message): index for index, message in enumerate(messages)}
    refused = sorted(
        (places[id(refused.message)], refused.reason, refused.detail)
        for outcome in outcomes
        for refused in outcome.refused
    )
    return list(starmap(_refusal, refused))


def _refusal(index: int, reason: Any, detail: str) -> RefusalOut:
    return RefusalOut(index=index, reason=reason, detail=detail)


def _count(meters: Meters, answer: IngestOut) -> None:
    for outcome in ("stored", "duplicate", "quarantined"):
        meters.records.labels(outcome).inc(getattr(answer, outcome))
