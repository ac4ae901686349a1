"""The patient, the prescriber and the access log, over HTTP and in pages."""

from __future__ import annotations

import io
import json
import re
import secrets
import uuid
import zipfile
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb
from starlette.testclient import TestClient
from support.people import UNIT, access_settings, bearer, claims_of

from api.access.gate import operation_of
from api.access.policy import shipped_policy
from api.app import create_app
from api.process import ApiSettings
from api.routes import endpoints
from api.schemas import rfc3339
from fleet.access.callers import Role
from storage.deadlines import assign_agreement, open_clocks
from storage.lending import end_loan, start_loan
from storage.registry import NewDevice, add_devices, sync_catalogues
from storage.sessions import open_session

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
CHAIR, APAP = "wc-1", "pap-1"
ASTRID, BERTIL = "p-astrid", "p-bertil"
OTHER_UNIT = "SE2321000016-VE99"
HERE = {"Origin": "http://127.0.0.1:8460"}

TICKET = """
INSERT INTO ticket (device_no, tenant_no, cause, state, order_kind, severity, usability, fixer,
    component, title_sv, title_en, body_sv, body_en, user_sv, user_en, started_at, known_at,
    updated_at)
SELECT device_no, tenant_no, 'left_brake', 'new', 'AU', 'major', 'unusable', 'technician',
    'left_brake', '1505 · bromsfel', '1505 · brake fault', 'b', 'b',
    'Vänster broms svarar inte. Kör inte med stolen.', 'The left brake does not answer.',
    %(at)s, %(at)s, %(at)s
FROM device WHERE id = 'wc-1' RETURNING ticket_no
"""


def seeded(conn) -> int:
    """Astrid has a chair with a brake fault; Bertil had it before, and has an APAP unit."""
    sync_catalogues(conn, NOW)
    devices = [NewDevice(CHAIR, "permobil-m3", individual_no="4471 0293"),
               NewDevice(APAP, "resmed-airsense-11", individual_no="4471 8820")]  # fmt: skip
    add_devices(conn, devices, tenant="exempel", centre="norr", centre_name="Norr")
    assign_agreement(conn, tenant="exempel", policy_id="vgr", from_at=NOW - 90 * DAY, who="A")
    start_loan(conn, CHAIR, BERTIL, [], NOW - 60 * DAY, care_unit=OTHER_UNIT)
    end_loan(conn, CHAIR, NOW - 40 * DAY)
    start_loan(conn, CHAIR, ASTRID, [], NOW - 30 * DAY, care_unit=UNIT)
    start_loan(conn, APAP, BERTIL, [], NOW - 60 * DAY, care_unit=UNIT)
    for day in (50, 2):
        at = NOW - day * DAY
        conn.execute("SELECT ensure_sample_partition(%s::date)", [at])
        conn.execute(
            "INSERT INTO sample SELECT %s, %s, 7, device_no, metric_no, 0, NULL FROM device, metric"
            " WHERE device.id = 'wc-1' AND metric.name IN ('battery_voltage_v', 'odometer_m')",
            [at, at],
        )
    number = conn.execute(TICKET, {"at": NOW - DAY}).fetchone()[0]
    open_clocks(conn, [number], NOW - DAY)
    return number


class Place:
    """An application on a database of its own."""

    def __init__(self, url: str, client: TestClient, ticket_no: int) -> None:
        self.url, self.client, self.ticket_no = url, client, ticket_no

    def get(self, path: str, who: dict[str, str], **more):
        return self.client.get(path, headers=who, **more)

    def post(self, path: str, who: dict[str, str], **more):
        return self.client.post(path, headers={**who, **HERE}, **more)


@pytest.fixture
def place(plain):
    name = f"t{uuid.uuid4().hex[:12]}"
    url = plain.create_migrated(name)
    with psycopg.connect(url) as conn:
        number = seeded(conn)
    settings = ApiSettings(url, access_settings(), port=0, database_wait_s=2.0)
    with TestClient(
        create_app(settings), base_url="http://127.0.0.1:8460", follow_redirects=False
    ) as client:
        yield Place(url, client, number)
    plain.drop_database(name)


astrid = bearer(Role.PATIENT, person=ASTRID)
bertil = bearer(Role.PATIENT, person=BERTIL)
frida = bearer(Role.PRESCRIBER, care_unit=UNIT, subject="frida")
technician = bearer(Role.TECHNICIAN, commission="uppdrag-1")
admin = bearer(Role.ADMINISTRATOR)
auditor = bearer(Role.AUDITOR)
SAMPLES = (
    f"/api/v1/devices/{CHAIR}/samples?from={(NOW - 5 * DAY):%Y-%m-%dT%H:%M:%SZ}&resolution=raw"
)


def points(place, who, metric: str) -> int:
    return len(place.get(f"{SAMPLES}&metric={metric}", who).json()["points"])


