"""`fjarrkoll person` and `fjarrkoll hold`."""

from __future__ import annotations

import json
import stat
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from fjarrkoll.commands.person import app, hold_app
from storage.audit import AuditFilter, page
from storage.connection import connect
from storage.lending import end_loan, start_loan
from storage.registry import NewDevice, add_devices, sync_catalogues

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SAID = ("--who", "Adam", "--why", "Begäran 117")


@pytest.fixture
def url(plain_database):
    """p-1 had a chair of tenant a; p-2 has one in each of two tenants."""
    with connect(plain_database) as conn:
        sync_catalogues(conn, NOW)
        for tenant, device, person in (("a", "a-1", "p-1"), ("a", "a-2", "p-2"),
                                       ("b", "b-1", "p-2")):  # fmt: skip
            add_devices(conn, [NewDevice(device, "permobil-m3")], tenant=tenant)
            start_loan(conn, device, person, [], NOW - 60 * DAY)
        end_loan(conn, "a-1", NOW - 40 * DAY)
        conn.commit()
    return plain_database


def run(of, *arguments, url):
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(of, given, env={"FJARRKOLL_DATABASE_URL": url})


def asked(of, *arguments, url):
    done = run(of, *arguments, "--json", url=url)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def entries(url, tenant="a"):
    with connect(url) as conn:
        return [row.entry for row in page(conn, AuditFilter(tenant), 10)]


def test_an_export_is_written_once_for_its_owner_only_and_logged(url, tmp_path):
    out = tmp_path / "p-1.zip"
    result = asked(app, "export", "p-1", "--out", out, *SAID, url=url)
    assert (result["loan_n"], result["log_n"]) == (1, 1)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert json.loads(zipfile.ZipFile(out).read("loans.json"))[0]["device_id"] == "a-1"
    (entry,) = entries(url)
    assert (entry.action, entry.person, entry.why) == ("export_person", "p-1", "Begäran 117")
    again = run(app, "export", "p-1", "--out", out, *SAID, url=url)
    assert again.exit_code == 2
    assert "exists" in again.output


def test_an_export_of_nobody_leaves_no_file(url, tmp_path):
    out = tmp_path / "x.zip"
    done = run(app, "export", "p-nobody", "--out", out, *SAID, url=url)
    assert done.exit_code == 1
    assert "no loan is linked to p-nobody" in done.output
    assert not out.exists()
    named = run(app, "export", "p-nobody", "--tenant", "a", "--out", out, *SAID, url=url)
    assert named.exit_code == 1
    assert not out.exists()


def test_a_pseudonym_of_two_tenants_needs_one_named(url):
    done = run(app, "erase", "p-2", *SAID, url=url)
    assert done.exit_code == 2
    assert "name one with --tenant" in done.output
    result = asked(app, "erase", "p-2", "--tenant", "b", *SAID, url=url)
    assert result["staying"][0]["kept"] == "loan_runs"


def test_an_erasure_says_what_goes_and_what_stays_and_a_trial_changes_nothing(url):
    tried = run(app, "erase", "p-1", *SAID, "--dry-run", url=url)
    assert "would erase loan" in tried.output
    assert "kept for at least five years" in tried.output
    assert entries(url) == []
    done = asked(app, "erase", "p-1", *SAID, url=url)
    assert [one["device_id"] for one in done["erased"]] == ["a-1"]
    assert [(entry.action, entry.person) for entry in entries(url)] == [("erase_person", "p-1")]
    assert run(app, "erase", "p-1", *SAID, url=url).exit_code == 1


def test_links_are_cut_after_the_days_that_are_set(url):
    none = run(app, "cut", "--days", "50", url=url)
    assert "no loan that ended more than 50 days ago" in none.output
    tried = asked(app, "cut", "--dry-run", url=url)
    assert (tried["days"], [one["device_id"] for one in tried["cut"]]) == (30, ["a-1"])
    assert asked(app, "cut", url=url)["cut"] == [{**tried["cut"][0]}]
    assert asked(app, "cut", url=url)["cut"] == []
    assert [entry.action for entry in entries(url)] == ["cut_link"]


def test_a_hold_keeps_until_it_is_released(url):
    placed = asked(hold_app, "place", "--tenant", "a", "--device", "a-1", *SAID, url=url)
    twice = run(hold_app, "place", "--tenant", "a", "--device", "a-1", *SAID, url=url)
    assert twice.exit_code == 1
    assert "held already" in twice.output
    assert asked(app, "cut", url=url)["cut"] == []
    listed = run(hold_app, "list", "--tenant", "a", url=url)
    assert "a-1  Begäran 117, Adam" in listed.output
    other = run(hold_app, "release", placed["hold_no"], "--tenant", "b", *SAID, url=url)
    assert other.exit_code == 1
    asked(hold_app, "release", placed["hold_no"], "--tenant", "a", *SAID, url=url)
    assert "released" in run(hold_app, "list", "--tenant", "a", url=url).output
    assert len(asked(app, "cut", url=url)["cut"]) == 1
    kinds = [entry.action for entry in reversed(entries(url))]
    assert kinds == ["place_hold", "release_hold", "cut_link"]


def test_a_hold_names_one_thing(url):
    neither = run(hold_app, "place", "--tenant", "a", *SAID, url=url)
    assert neither.exit_code == 1
    assert "name a device or a person" in neither.output
    person = asked(hold_app, "place", "--tenant", "a", "--person", "p-1", *SAID, url=url)
    assert person["person"] == "p-1"
