"""`fjarrkoll device import`: all of a list, or nothing and what is wrong with it."""

from __future__ import annotations

import json

import psycopg
import pytest
from support.records import register
from typer.testing import CliRunner

from fjarrkoll.cli import whole_app

HEAD = "id;model;individual_no;centre;area;in_service_on\n"
LINES = "wc-1;permobil-m3;4471 0001;norr;Hisingen;2025-03-01\nwc-2;otto-bock-b400;;;;\n"


@pytest.fixture
def url(plain_database):
    register(plain_database, "far-1", tenant="other")
    register(plain_database, "wc-1", tenant="vgr")
    return plain_database


@pytest.fixture
def imported(url, tmp_path):
    def run(text, *more, status=0, encoding="utf-8"):
        file = tmp_path / "chairs.csv"
        file.write_bytes(text.encode(encoding))
        arguments = ["device", "import", str(file), "--tenant", "vgr", *more]
        done = CliRunner().invoke(whole_app(), arguments, env={"FJARRKOLL_DATABASE_URL": url})
        assert done.exit_code == status, done.output
        return done.output

    return run


def devices(url):
    with psycopg.connect(url) as conn:
        return conn.execute(
            "SELECT d.id, c.id, d.individual_no, d.area, d.in_service_on::text, d.status"
            " FROM device d JOIN tenant t USING (tenant_no) LEFT JOIN centre c USING (centre_no)"
            " WHERE t.id = 'vgr' ORDER BY d.id"
        ).fetchall()


def test_a_dry_run_then_the_import_then_nothing_new(imported, url):
    before = devices(url)
    said = json.loads(imported(HEAD + LINES, "--dry-run", "--json"))
    assert (said["added_n"], said["known_n"], said["described_n"]) == (1, 1, 1)
    assert devices(url) == before
    told = imported(HEAD + LINES, "--centre", "syd", encoding="utf-8-sig")
    assert told == "registered 1; there already 1; described 1\n"
    assert devices(url) == [
        ("wc-1", None, None, "Hisingen", "2025-03-01", "active"),
        ("wc-2", "syd", None, None, None, "active"),
    ]
    again = json.loads(imported(HEAD + LINES, "--json"))
    assert (again["added_n"], again["known_n"]) == (0, 2)
    with psycopg.connect(url) as conn:
        entries = conn.execute("SELECT action, object_id, why FROM audit ORDER BY audit_no")
        assert entries.fetchone() == ("device import", "chairs.csv", "1 registered, 1 described")


def test_one_bad_line_keeps_all_of_it_out_and_each_is_named(imported, url):
    before = devices(url)
    bad = "far-1;permobil-m3;;;;\nwc-3;permobil-m3;;;Storgatan 5;\nwc-4;rollator;;;;\n"
    told = imported(HEAD + LINES + bad, status=1).splitlines()
    assert "chairs.csv:4: far-1 is registered with another tenant" in told[0]
    assert "chairs.csv:5: area 'Storgatan 5' is an address" in told[1]
    assert "chairs.csv:6: model 'rollator' is not in the catalogue" in told[2]
    assert told[3] == "nothing is registered: 3 of 5 lines are wrong"
    said = json.loads(imported(HEAD + LINES + bad, "--json", status=1))
    assert (said["bad_n"], [one["line"] for one in said["bad"]]) == (3, [4, 5, 6])
    assert devices(url) == before


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [("id;colour\n", "utf-8", "no column 'colour'"), (HEAD + LINES + "å", "latin-1", "not UTF-8")],
)
def test_what_is_no_list_is_wrong_use(imported, text, encoding, said):
    assert said in imported(text, status=2, encoding=encoding)


def test_pending_ones_wait_to_be_claimed(imported, url):
    imported("id,model\nwc-9,permobil-m3\n", "--pending")
    assert devices(url)[-1][-1] == "pending"