# My device


def test_a_patient_sees_their_own_device_and_what_happens_next(place):
    (device,) = place.get("/api/v1/me/devices", astrid).json()["items"]
    assert (device["id"], device["standing"]) == (CHAIR, "do_not_use")
    assert device["sent"]["safety"]
    (ticket,) = device["tickets"]
    assert ticket["said_sv"].startswith("Vänster broms svarar inte")
    assert ticket["promised_at"] is not None
    assert [step["id"] for step in ticket["steps"]] == ["wc-freewheel"]
    body = place.get("/my-device", astrid).text
    for said in ("Använd inte hjälpmedlet", "Kör inte med stolen", "Vi börjar senast",
                 "Hjälpte det?", "Behövs för din säkerhet", "112"):  # fmt: skip
        assert said in body, said
    assert "1505" not in body


def test_a_patient_sees_nothing_of_anybody_else(place):
    items = place.get("/api/v1/me/devices", bertil).json()["items"]
    assert [item["id"] for item in items] == [APAP]
    for address in (f"/my-device/{CHAIR}/sharing", f"/api/v1/devices/{CHAIR}"):
        assert place.get(address, bertil).status_code == 404
    sharing = place.post(f"/api/v1/me/devices/{CHAIR}/sharing", bertil, json={"share": False})
    assert sharing.status_code == 404


def readable(place, number):
    """The addresses that a patient may read, of the chair and its ticket."""
    names = {"device_id": CHAIR, "ticket_no": number, "policy_name": "vgr", "name": "x.css"}
    for route in endpoints(place.client.app.routes):
        rule = shipped_policy()[operation_of(route)]
        is_read = "GET" in getattr(route, "methods", ()) and operation_of(route) != "stream"
        if is_read and rule.roles is not None and Role.PATIENT in rule.roles:
            path = re.sub(r"\{(\w+)\}", lambda found: str(names.get(found[1], "x")), route.path)
            yield operation_of(route), path


def test_a_patient_is_not_told_who_of_the_staff_does_what(place):
    desk = bearer(Role.SERVICE_DESK)
    number = place.ticket_no
    for version, told in enumerate(
        ({"action": "take", "why": "Karim kan"}, {"action": "solve", "outcome": "real_fault"}), 1
    ):
        done = place.post(
            f"/api/v1/tickets/{number}/actions", desk | {"If-Match": f'"{version}"'}, json=told
        )
        assert done.status_code < 300, done.text
    assert place.get(f"/api/v1/tickets/{number}", frida).json()["events"]
    read = {name: place.get(path, astrid) for name, path in readable(place, number)}
    assert len(read) > 20
    assert [name for name, answer in read.items() if "Karim" in answer.text] == []
    whole = read["get_ticket"].json()
    assert (whole["assignee"], whole["events"], whole["similar"]["cases"]) == (None, [], [])
    for asked in ("Karim Kundtjänst", "none"):  # the filter tells nothing either
        listed = place.get(f"/api/v1/tickets?assignee={asked}", astrid).json()["items"]
        assert [ticket["assignee"] for ticket in listed] == [None]


def test_the_time_before_the_loan_is_not_there(place):
    before = SAMPLES.replace(f"{NOW - 5 * DAY:%Y-%m-%d}", f"{NOW - 59 * DAY:%Y-%m-%d}")
    found = place.get(f"{before}&metric=battery_voltage_v", technician).json()["points"]
    own = place.get(f"{before}&metric=battery_voltage_v", astrid).json()["points"]
    care = place.get(f"{before}&metric=battery_voltage_v", frida).json()["points"]
    assert (len(found), len(own), len(care)) == (2, 1, 1)


FINDING = """
WITH found AS (
    INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about, cause, need,
        severity, usability, fixer, component, started_at, last_at, known_at, confidence, detail)
    SELECT tenant_no, device_no, 'device', rule_id, version, 'battery_voltage_v', 'x', 'ticket',
        'major', 'degraded', 'technician', 'battery', %(at)s, %(at)s, %(at)s, 1, %(detail)s
    FROM device, rule_version WHERE id = 'wc-1' AND rule_id = %(rule)s
    RETURNING finding_no
)
INSERT INTO ticket_finding (ticket_no, finding_no) SELECT %(ticket)s, finding_no FROM found
"""


def found(place, rule: str, at: datetime, since: datetime) -> None:
    """The ticket rests on what a rule says, with values from `since` on."""
    told = ["mycket äldre bruk", "much older use"]
    detail = {
        "said": {"title": told, "happened": told, "action": told, "user": ["", ""]},
        "points": [[round(when.timestamp() * 1000), "battery_voltage_v", 7.125]
                   for when in (since, at)],
        "measures": {"limit": 7.125}, "ruled_out": [told],
    }  # fmt: skip
    with psycopg.connect(place.url) as conn:
        values = {"at": at, "detail": Jsonb(detail), "rule": rule, "ticket": place.ticket_no}
        conn.execute(FINDING, values)
        conn.execute("UPDATE ticket SET body_sv = 'mycket äldre bruk'")


