from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from support.people import bearer

DEVICE = "fk-50040"
URL = "/api/v1/ingest"


@pytest.fixture
def client(client):
    """Asked by a program of an administrator, as a gateway is."""
    client.headers.update(bearer("administrator", is_service=True))
    return client


@pytest.fixture
def epoch():
    """Every test speaks in an epoch of its own, so that the ledger knows none of it."""
    return uuid.uuid4().hex[:16]


def record(epoch, seq, **fields):
    at = time.time_ns() // 1_000_000 - 1000
    return {"epoch": epoch, "seq": seq, "at": at, "m": {"battery_voltage_v": 24.5}} | fields


def body(*records, **fields):
    return {
        "tenant": "exempel",
        "device": DEVICE,
        "channel": "bulk",
        "records": list(records),
    } | fields


def test_records_are_acknowledged_after_commit(client, epoch):
    response = client.post(URL, json=body(record(epoch, 1), record(epoch, 2)))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["ack"] == {"epoch": epoch, "hi": 2, "gaps": [], "rewind": None}
    assert (answer["received"], answer["stored"], answer["refused"]) == (2, 2, [])
    ledger = client.get(f"/api/v1/ledger?device={DEVICE}").json()
    assert next(row for row in ledger["device"] if row["epoch"] == epoch)["hi"] == 2


def test_sending_again_is_harmless(client, epoch):
    sent = body(record(epoch, 1), record(epoch, 2))
    first, second = (client.post(URL, json=sent).json() for _ in range(2))
    assert (second["stored"], second["duplicate"]) == (0, 2)
    assert first["ack"] == second["ack"]


def test_one_record_stands_under_record(client, epoch):
    sent = body(record=record(epoch, 1))
    del sent["records"]
    assert client.post(URL, json=sent).json()["stored"] == 1


def test_a_bad_record_is_quarantined_and_its_neighbours_are_stored(client, epoch):
    bad = {"epoch": epoch, "seq": 2, "at": "yesterday"}
    answer = client.post(URL, json=body(record(epoch, 1), bad, record(epoch, 3))).json()
    assert (answer["stored"], answer["quarantined"]) == (2, 1)
    assert [(r["index"], r["reason"]) for r in answer["refused"]] == [(1, "malformed")]
    assert answer["ack"]["hi"] == 3


def test_a_record_keeps_the_bytes_it_came_as(client, epoch):
    odd = f'{{"seq" : 1,  "epoch":"{epoch}", "at":"å"}}'
    head = f'{{"tenant":"exempel","device":"{DEVICE}","channel":"bulk","record":'
    text = head + odd + "}"
    headers = {"Content-Type": "application/json"}
    assert client.post(URL, content=text.encode(), headers=headers).json()["quarantined"] == 1
    newest = client.get(f"/api/v1/quarantine?device={DEVICE}&limit=1").json()["items"][0]
    assert newest["payload"]["text"] == odd


