from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from fastapi.openapi.models import OpenAPI
from starlette.testclient import TestClient
from structlog.testing import capture_logs
from support.people import access_settings, bearer

from api.access.policy import shipped_policy
from api.app import create_app
from api.process import ApiSettings
from api.shield import HEADERS

CHAIR, SILENT, EPOCH = "fk-20417", "fk-20555", "9f2c61d0a4b7e813"


def ok(client, path):
    response = client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


def walked(client, path, page_n):
    """All rows of a list, in pages of `page_n`."""
    rows, cursor = [], None
    for _ in range(100):
        joint = "&" if "?" in path else "?"
        address = f"{path}{joint}limit={page_n}" + (f"&cursor={cursor}" if cursor else "")
        answer = ok(client, address)
        assert len(answer["items"]) <= page_n
        rows += answer["items"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return rows
    pytest.fail("the list does not end")


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/api/v1/devices", "id"),
        ("/api/v1/devices?q=4480", "id"),
        ("/api/v1/tickets", "ticket_no"),
        ("/api/v1/tickets?state=ended", "ticket_no"),
        ("/api/v1/tickets?severity=major", "ticket_no"),
        ("/api/v1/tickets?sort=due", "ticket_no"),
        ("/api/v1/findings", "finding_no"),
        ("/api/v1/findings?open=true", "finding_no"),
        ("/api/v1/findings?rule=reported-fault&open=false", "finding_no"),
        ("/api/v1/quarantine", "quarantine_no"),
        (f"/api/v1/devices/{CHAIR}/faults", "seq"),
    ],
)
@pytest.mark.parametrize("page_n", [1, 7])
def test_cursors_walk_every_row_exactly_once(client, path, key, page_n):
    whole = [
        row[key] for row in ok(client, f"{path}{'&' if '?' in path else '?'}limit=500")["items"]
    ]
    assert [row[key] for row in walked(client, path, page_n)] == whole
    assert len(set(whole)) == len(whole) > 3


def test_lists_hold_everything_that_was_seeded(client, fleet):
    assert {row["id"] for row in walked(client, "/api/v1/devices", 50)} == set(fleet.device_ids)
    tickets = walked(client, "/api/v1/tickets", 50) + walked(
        client, "/api/v1/tickets?state=ended", 50
    )
    assert sorted(row["ticket_no"] for row in tickets) == sorted(fleet.ticket_nos)
    assert len(walked(client, "/api/v1/quarantine", 500)) >= fleet.quarantine_n


def test_open_tickets_come_worst_and_oldest_first(client):
    rows = walked(client, "/api/v1/tickets?sort=severity", 10)
    ranks = ["critical", "major", "minor", "info"]
    known = [datetime.fromisoformat(row["known_at"]) for row in rows]
    order = [(ranks.index(row["severity"]), at) for row, at in zip(rows, known, strict=True)]
    assert order == sorted(order)
    assert all(row["state"] not in ("verified", "closed", "void") for row in rows)


def test_tickets_are_filtered_by_state_device_and_severity(client):
    assert {r["state"] for r in ok(client, "/api/v1/tickets?state=waiting")["items"]} == {"waiting"}
    assert {r["state"] for r in ok(client, "/api/v1/tickets?state=closed")["items"]} == {"closed"}
    mine = ok(client, f"/api/v1/tickets?device={CHAIR}")["items"]
    assert {row["device_id"] for row in mine} == {CHAIR}
    assert len(mine) == 2
    worst = ok(client, "/api/v1/tickets?severity=critical")["items"]
    assert {row["severity"] for row in worst} == {"critical"}
    assert ok(client, "/api/v1/tickets")["open_n"]["critical"] == len(worst)


@pytest.mark.parametrize("text", ["fk-204", "FK-204", "4471 02", "ob-882"])
def test_a_search_finds_the_start_of_id_individual_number_and_serial(client, text):
    assert [row["id"] for row in ok(client, f"/api/v1/devices?q={text}")["items"]] == [CHAIR]


@pytest.mark.parametrize("text", ["0417", "%", "_", "\\", "'; --", "%00", "å"])
def test_a_search_matches_only_starts_and_no_pattern(client, text):
    assert ok(client, "/api/v1/devices?q=" + text.replace("%", "%25"))["items"] == []


