"""Replay, rules, the fleet and key figures over HTTP: what they do, to whom, and what they tell."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import cbor2
import psycopg
import pytest
from starlette.testclient import TestClient
from support.people import access_settings, bearer
from support.records import message, record, register

from api.app import create_app
from api.pages.health import lanes
from api.process import ApiSettings
from fleet.access.callers import Role
from fleet.rules.facts import SWEDEN
from fleet.rules.reader import shipped_rules
from fleet.spreadsheets import harmless
from storage import rules
from storage.connection import connect
from storage.intake import Intake
from storage.reading import IntakeTotalRow
from storage.rules import NewBacktest

NOW = datetime.now(UTC)
RULE = "reported-fault"


@pytest.fixture
def url(plain_database):
    """A tenant whose second chair was registered too late."""
    register(plain_database, "chair-1", tenant="exempel")
    with Intake(plain_database, "test") as intake:
        for number in (1, 2):
            intake.store([message(record(number), "chair-2", tenant="exempel")])
        intake.store([message(b"no json", tenant="exempel")])
    register(plain_database, "chair-2", tenant="exempel")
    with connect(plain_database) as conn:
        rules.sync_shipped(conn, NOW - timedelta(days=30))
        conn.commit()
    return plain_database


@pytest.fixture
def own(url):
    settings = ApiSettings(url, access_settings(), port=0, database_wait_s=2.0)
    with TestClient(
        create_app(settings),
        base_url="http://127.0.0.1:8460",
        headers=bearer(Role.ADMINISTRATOR),
        follow_redirects=False,
    ) as opened:
        yield opened


def logged(url, action):
    with psycopg.connect(url) as conn:
        return conn.execute(
            "SELECT object_kind, object_id, why FROM audit WHERE action = %s ORDER BY audit_no",
            [action],
        ).fetchall()


def test_a_replay_tells_what_became_of_it_and_the_equation_stays_true(own, url):
    done = own.post("/api/v1/quarantine/1/replay")
    assert (done.status_code, done.json()["became"], done.json()["sample_n"]) == (200, "stored", 1)
    ledger = own.get("/api/v1/ledger").json()
    assert (ledger["total"]["received_n"], ledger["total"]["stored_n"]) == (3, 1)
    assert ledger["total"]["quarantined_n"] == 2
    assert ledger["total"]["holds"]
    assert ledger["quarantine_agrees"]
    assert own.get("/api/v1/quarantine/1").json()["replayed_as"] == "stored"
    again = own.post("/api/v1/quarantine/1/replay")
    assert (again.status_code, again.json()["type"]) == (409, "urn:fjarrkoll:problem:not-replayed")
    assert logged(url, "replay_quarantined") == [("quarantine", "1", None)] * 2


def test_a_replay_by_page_comes_back_to_the_message(own, url):
    page = own.get("/data-health/quarantine/1")
    assert "Läs in på nytt" in page.text
    answer = own.post(
        "/data-health/quarantine/1/replay",
        content="",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 303
    shown = own.get(answer.headers["location"])
    assert "räknas som lagrat" in shown.text
    assert "/replay" not in shown.text, "what has left quarantine has no button"
    refused = own.post("/data-health/quarantine/1/replay")
    assert refused.status_code == 409
    assert "går inte att läsa in på nytt" in refused.text
    health = own.get("/data-health").text
    assert "Inlästa på nytt (avgår)" in health
    assert "flyttat ur karantän vid ny inläsning" in health


def test_another_tenants_message_does_not_exist(own, url):
    register(url, "far-1", tenant="other")
    with Intake(url, "test") as intake:
        intake.store([message(record(1), "far-2", tenant="other")])
    register(url, "far-2", tenant="other")
    for path in ("/api/v1/quarantine/4/replay", "/data-health/quarantine/4/replay"):
        assert own.post(path).status_code == 404
    assert own.get("/api/v1/quarantine/4").status_code == 404
    assert own.get("/data-health/quarantine/4").status_code == 404
    with psycopg.connect(url) as conn:
        found = conn.execute("SELECT count(replayed_at) FROM quarantine").fetchone()
    assert found == (0,)


def test_a_technician_reads_quarantine_and_does_not_replay(own):
    headers = bearer(Role.TECHNICIAN)
    assert "Läs in på nytt" not in own.get("/data-health/quarantine/1", headers=headers).text
    assert own.post("/api/v1/quarantine/1/replay", headers=headers).status_code == 403
    desk = bearer(Role.SERVICE_DESK)
    assert own.get("/data-health/quarantine", headers=desk).status_code == 403
    assert "/data-health/quarantine" not in own.get("/data-health", headers=desk).text


def test_one_message_is_read_whole_and_its_bytes_are_saved(own, url):
    payload = b'{"seq":0,"pad":"' + b"x" * 9_000 + b'\xff"}'
    with Intake(url, "test") as intake:
        intake.store([message(payload, tenant="exempel")])
    listed = own.get("/api/v1/quarantine?limit=1").json()["items"][0]["payload"]
    one = own.get("/api/v1/quarantine/4").json()["payload"]
    assert (listed["is_cut"], one["is_cut"]) == (True, False)
    assert bytes.fromhex(one["text"]) == payload
    saved = own.get("/api/v1/quarantine/4/payload")
    assert saved.content == payload
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"] == 'attachment; filename="quarantine-4.bin"'
    assert logged(url, "get_quarantined_payload") == [("quarantine", "4", None)]
    assert own.get("/api/v1/quarantine/99/payload").status_code == 404


def test_the_page_lays_a_payload_out(own, url):
    with Intake(url, "test") as intake:
        intake.store([message(b'{"seq":0,"a":{"b":"<i>"}}', tenant="exempel")])
        intake.store([
            message(cbor2.dumps({"seq": 0}), tenant="exempel", content_type="application/cbor")
        ])  # fmt: skip
    shown = own.get("/data-health/quarantine/4").text
    assert "Uppställt som JSON" in shown
    assert "&#34;b&#34;: &#34;&lt;i&gt;&#34;" in shown
    assert "/api/v1/quarantine/4/payload" in shown
    decoded = own.get("/data-health/quarantine/5").text
    assert "Avkodat från CBOR" in decoded
    assert "a1 63 73 65 71 00" in decoded, "the bytes are there too"


def test_many_are_replayed_at_once_each_by_itself(own, url):
    asked = {"device": "chair-2"}
    tried = own.post("/api/v1/quarantine/replay", json={**asked, "dry_run": True}).json()
    assert tried["became"] == {"stored": 2, "duplicate": 0, "refused": 0, "not_replayed": 0}
    first = own.post("/api/v1/quarantine/replay", json={**asked, "limit": 1}).json()
    assert ([item["quarantine_no"] for item in first["items"]], first["next_after"]) == ([1], 1)
    rest = own.post("/api/v1/quarantine/replay", json={**asked, "after": 1}).json()
    assert [(item["quarantine_no"], item["became"]) for item in rest["items"]] == [(2, "stored")]
    assert rest["next_after"] is None
    again = own.post("/api/v1/quarantine/replay", json=asked).json()
    assert again["items"] == []
    refused = own.post("/api/v1/quarantine/replay", json={"reason": "malformed"}).json()
    assert [item["became"] for item in refused["items"]] == ["refused"]
    assert own.get("/api/v1/ledger").json()["total"]["holds"]
    assert logged(url, "replay_quarantine")[0] == ("device", "chair-2", None)
    for body in ({}, {"reason": "odd"}, {"device": "chair-2", "limit": 101}):
        assert own.post("/api/v1/quarantine/replay", json=body).status_code == 422


def test_many_are_replayed_from_the_page_by_reason_or_device(own, url):
    assert "Välj en orsak eller ett hjälpmedel" in own.get("/data-health/quarantine").text
    chosen = own.get("/data-health/quarantine?reason=unknown_device").text
    assert "Läs in alla i urvalet på nytt" in chosen
    done = own.post("/data-health/quarantine/replay", data={"reason": "unknown_device"})
    assert done.status_code == 200
    assert done.text.count('<td role="cell" class="main"') == 2
    assert "<dd><strong>2</strong></dd>" in done.text
    empty = own.post("/data-health/quarantine/replay", data={"device": "chair-2"})
    assert "Inget meddelande i urvalet" in empty.text
    nothing = own.post("/data-health/quarantine/replay", data={"reason": "odd"})
    assert nothing.status_code == 303


def test_many_are_never_another_tenants_and_only_an_administrators(own, url):
    register(url, "far-1", tenant="other")
    with Intake(url, "test") as intake:
        intake.store([message(record(1), "far-2", tenant="other")])
    register(url, "far-2", tenant="other")
    asked = {"device": "far-2"}
    assert own.post("/api/v1/quarantine/replay", json=asked).json()["items"] == []
    technician = bearer(Role.TECHNICIAN)
    for path, more in (("/api/v1", {"json": asked}), ("/data-health", {"data": asked})):
        answer = own.post(f"{path}/quarantine/replay", headers=technician, **more)
        assert answer.status_code == 403
    page = own.get("/data-health/quarantine?reason=unknown_device", headers=technician).text
    assert "Läs in alla" not in page


def backtested(url, share=0.001, ran_at=NOW):
    rule = shipped_rules()[RULE][0]
    result = {
        "visits": 3, "outcomes": {"hits": 2, "misses": 1, "precision": 2 / 3},
        "by_centre": {"secret-centre": 4}, "listed": [{"device": "secret-device"}],
        "against": {"version": 7, "in_both": 3, "only_before": ["secret-device x"],
                    "only_before_n": 1, "only_after_n": 2},
    }  # fmt: skip
    with connect(url) as conn:
        rules.put_backtest(
            conn,
            NewBacktest(
                RULE, rule.version, ran_at - timedelta(days=90), ran_at, 1.0, 100, 4, share, result
            ),
            ran_at,
            "A. Berg",
        )
        conn.commit()


def would_be(device, at, **more):
    titles = {"title_sv": f"Bromsfel {device}", "title_en": f"Brake fault {device}"}
    return {"device": device, "cause": "brake", "opened_at": at.isoformat(), **titles, **more}


def listing(url, listed, against=None, ticket_n=3):
    """A backtest with lists, of the newest version."""
    rule = shipped_rules()[RULE][0]
    result = {"listed": listed, "against": against}
    new = NewBacktest(
        RULE, rule.version, NOW - timedelta(days=90), NOW, 1.0, 100, ticket_n, 0.001, result
    )
    with connect(url) as conn:
        return rules.put_backtest(conn, new, NOW, "A. Berg")


def test_a_backtest_shows_the_tickets_it_would_have_made(own, url):
    at = NOW - timedelta(days=40)
    day = at.astimezone(SWEDEN).date()
    against = {
        "version": 1, "in_both": 1, "only_before": [f"chair-2 brake {day}"], "only_before_n": 1,
        "only_after": [f"chair-1 brake {day}"], "only_after_n": 1,
    }  # fmt: skip
    items = [would_be("chair-1", at), would_be("chair-2", at + timedelta(days=3)), {"device": "x"}]
    number = listing(url, items, against)
    found = own.get(f"/api/v1/rules/{RULE}/backtests/{number}/tickets").json()
    assert [(one["device_id"], one["is_new"]) for one in found["tickets"]] == [
        ("chair-2", False), ("chair-1", True),
    ]  # fmt: skip
    assert found["gone"] == [{"device_id": "chair-2", "cause": "brake", "day": f"{day}"}]
    shown = own.get(f"/rules/{RULE}").text
    for said in ("Bromsfel chair-1", "Bromsfel chair-2", "även förut", "Bara med version 1",
                 "2 av 3 visas"):  # fmt: skip
        assert said in shown, said
    assert "Brake fault chair-1" in own.get(f"/rules/{RULE}?lang=en").text
    assert own.get(f"/api/v1/rules/{RULE}/backtests/{number + 1}/tickets").status_code == 404


def test_a_comparison_that_was_cut_does_not_say_what_is_new(own, url):
    against = {"version": 1, "only_after": [], "only_after_n": 7}
    number = listing(url, [would_be("chair-1", NOW)], against)
    found = own.get(f"/api/v1/rules/{RULE}/backtests/{number}/tickets").json()
    assert [one["is_new"] for one in found["tickets"]] == [None]


def test_a_backtest_names_no_device_outside_the_callers_reach(own, url):
    register(url, "far-1", tenant="exempel")
    with psycopg.connect(url) as conn:
        centre = (
            "INSERT INTO centre (tenant_no, id, name) SELECT tenant_no, 'far', 'Far' FROM tenant"
        )
        conn.execute(
            f"WITH far AS ({centre} RETURNING centre_no) UPDATE device"
            " SET centre_no = far.centre_no FROM far WHERE id = 'far-1'"
        )
    day = NOW.astimezone(SWEDEN).date()
    against = {"version": 1, "only_before": [f"far-1 brake {day}"], "only_before_n": 1}
    number = listing(url, [would_be("far-1", NOW), would_be("chair-1", NOW)], against)
    for path in (f"/api/v1/rules/{RULE}/backtests/{number}/tickets", f"/rules/{RULE}"):
        whole = own.get(path).text
        assert "far-1" in whole
        assert "chair-1" in whole
        centre = own.get(path, headers=bearer(Role.TECHNICIAN, centre="far")).text
        assert "far-1" in centre
        assert "chair-1" not in centre


def test_a_rule_is_turned_off_and_on_with_a_reason(own, url):
    rule = own.get(f"/api/v1/rules/{RULE}")
    assert rule.json()["is_on"]
    tag = rule.headers["etag"]
    off = own.post(
        f"/api/v1/rules/{RULE}/disable", json={"why": "för många"}, headers={"If-Match": tag}
    )
    assert (off.status_code, off.json()["is_on"], off.json()["switched_why"]) == (
        200, False, "för många",
    )  # fmt: skip
    stale = own.post(f"/api/v1/rules/{RULE}/enable", json={"why": "x"}, headers={"If-Match": tag})
    assert stale.status_code == 412
    assert own.post(f"/api/v1/rules/{RULE}/enable", json={"why": "x"}).status_code == 428
    now = {"If-Match": off.headers["etag"]}
    untested = own.post(f"/api/v1/rules/{RULE}/enable", json={"why": "x"}, headers=now)
    assert untested.status_code == 409
    assert "no backtest of the last 7 days" in untested.json()["detail"]
    backtested(url, ran_at=NOW - timedelta(days=8))
    assert (
        own.post(f"/api/v1/rules/{RULE}/enable", json={"why": "x"}, headers=now).status_code == 409
    )
    backtested(url)
    on = own.post(f"/api/v1/rules/{RULE}/enable", json={"why": "provkörd"}, headers=now)
    assert (on.status_code, on.json()["is_on"]) == (200, True)
    assert logged(url, "enable_rule") == [("rule", RULE, "provkörd")]


def test_a_backtest_tells_sums_and_names_no_device_of_anybody(own, url):
    backtested(url)
    found = own.get(f"/api/v1/rules/{RULE}/backtests").json()["items"]
    assert (found[0]["ticket_n"], found[0]["visit_n"], found[0]["only_after_n"]) == (4, 3, 2)
    for path in (f"/api/v1/rules/{RULE}/backtests", f"/rules/{RULE}"):
        assert "secret" not in own.get(path).text


def test_a_rule_that_would_flood_is_refused_and_the_page_keeps_what_was_typed(own, url):
    backtested(url, share=0.5)
    form = {"action": "enable", "why": "prova <b>", "version": "1", "switch_no": "1"}
    switch_no = own.get(f"/api/v1/rules/{RULE}").json()["switch_no"]
    answer = own.post(f"/rules/{RULE}/switch", data=form | {"switch_no": str(switch_no)})
    assert answer.status_code == 409
    assert "50\N{NO-BREAK SPACE}% av hjälpmedlen" in answer.text
    assert "prova &lt;b&gt;" in answer.text
    seen = own.post(f"/rules/{RULE}/switch", data=form | {"switch_no": "999999"})
    assert seen.status_code == 409
    assert "Någon annan har ändrat" in seen.text


def test_a_rule_is_turned_off_by_page(own, url):
    switch_no = str(own.get(f"/api/v1/rules/{RULE}").json()["switch_no"])
    form = {"action": "disable", "why": "semester", "switch_no": switch_no}
    nothing_said = own.post(f"/rules/{RULE}/switch", data=form | {"why": " "})
    assert (nothing_said.status_code, "Skriv ett skäl" in nothing_said.text) == (409, True)
    assert own.post(f"/rules/{RULE}/switch", data=form).status_code == 303
    text = own.get(f"/rules/{RULE}").text
    assert "semester" in text
    assert "Adam Administratör" in text
    assert (
        own.post(f"/rules/{RULE}/switch", data=form, headers=bearer("technician")).status_code
        == 403
    )


def test_where_tenants_share_the_rules_none_decides_alone(own, url):
    register(url, "far-1", tenant="other")
    tag = own.get(f"/api/v1/rules/{RULE}").headers["etag"]
    answer = own.post(f"/api/v1/rules/{RULE}/disable", json={"why": "x"}, headers={"If-Match": tag})
    assert answer.status_code == 409
    assert "several tenants" in answer.json()["detail"]
    assert own.get(f"/api/v1/rules/{RULE}").json()["is_on"]


def test_every_rule_has_its_text_and_its_record(client, fleet):
    items = client.get("/api/v1/rules").json()["items"]
    assert {item["id"] for item in items} == set(shipped_rules())
    reported = next(item for item in items if item["id"] == RULE)
    judged = reported["precision"]
    assert judged["hit_n"] > 5
    assert judged["low"] < judged["share"] <= judged["high"]
    assert reported["ticket_90_d_n"] >= 40
    version = client.get(f"/api/v1/rules/{RULE}/versions/{reported['version']}").json()
    assert version["body"] == shipped_rules()[RULE][1]
    assert client.get("/api/v1/rules/no-such").status_code == 404
    assert client.get(f"/api/v1/rules/{RULE}/versions/999").status_code == 404


def test_policies_come_with_their_clauses_and_agreements_with_their_day(client):
    items = client.get("/api/v1/policies").json()["items"]
    vastmanland = next(item for item in items if item["id"] == "vastmanland")
    assert vastmanland["promises"][0]["target_share"] == 0.88
    assert all(item["source_url"].startswith("https://") for item in items)
    assert all(promise["clause"] for item in items for promise in item["promises"])
    assert client.get("/api/v1/policies/vgr/versions/1").json()["id"] == "vgr"
    assert client.get("/api/v1/policies/vgr/versions/99").status_code == 404
    agreements = client.get("/api/v1/agreements").json()["items"]
    assert [(one["policy_id"], one["is_in_force"]) for one in agreements] == [("vgr", True)]


def test_the_fleet_adds_up_and_its_numbers_lead_to_devices(client, fleet):
    with psycopg.connect(fleet.url) as conn:
        device_n, episode_n = conn.execute(
            "SELECT (SELECT count(*) FROM device), (SELECT count(*) FROM episode)"
        ).fetchone()
    for by in ("model", "firmware", "centre"):
        items = client.get("/api/v1/fleet", params={"by": by}).json()["items"]
        assert sum(item["device_n"] for item in items) == device_n
        assert sum(item["episode_n"] for item in items) == episode_n
        for item in items:
            if item["rate"]["value"] is not None:
                assert item["rate"]["low"] <= item["rate"]["value"] <= item["rate"]["high"]
    model = next(item for item in client.get("/api/v1/fleet").json()["items"])
    behind = client.get(
        "/api/v1/fleet/devices", params={"show": "faulted", "model": model["model_id"]}
    ).json()["items"]
    assert len(behind) == model["faulted_n"]
    assert sum(device["episode_n"] for device in behind) == model["episode_n"]
    found = client.get("/api/v1/fleet/batteries").json()
    battery = found["items"]
    assert (found["battery_n"], [one["device_id"] for one in battery]) == (1, ["fk-50055"])
    assert (battery[0]["individual_no"], battery[0]["centre_id"]) == ("4480 0055", "syd")
    assert battery[0]["earliest_on"] <= battery[0]["best_on"] <= battery[0]["latest_on"]


def test_a_centre_sees_its_own_fleet_and_figures(client, fleet):
    north = bearer(Role.CENTRE_MANAGER, centre="norr")
    whole = client.get("/api/v1/fleet?by=centre").json()["items"]
    own = client.get("/api/v1/fleet?by=centre", headers=north).json()["items"]
    assert [item["centre"] for item in own] == ["Hjälpmedelscentralen Norr"]
    assert own[0] in whole
    figures = client.get("/api/v1/key-figures", headers=north).json()
    assert {place["name"] for place in figures["centres"]} == {"norr"}
    other = bearer(Role.ADMINISTRATOR, tenant="nobody")
    assert client.get("/api/v1/fleet", headers=other).json()["items"] == []


def period(fleet):
    return f"{fleet.now.astimezone(UTC):%Y}"


def test_every_key_figure_leads_to_its_tickets(client, fleet):
    whole = client.get("/api/v1/key-figures", params={"period": period(fleet)}).json()["whole"]

    def n(figure, key=""):
        asked = {"period": period(fleet), "figure": figure, "key": key}
        return client.get("/api/v1/key-figures/tickets", params=asked).json()["ticket_n"]

    assert n("known") == whole["known_n"] > 40
    assert n("solved") == whole["solved_n"] > 5
    assert n("held") == whole["held"]["hit_n"]
    assert n("five_kept") == whole["five_days"]["hit_n"]
    assert [n("cause", one["component"]) for one in whole["causes"]] == [
        one["ticket_n"] for one in whole["causes"]
    ]
    assert whole["promises"]
    for promise in whole["promises"]:
        assert n("kept", promise["key"]) == promise["hit_n"]
        assert n("missed", promise["key"]) == promise["n"] - promise["hit_n"]
    assert any(promise["hit_n"] < promise["n"] for promise in whole["promises"])
    odd = client.get("/api/v1/key-figures/tickets?figure=odd")
    assert (odd.status_code, "use one of" in odd.text) == (422, True)


def test_the_minutes_of_the_period_before_are_those_of_that_period(client, fleet):
    year = int(period(fleet))
    now, after = (
        client.get("/api/v1/key-figures", params={"period": str(n)}).json()
        for n in (year, year + 1)
    )
    told, whole = after["minutes_before"], now["whole"]["minutes"]
    assert told["period"] == f"{year}"
    assert told["noted_n"] == whole["noted_n"] > 5
    assert (told["mean"], told["median"]) == (whole["mean"], whole["median"])
    noted = {}
    for centre in ("norr", "syd"):
        asked = {"period": str(year + 1), "centre": centre}
        noted[centre] = client.get("/api/v1/key-figures", params=asked).json()["minutes_before"]
    assert sum(one["noted_n"] for one in noted.values()) == whole["noted_n"]
    assert noted["norr"]["noted_n"] != noted["syd"]["noted_n"]
    text = client.get("/key-figures", params={"period": str(year), "lang": "sv"}).text
    assert f"{year - 1}: inga noterade minuter" in text


def test_a_page_lists_the_tickets_behind_a_number(client, fleet):
    text = client.get(f"/key-figures/tickets?figure=solved&period={period(fleet)}").text
    whole = client.get("/api/v1/key-figures", params={"period": period(fleet)}).json()["whole"]
    assert text.count('href="/tickets/') == whole["solved_n"]


def test_the_csv_is_one_line_for_each_municipality_and_hides_the_small(own, url):
    with psycopg.connect(url) as conn:
        for number in range(9):
            area = "=cmd()" if number < 6 else "Liten"
            conn.execute(
                "INSERT INTO device (id, tenant_no, model_id, shard, area) SELECT %s, tenant_no,"
                " model_id, 1, %s FROM device WHERE id = 'chair-1'", [f"x-{number}", area],
            )  # fmt: skip
            conn.execute(
                "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability,"
                " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
                " updated_at) SELECT device_no, tenant_no, 'brake', 'AU', 'major', 'usable',"
                " 'technician', 'brake', 't', 't', 'b', 'b', now(), now(), now() FROM device"
                " WHERE id = %s", [f"x-{number}"],
            )  # fmt: skip
    answer = own.get("/key-figures.csv?lang=sv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.startswith("\ufeff")
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=";"))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [row[1] for row in rows[1:]] == ["'=cmd()", "Liten", "Alla"]
    # One alone could be had by subtraction, so the next one is hidden too.
    assert [row[2] for row in rows[1:]] == ["visas inte", "visas inte", "9"]
    page = own.get("/key-figures").text
    assert page.count("visas inte") == 2


def told(client, **asked):
    """The lines of a CSV as dictionaries, by the name of the place."""
    text = client.get("/key-figures.csv", params={"lang": "sv", **asked}).text.removeprefix(
        "\ufeff"
    )
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";"))
    return {list(row.values())[1]: row for row in rows}


def test_the_csv_by_centre_adds_up_and_says_what_the_json_says(client, fleet):
    year = period(fleet)
    rows = told(client, by="centre", period=year)
    whole = client.get("/api/v1/key-figures", params={"period": year}).json()["whole"]
    total = rows.pop("Alla")
    assert {"Hjälpmedelscentralen Norr", "Hjälpmedelscentralen Syd"} <= set(rows)
    assert int(total["Nya ärenden"]) == whole["known_n"]
    assert int(total["Ärenden med minuter"]) == whole["minutes"]["noted_n"]
    for name in ("Nya ärenden", "Åtgärdade ärenden", "Minuter, felsökning och åtgärd"):
        assert sum(int(row[name]) for row in rows.values()) == int(total[name])
    causes = {name: n for name, n in total.items() if name.startswith("Nya ärenden: ")}
    assert sorted(map(int, causes.values())) == sorted(one["ticket_n"] for one in whole["causes"])
    assert number(total["Lagade första gången, %"]) == pytest.approx(
        100 * whole["held"]["share"], abs=0.05
    )
    low, high = (number(total[f"Lagade första gången, % {end}"]) for end in ("från", "till"))
    assert low <= number(total["Lagade första gången, %"]) <= high
    assert number(total["Minuter per ärende"]) == pytest.approx(whole["minutes"]["mean"], abs=0.05)


def number(text):
    return float(text.replace(",", "."))


def test_one_small_municipality_alone_hides_the_line_of_all(own, url):
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE device SET area = 'Liten'")
        conn.execute(
            "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability,"
            " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
            " updated_at) SELECT device_no, tenant_no, 'brake', 'AU', 'major', 'usable',"
            " 'technician', 'brake', 't', 't', 'b', 'b', now(), now(), now() FROM device"
            " WHERE id = 'chair-1'"
        )
    rows = told(own)
    assert {name: row["Nya ärenden"] for name, row in rows.items()} == {
        "Liten": "visas inte", "Alla": "visas inte",
    }  # fmt: skip


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.PRESCRIBER, Role.PATIENT])
def test_key_figures_are_not_for_everybody(client, role):
    for path in ("/key-figures", "/key-figures.csv", "/api/v1/key-figures", "/key-figures/use"):
        assert client.get(path, headers=bearer(role)).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/fleet?by=odd&days=x", "/fleet/devices?show=odd&centre_no=x", "/key-figures?period=odd",
        "/data-health/quarantine?reason=odd&device=%00", "/key-figures/tickets?figure=odd",
    ],
)  # fmt: skip
def test_an_odd_address_shows_the_page(client, path):
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/key-figures?centre=nowhere", 404), ("/rules/NO", 422), ("/rules/no-such", 404),
        ("/data-health/quarantine/0", 422), ("/data-health/quarantine/99999", 404),
        ("/api/v1/fleet?days=31", 422), ("/api/v1/key-figures?period=2026-13", 422),
        ("/data-health/quarantine?cursor=abc", 422),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_said(client, path, status):
    assert client.get(path).status_code == status


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_cell_is_a_formula(text):
    assert harmless(text) == f"'{text}"
    assert harmless("Borås") == "Borås"


def test_lanes_are_summed_over_their_slots_the_quietest_first():
    rows = [
        IntakeTotalRow(source, 10, 10, 0, 0, 0, NOW - timedelta(minutes=age), delay_s, 60.0)
        for source, age, delay_s in (
            ("mqtt/urgent/0", 19, 900.0),
            ("mqtt/urgent/3", 5, 0.4),
            ("mqtt/urgent/7", 6, 2.5),
            ("http-1", 7, None),
            ("replay", 1, None),
        )
    ]
    found = [(lane.name, lane.received_n, lane.receipt_delay_s) for lane in lanes(rows)]
    assert found == [("http-1", 10, None), ("mqtt/urgent", 30, 2.5)]


def test_a_quiet_night_is_no_delay(own, url):
    with psycopg.connect(url) as conn:
        conn.execute(
            "UPDATE intake_total SET receipt_delay_s = 0.42, age_s = 7200, updated_at = %s",
            [NOW - timedelta(hours=9)],
        )
    text = own.get("/data-health?lang=sv").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "<strong>0,4 s</strong>" in text
    assert "2 tim sedan mätningen" in text
    assert "Inget har kommit sedan" in text
    (source,) = own.get("/api/v1/ledger").json()["sources"]
    assert (source["receipt_delay_s"], source["age_s"]) == (0.42, 7200)
