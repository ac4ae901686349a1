"""The patient, the prescriber and the access log, over HTTP and in pages."""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb
from starlette.testclient import TestClient
from support.people import UNIT, access_settings, bearer

from api.access.gate import endpoints, operation_of
from api.access.policy import shipped_policy
from api.app import create_app
from api.process import ApiSettings
from fleet.access.callers import Role
from storage.deadlines import assign_agreement, open_clocks
from storage.lending import end_loan, start_loan
from storage.registry import NewDevice, add_devices, sync_catalogues

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
    for said in ("Använd det inte", "Kör inte med stolen", "Vi börjar senast", "Hjälpte det?",
                 "Behövs för din säkerhet", "112"):  # fmt: skip
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
    assert "Du delar bara det som säkerheten behöver" in place.get("/my-device", astrid).text
    told = place.get(f"/api/v1/devices/{CHAIR}", technician).json()["unshared_since"]
    assert told == f"{NOW - 3 * DAY:%Y-%m-%dT%H:%M:%S}.{NOW.microsecond // 1000:03}Z"
    kept_back = "delar bara det som säkerheten behöver"
    assert kept_back in place.get(f"/devices/{CHAIR}", technician).text
    shared = place.post(f"/api/v1/me/devices/{CHAIR}/sharing", astrid, json={"share": True})
    assert shared.json()["unshared_since"] is None
    page = place.get(f"/devices/{CHAIR}?range=7d", technician).text
    assert kept_back not in page
    assert "delade användaren bara det som säkerheten behöver" in page
    long_ago = f"{NOW - 200 * DAY:%Y-%m-%dT%H:%MZ}"
    earlier = place.get(f"/devices/{CHAIR}?range=7d&at={long_ago}", technician).text
    assert "säkerheten behöver" not in earlier


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
    for said in ("4471 0293", "4471 8820", "Nära eller förbi sista tid", "Går inte att använda",
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
    released = place.post(f"/api/v1/holds/{held.json()['hold_no']}/release", admin)
    assert released.status_code == 200
    assert place.post("/api/v1/persons/erase", admin, json=asked).json()["erased"]


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