def test_a_device_shows_what_is_known_of_it(client):
    device = ok(client, f"/api/v1/devices/{CHAIR}")
    assert device["is_online"] is True
    assert device["model_name"] == "B400"
    assert device["open_ticket_n"] == 2
    assert device["last_contact_at"].endswith("Z")
    assert "battery_voltage_v" in {row["metric"] for row in device["latest"]}


def test_samples_of_the_last_day_are_raw_and_in_order(client):
    found = ok(client, f"/api/v1/devices/{CHAIR}/samples?metric=battery_voltage_v")
    assert (found["resolution"], found["unit"], found["step_s"]) == ("raw", "V", None)
    instants = [point["at"] for point in found["points"]]
    assert instants == sorted(instants)
    span = datetime.fromisoformat(found["to"]) - datetime.fromisoformat(found["from"])
    assert span == timedelta(hours=24)
    assert found["row_n"] > 300


def test_a_long_range_is_hours_with_least_and_greatest(client, fleet):
    low = (fleet.now - timedelta(days=7)).isoformat().replace("+", "%2B")
    found = ok(client, f"/api/v1/devices/{CHAIR}/samples?metric=battery_voltage_v&from={low}")
    assert (found["resolution"], found["step_s"]) == ("hour", 3600)
    assert all(p["low"] <= p["value"] <= p["high"] for p in found["points"])
    assert any(p["sample_n"] == 60 for p in found["points"])


def test_raw_over_a_week_fits_the_budget_and_keeps_the_peaks(client, fleet):
    low = (fleet.now - timedelta(days=7)).isoformat().replace("+", "%2B")
    path = f"/api/v1/devices/{CHAIR}/samples?metric=motor_left_current_a&from={low}"
    raw, hours = ok(client, path + "&resolution=raw"), ok(client, path + "&resolution=hour")
    assert len(raw["points"]) <= 2000 < raw["row_n"]
    assert raw["is_thinned"]
    recent = [p for p in hours["points"] if p["at"] > raw["points"][0]["at"]]
    assert max(p["value"] for p in raw["points"]) == max(p["high"] for p in recent)


def test_faults_carry_their_meaning_in_both_languages(client):
    fault = ok(client, f"/api/v1/devices/{CHAIR}/faults")["items"][0]
    assert fault["meaning"]["sv"] == "Vänster drivmotor är inte ansluten"
    assert fault["meaning"]["en"] == "Left motor disconnected"
    assert fault["meaning"]["severity"] == "critical"
    assert fault["clock"] == "synced"


def test_a_ticket_shows_what_it_rests_on(client):
    ticket = ok(client, "/api/v1/tickets/1")
    assert len(ticket["episodes"]) == 3
    assert {fault["code"] for fault in ticket["faults"]} == {"3B00"}
    assert ticket["events"][0]["kind"] == "opened"
    assert "Varför det här ärendet finns" in ticket["body_sv"]


def test_open_tickets_come_by_the_deadline_that_binds_when_asked(client, fleet):
    rows = walked(client, "/api/v1/tickets?sort=due", 7)
    dues = [
        row["due"][f"{row['due']['binding']}_by"]["due_at"] if row["due"]["binding"] else "9999"
        for row in rows
    ]
    assert dues == sorted(dues)
    assert {"9999"} < set(dues)
    assert rows[0]["ticket_no"] == fleet.tickets["missed"]
    assert {row["ticket_no"] for row in rows} == {
        row["ticket_no"] for row in walked(client, "/api/v1/tickets", 50)
    }


def test_a_ticket_names_its_rule_deadlines_and_agreement(client, fleet):
    missed = ok(client, f"/api/v1/tickets/{fleet.tickets['missed']}")
    assert (missed["rule_id"], missed["rule_version"]) == ("reported-fault", 1)
    assert (missed["policy_id"], missed["policy_version"]) == ("vgr", 1)
    assert missed["due"]["binding"] == "start"
    assert missed["due"]["start_by"]["is_breached"] is True
    assert missed["urgent_because"] == ["needs_unknown"]
    waiting = ok(client, "/api/v1/tickets/3")
    assert (waiting["assignee"], waiting["waiting_reason"]) == ("Bo Lind", "part_on_order")
    assert waiting["due"]["start_by"]["stopped_at"]
    assert waiting["due"]["start_by"]["is_breached"] is False
    assert waiting["due"]["finish_by"]["is_paused"] is True


