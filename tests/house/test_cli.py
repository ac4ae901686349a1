"""The command line: help with examples, errors that say what to do, stable exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing

import psycopg
import pytest
import typer

from fjarrkoll.cli import whole_app
from fleet.wire.topics import UpChannel, up_topic

UNSET = {"FJARRKOLL_DATABASE_URL": "", "FJARRKOLL_MQTT_URL": ""}


def _commands(group: typing.Any = None, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    group = group or typer.main.get_command(whole_app())
    found = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += _commands(command, (*path, name))
        else:
            found.append((*path, name))
    return found


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fjarrkoll", *arguments],
        env=dict(os.environ) | UNSET | environment,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_every_command_shows_an_example(command):
    group = typer.main.get_command(whole_app())
    for name in command:
        group = group.commands[name]  # type: ignore[attr-defined]
    assert f"fjarrkoll {' '.join(command)}" in (group.help or ""), "its help has no example"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["ingest"], 2, "FJARRKOLL_DATABASE_URL is not set"),
        (["diagnose"], 2, "fjarrkoll demo"),
        (["api", "--host", "0.0.0.0"], 2, "FJARRKOLL_DATABASE_URL"),
        (["sim", "--scenario", "nonsense"], 2, "FJARRKOLL_MQTT_URL is not set"),
        (["frobnicate"], 2, "No such command"),
        (["bench", "nonsense"], 2, "drain, live"),
        (["catalog", "show", "vr2", "FFFF"], 1, "FFFF"),
    ],
)
def test_wrong_use_is_explained(arguments, status, words):
    done = _run(*arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["doctor"], {"FJARRKOLL_API_PORT": "99999999"}, "FJARRKOLL_API_PORT"),
        (["doctor"], {"FJARRKOLL_LOG_LEVEL": "loud"}, "FJARRKOLL_LOG_LEVEL"),
        (["doctor"], {"FJARRKOLL_DATABASE_URL_FILE": "/nowhere"}, "FJARRKOLL_DATABASE_URL_FILE"),
        (["ingest"], {"FJARRKOLL_FAILPOINT": "nonsense"}, "unknown failpoint"),
        (
            ["api", "--host", "0.0.0.0", "--demo-issuer"],
            {"FJARRKOLL_DATABASE_URL": "postgresql://x@127.0.0.1:9/x"},
            "whoever can reach it could be anybody",
        ),
        (
            ["sim", "--scenario", "nonsense"],
            {"FJARRKOLL_MQTT_URL": "mqtt://127.0.0.1:9"},
            "use one of",
        ),
        (
            ["ingest"],
            {
                "FJARRKOLL_DATABASE_URL": "postgresql://x@127.0.0.1:9/x",
                "FJARRKOLL_MQTT_URL": "http://127.0.0.1:9",
            },
            "mqtt://host:port or",
        ),
    ],
)
def test_wrong_configuration_is_explained(arguments, environment, words):
    done = _run(*arguments, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("claims", "words"),
    [({}, "FJARRKOLL_OIDC_CLAIMS"), ({"FJARRKOLL_OIDC_CLAIMS": "builtin"}, "ConnectError")],
)
def test_the_doctor_looks_at_the_sign_in_service(claims, words):
    done = _run("doctor", FJARRKOLL_OIDC_ISSUER_URL="http://127.0.0.1:9", **claims)
    assert done.returncode == 1, done.stderr
    assert words in done.stdout
    assert "FJARRKOLL_OIDC_ISSUER_URL" in done.stdout


def test_a_server_that_does_not_answer_is_status_3_and_no_password_is_shown():
    url = "postgresql://user:hemligt-lösen@127.0.0.1:9/x"
    for arguments in (["db", "migrate"], ["ledger", "check"]):
        done = _run(*arguments, FJARRKOLL_DATABASE_URL=url)
        assert done.returncode == 3, done.stderr
        assert "hemligt" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["ingest", "diagnose", "api"])
def test_nothing_starts_on_a_server_that_forgets(command, plain_database):
    forgetful = f"{plain_database}&options=-c%20synchronous_commit%3Doff"
    others = {
        "FJARRKOLL_MQTT_URL": "mqtt://127.0.0.1:9",
        "FJARRKOLL_OIDC_ISSUER_URL": "https://issuer.example",
        "FJARRKOLL_OIDC_CLAIMS": "builtin",
    }
    done = _run(command, FJARRKOLL_DATABASE_URL=forgetful, **others)
    assert done.returncode == 3, done.stderr
    assert "synchronous_commit=off" in done.stderr
    assert "FJARRKOLL_DATABASE_THROWAWAY" in done.stderr


def test_a_small_benchmark_gives_every_number():
    done = _run("bench", "drain", "--records", "2000", "--devices", "500", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result.keys() >= {"command", "machine", "versions", "drain"}
    assert result["drain"]["app_acks"] >= 500
    for name in ("records_per_s", "samples_per_s", "bare_client_records_per_s"):
        assert result["drain"][name] > 0, name


def test_a_schema_of_a_newer_release_is_left_alone(plain):
    url = plain.create_migrated("newer")
    try:
        with psycopg.connect(url) as conn:
            conn.execute("UPDATE alembic_version SET version_num = '9999'")
        for more in ((), ("--dry-run",)):
            done = _run("db", "migrate", *more, FJARRKOLL_DATABASE_URL=url)
            assert done.returncode == 3, done.stderr
            assert "9999" in done.stderr
            assert "Use the release that made it" in done.stderr
            assert "Traceback" not in done.stderr
    finally:
        plain.drop_database("newer")


def test_devices_are_registered_shown_and_revoked(plain):
    url = plain.create_database("cli")
    try:
        setting = {"FJARRKOLL_DATABASE_URL": url}
        migrate = ("db", "migrate", "--json")
        for arguments, steps in ((("--dry-run",), True), ((), True), (("--dry-run",), False)):
            told = json.loads(_run(*migrate, *arguments, **setting).stdout)
            assert bool(told["steps"]) is steps
        add = ("device", "add", "wc-1", "--tenant", "vgr", "--model", "permobil-m3", "--json")
        assert json.loads(_run(*add, "--dry-run", **setting).stdout)["dry_run"] is True
        assert _run("device", "show", "wc-1", **setting).returncode == 1
        topic = json.loads(_run(*add, **setting).stdout)["topic"]
        assert topic == up_topic("vgr", "wc-1", UpChannel.BULK)
        assert _run(*add, **setting).returncode == 1
        revoke = ("device", "status", "wc-1", "revoked", "--json")
        assert json.loads(_run(*revoke, "--dry-run", **setting).stdout)["dry_run"] is True
        assert '"active"' in _run("device", "show", "wc-1", "--json", **setting).stdout
        assert _run(*revoke, **setting).returncode == 0
        shown = json.loads(_run("device", "show", "wc-1", "--json", **setting).stdout)
        assert (shown["status"], shown["tenant"]) == ("revoked", "vgr")
        bad = _run("device", "add", "a/b", "--tenant", "t", "--model", "permobil-m3", **setting)
        assert bad.returncode == 2
        assert "A-Z a-z 0-9 _ -" in bad.stderr
        assert (
            _run("device", "add", "x", "--tenant", "t", "--model", "zz", **setting).returncode == 2
        )
        assert json.loads(_run("ledger", "check", "--json", **setting).stdout)["equation_holds"]
    finally:
        plain.drop_database("cli")
