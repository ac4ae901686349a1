"""`fjarrkoll quarantine`: what it lists, and what a replay does and says."""

from __future__ import annotations

import json

import pytest
from support.records import message, record, register
from typer.testing import CliRunner

from fjarrkoll.commands.quarantine import app
from storage.intake import Intake


def run(*arguments: str, url: str = ""):
    return CliRunner().invoke(app, arguments, env={"FJARRKOLL_DATABASE_URL": url})


def asked(*arguments: str, url: str = "", status: int = 0):
    """The JSON a command prints."""
    done = run(*arguments, "--json", url=url)
    assert done.exit_code == status, done.output
    return json.loads(done.output)


@pytest.fixture
def url(plain_database):
    """Two messages of a chair that was registered too late, and one that no one can read."""
    register(plain_database, "chair-1")
    late = [message(record(n), "chair-2") for n in (1, 2)]
    with Intake(plain_database, "test") as intake:
        for one in (*late, message(b"no json \x1b[2J")):
            intake.store([one])
    register(plain_database, "chair-2")
    return plain_database


def test_it_lists_what_is_there_the_newest_first(url):
    rows = asked("list", url=url)["messages"]
    assert [(row["quarantine_no"], row["reason"]) for row in rows] == [
        (3, "malformed"), (2, "unknown_device"), (1, "unknown_device"),
    ]  # fmt: skip
    assert [row["device"] for row in asked("list", "--device", "chair-2", url=url)["messages"]] == [
        "chair-2", "chair-2",
    ]  # fmt: skip
    assert "\x1b" not in run("list", url=url).output
    assert "waiting" in run("list", url=url).output


def test_it_shows_one_with_its_payload(url):
    assert asked("show", "3", url=url)["payload"] == "no json \\x1b[2J"
    assert run("show", "99", url=url).exit_code == 1


def test_a_dry_run_then_a_replay_then_nothing_is_left(url):
    would = asked("replay", "--device", "chair-2", "--dry-run", url=url)
    assert (would["dry_run"], would["became"]) == (True, {"stored": 2})
    done = asked("replay", "--device", "chair-2", url=url)
    assert done["became"] == {"stored": 2}
    assert [row["quarantine_no"] for row in done["messages"]] == [1, 2]
    assert asked("replay", "--device", "chair-2", url=url)["messages"] == []
    assert asked("list", "--device", "chair-2", url=url)["messages"][0]["replayed_as"] == "stored"


def test_it_says_why_a_message_was_not_replayed_and_ends_with_one(url):
    found = asked("replay", "1", "3", "99", url=url, status=1)
    assert found["became"] == {"stored": 1, "refused": 1, "not_replayed": 1}
    again = run("replay", "1", url=url)
    assert again.exit_code == 1
    assert "left quarantine before" in again.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["replay"], "--reason or --device"), (["list", "--reason", "odd"], "use one of")],
)
def test_wrong_use_is_told(url, arguments, said):
    done = run(*arguments, url=url)
    assert done.exit_code == 2
    assert said in done.output
