"""The fleet over HTTP: batteries to replace, devices that fell silent, unexplained rises."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from starlette.testclient import TestClient
from support.people import access_settings, bearer
from support.records import register
from support.world import NOON, Report, World, looked_at

from api.app import create_app
from api.process import ApiSettings
from fleet.access.callers import Role
from fleet.rules.facts import day_of
from fleet.sla.calendar import local_day
from fleet.wear import COUNTED, DRIVEN
from storage import rules
from storage.connection import connect
from storage.registry import sync_catalogues

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def url(plain_database):
    """A tenant with one chair, and the rules that ship."""
    register(plain_database, "chair-1", tenant="exempel")
    with connect(plain_database) as conn:
        rules.sync_shipped(conn, NOW - timedelta(days=30))
        conn.commit()
    return plain_database


@pytest.fixture
def own(url):
    settings = ApiSettings(url, access_settings(), port=0, database_wait_s=2.0)
    with TestClient(
        create_app(settings), base_url="http://127.0.0.1:8460", headers=bearer(Role.CENTRE_MANAGER)
    ) as opened:
        yield opened


def fading(url, number_n):
    """Batteries that end one after another, two a day, from tomorrow on."""
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO device (id, tenant_no, model_id, shard, individual_no)"
            " SELECT 'y-' || n, tenant_no, model_id, 1, 'i ' || n FROM device,"
            " generate_series(1, %s) n WHERE id = 'chair-1'", [number_n],
        )  # fmt: skip
        conn.execute(
            "INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about,"
            " cause, need, severity, usability, fixer, component, started_at, last_at, known_at,"
            " confidence, detail) SELECT tenant_no, device_no, 'device', 'battery-end-of-life', 1,"
            " 'battery', 'battery', 'ticket', 'minor', 'usable', 'technician', 'battery', %(now)s,"
            " %(now)s, %(now)s, 0.9, jsonb_build_object('measures', jsonb_build_object("
            " 'earliest_d', n, 'best_d', n + 0.7, 'latest_d', CASE WHEN n > 300 THEN 400"
            " ELSE n + 9 END)) FROM device, LATERAL (SELECT ceil(substr(id, 3)::int / 2.0) AS n)"
            " AS numbered WHERE id LIKE 'y-%%'", {"now": NOW},
        )  # fmt: skip


def test_every_battery_to_replace_is_counted_and_can_be_reached(own, url):
    fading(url, 620)
    read, cursor, first = [], None, None
    while first is None or cursor:
        asked = {"limit": 250} | ({"cursor": cursor} if cursor else {})
        found = own.get("/api/v1/fleet/batteries", params=asked).json()
        first = first or found
        read += found["items"]
        cursor = found["next_cursor"]
    assert first["battery_n"] == len(read) == len({one["finding_no"] for one in read}) == 620
    assert sum(month["battery_n"] for month in first["months"]) == 620
    days = [one["best_on"] for one in read]
    assert days == sorted(days)
    assert read[0]["best_on"] == f"{local_day(NOW)}", "counted from the last closed day"
    assert [one["latest_on"] is None for one in read] == [False] * 600 + [True] * 20
    month = first["months"][1]
    some = own.get("/api/v1/fleet/batteries", params={"month": month["month"], "limit": 500})
    assert {one["best_on"][:7] for one in some.json()["items"]} == {month["month"]}
    assert len(some.json()["items"]) == month["battery_n"]


def test_the_pages_and_the_csv_of_batteries_leave_none_out(own, url):
    fading(url, 620)
    assert ">620</a>" in own.get("/fleet").text
    text = own.get("/fleet/batteries?lang=sv").text
    assert "620 batterier" in text
    assert text.count('href="/devices/y-') == 150
    assert "i 1</a>" in text
    following = re.search(r'href="(/fleet/batteries\?cursor=[^"]+)"', text)[1]
    assert own.get(html.unescape(following)).text.count('href="/devices/y-') == 150
    answer = own.get("/fleet/batteries.csv?lang=sv")
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=";"))
    assert (len(rows), rows[1][:2], rows[1][5]) == (621, ["i 1", "y-1"], f"{local_day(NOW)}")
    month = own.get("/api/v1/fleet/batteries").json()["months"][1]
    some = own.get("/fleet/batteries.csv", params={"month": month["month"]}).text
    assert some.count("\r\n") == month["battery_n"] + 1


def silent(url):
    """Four chairs without contact: for five, three and one days, and one never heard of."""
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO device (id, tenant_no, model_id, shard, individual_no)"
            " SELECT 's-' || n, tenant_no, model_id, 1, 'i ' || n FROM device,"
            " generate_series(1, 4) n WHERE id = 'chair-1'"
        )
        conn.execute(
            "INSERT INTO ledger (device_no, epoch, first_at, last_at) SELECT device_no,"
            " '00000000000000aa', %(now)s - interval '90 days', %(now)s - interval '1 day'"
            " * (5 * substr(id, 3)::int %% 7) FROM device WHERE id IN ('s-1', 's-2', 's-3')",
            {"now": NOW},
        )
        conn.execute(
            "INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about,"
            " cause, need, severity, usability, fixer, component, started_at, last_at, known_at,"
            " confidence) SELECT tenant_no, device_no, 'device', 'silent-wheelchair', 1,"
            " 'contact', 'contact', 'ticket', 'minor', 'usable', 'technician', 'radio', %(now)s,"
            " %(now)s, %(now)s, 0.9 FROM device WHERE id LIKE 's-%%'", {"now": NOW},
        )  # fmt: skip


def test_the_silent_come_by_their_last_contact_the_longest_ago_first(own, url):
    silent(url)
    items = own.get("/api/v1/fleet/devices?show=silent").json()["items"]
    assert [item["device_id"] for item in items] == ["s-4", "s-1", "s-2", "s-3"]
    heard = [item["last_contact_at"] for item in items]
    assert heard[0] is None
    ago = [NOW - datetime.fromisoformat(at) for at in heard[1:]]
    assert ago == [timedelta(days=days) for days in (5, 3, 1)]
    text = own.get("/fleet/devices?show=silent&lang=sv").text
    assert "Har aldrig hörts av" in text
    assert "För 5" in text
    assert "i 1</a>" in text
    assert "Hördes senast" not in own.get("/fleet/devices?show=all&lang=sv").text


def hard_used(url):
    """Thirty chairs, lent since July; one of them is often drained."""
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO device (id, tenant_no, model_id, shard, individual_no, area)"
            " SELECT 'u-' || n, tenant_no, model_id, 1, 'i ' || n, '=Borås' FROM device,"
            " generate_series(1, 30) n WHERE id = 'chair-1'"
        )
        conn.execute(
            "INSERT INTO loan (device_no, started_at) SELECT device_no, %s FROM device"
            " WHERE id LIKE 'u-%%'", [NOW - timedelta(days=150)],
        )  # fmt: skip
        conn.execute("INSERT INTO metric (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
                     [[DRIVEN, *COUNTED]])  # fmt: skip
        conn.execute(
            "INSERT INTO rollup_hour SELECT device_no, metric_no, at, 1, value, value, value,"
            " value, at FROM device, metric, LATERAL (SELECT date_trunc('hour', %(now)s - n"
            " * interval '10 days') AS at, 900 + (15 - n) * CASE name WHEN %(driven)s THEN 43200"
            " WHEN 'deep_discharge_count' THEN CASE id WHEN 'u-7' THEN 40 ELSE 2 END ELSE 1 END"
            " AS value FROM generate_series(0, 15) n) AS r WHERE id LIKE 'u-%%'"
            " AND name = ANY(%(names)s)",
            {"now": NOW, "driven": DRIVEN, "names": [DRIVEN, *COUNTED]},
        )
        conn.execute(
            "INSERT INTO latest SELECT DISTINCT ON (device_no, metric_no) device_no, metric_no,"
            " last_at, last FROM rollup_hour ORDER BY device_no, metric_no, hour DESC"
        )


def test_a_sign_of_abnormal_use_comes_with_its_loan_and_its_months(own, url):
    hard_used(url)
    found = own.get("/api/v1/key-figures/use").json()
    (sign,) = found["items"]
    assert (found["sign_n"], sign["device_id"], sign["individual_no"]) == (1, "u-7", "i 7")
    assert (sign["metric"], sign["peer_n"], sign["until_at"]) == ("deep_discharge_count", 30, None)
    assert sign["rate"]["low"] > sign["limit"] > sign["median"]
    assert 4 <= len(sign["months"]) <= 6
    assert sum(month["count"] for month in sign["months"]) <= sign["count"]
    text = own.get("/key-figures/use?lang=sv").text
    assert "i 7</a>" in text
    assert "Lånet sedan" in text
    assert text.count("per 100 körtimmar") >= 1
    answer = own.get("/key-figures/use.csv?lang=sv")
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=";"))
    assert len(rows) == 2 + len(sign["months"])
    assert rows[1][:4] == ["i 7", "u-7", rows[1][2], "'=Borås"]
    assert {len(row) for row in rows} == {len(rows[0])}


def test_whoever_reads_signs_of_abnormal_use_is_in_the_log(own, url):
    own.get("/key-figures/use")
    own.get("/api/v1/key-figures/use")
    with psycopg.connect(url) as conn:
        logged = conn.execute("SELECT action FROM audit ORDER BY audit_no").fetchall()
    assert logged == [("use_page",), ("list_signs_of_use",)]


@pytest.fixture
def bad_batch(plain_database):
    """Eleven of fifteen chairs of one batch fault, and one of 45 others, by the shipped rule."""
    with psycopg.connect(plain_database, autocommit=True) as conn:
        sync_catalogues(conn, NOON)
        world = World(plain_database, conn)
        bad = world.devices([f"bad-{n}" for n in range(15)], model_id="otto-bock-b400", batch="22")
        good = world.devices([f"ok-{n}" for n in range(45)], model_id="otto-bock-b400", batch="21")
        for nth, number in enumerate([*bad[:11], good[0]]):
            world.report(number, Report(-240.0 * nth, "raised"))
        world.diagnose(NOON + timedelta(hours=1))
        assert world.judge_fleets(looked_at(day_of(NOON))) == 1
        rules.sync_shipped(conn, NOON)
    return plain_database


def test_a_rise_stands_on_the_page_and_in_the_json_with_its_ticket(bad_batch):
    settings = ApiSettings(bad_batch, access_settings(), port=0, database_wait_s=2.0)
    headers = bearer(Role.CENTRE_MANAGER, tenant="r1")
    with TestClient(create_app(settings), "http://127.0.0.1:8460", headers=headers) as client:
        (rise,) = client.get("/api/v1/fleet/rises").json()["items"]
        text = client.get("/fleet?lang=sv").text
        of_others = client.get("/api/v1/fleet/rises", headers=bearer(Role.CENTRE_MANAGER))
    assert (rise["rule_id"], rise["subject"]) == ("bad-batch", "model:otto-bock-b400/batch:22")
    assert rise["ticket_no"] is not None
    assert 0.5 < rise["confidence"] <= 1
    assert rise["title"]["sv"] != rise["title"]["en"]
    assert html.escape(rise["title"]["sv"]) in text
    assert html.escape(rise["happened"]["sv"]) in text
    assert f'href="/tickets/{rise["ticket_no"]}' in text
    assert of_others.json()["items"] == []


def test_the_csv_counts_devices_with_signs_and_hides_small_numbers(own, url):
    hard_used(url)
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability,"
            " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
            " updated_at) SELECT device_no, tenant_no, 'brake', 'AU', 'major', 'usable',"
            " 'technician', 'brake', 't', 't', 'b', 'b', now(), now(), now() FROM device"
            " WHERE id LIKE 'u-%'"
        )
    text = own.get("/key-figures.csv?lang=sv").text.removeprefix("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";"))
    signs = {row["Kommun"]: row["Tecken på onormalt slitage, hjälpmedel nu"] for row in rows}
    assert signs == {"'=Borås": "visas inte", "Alla": "visas inte"}
    assert [row["Hjälpmedel med ärenden"] for row in rows] == ["30", "30"]
    assert [row["Nya ärenden: broms"] for row in rows] == ["30", "30"]
