"""The topic grammar (contract, section 1). Parsing and formatting are inverses."""

from __future__ import annotations

import re
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec

PREFIX: Final = "fk/1"
SHARD_COUNT: Final = 256
MAX_PAYLOAD_BYTES: Final = 64 * 1024

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TOPIC = re.compile(
    r"fk/1/([0-9a-f]{2})/([A-Za-z0-9_-]{1,64})/([A-Za-z0-9_-]{1,64})"
    r"/(up|down)/([a-z][a-z0-9_]{0,31})",
    re.ASCII,
)


class TopicError(ValueError):
    """A topic outside the grammar, or an id that may not be issued."""


class UpChannel(StrEnum):
    """What a device may say."""

    STATE = "state"
    URGENT = "urgent"
    BULK = "bulk"
    SENML = "senml"
    GATT = "gatt"
    FHIR = "fhir"
    RAW = "raw"
    TWIN = "twin"
    RESULT = "result"
    FIRMWARE = "firmware"


class DownChannel(StrEnum):
    """What the backend may say."""

    ACK = "ack"
    TWIN = "twin"
    COMMAND = "command"
    FIRMWARE = "firmware"


class Topic(msgspec.Struct, frozen=True, gc=False):
    """A parsed topic. `channel` is any well-formed word: the caller decides if it knows it."""

    shard: int
    tenant: str
    device: str
    direction: str
    channel: str

    def __str__(self) -> str:
        return (
            f"{PREFIX}/{self.shard:02x}/{self.tenant}/{self.device}/{self.direction}/{self.channel}"
        )


def is_id(text: str) -> bool:
    """Tell if `text` may be the id of a device or a tenant."""
    return _ID.fullmatch(text) is not None


def checked_id(text: str) -> str:
    """Return `text` if it may be an id.

    Raises:
        TopicError: it may not; the message says which characters are allowed.
    """
    if not is_id(text):
        raise TopicError(f"{text!r} is not an id: use 1 to 64 of A-Z a-z 0-9 _ -")
    return text


def shard_of(device: str) -> int:
    """The shard of a device: the first byte of SHA-256 over its id."""
    return sha256(device.encode()).digest()[0]


def up_topic(tenant: str, device: str, channel: UpChannel) -> str:
    return str(Topic(shard_of(device), checked_id(tenant), checked_id(device), "up", channel.value))


def ack_topic(shard: int, tenant: str, device: str) -> str:
    """Where the acknowledgement of a device in the registry goes; its ids are known to be good."""
    return f"{PREFIX}/{shard:02x}/{tenant}/{device}/down/ack"


def down_topic(tenant: str, device: str, channel: DownChannel) -> str:
    topic = Topic(shard_of(device), checked_id(tenant), checked_id(device), "down", channel.value)
    return str(topic)


def parse_topic(text: str) -> Topic:
    """Parse one topic of fixed depth; nothing is trimmed, folded or guessed.

    Raises:
        TopicError: `text` is outside the grammar.
    """
    match = _TOPIC.fullmatch(text)
    if match is None:
        raise TopicError(f"not a topic of contract version 1: {text[:200]!r}")
    shard, tenant, device, direction, channel = match.groups()
    return Topic(int(shard, 16), tenant, device, direction, channel)
