"""Answers to requests that named a key, so that one sent twice is done once. Never commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.errors import LockNotAvailable
from psycopg.types.json import Jsonb

from storage.connection import Connection
from storage.queries import load_queries

KEPT_FOR: Final = timedelta(hours=24)
WAIT_MS: Final = 2_000
"""How long a request waits for another one with its key: each that waits holds a connection."""
_SQL: Final = load_queries("idempotency.sql")


class KeyReusedError(ValueError):
    """The key was given to another request before."""


class KeyBusyError(ValueError):
    """A request with the key is being served, and was not done in time."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of one caller. `request_hash` tells whether the same thing is asked for again."""

    subject: str
    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Mapping[str, Any]


def once(conn: Connection, key: Key, now: datetime, do: Callable[[], Answer]) -> Answer:
    """Do something, or give the answer it had when it was done before with the same key.

    What raises is not kept, so the same key may try again. Two at the same time do not overlap.

    Raises:
        KeyReusedError: another request had the key.
        KeyBusyError: one with the key is being served; the transaction is over.
    """
    place = {"subject": key.subject, "key": key.key}
    _hold(conn, place)
    since = now - KEPT_FOR
    row = conn.execute(_SQL["kept_answer"], {**place, "since": since}).fetchone()
    if row is not None:
        return _again(key, *row)
    answer = do()
    conn.execute(_SQL["drop_old_answers"], {**place, "since": since})
    kept = {"request_hash": key.request_hash, "status": answer.status, "body": Jsonb(answer.body)}
    conn.execute(_SQL["keep_answer"], {**place, **kept, "now": now})
    return answer


def _hold(conn: Connection, place: Mapping[str, str]) -> None:
    row = conn.execute(_SQL["wait_at_most"], {"timeout": f"{WAIT_MS}ms"}).fetchone()
    assert row is not None
    try:
        conn.execute(_SQL["hold_key"], place)
    except LockNotAvailable as exc:
        raise KeyBusyError(f"a request with the key {place['key']!r} is being served") from exc
    conn.execute(_SQL["wait_at_most"], {"timeout": row[0]})


def _again(key: Key, request_hash: bytes, status: int, body: Mapping[str, Any]) -> Answer:
    if bytes(request_hash) != key.request_hash:
        raise KeyReusedError(
            f"the key {key.key!r} was given to another request: choose a new key for a new request"
        )
    return Answer(status, body)
