"""A small fleet in a real database, the application in front, and a browser."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from playwright.sync_api import Browser
from starlette.testclient import TestClient
from support.browsing import chromium
from support.by_hand import Opens, opening
from support.people import access_settings, bearer, claims_of
from support.postgres import Cluster
from support.seeding import Fleet, Seeding
from support.serving import running

from api.app import create_app
from api.process import ApiSettings
from fleet.access.callers import Role
from storage.connection import connect
from storage.migrate import migrate
from storage.sessions import open_session


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real one; per module, since it may not stay open beside other event loops."""
    yield from chromium()


@pytest.fixture(scope="session")
def fleet(plain: Cluster) -> Iterator[Fleet]:
    """The fleet that tests share and leave as it was."""
    yield from _seeded(plain)


@pytest.fixture(scope="module")
def own_fleet(plain: Cluster) -> Iterator[Fleet]:
    """A fleet that the tests of one module may change."""
    yield from _seeded(plain)


def _seeded(plain: Cluster) -> Iterator[Fleet]:
    name = f"t{uuid.uuid4().hex[:12]}"
    url = plain.create_database(name)
    migrate(url)
    seeded = Fleet(url, datetime.now(UTC).replace(microsecond=0))
    with psycopg.connect(url) as conn:
        Seeding(conn, seeded).everything()
    yield seeded
    plain.drop_database(name)


@pytest.fixture(scope="session")
def settings(fleet: Fleet) -> ApiSettings:
    return ApiSettings(fleet.url, access_settings(), port=0, database_wait_s=2.0)


@pytest.fixture
def client(settings: ApiSettings) -> Iterator[TestClient]:
    """The application, asked by an administrator unless a request brings other headers."""
    app = create_app(settings)
    headers = bearer(Role.ADMINISTRATOR)
    with TestClient(app, base_url="http://127.0.0.1:8460", headers=headers) as opened:
        yield opened


@pytest.fixture
def nobody(settings: ApiSettings) -> Iterator[TestClient]:
    """The application, asked by nobody who is signed in."""
    with TestClient(
        create_app(settings), base_url="http://127.0.0.1:8460", follow_redirects=False
    ) as opened:
        yield opened


@pytest.fixture(scope="session")
def sessions(fleet: Fleet, settings: ApiSettings) -> Callable[[Role], dict[str, str]]:
    """A browser's session cookie of somebody with a role, as signing in leaves it."""

    def opened(role: Role) -> dict[str, str]:
        token = secrets.token_urlsafe(32)
        caller = settings.access.claims.caller(claims_of(role))
        with connect(fleet.url) as conn:
            open_session(conn, token, caller, datetime.now(UTC), timedelta(hours=1))
            conn.commit()
        return {"name": "fjarrkoll_session", "value": token}

    return opened


@pytest.fixture(scope="session")
def server(settings: ApiSettings) -> Iterator[str]:
    """The address of a running server."""
    with running(settings) as address:
        yield address


@pytest.fixture
def by_hand(client: TestClient, fleet: Fleet) -> Iterator[Opens]:
    """Opens tickets by hand; afterwards they were never there."""
    yield from opening(client, fleet.url, max(fleet.ticket_nos))