@pytest.mark.parametrize(
    ("rule", "at_d", "since_d", "is_withheld"),
    [
        ("reported-fault", 1, 2, False),  # it speaks of the episode alone
        ("reported-fault", 1, 40, True),  # values from before the loan
        ("reported-fault", 35, 36, True),  # a finding that they do not see
        ("silent-wheelchair", 1, 2, True),  # it looks back 60 days
    ],
)
def test_what_a_ticket_says_of_the_time_before_the_loan_is_kept_back(
    place, rule, at_d, since_d, is_withheld
):
    found(place, rule, NOW - at_d * DAY, NOW - since_d * DAY)
    address = f"/tickets/{place.ticket_no}"
    for who in (astrid, frida):
        ticket = place.get(f"/api/v1{address}", who).json()
        assert ticket["is_withheld"] is is_withheld
        assert ("äldre bruk" in str(ticket)) is not is_withheld
        assert ("7.125" in str(ticket)) is not is_withheld
        assert ticket["title_sv"], ticket["user_sv"]
    page = place.get(f"{address}?lang=sv", frida).text
    assert ("äldre bruk" in page) is not is_withheld
    assert ("går längre tillbaka än lånet" in page) is is_withheld
    staff = place.get(f"/api/v1{address}", technician).json()
    assert (staff["is_withheld"], staff["body_sv"]) == (False, "mycket äldre bruk")
    assert len(staff["findings"][0]["points"]) == 2


@pytest.mark.parametrize("helped", ["yes", "no"])
def test_an_answer_is_kept_and_never_closes_the_ticket(place, helped):
    form = {"ticket_no": place.ticket_no, "step": "wc-freewheel", "helped": helped}
    answer = place.post(f"/my-device/{CHAIR}/answers", astrid, data=form)
    assert answer.status_code == 303, answer.text
    events = place.get(f"/api/v1/tickets/{place.ticket_no}/events", technician).json()["items"]
    told = [event for event in events if event["kind"] == "self_help"]
    assert len(told) == (1 if helped == "yes" else 0)
    assert "p-astrid" not in json.dumps(events)
    ticket = place.get(f"/api/v1/tickets/{place.ticket_no}", technician).json()
    assert ticket["state"] == "new"
    page = place.get(answer.headers["location"], astrid).text
    assert ("Du svarade att det hjälpte." if helped == "yes" else "inte hjälpte.") in page
    again = {"ticket_no": place.ticket_no, "step": "wc-freewheel", "helped": helped == "yes"}
    assert place.post(f"/api/v1/me/devices/{CHAIR}/answers", astrid, json=again).status_code == 200
    after = place.get(f"/api/v1/tickets/{place.ticket_no}/events", technician).json()["items"]
    assert len(after) == len(events)


def test_only_steps_that_are_offered_can_be_answered(place):
    told = {"ticket_no": place.ticket_no, "step": "open-the-battery", "helped": True}
    assert place.post(f"/api/v1/me/devices/{CHAIR}/answers", astrid, json=told).status_code == 404
    foreign = {"ticket_no": place.ticket_no, "step": "wc-freewheel", "helped": True}
    assert place.post(f"/api/v1/me/devices/{APAP}/answers", bertil, json=foreign).status_code == 404


def test_where_trying_is_a_danger_nothing_is_offered(place):
    with psycopg.connect(place.url) as conn:
        conn.execute("UPDATE ticket SET severity = 'critical'")
    (device,) = place.get("/api/v1/me/devices", astrid).json()["items"]
    assert device["tickets"][0]["steps"] == []


# Sharing