def test_a_ticket_carries_its_findings_with_values_and_what_was_ruled_out(client, fleet):
    ticket = ok(client, f"/api/v1/tickets/{fleet.tickets['forecast']}")
    finding = ticket["findings"][0]
    assert finding["rule_id"] == "battery-end-of-life"
    assert finding["said"]["title"]["sv"] == ticket["title_sv"]
    assert finding["said"]["title"]["en"] == ticket["title_en"]
    assert 0 < finding["measures"]["range_m"] < finding["measures"]["best_range_m"]
    assert finding["ruled_out"][0]["sv"].startswith("Kyla")
    assert {point["metric"] for point in finding["points"]} == {"battery_voltage_v"}
    assert finding["ended_at"] is None


def test_a_group_ticket_has_no_device_and_lists_its_members(client, fleet):
    ticket = ok(client, f"/api/v1/tickets/{fleet.tickets['incident']}")
    assert ticket["device_id"] is None
    assert ticket["subject"].startswith("storm:")
    assert ticket["member_n"] == len(ticket["members"]) == 24
    first = [member["device_id"] for member in ticket["members"] if member["is_contacted_first"]]
    assert first == [member["device_id"] for member in ticket["members"][:2]]
    held = {member["ticket_no"] for member in ticket["members"]} - {None}
    assert fleet.tickets["single"] in held
    assert len(held) == 2
    single = ok(client, f"/api/v1/tickets/{fleet.tickets['single']}")
    assert (single["state"], single["incident_no"]) == ("void", ticket["ticket_no"])


def test_linked_tickets_name_each_other(client, fleet):
    old, new = (ok(client, f"/api/v1/tickets/{fleet.tickets[n]}") for n in ("replaced", "urgent"))
    assert (old["state"], old["replaced_by_no"]) == ("void", new["ticket_no"])
    assert (new["replaces_no"], new["order_kind"]) == (old["ticket_no"], "akut AU")
    assert new["urgent_answer"] == "confirmed"


def test_similar_cases_say_what_solved_them(client):
    similar = ok(client, "/api/v1/tickets/2")["similar"]
    assert len(similar["cases"]) == 5
    assert similar["by_outcome"] == {"part_replaced": similar["by_part"]["motorkontakt"]}
    assert similar["cases"][0]["is_same_model"] is True
    assert similar["cases"][0]["said"]


@pytest.mark.parametrize("path", ["1", "2", "{urgent}", "{missed}"])
def test_deadlines_account_for_every_interval(client, fleet, path):
    number = path.format_map(fleet.tickets)
    found = ok(client, f"/api/v1/tickets/{number}/deadlines")
    assert found["policy"]["id"] == "vgr"
    assert found["clocks"]
    for clock in found["clocks"]:
        lines = clock["lines"]
        assert (lines[0]["from_at"], lines[-1]["until_at"]) == (found["known_at"], clock["due_at"])
        assert all(a["until_at"] == b["from_at"] for a, b in pairwise(lines))
        assert sum(line["counted"] for line in lines) == pytest.approx(clock["promise"]["within"])


def test_a_wait_that_lasts_counts_as_if_it_ended_now(client):
    found = ok(client, "/api/v1/tickets/3/deadlines")
    start, finish = found["clocks"]
    assert found["waits_for"] == "part_on_order"
    assert (start["is_paused"], finish["is_paused"]) == (False, True)
    assert "paused" not in {line["why"] for line in start["lines"]}
    assert finish["lines"][-1]["until_at"] == finish["due_at"]


def test_findings_are_filtered_and_leave_out_what_belongs_to_care(client, fleet):
    mine = ok(client, f"/api/v1/findings?device={CHAIR}")["items"]
    assert {row["device_id"] for row in mine} == {CHAIR}
    assert [row["finding_no"] for row in mine] == sorted(
        (row["finding_no"] for row in mine), reverse=True
    )
    assert ok(client, "/api/v1/findings?rule=no-such-rule")["items"] == []
    held = ok(client, "/api/v1/findings?open=true&limit=500")["items"]
    assert {row["ended_at"] for row in held} == {None}
    number = mine[0]["finding_no"]
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        mark = "UPDATE finding SET need = %s WHERE finding_no = %s"
        conn.execute(mark, ("care", number))
        try:
            left = ok(client, f"/api/v1/findings?device={CHAIR}")["items"]
        finally:
            conn.execute(mark, (mine[0]["need"], number))
    assert [row["finding_no"] for row in left] == [row["finding_no"] for row in mine[1:]]


