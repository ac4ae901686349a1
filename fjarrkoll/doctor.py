"""What is configured, and what is wrong with it."""

from __future__ import annotations

import platform
import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import psycopg

from api.access.keys import ProviderDownError
from api.access.provider import Provider
from api.access.settings import AccessSettingsError
from fjarrkoll.access import configured_access
from fjarrkoll.settings import PREFIX, ConfigurationError, Settings, default_data_dir
from fleet.catalogue import CatalogueError
from runtime.broker_url import BrokerAddress
from storage import accounts
from storage.connection import ROLES, Connection, StorageError, check_durability, connect, redacted
from storage.migrate import HEAD

_NOT_SET = "not set: `demo` and `bench` start their own, nothing else runs"
_NO_ISSUER = "not set: `api` needs one; `demo` and `api --demo-issuer` bring their own"


@dataclass(slots=True)
class Report:
    """Findings in reading order; `problems` say what to do."""

    facts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {"facts": self.facts, "problems": self.problems}

    def as_text(self) -> str:
        lines = [f"{name:26} {value}" for name, value in self.facts.items()]
        lines += [f"PROBLEM: {problem}" for problem in self.problems]
        return "\n".join([*lines, "" if self.problems else "nothing is wrong"]).rstrip()


def examine(settings: Settings) -> Report:
    """Look at everything that a start needs; changes nothing."""
    report = Report()
    _examine_environment(settings, report)
    _examine_database(settings, report)
    _examine_broker(settings, report)
    _examine_sign_in(settings, report)
    return report


def _examine_environment(settings: Settings, report: Report) -> None:
    report.facts["fjarrkoll"] = version("fjarrkoll")
    report.facts["python"] = platform.python_version()
    report.facts["data directory"] = str(settings.data_dir or default_data_dir())
    for name in type(settings).model_fields:
        if name not in ("database_url", "mqtt_url"):
            report.facts[f"{PREFIX}{name.upper()}"] = str(getattr(settings, name))
    for program in ("mosquitto", "chromium"):
        found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
        report.facts[program] = found or "not installed (only some tests need it)"


def _examine_database(settings: Settings, report: Report) -> None:
    if settings.database_url is None:
        report.facts["database"] = _NOT_SET
        return
    url = settings.database_url.get_secret_value()
    try:
        report.facts["database"] = redacted(url)
        with connect(url, name="fjarrkoll doctor") as conn:
            is_current = _examine_server(conn, report, is_throwaway=settings.database_throwaway)
        if is_current:
            _examine_roles(url, report)
    except (StorageError, psycopg.Error) as exc:
        report.problems.append(f"{PREFIX}DATABASE_URL: {exc}")


def _examine_server(conn: Connection, report: Report, *, is_throwaway: bool) -> bool:
    """Look at the server; True if its schema is this release's."""
    postgres, timescale = accounts.server(conn)
    report.facts["postgresql"] = postgres
    report.facts["timescaledb"] = timescale or "not installed: native partitions"
    check_durability(conn, is_throwaway=is_throwaway)
    exists = conn.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
    row = None
    if exists == (True,):
        row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    report.facts["schema revision"] = row[0] if row else "none"
    if row is None or row[0] != HEAD:
        report.problems.append(f"the schema is not at {HEAD}: run `fjarrkoll db migrate`")
        return False
    return True


def _examine_roles(url: str, report: Report) -> None:
    """A user needs the role of the process it runs only, so this is news and no problem."""
    allowed = []
    for role in ROLES:
        with suppress(StorageError), connect(url, role=role, name="fjarrkoll doctor"):
            allowed.append(role)
    report.facts["roles this user may take"] = ", ".join(allowed) or "none"
    if not allowed:
        report.problems.append(f"grant the database user one of {', '.join(ROLES)}")


def _examine_broker(settings: Settings, report: Report) -> None:
    if settings.mqtt_url is None:
        report.facts["broker"] = _NOT_SET
        return
    try:
        address = BrokerAddress.parse(settings.mqtt_url.get_secret_value())
        report.facts["broker"] = f"{address.host}:{address.port}{' TLS' if address.is_tls else ''}"
        socket.create_connection((address.host, address.port), timeout=3).close()
    except (ValueError, OSError) as exc:
        report.problems.append(f"{PREFIX}MQTT_URL: {exc}")


def _examine_sign_in(settings: Settings, report: Report) -> None:
    if settings.oidc_issuer_url is None:
        report.facts["sign-in"] = _NO_ISSUER
        return
    report.facts["sign-in"] = settings.oidc_issuer_url
    try:
        provider = Provider(configured_access(settings).issuer_url)
    except (ConfigurationError, CatalogueError, AccessSettingsError) as exc:
        report.problems.append(str(exc))
        return
    try:
        provider.metadata()
    except ProviderDownError as exc:
        report.problems.append(f"{PREFIX}OIDC_ISSUER_URL: {exc}")
    finally:
        provider.close()
