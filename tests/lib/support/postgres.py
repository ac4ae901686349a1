"""PostgreSQL servers for tests: the embedded one, and one with TimescaleDB where there is one."""

from __future__ import annotations

from pathlib import Path

import psycopg

from fjarrkoll.embedded.postgres import PostgresServer
from storage.migrate import migrate


class Cluster(PostgresServer):
    """A server that tests make databases on; `kind` is plain or timescale."""

    kind = "plain"
    _template: str | None = None

    def create_database(self, name: str, template: str = "template1") -> str:
        with psycopg.connect(self.url(), autocommit=True) as conn:
            conn.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def create_migrated(self, name: str) -> str:
        """A database with the schema of this release: migrated once, then copied."""
        if self._template is None:
            migrate(self.create_database("migrated"))
            self._template = "migrated"
        return self.create_database(name, self._template)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as conn:
            conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def plain_cluster(directory: Path) -> Cluster:
    """A server from the embedded wheel."""
    cluster = Cluster(directory)
    cluster.start()
    return cluster


def timescale_cluster(directory: Path) -> Cluster | None:
    """A server of this machine that has TimescaleDB, or None."""
    bin_dir = timescale_bin_dir()
    if bin_dir is None:
        return None
    settings = {
        "shared_preload_libraries": "timescaledb",
        "timescaledb.telemetry_level": "off",
        "timescaledb.max_background_workers": "0",
    }
    cluster = Cluster(directory, bin_dir=bin_dir, settings=settings)
    cluster.kind = "timescale"
    cluster.start()
    return cluster


def timescale_bin_dir() -> Path | None:
    for bin_dir in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        shared = Path("/usr/share/postgresql") / bin_dir.parent.name / "extension"
        if (shared / "timescaledb.control").exists() and (bin_dir / "initdb").exists():
            return bin_dir
    return None
