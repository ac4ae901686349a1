"""Who looked: entries become looks, and a list that is shown to care is logged row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from starlette.testclient import TestClient
from support.people import UNIT, access_settings, bearer

from api.access.policy import Log, shipped_policy
from api.app import create_app
from api.looks import ONE_LOOK, grouped
from api.process import ApiSettings
from fleet.access.audit import START, Entry, Row
from fleet.access.callers import Role
from storage.lending import start_loan
from storage.registry import NewDevice, add_devices, sync_catalogues

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CHAIR, OTHER = "wc-1", "wc-2"
FRIDA = bearer(Role.PRESCRIBER, care_unit=UNIT)
ASTRID = bearer(Role.PATIENT, person="p-astrid")


def entry(minutes, action="device_charts_part", **more):
    known = {"subject": "frida", "role": "prescriber", "care_unit": UNIT, "device_id": CHAIR}
    said = {**known, **more}
    return Entry("exempel", NOW - minutes * MINUTE, name="F", action=action,
                 object_kind="device", **said)  # fmt: skip


def rows(*entries):
    """As the log gives them: the newest first."""
    return [
        Row(len(entries) - n, one, START, START)
        for n, one in enumerate(sorted(entries, key=lambda one: one.at, reverse=True))
    ]


def counted(*entries, limit=100):
    found, _ = grouped(rows(*entries), limit)
    return [look.count for look in found]


def test_clicks_that_follow_each_other_are_one_look():
    found, used_n = grouped(rows(entry(20, "device_page"), *map(entry, range(20))), 100)
    (look,) = found
    assert (look.count, used_n) == (21, 21)
    assert (look.from_at, look.at) == (NOW - 20 * MINUTE, NOW)
    assert look.what == ["action.device_charts_part", "action.device_page"]


@pytest.mark.parametrize(
    ("entries", "counts"),
    [
        pytest.param([entry(0), entry(31)], [1, 1], id="a pause"),
        pytest.param([entry(0), entry(29), entry(58)], [3], id="a long visit"),
        pytest.param([entry(0), entry(1, subject="bo")], [1, 1], id="two people"),
        pytest.param([entry(0), entry(1, care_unit=None, role="technician")], [1, 1], id="role"),
        pytest.param([entry(0), entry(1, device_id=OTHER)], [1, 1], id="two devices"),
        pytest.param([entry(0), entry(1, subject="bo"), entry(2)], [2, 1], id="in between"),
        pytest.param(
            [entry(0), entry(1, "end_loan"), entry(2, "end_loan")], [1, 1, 1], id="change"
        ),
        pytest.param([entry(0), entry(1, role="patient")], [1], id="own visit"),
    ],
)
def test_what_one_look_is(entries, counts):
    assert ONE_LOOK == 30 * MINUTE
    assert counted(*entries) == counts


def test_a_page_of_looks_ends_where_the_next_one_begins():
    all_rows = rows(*(entry(40 * n, subject=f"s{n}") for n in range(5)))
    first, used_n = grouped(all_rows, 2)
    second, _ = grouped(all_rows[used_n:], 100)
    assert [len(first), len(second)] == [2, 3]


def test_every_list_that_care_may_read_is_logged_or_names_no_loan():
    """A new endpoint that shows loans to care must not be forgotten here."""
    quiet = {
        operation
        for operation, rule in shipped_policy().items()
        if rule.log is Log.NOTHING and rule.roles and {Role.PRESCRIBER, Role.PATIENT} & rule.roles
    }
    names_no_loan = {
        "list_catalogue_faults", "list_catalogue_systems", "list_catalogue_models",
        "list_catalogue_metrics", "list_policies", "get_policy", "list_agreements", "get_me",
        "get_blocked",
    }  # fmt: skip
    about_the_log = {"get_my_access_log", "who_looked_page"}
    own_choices = {"list_my_blocks", "my_sharing_page"}
    assert quiet == names_no_loan | about_the_log | own_choices


@pytest.fixture(scope="module")
def place(plain):
    name = "looks"
    url = plain.create_migrated(name)
    now = datetime.now(UTC)
    with psycopg.connect(url) as conn:
        sync_catalogues(conn, now)
        devices = [NewDevice(CHAIR, "permobil-m3", individual_no="4471 0293"),
                   NewDevice(OTHER, "permobil-m3", individual_no="4471 0294")]  # fmt: skip
        add_devices(conn, devices, tenant="exempel", centre="norr", centre_name="Norr")
        start_loan(conn, CHAIR, "p-astrid", [], now - timedelta(days=9), care_unit=UNIT)
        start_loan(conn, OTHER, "p-bertil", [], now - timedelta(days=9), care_unit=UNIT)
        conn.execute(
            "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability,"
            " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
            " updated_at) SELECT device_no, tenant_no, 'x', 'AU', 'major', 'degraded',"
            " 'technician', 'brake', 'a', 'a', '', '', now(), now(), now() FROM device"
        )
    app = create_app(ApiSettings(url, access_settings(), port=0))
    with TestClient(app, base_url="http://127.0.0.1:8460", follow_redirects=False) as client:
        yield url, client
    plain.drop_database(name)


def logged(url, since):
    with psycopg.connect(url) as conn:
        return conn.execute(
            "SELECT action, device_id, person FROM audit WHERE audit_no > %s ORDER BY audit_no",
            [since],
        ).fetchall()


def last_no(url):
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT coalesce(max(audit_no), 0) FROM audit").fetchone()[0]


@pytest.mark.parametrize(
    ("path", "action", "shown"),
    [
        ("/api/v1/devices", "list_devices", [CHAIR, OTHER]),
        ("/api/v1/devices?limit=1", "list_devices", [CHAIR]),
        ("/api/v1/devices?q=nothing", "list_devices", []),
        ("/api/v1/tickets", "list_tickets", [CHAIR, OTHER]),
        ("/api/v1/fhir/Device?identifier=4471 0293", "fhir_search_devices", [CHAIR]),
        ("/devices", "devices_page", [CHAIR, OTHER]),
        ("/find?q=4471", "find_page", [CHAIR, OTHER]),
        ("/my-loans", "my_loans_page", [CHAIR, OTHER]),
    ],
)
def test_what_a_list_shows_a_prescriber_is_logged_loan_by_loan(place, path, action, shown):
    url, client = place
    since = last_no(url)
    assert client.get(path, headers=FRIDA).status_code == 200
    persons = {CHAIR: "p-astrid", OTHER: "p-bertil"}
    assert sorted(logged(url, since)) == [(action, device, persons[device]) for device in shown]


@pytest.mark.parametrize("path", ["/api/v1/devices", "/api/v1/tickets", "/devices", "/find?q=4471"])
def test_a_list_of_devices_names_nobody_to_staff(place, path):
    url, client = place
    since = last_no(url)
    assert client.get(path, headers=bearer(Role.TECHNICIAN)).status_code == 200
    assert logged(url, since) == []


def test_an_emergency_that_is_refused_is_no_emergency_in_the_log(place):
    url, client = place
    since = last_no(url)
    told = {"individual_no": "4471 0293", "why": "akut"}
    headers = {**FRIDA, "Origin": "http://127.0.0.1:8460"}
    assert client.post("/my-loans/overrides", headers=headers, data=told).status_code == 409
    written = {action for action, _, _ in logged(url, since)}
    assert written == {"my_loans_page", "override_block_page_refused"}


def test_the_person_sees_the_list_they_stood_in(place):
    _, client = place
    client.get("/my-loans", headers=FRIDA)
    client.get("/my-loans", headers=FRIDA)
    (look, *_) = client.get("/api/v1/me/access-log", headers=ASTRID).json()["items"]
    assert "läste enhetens lån" in look["what_sv"]
    assert look["count"] >= 2
    page = client.get("/my-device/who-looked", headers=ASTRID | {"Accept-Language": "sv"}).text
    assert "gånger" in page