def test_the_ledger_publishes_the_equation(client):
    ledger = ok(client, "/api/v1/ledger")
    total = ledger["total"]
    parts = total["stored_n"] + total["duplicate_n"] + total["quarantined_n"]
    assert total["holds"]
    assert total["received_n"] == parts
    assert ledger["quarantine_agrees"]
    assert ledger["device"] is None
    assert ledger["open_gap_n"] == 2


def test_the_ledger_of_a_device_lists_what_is_missing(client):
    ledger = ok(client, f"/api/v1/ledger?device={CHAIR}")
    newest = ledger["device"][0]
    assert (newest["epoch"], newest["hi"], newest["highest"]) == (EPOCH, 4701, 5320)
    assert newest["missing"] == [[4702, 4704]]
    assert {gap["closed_as"] for gap in ledger["gaps"]} == {None, "lost_on_device", "received"}


def test_quarantine_is_readable_and_harmless(client):
    rows = walked(client, "/api/v1/quarantine", 500)
    kinds = {row["payload"]["kind"] for row in rows}
    assert kinds == {"text", "hex", "empty"}
    for row in rows:
        shown = row["payload"]["text"] + row["topic"] + row["detail"]
        assert not re.search("[\0\x1b\x07\u202e]", shown)
    cut = next(row for row in rows if row["reason"] == "bad_time")
    assert cut["payload"]["is_cut"]
    assert cut["payload_size"] > 5000


def test_quarantine_is_filtered(client):
    rows = ok(client, "/api/v1/quarantine?reason=no_decoder")["items"]
    assert {row["reason"] for row in rows} == {"no_decoder"}
    assert ok(client, "/api/v1/quarantine?device=nobody")["items"] == []
    assert ok(client, f"/api/v1/quarantine?device={CHAIR}&limit=3")["next_cursor"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/nothing", 404),
        ("/api/v1/devices/nobody", 404),
        ("/api/v1/devices/a%00b", 404),
        ("/api/v1/devices/fk%2F1", 404),
        ("/api/v1/devices/nobody/faults", 404),
        ("/api/v1/tickets/999999", 404),
        ("/api/v1/tickets?device=nobody", 404),
        ("/api/v1/ledger?device=nobody", 404),
        (f"/api/v1/devices/{CHAIR}/samples?metric=no_such_metric", 404),
        ("/api/v1/tickets/x", 422),
        ("/api/v1/tickets/99999999999999999999", 422),
        ("/api/v1/devices?limit=501", 422),
        ("/api/v1/devices?limit=0", 422),
        ("/api/v1/devices?lmit=5", 422),
        ("/api/v1/tickets?state=lost", 422),
        ("/api/v1/tickets?cursor=abc", 422),
        ("/api/v1/tickets?cursor=%00", 422),
        ("/api/v1/quarantine?reason=bad", 422),
        ("/api/v1/tickets?sort=age", 422),
        ("/api/v1/tickets/999999/deadlines", 404),
        ("/api/v1/findings?device=nobody", 404),
        ("/api/v1/findings?rule=Bad%00", 422),
        ("/api/v1/findings?open=perhaps", 422),
        ("/api/v1/findings?cursor=abc", 422),
        (f"/api/v1/devices/{CHAIR}/samples", 422),
        (f"/api/v1/devices/{CHAIR}/samples?metric=Bad-Name", 422),
        (f"/api/v1/devices/{CHAIR}/samples?metric=drive_time_s&from=2026-01-01T00:00:00", 422),
        (
            f"/api/v1/devices/{CHAIR}/samples?metric=drive_time_s"
            "&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
            422,
        ),
    ],
)
def test_errors_are_problems_that_say_what_to_do(client, path, status):
    response = client.get(path)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:fjarrkoll:problem:")
    assert problem["instance"] == path.partition("?")[0].replace("%00", "\0").replace("%2F", "/")
    assert problem["detail"]
    assert problem["next"]
    assert bool(problem["errors"]) == (status == 422)