def test_nothing_is_taken_or_kept_for_a_device_outside_the_reach(client, epoch):
    """It fills no quarantine either, and nothing tells one that exists from one that does not."""
    before = quarantined(client)
    south = bearer("administrator", centre="syd", is_service=True)
    answers = [
        client.post(URL, json=body(record(epoch, 1), device="stranger")),
        client.post(URL, json=body(record(epoch, 1)), headers=south),
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert quarantined(client) == before


def quarantined(client):
    return client.get("/api/v1/ledger").json()["total"]


def test_an_unregistered_device_that_speaks_for_itself_gets_no_acknowledgement(client, epoch):
    own = bearer("device", device="stranger")
    answer = client.post(URL, json=body(record(epoch, 1), device="stranger"), headers=own).json()
    assert answer["ack"] is None
    assert answer["refused"][0]["reason"] == "unknown_device"


def test_a_person_sends_no_records_of_devices(client, epoch):
    person = bearer("administrator")
    refused = client.post(URL, json=body(record(epoch, 1)), headers=person)
    assert refused.status_code == 403
    assert refused.json()["type"].endswith("not-a-program")


def test_what_a_program_sends_is_written_down_with_the_device(client, fleet, epoch):
    with psycopg.connect(fleet.url) as conn:
        (last,) = conn.execute("SELECT coalesce(max(audit_no), 0) FROM audit").fetchone()
        for sent in (body(record(epoch, 1), record(epoch, 2)), body(record(epoch, 3))):
            assert client.post(URL, json=sent).status_code == 200
        own = bearer("device", device=DEVICE)
        assert client.post(URL, json=body(record(epoch, 4)), headers=own).status_code == 200
        found = conn.execute(
            "SELECT action, object_kind, device_id FROM audit WHERE audit_no > %s", [last]
        ).fetchall()
    assert found == [("ingest_records", "device", DEVICE)] * 2


def test_a_state_is_taken_too(client, epoch):
    state = {"online": True, "boot": 3, "epoch": epoch, "fw": "9.9.9"}
    answer = client.post(URL, json=body(state, channel="state")).json()
    assert (answer["states"], answer["received"]) == (1, 0)
    assert client.get(f"/api/v1/devices/{DEVICE}").json()["fw"] == "9.9.9"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b"{", 422),
        (b"\xff", 422),
        (b'{"tenant":"a","device":"b","channel":"bulk"}', 422),
        (b'{"tenant":"a","device":"b","channel":"bulk","records":[]}', 422),
        (b'{"tenant":"a","device":"b","channel":"bulk","record":{},"records":[{}]}', 422),
        (b'{"tenant":"a/b","device":"b","channel":"bulk","record":{}}', 422),
        (b'{"tenant":"a","device":"b","channel":"ack","record":{}}', 422),
        (b'{"tenant":"a","device":"b","channel":"bulk","record":{},"x":1}', 422),
        (b"[" * 100_000, 422),
        (b'{"tenant":"a","device":"b","channel":"bulk","records":[' + b"0," * 1000 + b"0]}", 413),
        (b'"' + b"x" * 1024 * 1024 + b'"', 413),
    ],
)
def test_a_body_that_cannot_be_taken_is_a_problem(client, content, status):
    response = client.post(URL, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["next"]


def test_a_body_without_a_length_ends_at_the_limit(client):
    chunks = (b" " * 65_536 for _ in range(20))
    refused = client.post(URL, content=chunks, headers={"Content-Type": "application/json"})
    assert refused.status_code == 413
    assert "1,048,576" in refused.json()["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_taken_so_that_no_form_can_send_it(client, epoch, kind):
    content = json.dumps(body(record(epoch, 1)))
    assert client.post(URL, content=content, headers={"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_pages_of_other_sites_are_refused(client, epoch, headers):
    response = client.post(URL, json=body(record(epoch, 1)), headers=headers)
    assert response.status_code == 403
    assert response.json()["type"].endswith("cross-site")


def test_senders_at_once_all_get_their_acknowledgement(client, epoch):
    def send(number):
        return client.post(URL, json=body(record(epoch, number), device=f"fk-5004{number}"))

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(send, range(1, 7)))
    assert [answer.json()["stored"] for answer in answers] == [1] * 6
    assert client.get("/api/v1/ledger").json()["total"]["holds"]


def test_a_device_speaks_for_itself_and_for_no_other(nobody, epoch):
    own = bearer("device", device=DEVICE)
    sent = body(record(epoch, 1))
    assert nobody.post(URL, json=sent, headers=own).json()["stored"] == 1
    other = bearer("device", device="fk-20417")
    assert nobody.post(URL, json=sent, headers=other).status_code == 404
    stranger = bearer("administrator", tenant="annan")
    assert nobody.post(URL, json=sent, headers=stranger).status_code == 404
    assert nobody.post(URL, json=sent, headers=bearer("technician")).status_code == 403
    assert nobody.post(URL, json=sent).status_code == 401