def test_stopping_takes_a_confirmation_and_holds_at_once(place):
    assert points(place, technician, "odometer_m") == 1
    asked = place.get(f"/my-device/{CHAIR}/sharing", astrid).text
    assert "Vill du sluta dela" in asked
    assert points(place, technician, "odometer_m") == 1, "asking changes nothing"
    done = place.post(f"/my-device/{CHAIR}/sharing", astrid, data={"wish": "stop"})
    assert done.status_code == 303
    with psycopg.connect(place.url) as conn:
        conn.execute("UPDATE sharing_choice SET from_at = %s", [NOW - 3 * DAY])
    assert points(place, technician, "odometer_m") == 0
    assert points(place, frida, "odometer_m") == 0
    assert points(place, astrid, "odometer_m") == 1
    assert points(place, technician, "battery_voltage_v") == 1
    assert "delar du bara det som behövs för din säkerhet" in place.get("/my-device", astrid).text
    told = place.get(f"/api/v1/devices/{CHAIR}", technician).json()["unshared_since"]
    assert told == rfc3339(NOW - 3 * DAY)
    kept_back = "delar användaren bara det som behövs för säkerheten"
    assert kept_back in place.get(f"/devices/{CHAIR}", technician).text
    shared = place.post(f"/api/v1/me/devices/{CHAIR}/sharing", astrid, json={"share": True})
    assert shared.json()["unshared_since"] is None
    page = place.get(f"/devices/{CHAIR}?range=7d", technician).text
    assert kept_back not in page
    assert "delade användaren bara det som behövdes för säkerheten" in page
    long_ago = f"{NOW - 200 * DAY:%Y-%m-%dT%H:%MZ}"
    earlier = place.get(f"/devices/{CHAIR}?range=7d&at={long_ago}", technician).text
    assert "användaren bara det som behöv" not in earlier


# Who looked


def test_who_looked_says_role_unit_and_time_and_no_name(place):
    place.get(f"/api/v1/devices/{CHAIR}", technician)
    place.get(f"/api/v1/devices/{CHAIR}", frida)
    place.get("/my-device", astrid)
    log = place.get("/api/v1/me/access-log", astrid).json()["items"]
    assert [(row["role"], row["care_unit"]) for row in log] == [
        ("prescriber", UNIT), ("technician", None)
    ]  # fmt: skip
    page = place.get("/my-device/who-looked", astrid).text
    for name in ("Frida", "Tova", "exempel-technician"):
        assert name not in page + json.dumps(log)
    assert UNIT in page
    assert place.get("/api/v1/me/access-log", bertil).json()["items"] == []


# The prescriber


def test_a_prescriber_sees_the_units_loans_and_what_is_late(place):
    with psycopg.connect(place.url) as conn:
        conn.execute("UPDATE ticket_clock SET due_at = now() - interval '1 hour',"
                     " notify_at = now() - interval '1 day', notified_at = now()")  # fmt: skip
    page = place.get("/my-loans", frida).text
    for said in ("4471 0293", "4471 8820", "Nära eller efter tidsgränsen", "Går inte att använda",
                 "Meddelande till dig"):  # fmt: skip
        assert said in page, said
    other = place.get("/my-loans", bearer(Role.PRESCRIBER, care_unit=OTHER_UNIT)).text
    assert "4471" not in other


WHY = "Medvetslös på mottagningen"


@pytest.fixture
def blocked(place):
    assert place.post("/my-device/blocks", astrid, data={"care_unit": UNIT}).status_code == 303
    return place


def test_a_blocked_prescriber_sees_that_something_is_blocked(blocked):
    assert blocked.get("/api/v1/me/blocked", frida).json() == {"blocked_n": 1}
    page = blocked.get("/my-loans", frida).text
    assert "1 lån är spärrade" in page
    assert "4471 0293" not in page
    for address in (f"/api/v1/devices/{CHAIR}", f"/devices/{CHAIR}",
                    f"/api/v1/tickets/{blocked.ticket_no}"):  # fmt: skip
        assert blocked.get(address, frida).status_code == 404
    assert blocked.get("/my-device", astrid).text.count(f"Spärrat för enhet {UNIT}") == 1


def test_an_emergency_opens_the_block_and_is_logged(blocked):
    told = {"individual_no": "4471 0293", "why": WHY}
    opened = blocked.post("/my-loans/overrides", frida, data=told)
    assert opened.headers["location"] == f"/devices/{CHAIR}"
    assert blocked.get(f"/api/v1/devices/{CHAIR}", frida).status_code == 200
    colleague = bearer(Role.PRESCRIBER, care_unit=UNIT, subject="other")
    assert blocked.get(f"/api/v1/devices/{CHAIR}", colleague).status_code == 404
    log = blocked.get("/api/v1/me/access-log", astrid).json()["items"]
    assert "öppnade en spärr i en nödsituation" in [row["what_sv"] for row in log]
    (entry,) = [row for row in blocked.get("/api/v1/audit", auditor).json()["items"]
                if row["action"] == "override_block_page"]  # fmt: skip
    assert (entry["why"], entry["person"], entry["device_id"]) == (WHY, ASTRID, CHAIR)


@pytest.mark.parametrize(
    ("number", "why", "said"),
    [("4471 0293", "akut", "minst 10 tecken"), ("9999", WHY, "inget spärrat lån")],
)
def test_an_emergency_without_a_reason_or_a_device_opens_nothing(blocked, number, why, said):
    told = {"individual_no": number, "why": why}
    answer = blocked.post("/my-loans/overrides", frida, data=told)
    assert answer.status_code == 409
    assert said in answer.text
    assert f'value="{number}"' in answer.text
    assert blocked.get("/api/v1/me/blocked", frida).json() == {"blocked_n": 1}


