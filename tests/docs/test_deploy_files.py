"""The other shipped files: systemd's units are valid, and the SQL gives each process its rights."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from support.postgres import Cluster

from fjarrkoll.settings import PREFIX, Settings
from storage.connection import ROLES, DatabaseDownError, connect
from storage.migrate import migrate
from storage.registry import NewDevice, add_devices, sync_catalogues

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
HARDENING = ("NoNewPrivileges=true", "ProtectSystem=strict", "Restart=always")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_hardened_and_names_real_settings(unit: Path) -> None:
    text = unit.read_text("utf-8")
    assert all(line in text.splitlines() for line in HARDENING)
    has_database = bool(re.search(r"^LoadCredential=database-url:", text, re.MULTILINE))
    assert has_database == ("User=fjarrkoll" in text.splitlines())
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = set(re.findall(rf"{PREFIX}[A-Z_]+(?==)", text))
    assert {name.removesuffix("_FILE") for name in named} <= known


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        print("not installed: systemd-analyze")
        pytest.skip("not installed: systemd-analyze")
    copies = []
    for unit in UNITS:
        text = unit.read_text("utf-8").replace("/opt/fjarrkoll/.venv/bin/fjarrkoll", sys.executable)
        copies.append(tmp_path / unit.name.replace("@.", "@1."))
        copies[-1].write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *copies], capture_output=True, text=True, check=False
    )
    complaints = [
        line for line in done.stderr.splitlines() if any(copy.name in line for copy in copies)
    ]
    assert not complaints


MAY_TAKE = {"fjarrkoll_api": {"fjarrkoll_ingest"}}


@pytest.fixture
def installed(plain: Cluster) -> Iterator[str]:
    """A database made as deploy/postgresql/README.md says; the address without a user."""
    name = "installed"
    logins = [*(f"{role}_login" for role in ROLES), "fjarrkoll_owner"]
    roles = (DEPLOY / "postgresql" / "roles.sql").read_text("utf-8")
    with psycopg.connect(plain.url(), autocommit=True) as conn:
        conn.execute(roles)
        conn.execute(roles)
        conn.execute(f"CREATE DATABASE {name} OWNER fjarrkoll_owner")
        conn.execute(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")
        conn.execute(f"GRANT CONNECT ON DATABASE {name} TO {', '.join(logins[:-1])}")
    yield plain.url(name)
    plain.drop_database(name)
    with psycopg.connect(plain.url(), autocommit=True) as conn:
        conn.execute(f"DROP ROLE {', '.join(logins)}")


def _as_user(url: str, user: str) -> str:
    return f"{url}&user={user}"


def test_the_owner_migrates_and_each_process_gets_its_role_only(installed: str) -> None:
    owner = _as_user(installed, "fjarrkoll_owner")
    migrate(owner)
    with connect(owner) as conn:
        sync_catalogues(conn, datetime.now(UTC))
        assert add_devices(conn, [NewDevice("wc-000017", "permobil-m3")], tenant="vgr")
    for role in ROLES:
        login = _as_user(installed, f"{role}_login")
        with connect(login, role=role) as conn:
            seen = 0 if role == "fjarrkoll_api" else 1  # it sees nothing without a caller
            assert conn.execute("SELECT count(*) FROM device").fetchone() == (seen,)
        with connect(login) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT count(*) FROM device")
        for other in set(ROLES) - {role, *MAY_TAKE.get(role, ())}:
            with pytest.raises(DatabaseDownError, match="permission denied"):
                connect(login, role=other)
