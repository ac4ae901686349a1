"""`fjarrkoll audit`: the log listed, its heads signed, its chain checked."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
import typer
from joserfc import jws
from joserfc.jwk import OKPKey
from support.audits import NOON, entry_of
from typer.testing import CliRunner

from fjarrkoll.commands.audit import app
from fjarrkoll.heads import HeadError, read_head, read_key, sign, write_key
from fleet.access.audit import START, Head
from storage.audit import append, chain
from storage.connection import StorageError, connect


def run(*arguments, url=""):
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, given, env={"FJARRKOLL_DATABASE_URL": url})


def asked(*arguments, url="", status=0):
    """The JSON a command prints."""
    done = run(*arguments, "--json", url=url)
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


@pytest.fixture
def url(plain_database):
    """Two tenants with a log each."""
    with connect(plain_database) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R'), ('r2', 'S'), ('r3', 'T')")
        said = [entry_of(at=NOON + timedelta(hours=n), why=f"skäl {n}") for n in range(5)]
        said[3] = replace(said[3], subject="SE-2", name="Bo\x1b[2J Öst", device_id="wc-3")
        append(conn, "r1", said)
        append(conn, "r2", [entry_of("r2")])
    return plain_database


@pytest.fixture
def key(tmp_path):
    assert asked("key", "--out", tmp_path / "k")["public"] == str(tmp_path / "k.pub")
    return tmp_path / "k"


def tampered(url, statement):
    with psycopg.connect(url) as conn:
        conn.execute("ALTER TABLE audit DISABLE TRIGGER USER")
        conn.execute("ALTER TABLE audit_head DISABLE TRIGGER USER")
        conn.execute(statement)


@pytest.mark.parametrize("command", ["list", "verify", "head", "key"])
def test_every_command_shows_an_example(command):
    group = typer.main.get_command(app)
    assert f"fjarrkoll audit {command}" in (group.commands[command].help or "")


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ([], [5, 4, 3, 2, 1]),
        (["--limit", "2"], [5, 4]),
        (["--before", "4"], [3, 2, 1]),
        (["--device", "wc-3"], [4]),
        (["--subject", "SE-2"], [4]),
        (["--person", "p-1"], []),
        (["--from", "2026-11-20T16:00", "--to", "2026-11-20T17:00"], [4]),  # Swedish time
        (["--from", "2026-11-20T16:00+0000"], [5]),
        (["--to", "2026-11-20"], []),
    ],
)
def test_the_log_is_listed_newest_first(url, arguments, numbers):
    found = asked("list", "--tenant", "r1", *arguments, url=url)
    assert [entry["no"] for entry in found["entries"]] == numbers


def test_a_listed_line_says_who_did_what_when_and_why_and_moves_no_cursor(url):
    lines = run("list", "--tenant", "r1", url=url).stdout.splitlines()
    assert lines[0] == ("       5  2026-11-20 17:00:00  Åsa Öst (technician)  read device: skäl 4")
    assert "Bo�[2J Öst (technician)  read device wc-3: skäl 3" in lines[1]
    nothing = run("list", "--tenant", "r3", url=url)
    assert nothing.stdout == "the log of r3 has no such entries\n"


def test_a_whole_log_is_right(url):
    found = asked("verify", url=url)
    assert found["is_right"] is True
    assert [(t["tenant"], t["checked_n"]) for t in found["tenants"]] == [("r1", 5), ("r2", 1)]
    one = run("verify", "--tenant", "r1", url=url)
    assert one.stdout == "r1: all 5 rows are right\n"
    none = run("verify", "--tenant", "r3", url=url)
    assert none.exit_code == 1
    assert "r3 has no access log" in none.output


def test_a_user_who_would_see_only_some_rows_is_told_so(url):
    narrow = f"{url}{'&' if '?' in url else '?'}options=-c%20role%3Dfjarrkoll_api"
    with pytest.raises(StorageError, match="row-level security policy"):
        raise run("verify", url=narrow).exception


def test_an_edited_row_is_named_and_the_exit_status_is_one(url):
    tampered(url, "UPDATE audit SET why = 'annat' WHERE audit_no = 3")
    found = asked("verify", url=url, status=1)
    assert found["is_right"] is False
    assert found["tenants"][0]["problem"] == {
        "no": 3,
        "fault": "edited",
        "says": "row 3 was edited: its hash does not match it",
    }
    assert found["tenants"][1]["is_right"] is True
    said = run("verify", "--tenant", "r1", url=url).stdout
    assert said == "r1: row 3 was edited: its hash does not match it; 2 rows before are right\n"


def test_a_log_cut_off_or_removed_is_found_by_the_heads_exported_before(url, key, tmp_path):
    heads = tmp_path / "heads.jws"
    said = run("head", "--key", key, "--out", heads, url=url).stdout
    assert said == (f"r1: head at row 5 added to {heads}\nr2: head at row 1 added to {heads}\n")
    with connect(url) as conn:
        append(conn, "r1", [entry_of()])
    asked("head", "--key", key, "--out", heads, "--tenant", "r1", url=url)
    assert len(heads.read_text().splitlines()) == 3
    check = ("verify", "--head", heads, "--public-key", f"{key}.pub")
    assert asked(*check, url=url)["is_right"] is True
    with connect(url) as conn:
        kept = list(chain(conn, "r1"))[1]
    tampered(
        url,
        "DELETE FROM audit WHERE audit_no > 2; DELETE FROM audit WHERE tenant_no ="
        " tenant_no_of('r2'); DELETE FROM audit_head WHERE tenant_no = tenant_no_of('r2');"
        f" UPDATE audit_head SET last_no = 2, last_hash = '\\x{kept.hash.hex()}'",
    )
    assert asked("verify", url=url)["is_right"] is True
    found = asked(*check, url=url, status=1)["tenants"]
    problems = [(one["tenant"], one["problem"]["no"], one["problem"]["fault"]) for one in found]
    assert problems == [("r1", 3, "truncated"), ("r2", 1, "truncated")]


def test_a_key_is_for_its_owner_only_and_never_written_over(key):
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "d" in json.loads(key.read_text())
    assert "d" not in json.loads(key.with_name("k.pub").read_text())
    before = key.read_bytes()
    for tried in (["--out", key], ["--out", key, "--dry-run"]):
        done = run("key", *tried)
        assert done.exit_code == 2
        assert "is there already: name another file" in done.output
    assert key.read_bytes() == before


def test_a_dry_run_makes_no_key(tmp_path):
    assert asked("key", "--out", tmp_path / "k", "--dry-run")["dry_run"] is True
    assert list(tmp_path.iterdir()) == []


def test_a_head_is_worth_what_its_signature_is_worth(url, key, tmp_path):
    heads = tmp_path / "heads.jws"
    asked("head", "--key", key, "--out", heads, url=url)
    without = run("verify", "--head", heads, url=url)
    assert without.exit_code == 2
    assert "give --public-key" in without.output
    other = write_key(tmp_path / "other")
    for public, file, says in (
        (other, heads, "heads.jws, line 1: a signed head cannot be trusted"),
        (heads, heads, "heads.jws holds no key"),
        (f"{key}.pub", f"{key}.pub", "k.pub, line 1: a signed head cannot be trusted"),
        (f"{key}.pub", tmp_path / "none", "none cannot be read"),
    ):
        done = run("verify", "--head", file, "--public-key", public, url=url)
        assert done.exit_code == 2
        assert says in done.output
    with_public = run("head", "--key", f"{key}.pub", url=url)
    assert with_public.exit_code == 2
    assert "sign with the private one" in with_public.output


def test_a_head_comes_back_from_its_token_and_from_no_other(tmp_path):
    head = Head("r1", 7, START)
    key = read_key(write_key(tmp_path / "k").with_name("k"))
    token = sign(head, key, NOON)
    assert read_head(token, key) == head
    header, body, signature = token.split(".")
    none = "eyJhbGciOiJub25lIn0.e30."  # {"alg":"none"}, {}
    secret = OKPKey.generate_key("Ed25519")
    stolen = jws.serialize_compact({"alg": "Ed25519"}, b"{}", secret, algorithms=["Ed25519"])
    other_use = jws.serialize_compact({"alg": "Ed25519"}, b"{}", key, algorithms=["Ed25519"])
    wrong = (
        f"{header}.{body}.{signature[::-1]}", f"{header}.{body[::-1]}.{signature}", "", "a.b.c",
        f"{header}.{body}.", none, stolen, other_use,
    )  # fmt: skip
    for text in wrong:
        with pytest.raises(HeadError, match="cannot be trusted"):
            read_head(text, key)