def test_a_block_is_removed_by_who_set_it(blocked):
    (block,) = blocked.get("/api/v1/me/blocks", astrid).json()["items"]
    path = f"/api/v1/me/blocks/{block['block_no']}"
    assert blocked.client.delete(path, headers={**bertil, **HERE}).status_code == 404
    assert blocked.client.delete(path, headers={**astrid, **HERE}).json() == {"items": []}
    assert blocked.get(f"/api/v1/devices/{CHAIR}", frida).status_code == 200


def test_a_block_is_of_one_unit_or_of_all_but_one(place):
    both = {"care_unit": UNIT, "kept_unit": UNIT}
    assert place.post("/api/v1/me/blocks", astrid, json=both).status_code == 422
    found = place.post("/api/v1/me/blocks", astrid, json={"kept_unit": UNIT}).json()["items"]
    assert [(block["care_unit"], block["kept_unit"]) for block in found] == [(None, UNIT)]
    assert place.get(f"/api/v1/devices/{CHAIR}", frida).status_code == 200


# Export, erasure, holds


def test_an_administrator_exports_a_person(place):
    asked = {"person": ASTRID, "why": "Begäran 2026-117"}
    answer = place.post("/api/v1/persons/export", admin, json=asked)
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert {"loans.json", "telemetry.csv", "faults.csv", "tickets.json", "access_log.csv"} <= set(
        archive.namelist()
    )
    (entry,) = [row for row in place.get("/api/v1/audit", auditor).json()["items"]
                if row["action"] == "export_person"]  # fmt: skip
    assert (entry["person"], entry["why"]) == (ASTRID, "Begäran 2026-117")
    nobody = place.post("/api/v1/persons/export", admin, json={**asked, "person": "p-nobody"})
    assert nobody.status_code == 404
    assert "p-nobody" not in nobody.text


def test_an_erasure_is_tried_before_it_is_done(place):
    with psycopg.connect(place.url) as conn:
        end_loan(conn, CHAIR, NOW - DAY / 2)
    asked = {"person": ASTRID, "why": "Begäran 2026-118"}
    tried = place.post("/api/v1/persons/erase", admin, json=asked).json()
    again = place.post("/api/v1/persons/erase", admin, json=asked).json()
    assert tried == again
    assert (tried["dry_run"], tried["erased"][0]["sample_n"]) == (True, 2)
    assert entries(place, "erase_person") == []
    assert entries(place, "try_erasure") == [(ASTRID, "Begäran 2026-118")] * 2
    done = place.post("/api/v1/persons/erase", admin, json={**asked, "dry_run": False}).json()
    assert done == {**tried, "dry_run": False}
    assert {stay["kept"] for stay in done["staying"]} == {
        "record_of_care", "engineering", "access_log"
    }  # fmt: skip
    gone = place.post("/api/v1/persons/erase", admin, json=asked)
    assert gone.status_code == 404


def test_a_hold_beats_an_erasure_until_it_is_released(place):
    with psycopg.connect(place.url) as conn:
        end_loan(conn, CHAIR, NOW - DAY / 2)
    held = place.post("/api/v1/holds", admin, json={"device": CHAIR, "why": "stolen välte"})
    assert held.status_code == 201
    twice = place.post("/api/v1/holds", admin, json={"device": CHAIR, "why": "stolen välte"})
    assert twice.status_code == 409
    asked = {"person": ASTRID, "why": "Begäran 2026-119", "dry_run": False}
    kept = place.post("/api/v1/persons/erase", admin, json=asked).json()
    assert (kept["erased"], kept["staying"][0]["kept"]) == ([], "held")
    (listed,) = place.get("/api/v1/holds", auditor).json()["items"]
    assert (listed["device_id"], listed["why"]) == (CHAIR, "stolen välte")
    address = f"/api/v1/holds/{held.json()['hold_no']}/release"
    assert place.post(address, admin, json={"why": "  "}).status_code == 422
    assert place.post(address, admin, json={"why": "utredd"}).status_code == 200
    (listed,) = place.get("/api/v1/holds", auditor).json()["items"]
    assert (listed["released_by"], listed["released_why"]) == ("Adam Administratör", "utredd")
    assert place.post("/api/v1/persons/erase", admin, json=asked).json()["erased"]


def only_centre(role) -> dict[str, str]:
    return bearer(role, centre="norr")


