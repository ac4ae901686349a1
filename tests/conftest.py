"""Servers and databases for the whole suite: real ones, started here, ended here."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from support.postgres import Cluster, plain_cluster, timescale_bin_dir, timescale_cluster

from runtime.logs import configure_logs
from storage.connection import Connection, connect

# As the processes do: without it structlog prints every local variable of a traceback, slowly.
configure_logs()


# A loaded machine is no failure; what never ends is ended by pytest's own limit.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_report_header() -> str:
    found = timescale_bin_dir()
    return (
        f"databases: plain PostgreSQL (embedded){f', TimescaleDB ({found})' if found else ''}"
        + ("" if found else "; TimescaleDB not found, its tests are skipped")
    )


@pytest.fixture(scope="session")
def server_root() -> Iterator[Path]:
    """A short path (Unix sockets allow about 100 characters)."""
    root = Path(tempfile.mkdtemp(prefix="fk-", dir="/tmp"))
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def plain(server_root: Path) -> Iterator[Cluster]:
    cluster = plain_cluster(server_root / "plain")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def timescale(server_root: Path) -> Iterator[Cluster | None]:
    cluster = timescale_cluster(server_root / "ts")
    yield cluster
    if cluster is not None:
        cluster.stop()


@pytest.fixture(params=["plain", "timescale"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Every kind of server this machine has."""
    found: Cluster | None = request.getfixturevalue(request.param)
    if found is None:
        pytest.skip("no PostgreSQL with TimescaleDB on this machine")
    return found


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The URL of a fresh, migrated database, on each kind of server."""
    yield from _fresh(cluster)


@pytest.fixture
def plain_database(plain: Cluster) -> Iterator[str]:
    """The same on plain PostgreSQL only, for what does not depend on the kind."""
    yield from _fresh(plain)


def _fresh(cluster: Cluster) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex[:12]}"
    yield cluster.create_migrated(name)
    cluster.drop_database(name)


@pytest.fixture
def conn(database: str) -> Iterator[Connection]:
    """A superuser connection to the fresh database."""
    with connect(database) as connection:
        yield connection


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection]:
    """An autocommitting superuser connection, to look at what others did."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection
