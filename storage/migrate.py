"""Bring a database to the schema of this release. Alembic orders it, plain SQL says it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Final

import psycopg
import sqlalchemy
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy.engine import Connection as AlchemyConnection
from sqlalchemy.pool import NullPool

from storage.connection import StorageError, redacted

HEAD: Final = "0003"
_LOCK_KEY: Final = 0x666B_6D69  # "fkmi": one migration at a time


def migrate(url: str) -> str:
    """Migrate to the newest revision and return its name. Safe to call at every start.

    Raises:
        StorageError: the database does not answer, or the user may not create tables.
    """
    with _connection(url) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK_KEY})")
        connection.commit()
        command.upgrade(_config(connection), "head")
        connection.commit()
    return HEAD


def pending(url: str) -> list[str]:
    """The revisions that `migrate` would run, in order; changes nothing.

    Raises:
        StorageError: the database does not answer, or is of a release that is newer than this.
    """
    with _connection(url) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        scripts = ScriptDirectory.from_config(_config(connection))
        found = scripts.iterate_revisions("head", current or "base")
        return [script.revision for script in found][::-1]


@contextmanager
def _connection(url: str) -> Iterator[AlchemyConnection]:
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        poolclass=NullPool,
        creator=lambda: psycopg.connect(url, connect_timeout=5),
    )
    try:
        with engine.connect() as connection:
            yield connection
    except (CommandError, RevisionError) as exc:
        raise StorageError(
            f"cannot migrate {redacted(url)}: its schema is not of this release or an earlier one"
            f" ({exc}). Use the release that made it, or a newer one."
        ) from exc
    except (sqlalchemy.exc.DBAPIError, psycopg.Error) as exc:
        cause = str(getattr(exc, "orig", None) or exc).strip().splitlines()[0]
        raise StorageError(f"cannot migrate {redacted(url)}: {cause}") from exc


def _config(connection: AlchemyConnection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("storage").joinpath("migrations")))
    config.attributes["connection"] = connection
    return config


def _migration_sql(name: str) -> str:
    return files("storage").joinpath("migrations", name).read_text("utf-8")


def run_base() -> None:
    """Revision 0001: the tables, with samples partitioned by what this server offers."""
    connection = op.get_bind()
    has_timescale = _has_timescale(connection)
    text = _migration_sql("0001_base.sql")
    native = "" if has_timescale else "PARTITION BY RANGE (at)"
    _run(connection, text.replace("/*partitioning*/", native))
    _run(connection, _migration_sql(f"0001_{'timescale' if has_timescale else 'native'}.sql"))
    _run(connection, _migration_sql("0001_grants.sql"))


def run_rules() -> None:
    """Revision 0002: what diagnostics, tickets and deadlines need."""
    connection = op.get_bind()
    _run(connection, _migration_sql("0002_rules.sql"))
    _run(connection, _migration_sql("0002_grants.sql"))


def run_people() -> None:
    """Revision 0003: sessions, the access log, and row-level security."""
    connection = op.get_bind()
    for part in (
        "sessions",
        "audit",
        "people",
        "privacy",
        "devices",
        "settings",
        "versions",
        "overview",
        "sums",
        "contact",
        "stream",
        "grants",
    ):
        _run(connection, _migration_sql(f"0003_{part}.sql"))


def _has_timescale(connection: AlchemyConnection) -> bool:
    """Create the extension; False where it is not installed, or installed and not preloaded."""
    found = connection.exec_driver_sql(
        "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"
    ).first()
    if found is None:
        return False
    loaded = connection.exec_driver_sql("SHOW shared_preload_libraries").scalar_one()
    if "timescaledb" not in str(loaded):
        return False
    connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return True


def _run(connection: AlchemyConnection, text: str) -> None:
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.execute(text)