def test_one_centre_does_not_answer_for_the_whole_tenant(place):
    asked = {"person": ASTRID, "why": "Begäran 2026-120"}
    hold = {"device": CHAIR, "why": "stolen välte"}
    centre = only_centre(Role.ADMINISTRATOR)
    for address, body in (("persons/export", asked), ("persons/erase", asked), ("holds", hold)):
        answer = place.post(f"/api/v1/{address}", centre, json=body)
        assert (answer.status_code, answer.json()["type"][-12:]) == (403, "whole-tenant")
    for address, form in (("persons/export", asked), ("persons/erasure", asked), ("holds", hold)):
        answer = place.post(f"/{address}", centre, data=form)
        assert answer.status_code == 409
        assert "hela huvudmannen" in answer.text
    for address in ("/persons", "/holds"):
        assert '<form class="acts"' not in place.get(address, centre).text


def entries(place, action):
    items = place.get("/api/v1/audit?limit=500", auditor).json()["items"]
    return [(row["person"], row["why"]) for row in items if row["action"] == action]


def test_the_page_gives_an_export_and_no_address_has_the_person(place):
    form = {"person": ASTRID, "why": "Begäran 2026-121"}
    answer = place.post("/persons/export", admin, data=form)
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "loans.json" in zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert entries(place, "export_person_page") == [(ASTRID, "Begäran 2026-121")]
    shown = place.post("/persons/erasure", admin, data=form)
    assert ASTRID not in str(re.findall(r'(?:href|action|formaction)="([^"]*)"', shown.text))


@pytest.mark.parametrize("address", ["export", "erasure", "erasure/confirmed"])
@pytest.mark.parametrize(
    ("person", "why", "said"),
    [("", "skäl nog", "Skriv en pseudonym"), (ASTRID, "x", "Skriv ett skäl på 3 till 500"),
     ("p-nobody", "skäl nog", "Inget lån är kopplat")],
)  # fmt: skip
def test_a_request_that_cannot_be_met_says_why_and_keeps_what_was_typed(
    place, address, person, why, said
):
    form = {"person": person, "why": why, "agreed": "yes"}
    answer = place.post(f"/persons/{address}", admin, data=form)
    assert answer.status_code == 409
    assert said in answer.text
    assert f'name="why" value="{why}"' in answer.text
    assert entries(place, "erase_person_page") == []


def test_an_erasure_is_shown_then_confirmed_on_the_page(place):
    with psycopg.connect(place.url) as conn:
        end_loan(conn, CHAIR, NOW - DAY / 2)
    form = {"person": ASTRID, "why": "Begäran 2026-122"}
    shown = place.post("/persons/erasure", admin, data=form).text
    for said in ("Inget är raderat ännu", "Blir kvar, och varför", "Åtkomstloggen ska enligt lag",
                 CHAIR):  # fmt: skip
        assert said in shown, said
    tag = re.search(r'name="tag" value="(\w+)"', shown)[1]
    unread = place.post("/persons/erasure/confirmed", admin, data={**form, "tag": tag})
    assert (unread.status_code, "Kryssa för" in unread.text) == (409, True)
    agreed = {**form, "tag": tag, "agreed": "yes"}
    done = place.post("/persons/erasure/confirmed", admin, data=agreed)
    assert done.status_code == 200
    assert "Raderingen är gjord" in done.text
    assert 'name="agreed"' not in done.text
    again = place.post("/persons/erasure/confirmed", admin, data=agreed)
    assert "Inget lån är kopplat" in again.text
    assert entries(place, "erase_person_page") == [(ASTRID, "Begäran 2026-122")]


def test_an_erasure_that_is_another_one_by_now_is_shown_anew(place):
    with psycopg.connect(place.url) as conn:
        end_loan(conn, CHAIR, NOW - DAY / 2)
    form = {"person": ASTRID, "why": "Begäran 2026-123"}
    shown = place.post("/persons/erasure", admin, data=form).text
    tag = re.search(r'name="tag" value="(\w+)"', shown)[1]
    place.post("/holds", admin, data={"device": CHAIR, "why": "stolen välte"})
    answer = place.post(
        "/persons/erasure/confirmed", admin, data={**form, "tag": tag, "agreed": "yes"}
    )
    assert answer.status_code == 409
    assert "Något har ändrats sedan du läste" in answer.text
    assert "En negativ händelse utreds" in answer.text
    assert points(place, technician, "battery_voltage_v") == 1


def test_a_hold_is_placed_by_the_number_on_the_device_and_released_with_a_reason(place):
    form = {"device": "4471 0293", "why": "stolen välte"}
    assert place.post("/holds", admin, data=form).headers["location"] == "/holds"
    shown = place.get("/holds", auditor).text
    assert CHAIR in shown
    assert "stolen välte" in shown
    assert 'name="why"' not in shown, "an auditor only reads"
    assert "Det bevaras redan" in place.post("/holds", admin, data=form).text
    (hold,) = place.get("/api/v1/holds", admin).json()["items"]
    address = f"/holds/{hold['hold_no']}/release"
    assert place.post(address, auditor, data={"why": "utredd"}).status_code == 403
    assert "Skriv ett skäl" in place.post(address, admin, data={"why": ""}).text
    done = place.post(address, admin, data={"why": "utredd"})
    assert done.headers["location"] == f"/holds#hold-{hold['hold_no']}"
    assert "Adam Administratör: utredd" in place.get("/holds", admin).text
    assert "redan avslutat" in place.post(address, admin, data={"why": "utredd"}).text
    assert entries(place, "release_hold_page") == [("p-astrid", "utredd")]


