"""The small world on each kind of server, or on plain PostgreSQL where the kind does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest
from support.world import NOON, Report, World

from storage.registry import sync_catalogues


@pytest.fixture
def world(database: str) -> Iterator[World]:
    yield from _world(database)


@pytest.fixture
def plain_world(plain_database: str) -> Iterator[World]:
    yield from _world(plain_database)


def _world(url: str) -> Iterator[World]:
    with psycopg.connect(url, autocommit=True) as conn:
        sync_catalogues(conn, NOON)
        yield World(url, conn)


@pytest.fixture
def report() -> type[Report]:
    return Report


@pytest.fixture
def noon() -> datetime:
    return NOON
