"""From the environment to a sign-in service: what is refused, and the built-in one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta

import httpx
import psycopg
import pytest
from support.signing_in import sign_in
from support.workers import Process

from api.access.settings import AccessSettingsError
from fjarrkoll.access import configured_access, demo_access
from fjarrkoll.settings import PREFIX, ConfigurationError, load_settings
from fleet.catalogue import CatalogueError

GOOD = {"OIDC_ISSUER_URL": "https://issuer.example", "OIDC_CLAIMS": "siths"}


@pytest.fixture
def said(monkeypatch):
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)

    def say(**values):
        for name, value in values.items():
            monkeypatch.setenv(PREFIX + name, value)
        return load_settings()

    return say


def test_everything_that_is_said_arrives(said, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    access = configured_access(
        said(
            **GOOD,
            OIDC_CLIENT_ID="pages",
            OIDC_CLIENT_SECRET_FILE=str(secret),
            OIDC_AUDIENCE="api",
            PUBLIC_URL="https://fjarrkoll.example",
            SESSION_HOURS="8",
            SESSION_IDLE_MINUTES="30",
            SEAL_KEY="s" * 32,
        )
    )
    assert (access.client_id, access.client_secret, access.audience) == ("pages", "hush", "api")
    assert (access.session_for, access.idle_for) == (timedelta(hours=8), timedelta(minutes=30))
    assert access.claims.id == "siths"
    assert access.seal_key == "s" * 32
    assert "ssss" not in repr(access)
    assert access.is_secure
    assert not access.is_demo


def test_a_claim_map_of_one_s_own_is_read_from_its_file(said, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'id = "own"\nsubject = "sub"\nname = "name"\n[tenant]\nfixed = "t"\n'
        '[[role]]\nrole = "auditor"\nwhere = [{ claim = "r", equals = "a" }]\n'
    )
    assert configured_access(said(**GOOD | {"OIDC_CLAIMS": str(path)})).claims.id == "own"


def test_a_seal_key_that_could_be_guessed_is_refused(said):
    with pytest.raises(ConfigurationError, match=r"SEAL_KEY.*at least 32"):
        said(SEAL_KEY="short")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"OIDC_ISSUER_URL": ""}, ConfigurationError, "OIDC_ISSUER_URL is not set.*--demo-issuer"),
        ({"OIDC_CLAIMS": ""}, ConfigurationError, "OIDC_CLAIMS is not set.*signing-in.md"),
        ({"OIDC_CLAIMS": "/no/such.toml"}, ConfigurationError, "OIDC_CLAIMS: cannot read"),
        ({"OIDC_CLAIMS": "sith"}, CatalogueError, "Use broker, builtin, siths, or a file's path"),
        ({"OIDC_ISSUER_URL": "http://issuer.example"}, AccessSettingsError, "no https address"),
        ({"OIDC_AUDIENCE": "fjarrkoll-pages"}, AccessSettingsError, "an audience of its own"),
    ],
)
def test_what_would_let_nobody_or_anybody_in_is_refused(said, changes, error, words):
    with pytest.raises(error, match=words):
        configured_access(said(**GOOD | changes))


def test_the_built_in_issuer_is_for_this_machine_alone(said):
    with (
        pytest.raises(AccessSettingsError, match="whoever can reach it"),
        demo_access(said(), "demo", "0.0.0.0"),
    ):
        pass
    settings = said(PUBLIC_URL="https://fjarrkoll.example")
    with (
        pytest.raises(AccessSettingsError, match="this machine only"),
        demo_access(settings, "demo", "127.0.0.1"),
    ):
        pass


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ([], {}, "FJARRKOLL_OIDC_ISSUER_URL is not set"),
        (["--demo-issuer", "--host", "0.0.0.0"], {}, "whoever can reach it could be anybody"),
        (["--host", "0.0.0.0"], {f"{PREFIX}{k}": v for k, v in GOOD.items()}, "plain HTTP"),
    ],
)
def test_the_command_does_not_start_without_safe_access(arguments, environment, words):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
    done = subprocess.run(
        [sys.executable, "-m", "fjarrkoll", "api", "--port", "0", *arguments],
        env=clean | environment | {"FJARRKOLL_DATABASE_URL": "postgresql://x@127.0.0.1:1/x"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


@contextmanager
def api_process(database, log):
    log.touch()
    command = ("api", "--port", "0", "--demo-issuer", "--demo-tenant", "r1")
    extra = {"FJARRKOLL_LOG_JSON": "true", "FJARRKOLL_DATABASE_THROWAWAY": "true"}
    process = Process(log, database, "mqtt://127.0.0.1:1", command, extra=extra).start()
    try:
        process.wait_ready()
        yield [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    finally:
        process.kill()


def test_the_command_with_the_built_in_issuer_lets_people_and_programs_in(plain_database, tmp_path):
    with psycopg.connect(plain_database) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R')")
    with api_process(plain_database, tmp_path / "api.log") as logged:
        address = next(line["address"] for line in logged if line["event"] == "process_ready")
        issuer = next(line["issuer"] for line in logged if line["event"] == "demo_issuer")
        with httpx.Client(base_url=address, trust_env=False) as client:
            assert client.get("/api/v1/devices").status_code == 401
            assert sign_in(client, "demo-adam").status_code == 303
            assert client.get("/api/v1/devices").status_code == 200
            client.cookies.clear()
            token = program_token(issuer)
            headers = {"Authorization": f"Bearer {token}"}
            assert client.get("/api/v1/devices", headers=headers).status_code == 200


def program_token(issuer):
    """A token for the program whose secret the issuer's first page shows."""
    with httpx.Client(base_url=issuer, trust_env=False) as client:
        secret = re.search(r"demo-program:([\w-]+)", client.get("/").text)
        assert secret is not None
        form = {"grant_type": "client_credentials"}
        answer = client.post("/token", data=form, auth=("demo-program", secret[1]))
    return answer.json()["access_token"]