@pytest.mark.parametrize(
    ("form", "said"),
    [({"why": "stolen välte"}, "antingen ett hjälpmedel eller en person"),
     ({"device": CHAIR, "person": ASTRID, "why": "stolen"}, "antingen ett hjälpmedel"),
     ({"device": "4471", "why": "stolen välte"}, "Inget hjälpmedel har det numret"),
     ({"person": ASTRID, "why": "x"}, "Skriv ett skäl på 3 till 500")],
)  # fmt: skip
def test_a_hold_on_nothing_certain_is_not_placed(place, form, said):
    answer = place.post("/holds", admin, data=form)
    assert answer.status_code == 409
    assert said in answer.text
    assert place.get("/api/v1/holds", admin).json()["items"] == []


def test_a_hold_on_a_person_notes_whose_and_names_no_address(place):
    place.post("/holds", admin, data={"person": ASTRID, "why": "brännskada"})
    assert entries(place, "place_hold_page") == [(ASTRID, "brännskada")]
    shown = place.get("/holds", admin).text
    assert ASTRID in shown
    assert ASTRID not in str(re.findall(r'(?:href|action)="([^"]*)"', shown))


def test_somebody_is_signed_out_from_the_page(place):
    token = secrets.token_urlsafe(32)
    caller = access_settings().claims.caller(claims_of(Role.TECHNICIAN))
    with psycopg.connect(place.url) as conn:
        open_session(conn, token, caller, datetime.now(UTC), timedelta(hours=1))
    cookie = {"Cookie": f"fjarrkoll_session={token}"}
    assert place.get("/devices", cookie).status_code == 200
    shown = place.get("/users", admin).text
    assert "1 öppen session" in shown
    done = place.post("/users/sign-out", admin, data={"subject": caller.subject})
    assert done.headers["location"] == "/users?ended=1"
    assert "1 session är avslutad" in place.get(done.headers["location"], admin).text
    assert place.get("/devices", cookie).status_code == 303
    assert place.post("/users/sign-out", admin, data={"subject": "nobody"}).status_code == 404
    other = bearer(Role.ADMINISTRATOR, tenant="annan")
    assert place.post("/users/sign-out", other, data={"subject": caller.subject}).status_code == 404
    (entry,) = [row for row in place.get("/api/v1/audit", auditor).json()["items"]
                if row["action"] == "sign_out_user_page"]  # fmt: skip
    assert (entry["object_kind"], entry["object_id"]) == ("user", caller.subject)


@pytest.mark.parametrize("who", [technician, frida, astrid, auditor])
def test_only_administrators_export_and_erase(place, who):
    asked = {"person": ASTRID, "why": "nyfiken"}
    for address in ("export", "erase"):
        assert place.post(f"/api/v1/persons/{address}", who, json=asked).status_code == 403


# The access log


def test_the_log_is_filtered_by_device_person_and_day(place):
    place.get(f"/api/v1/devices/{CHAIR}", technician)
    place.get(f"/api/v1/devices/{APAP}", frida)
    by_device = place.get(f"/api/v1/audit?device={CHAIR}", auditor).json()["items"]
    assert [row["subject"] for row in by_device] == ["exempel-auditor", "exempel-technician"]
    by_subject = place.get("/api/v1/audit?subject=frida", auditor).json()["items"]
    assert [row["device_id"] for row in by_subject] == [APAP]
    later = f"{NOW + DAY:%Y-%m-%dT%H:%M:%SZ}"
    assert place.get(f"/api/v1/audit?from={later}", auditor).json()["items"] == []
    page = place.get(f"/access-log?device={CHAIR}", auditor).text
    assert "Tova Tekniker" in page
    assert "Frida" not in page
    assert "Inga rader här" in place.get(f"/access-log?to={NOW - DAY:%Y-%m-%d}", auditor).text


