"""`fjarrkoll rules`: from a file that is wrong to a rule that is on, over a real history."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from fjarrkoll.commands.rules import app
from fleet.rules.reader import shipped_rules
from storage.connection import connect
from storage.migrate import migrate
from storage.registry import NewDevice, add_devices, sync_catalogues

NOW = datetime.now(UTC)
MINE = """
id = "left-motor"
version = {version}
kind = "fault"
title = {{ sv = "Vänster motor", en = "Left motor" }}
why = {{ sv = "Prov", en = "A trial" }}
source = "ours"
device_classes = ["powered_wheelchair"]
max_day_share = {share}

[when]
severity = "{severity}"
components = ["left_motor"]
"""


def rule(version: int = 1, share: float = 1.0, severity: str = "minor") -> str:
    return MINE.format(version=version, share=share, severity=severity)


def run(*arguments: str, url: str = ""):
    return CliRunner().invoke(app, arguments, env={"FJARRKOLL_DATABASE_URL": url, "USER": "a.berg"})


def asked(*arguments: str, url: str = ""):
    """The JSON a command prints; the progress goes to stderr."""
    done = run(*arguments, "--json", url=url)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def url(plain):
    """Thirty chairs; every third had a fault of its left motor, each on a day of its own."""
    made = plain.create_database("cli_rules")
    migrate(made)
    with connect(made) as conn:
        sync_catalogues(conn, NOW)
        chairs = [NewDevice(f"chair-{n}", "otto-bock-b400") for n in range(30)]
        add_devices(conn, chairs, tenant="r1", centre="boras")
        for number in range(0, 30, 3):
            at = NOW - timedelta(days=number + 2)
            conn.execute(
                "INSERT INTO episode (device_no, system, code, started_at, last_at, raised_n,"
                " cleared_n, logged_n, first_received_at)"
                " SELECT device_no, 'vr2', '3D00', %(at)s, %(at)s, 1, 0, 0, %(at)s"
                " FROM device WHERE id = %(id)s",
                {"at": at, "id": f"chair-{number}"},
            )
        conn.commit()
    yield made
    plain.drop_database("cli_rules")


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "mine.toml") -> str:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return str(path)

    return write


def test_every_shipped_rule_is_listed_as_on(url):
    listed = asked("list", url=url)["rules"]
    on = {row["id"] for row in listed if row["is_on"]}
    assert on >= set(shipped_rules())
    text = run("list", url=url).output
    assert "on  reported-fault" in text


def test_a_stored_rule_is_shown_with_who_turned_it_on(url):
    shown = asked("show", "reported-fault", url=url)
    assert shown["switched_by"] == "release"
    assert 'kind = "fault"' in shown["body"]
    assert run("show", "no-such-rule", url=url).exit_code == 1


def test_a_wrong_file_is_refused_with_lines_and_ways_out(file):
    wrong = rule().replace("left_motor", "left_moter").replace("severity", "severety")
    done = run("check", file(wrong))
    assert done.exit_code == 1
    assert "mine.toml:12" in done.output
    assert "Did you mean severity" in done.output
    assert "Did you mean left_motor" in done.output
    assert run("check", file(rule())).exit_code == 0


def test_a_rule_is_enabled_only_with_a_fresh_backtest_of_that_version(url, file):
    refused = run("enable", "left-motor", "--why", "trial", url=url)
    assert refused.exit_code == 1
    found = asked("backtest", file(rule()), "--who", "a.berg", url=url)
    assert (found["tickets"], found["devices"], found["devices_with_tickets"]) == (10, 30, 10)
    assert found["by_centre"] == {"boras": 10}
    assert found["visits"] == 10
    assert found["deadlines"]["set"] == 10
    enabled = asked("enable", "left-motor", "--why", "trial", "--who", "a.berg", url=url)
    assert enabled == {"id": "left-motor", "version": 1, "is_on": True, "dry_run": False}
    changed = file(rule(severity="critical"))
    assert run("backtest", changed, url=url).exit_code != 0, "another text under the same number"
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE backtest SET ran_at = ran_at - interval '8 days'")
    stale = run("enable", "left-motor", "--why", "again", url=url)
    assert stale.exit_code == 1
    assert "no backtest of the last 7 days" in stale.output


def test_a_rule_that_would_open_too_many_tickets_a_day_cannot_be_enabled(url, file):
    found = asked("backtest", file(rule(version=7, share=0.01)), url=url)
    assert found["worst_day"]["share"] > 0.01
    done = run("enable", "left-motor", "--version", "7", "--why", "trial", url=url)
    assert done.exit_code == 1
    assert "max_day_share" in done.output


def test_two_versions_are_compared(url, file):
    asked("backtest", file(rule(version=3)), url=url)
    stricter = rule(version=4).replace('components = ["left_motor"]', 'components = ["joystick"]')
    found = asked("backtest", file(stricter), "--against", "3", url=url)
    assert found["tickets"] == 0
    assert (found["against"]["only_before_n"], found["against"]["only_after_n"]) == (10, 0)


def test_existing_tickets_and_outcomes_are_counted(url, file):
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO ticket (device_no, tenant_no, cause, state, order_kind, severity,"
            " usability, fixer, component, title_sv, title_en, body_sv, body_en, started_at,"
            " known_at, updated_at, state_at, outcome)"
            " SELECT device_no, tenant_no, 'left_motor', 'closed', 'AU', 'major', 'usable',"
            " 'technician', 'left_motor', 't', 't', 'b', 'b', at - interval '1 hour',"
            " at - interval '1 hour', at, at + interval '1 day', outcome"
            " FROM (VALUES ('chair-0', 'part_replaced'), ('chair-3', 'no_fault_found'))"
            " AS v (id, outcome) JOIN device USING (id) JOIN LATERAL"
            " (SELECT first_received_at AS at FROM episode WHERE device_no = device.device_no)"
            " AS e ON true"
        )
    found = asked("backtest", file(rule(version=9)), "--dry-run", url=url)
    assert found["duplicates_of_existing"] == 2
    assert found["tickets"] == 8
    assert found["outcomes"] == {"hits": 1, "misses": 1, "unknown": 8, "precision": 0.5}
    assert found["backtest_no"] is None


def test_disabling_says_who_and_why_and_dry_run_changes_nothing(url):
    dry = asked("disable", "silent-apap", "--why", "too many", "--dry-run", url=url)
    assert dry["dry_run"]
    assert next(r for r in asked("list", url=url)["rules"] if r["id"] == "silent-apap")["is_on"]
    asked("disable", "silent-apap", "--why", "too many", "--who", "b", url=url)
    assert asked("show", "silent-apap", url=url)["why"] == "too many"


def test_an_impossible_range_is_refused(url):
    done = run("backtest", "reported-fault", "--from", "2026-05-02", "--to", "2026-05-01", url=url)
    assert done.exit_code == 2
    assert "is not before" in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nobody"),
        ("disable", "nobody", "--why", "trial"),
        ("backtest", "left-motor", "--against", "99"),
    ],
)
def test_a_rule_that_is_not_there_ends_the_command_with_one_line(url, file, arguments):
    asked("backtest", file(rule()), url=url)
    done = run(*arguments, url=url)
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith("fjarrkoll: ")
    assert "Traceback" not in done.output