def test_a_cursor_of_another_list_is_refused(client):
    cursor = ok(client, "/api/v1/devices?limit=1")["next_cursor"]
    assert client.get(f"/api/v1/tickets?cursor={cursor}").status_code == 422
    ended = ok(client, "/api/v1/tickets?state=ended&limit=1")["next_cursor"]
    assert client.get(f"/api/v1/tickets?cursor={ended}").status_code == 422


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/api/v1/devices", "/api/v1/tickets/1", "/api/v1/ledger"])
def test_everything_but_ingest_is_only_read(client, method, path):
    response = client.request(method, path)
    assert response.status_code == 405
    assert response.json()["status"] == 405
    assert "GET" in response.headers["allow"]


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/api/v1/devices", "/api/v1/nothing", "/livez", "/static/fjarrkoll.css"],
)
def test_security_headers_stand_on_everything(client, path):
    headers = client.get(path).headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in headers["content-security-policy"]
    expected = "public" if "static" in path else "no-store"
    assert headers["cache-control"].startswith(expected)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil",
        "127.0.0.2",
        "",
        "a@localhost",
        "10.0.0.1:80",
        "localhost:x",
    ],
)
def test_a_foreign_host_is_refused(client, host):
    response = client.get("/api/v1/devices", headers={"Host": host})
    assert response.status_code == 421
    assert response.json()["type"].endswith("wrong-host")
    assert client.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8460", "[::1]:8460", "LOCALHOST"])
def test_loopback_hosts_are_served(client, host):
    assert client.get("/livez", headers={"Host": host}).status_code == 200


def test_an_unexpected_error_is_a_problem_with_all_headers(client, monkeypatch):
    def broken(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr("storage.reading.intake_totals", broken)
    with capture_logs() as logged:
        response = client.get("/api/v1/ledger")
        page = client.get("/data-health", headers={"Accept-Language": "sv"})
    assert [entry["path"] for entry in logged] == ["/api/v1/ledger", "/data-health"]
    assert response.status_code == 500
    assert response.json()["type"].endswith("unexpected")
    assert "secret" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    assert page.status_code == 500
    assert "Något gick fel hos oss" in page.text


def test_without_a_database_every_answer_is_503_with_retry_after():
    settings = ApiSettings(
        "postgresql://nobody@127.0.0.1:1/none", access_settings(), database_wait_s=0.2
    )
    with TestClient(
        create_app(settings), base_url="http://localhost", headers=bearer("administrator")
    ) as down:
        assert down.get("/livez").status_code == 200
        for path in ("/readyz", "/api/v1/devices", "/api/v1/ledger"):
            response = down.get(path)
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            if path.startswith("/api"):
                assert response.json()["type"].endswith("database-down")
        body = {"tenant": "exempel", "device": "d", "channel": "bulk", "record": {}}
        program = bearer("administrator", is_service=True)
        assert down.post("/api/v1/ingest", json=body, headers=program).status_code == 503
        page = down.get("/", headers={"Accept-Language": "sv"})
        assert page.status_code == 503
        assert "Databasen svarar inte" in page.text


def test_ready_means_that_a_commit_succeeds(client):
    assert client.get("/readyz").json() == {"status": "ok"}


def test_metrics_count_requests_by_route(client):
    client.get(f"/api/v1/devices/{CHAIR}")
    text = client.get("/metrics").text
    assert 'route="/api/v1/devices/{device_id}",status="200"' in text
    assert CHAIR not in text


def test_the_openapi_document_is_valid_and_whole(client):
    document = ok(client, "/api/v1/openapi.json")
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1")
    operations = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert operations <= set(shipped_policy())
    assert {"list_devices", "get_ticket", "ingest_records"} <= operations
    for reference in re.findall(
        r'"\$ref": ?"#/components/schemas/([^"]+)"', str(document).replace("'", '"')
    ):
        assert reference in document["components"]["schemas"]
    ingest = document["paths"]["/api/v1/ingest"]["post"]
    assert set(ingest["responses"]) >= {"200", "403", "413", "415", "422", "503"}


def test_instants_are_utc(client):
    text = client.get("/api/v1/tickets/1").text
    instants = re.findall(r'"known_at":"([^"]+)"', text)
    assert instants
    assert all(datetime.fromisoformat(instant).tzinfo == UTC for instant in instants)