def test_the_log_goes_on_page_by_page(place):
    for _ in range(5):
        place.get(f"/api/v1/devices/{CHAIR}", technician)
    found, cursor = [], ""
    while cursor is not None:
        page = place.get(
            f"/api/v1/audit?subject=exempel-technician&limit=2{cursor}", auditor
        ).json()
        found += [row["no"] for row in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert found == sorted(found, reverse=True)
    assert len(found) == 5


def test_a_spot_check_draws_the_same_entries_again_and_notes_what_was_checked(place):
    for _ in range(30):
        place.get(f"/api/v1/devices/{CHAIR}", technician)
    day = f"{NOW - DAY:%Y-%m-%d}"
    shown = place.get(f"/access-log?sample=5&seed=7&from={day}", auditor).text
    drawn = re.findall(r'id="entry-(\d+)"', shown)
    assert len(set(drawn)) == 5
    form = {"note": "rimligt", "sample": "5", "seed": "7"}
    done = place.post(f"/access-log/{drawn[0]}/check", auditor, data=form)
    assert done.headers["location"] == f"/access-log?sample=5&seed=7#entry-{drawn[0]}"
    (entry,) = [row for row in place.get("/api/v1/audit", auditor).json()["items"]
                if row["action"] == "check_entry_page"]  # fmt: skip
    assert (entry["object_id"], entry["why"]) == (drawn[0], "rimligt")
    first = place.get(f"/access-log?cursor=&to={NOW + DAY:%Y-%m-%d}", auditor).text
    assert "rimligt" in first
    assert place.post("/access-log/99999999/check", auditor, data={"note": "x"}).status_code == 404


def test_the_log_is_searched_by_person_and_the_person_sees_that(place):
    place.get(f"/api/v1/devices/{CHAIR}", technician)
    place.get(f"/api/v1/devices/{APAP}", frida)
    found = place.post("/api/v1/audit/search", auditor, json={"person": ASTRID}).json()["items"]
    assert [(row["subject"], row["person"]) for row in found] == [("exempel-technician", ASTRID)]
    later = {"person": ASTRID, "from": f"{NOW + DAY:%Y-%m-%dT%H:%M:%SZ}"}
    assert place.post("/api/v1/audit/search", auditor, json=later).json()["items"] == []
    again = place.post("/api/v1/audit/search", auditor, json={"person": ASTRID, "limit": 1}).json()
    assert [row["action"] for row in again["items"]] == ["search_audit"]
    more = {"person": ASTRID, "limit": 1, "cursor": again["next_cursor"]}
    rest = place.post("/api/v1/audit/search", auditor, json=more).json()["items"]
    assert rest[0]["no"] < again["items"][0]["no"]
    looks = place.get("/api/v1/me/access-log", astrid).json()["items"]
    assert "sökte på en person i åtkomstloggen" in [look["what_sv"] for look in looks]
    assert place.post("/api/v1/audit/search", auditor, json={"who": ASTRID}).status_code == 422
    assert place.post("/api/v1/audit/search", technician, json={}).status_code == 403


def test_the_page_searches_by_person_and_no_address_has_the_person(place):
    for _ in range(55):
        place.get(f"/api/v1/devices/{CHAIR}", technician)
    place.get(f"/api/v1/devices/{APAP}", frida)
    today = f"{NOW:%Y-%m-%d}"
    shown = place.post("/access-log/search", auditor, data={"person": ASTRID, "from": today}).text
    assert len(re.findall(r'id="entry-', shown)) == 50
    assert "Tova Tekniker" in shown
    assert "Frida" not in shown
    addresses = re.findall(r'(?:href|action)="([^"]*)"', shown)
    assert not [address for address in addresses if ASTRID in address]
    assert "/access-log?" in str(addresses), "the other language is of the page"
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown))
    assert (fields["person"], fields["from"]) == (ASTRID, today)
    rest = place.post("/access-log/search", auditor, data=fields).text
    assert len(re.findall(r'id="entry-', rest)) == 5
    assert 'id="entry-' not in place.post("/access-log/search", auditor, data={}).text


def test_the_log_says_where_its_chain_ends_to_whoever_sees_all_of_it(place):
    place.get(f"/api/v1/devices/{CHAIR}", technician)
    shown = place.get("/access-log", auditor).text
    newest = place.get("/api/v1/audit?limit=2", auditor).json()["items"][1]
    assert f"nummer {newest['no']} och skrevs" in shown
    assert newest["hash"] in shown
    assert "fjarrkoll audit verify --tenant exempel" in shown
    part = place.get("/access-log", bearer(Role.AUDITOR, centre="norr")).text
    assert "Loggens kedja" not in part


@pytest.mark.parametrize("who", [technician, frida, astrid])
def test_the_log_is_for_auditors_and_administrators(place, who):
    assert place.get("/access-log", who).status_code == 403
    assert place.get("/api/v1/audit", who).status_code == 403


def test_a_person_is_never_in_an_address(place):
    paths = place.get("/api/v1/openapi.json", admin).json()["paths"]
    assert [path for path in paths if "person}" in path or "pseudonym" in path] == []
    names = [p["name"] for path in paths.values() for method in path.values()
             if isinstance(method, dict) for p in method.get("parameters", [])]  # fmt: skip
    assert "person" not in names
