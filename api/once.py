"""Requests with an `Idempotency-Key`: sent twice, done once, answered alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel

from api.access.gate import Errand
from api.problems import ProblemError
from storage import idempotency
from storage.connection import Connection
from storage.idempotency import Answer, Key, KeyBusyError, KeyReusedError

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Chosen by the caller. The same request sent again within 24 hours gets the"
        " same answer and changes nothing.",
    ),
]


def request_hash(operation: str, target: str, body: BaseModel) -> bytes:
    """What makes two requests the same: what is done, to what, and what it is told."""
    told = body.model_dump_json()
    return sha256(f"{operation}\n{target}\n{told}".encode()).digest()


def once(conn: Connection, key: Key | None, now: datetime, do: Callable[[], Answer]) -> Answer:
    """Do it, or give the answer from before.

    Raises:
        ProblemError: 422, the key belongs to another request; 409, one with it is being served.
    """
    if key is None:
        return do()
    try:
        return idempotency.once(conn, key, now, do)
    except KeyReusedError as exc:
        raise ProblemError(
            422, "key-reused", str(exc), "Send this request with a key of its own."
        ) from exc
    except KeyBusyError as exc:
        raise ProblemError(
            409,
            "key-busy",
            str(exc),
            "Send the same request again after the time in Retry-After.",
            headers={"Retry-After": "1"},
        ) from exc


def key_of(errand: Errand, key: str | None, target: str, body: BaseModel) -> Key | None:
    """The key of a request; it means something only together with who sends it."""
    if key is None:
        return None
    return Key(errand.caller.subject, key, request_hash(errand.operation, target, body))
