"""`fjarrkoll sla`: what it lists, what it changes, and how it explains a deadline."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction

import psycopg
import pytest
import typer
from typer.testing import CliRunner

from fjarrkoll.commands.sla import app
from fleet.ticket_states import State
from storage.connection import connect
from storage.deadlines import moved, open_clocks
from storage.migrate import migrate

KNOWN = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)


def run(*arguments: str, url: str = ""):
    return CliRunner().invoke(app, arguments, env={"FJARRKOLL_DATABASE_URL": url})


def asked(*arguments: str, url: str = ""):
    """The JSON a command prints."""
    done = run(*arguments, "--json", url=url)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.fixture(scope="module")
def url(plain):
    """One database for all of these, with a tenant, a centre and a chair there."""
    made = plain.create_database("cli_sla")
    migrate(made)
    with psycopg.connect(made) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R')")
        conn.execute("INSERT INTO centre (tenant_no, id, name) SELECT tenant_no, 'c1', 'C'"
                     " FROM tenant")  # fmt: skip
        conn.execute("INSERT INTO model VALUES ('m', 'powered_wheelchair', 'maker', 'name')")
        conn.execute("INSERT INTO device (id, tenant_no, model_id, shard)"
                     " SELECT 'chair-1', tenant_no, 'm', 7 FROM tenant")  # fmt: skip
    yield made
    plain.drop_database("cli_sla")


def ticket(url: str, kind: str, *, with_clocks: bool = True) -> int:
    with connect(url) as conn:
        row = conn.execute(
            "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability,"
            " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
            " updated_at) SELECT device_no, tenant_no, gen_random_uuid()::text, %(kind)s, 'major',"
            " 'usable', 'technician', 'battery', 't', 't', 'b', 'b', %(at)s, %(at)s, %(at)s"
            " FROM device RETURNING ticket_no",
            {"kind": kind, "at": KNOWN},
        ).fetchone()
        assert row is not None
        if with_clocks:
            open_clocks(conn, [row[0]], KNOWN)
    return int(row[0])


@pytest.mark.parametrize("command", ["policies", "show", "assign", "explain"])
def test_every_command_shows_an_example(command):
    group = typer.main.get_command(app)
    assert f"fjarrkoll sla {command}" in (group.commands[command].help or "")  # type: ignore[attr-defined]


def test_policies_are_listed_with_their_sources():
    found = asked("policies")["policies"]
    assert [policy["id"] for policy in found] == ["dalarna", "house", "vastmanland", "vgr"]
    assert [policy["id"] for policy in found if policy["is_default"]] == ["house"]
    assert all(policy["source_url"].startswith("https://") for policy in found)
    assert "Tjänstekatalog Hjälpmedel Dalarna" in run("policies").output


def test_a_policy_is_shown_with_what_is_ours_in_it():
    done = run("show", "dalarna")
    assert done.exit_code == 0
    assert "Mon-Fri 08:00-16:30, until 16:00 before a red day" in done.output
    assert "akut AU within 2 working days" in done.output
    assert "part_on_order: A spare part is on order (ours)" in done.output
    assert "our assumption" in run("show", "vgr").output
    assert "Fri 08:00-16:00" in run("show", "vastmanland").output
    assert asked("show", "vastmanland")["promises"][0]["target_share"] == 0.88


def test_an_unknown_policy_lists_the_known_ones():
    done = run("show", "skane")
    assert done.exit_code == 2
    assert "use one of dalarna, house, vastmanland, vgr" in done.output


def test_an_agreement_is_tried_and_made(url):
    arguments = ("assign", "r1", "vgr", "--centre", "c1", "--from", "2026-01-01")
    tried = run(*arguments, "--dry-run", url=url)
    assert tried.output == "r1/c1 would work by vgr from Thu 2026-01-01 00:00\n"
    made = asked(*arguments, "--who", "eva", url=url)
    assert (made["policy"], made["who"], made["dry_run"]) == ("vgr", "eva", False)
    assert made["from_at"] == "2025-12-31T23:00:00+00:00"
    again = run(*arguments, url=url)
    assert again.exit_code == 2
    assert "has an agreement from 2025-12-31 23:00 UTC already" in again.output
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT policy_id, who FROM agreement").fetchall() == [("vgr", "eva")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["assign", "r9", "vgr"], "no tenant 'r9': use one of r1"),
        (["assign", "r1", "vgr", "--centre", "c9"], "no centre 'c9': use one of c1"),
        (["assign", "r1", "skane"], "no policy 'skane'"),
        (["assign", "r1", "vgr", "--from", "soon"], "soon"),
    ],
)
def test_a_wrong_agreement_is_explained(url, arguments, words):
    done = run(*arguments, url=url)
    assert done.exit_code == 2
    assert words in done.output


def test_a_deadline_is_explained_line_by_line(url):
    number = ticket(url, "AU")
    done = run("explain", str(number), url=url)
    assert done.exit_code == 0
    assert "known:     Tue 2026-03-31 10:00" in done.output
    assert "Good Friday" in done.output
    assert "adds up to 3 of 3 working days" in done.output
    assert "due Tue 2026-04-07 16:00" in done.output


def test_the_lines_add_up_to_what_is_stored(url):
    number = ticket(url, "AU")
    with connect(url) as conn:
        paused_at = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)
        moved(conn, number, State.TRIAGED, State.WAITING, paused_at, "part_on_order")
        moved(conn, number, State.WAITING, State.TRIAGED, paused_at.replace(hour=10))
    found = asked("explain", str(number), url=url)
    assert [clock["clock"] for clock in found["clocks"]] == ["start", "finish"]
    for clock in found["clocks"]:
        lines = clock["lines"]
        assert sum(Fraction(line["counted_exact"]) for line in lines) == clock["within"]
        assert lines[0]["from_at"] == found["known_at"]
        assert lines[-1]["until_at"] == clock["due_at"] == clock["stored"]["due_at"]
        assert [line["from_at"] for line in lines[1:]] == [line["until_at"] for line in lines[:-1]]
        assert "Reservdel är beställd" in [line["sv"] for line in lines]


def test_a_ticket_that_waits_says_so(url):
    number = ticket(url, "AU")
    with connect(url) as conn:
        moved(conn, number, State.TRIAGED, State.WAITING, KNOWN, "part_on_order")
    assert asked("explain", str(number), url=url)["waits_for"] == "part_on_order"
    assert "waits:     part_on_order" in run("explain", str(number), url=url).output


def test_what_is_not_promised_is_said(url):
    number = ticket(url, "FU")
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE ticket SET policy_id = 'vgr' WHERE ticket_no = %s", [number])
    done = run("explain", str(number), url=url)
    assert "no deadline: the policy promises nothing for FU" in done.output


@pytest.mark.parametrize(
    ("number", "words"),
    [("999999", "there is no ticket 999999"), (None, "has no deadlines")],
)
def test_a_ticket_without_deadlines_is_explained(url, number, words):
    number = number or str(ticket(url, "AU", with_clocks=False))
    done = run("explain", number, url=url)
    assert done.exit_code == 1
    assert words in done.output


def test_a_ticket_of_a_newer_release_is_explained_by_that_one(url):
    number = ticket(url, "AU")
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE ticket SET policy_version = 99 WHERE ticket_no = %s", [number])
    done = run("explain", str(number), url=url)
    assert done.exit_code == 1
    assert "version 99 is not in this release" in done.output
