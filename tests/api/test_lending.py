"""Loans and places over HTTP, each test with a fleet of its own."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from starlette.testclient import TestClient
from support.people import UNIT, access_settings, bearer

from api.app import create_app
from api.process import ApiSettings
from fleet.access.callers import Role
from storage.registry import NewDevice, add_devices, sync_catalogues

CHAIR, OTHER = "wc-1", "wc-2"
LOANS = f"/api/v1/devices/{CHAIR}/loans"
PLACES = f"/api/v1/devices/{CHAIR}/placements"
DESK, TECHNICIAN = bearer(Role.SERVICE_DESK), bearer(Role.TECHNICIAN)
PERSON = "p-7f3a9c"


def instant(**ago):
    return (datetime.now(UTC) - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def url(plain_database):
    with psycopg.connect(plain_database) as conn:
        sync_catalogues(conn, datetime.now(UTC))
        devices = [NewDevice(device, "permobil-m3") for device in (CHAIR, OTHER)]
        add_devices(conn, devices, tenant="exempel", centre="norr")
    return plain_database


@pytest.fixture
def desk(url):
    settings = ApiSettings(url, access_settings(), port=0, database_wait_s=2.0)
    with TestClient(
        create_app(settings),
        base_url="http://127.0.0.1:8460",
        headers=DESK,
        follow_redirects=False,
    ) as opened:
        yield opened


def lend(client, **body):
    said = {"person": PERSON, "care_unit": UNIT, **body}
    return client.post(LOANS, json={key: value for key, value in said.items() if value})


def tag(client):
    return {"If-Match": client.get(LOANS).headers["ETag"]}


def rows(url, query):
    with psycopg.connect(url) as conn:
        return conn.execute(query).fetchall()


def test_a_device_is_lent_and_taken_back_and_nobody_is_named(desk, url):
    started = lend(desk, basic_needs=["eating"], at=instant(days=3))
    assert started.status_code == 201
    assert started.json()["is_lent"] is True
    assert PERSON not in started.text
    assert UNIT not in started.text
    ended = desk.post(f"{LOANS}/end", json={}, headers=tag(desk))
    assert ended.status_code == 200
    (loan,) = ended.json()["items"]
    assert (loan["basic_needs"], loan["ended_at"] is not None) == (["eating"], True)
    assert rows(url, "SELECT person, care_unit FROM person_link") == [(PERSON, UNIT)]
    log = rows(url, "SELECT action, role, device_id FROM audit WHERE action LIKE '%%loan'")
    assert log == [("start_loan", "service_desk", CHAIR), ("end_loan", "service_desk", CHAIR)]


def test_a_device_that_is_out_is_not_lent_again(desk):
    assert lend(desk).status_code == 201
    again = lend(desk)
    assert again.status_code == 409
    assert "out on loan" in again.json()["detail"]


def test_a_change_names_the_version_it_saw(desk):
    lend(desk, at=instant(days=2))
    before = tag(desk)
    without = desk.post(f"{LOANS}/end", json={})
    assert without.status_code == 428
    needs = {"basic_needs": ["toilet"]}
    changed = desk.put(f"{LOANS}/current/needs", json=needs, headers=before)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != before["If-Match"]
    stale = desk.post(f"{LOANS}/end", json={}, headers=before)
    assert stale.status_code == 412
    assert desk.get(LOANS).json()["is_lent"] is True
    fresh = desk.post(f"{LOANS}/end", json={}, headers={"If-Match": changed.headers["ETag"]})
    assert fresh.status_code == 200


def test_the_same_request_sent_twice_lends_once(desk):
    key = {"Idempotency-Key": "k-1"}
    body = {"person": PERSON}
    answers = [desk.post(LOANS, json=body, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"]
    other = desk.post(LOANS, json={"person": "p-other"}, headers=key)
    assert other.status_code == 422


@pytest.mark.parametrize(
    "person", ["19121212-1212", "191212121212", "121212+1212", "Åsa", "a\nb", "", " x", "x" * 81]
)
def test_a_personal_number_or_a_name_is_no_pseudonym(desk, url, person):
    response = desk.post(LOANS, json={"person": person})
    assert response.status_code == 422
    assert rows(url, "SELECT count(*) FROM loan") == [(0,)]


@pytest.mark.parametrize("at", [{"days": -1}, {"days": 400}])
def test_a_loan_begins_within_the_year_behind_us(desk, at):
    assert lend(desk, at=instant(**at)).status_code == 422


def test_a_loan_cannot_begin_within_an_earlier_one(desk):
    lend(desk, at=instant(days=9))
    desk.post(f"{LOANS}/end", json={"at": instant(days=3)}, headers=tag(desk))
    assert lend(desk, at=instant(days=5)).status_code == 409
    assert lend(desk, at=instant(days=2)).status_code == 201


@pytest.mark.parametrize(
    "role", [Role.TECHNICIAN, Role.CENTRE_MANAGER, Role.AUDITOR, Role.PATIENT, Role.PRESCRIBER]
)
def test_loans_are_the_service_desks_to_make(desk, role):
    for path in (LOANS, f"{LOANS}/end", f"/devices/{CHAIR}/loans", f"/devices/{CHAIR}/loans/end"):
        assert desk.post(path, json={}, headers=bearer(role)).status_code == 403


def test_the_prescriber_says_what_the_device_is_needed_for(desk):
    lend(desk, at=instant(days=2))
    prescriber = bearer(Role.PRESCRIBER)
    seen = desk.get(LOANS, headers=prescriber)
    assert len(seen.json()["items"]) == 1
    headers = {**prescriber, "If-Match": seen.headers["ETag"]}
    body = {"basic_needs": ["breathing_support"]}
    changed = desk.put(f"{LOANS}/current/needs", json=body, headers=headers)
    assert changed.status_code == 200
    assert changed.json()["items"][0]["basic_needs"] == ["breathing_support"]
    stranger = bearer(Role.PRESCRIBER, care_unit="SE2321000016-VE99")
    headers = {**stranger, "If-Match": "*"}
    assert desk.put(f"{LOANS}/current/needs", json=body, headers=headers).status_code == 404


def test_a_patient_sees_their_own_loan_and_no_earlier_one(desk):
    lend(desk, person="p-before", at=instant(days=9))
    desk.post(f"{LOANS}/end", json={"at": instant(days=5)}, headers=tag(desk))
    lend(desk, at=instant(days=4))
    seen = desk.get(LOANS, headers=bearer(Role.PATIENT, person=PERSON)).json()
    assert [loan["ended_at"] for loan in seen["items"]] == [None]
    assert len(desk.get(LOANS).json()["items"]) == 2
    before = bearer(Role.PATIENT, person="p-before")
    assert desk.get(LOANS, headers=before).status_code == 404


def test_a_technician_moves_a_device_and_it_says_who_and_why(desk):
    body = {"place": "workshop", "why": "byter hjul"}
    moved = desk.post(PLACES, json=body, headers=TECHNICIAN)
    assert moved.status_code == 200
    (row,) = moved.json()["items"]
    assert moved.json()["place"] == "workshop"
    assert (row["who"], row["why"]) == ("Tova Tekniker", "byter hjul")
    earlier = {"place": "storage", "at": instant(days=2)}
    refused = desk.post(PLACES, json=earlier, headers=TECHNICIAN)
    assert refused.status_code == 409
    corrected = desk.post(PLACES, json={**earlier, "is_correction": True}, headers=TECHNICIAN)
    assert corrected.json()["place"] == "storage"


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.PATIENT, Role.PRESCRIBER])
def test_others_do_not_move_devices(desk, role):
    response = desk.post(PLACES, json={"place": "storage"}, headers=bearer(role))
    assert response.status_code == 403


def test_another_tenants_device_does_not_exist(desk):
    other = bearer(Role.ADMINISTRATOR, tenant="annan")
    sync = desk.post(LOANS, json={"person": PERSON}, headers=other)
    assert sync.status_code in {403, 404}  # 403: that tenant is not registered at all
    centre = bearer(Role.ADMINISTRATOR, centre="syd")
    assert desk.post(LOANS, json={"person": PERSON}, headers=centre).status_code == 404
    assert desk.post(PLACES, json={"place": "storage"}, headers=centre).status_code == 404


# The forms of the page -------------------------------------------------------------------------

PAGE = f"/devices/{CHAIR}?lang=sv"


def form(client, path, **fields):
    page_tag = client.get(LOANS).headers["ETag"]
    return client.post(f"/devices/{CHAIR}/{path}?lang=sv", data={"tag": page_tag, **fields})


def test_lending_and_taking_back_on_the_page(desk):
    assert "Inte utlånat." in desk.get(PAGE).text
    lent = form(desk, "loans", person=PERSON, care_unit=UNIT, need=["eating", "toilet", "odd"])
    assert lent.status_code == 303
    assert lent.headers["location"] == f"/devices/{CHAIR}?lang=sv#lending"
    page = desk.get(PAGE).text
    assert "Utlånat sedan" in page
    assert "att äta, att gå på toaletten." in page
    assert PERSON not in page
    assert form(desk, "loans/end").status_code == 303
    page = desk.get(PAGE).text
    assert "Inte utlånat." in page
    assert "Tidigare lån" in page


def test_moving_on_the_page_makes_the_device_quiet(desk):
    moved = form(desk, "placement", place="workshop", why="byter <b>hjul</b>")
    assert moved.status_code == 303
    page = desk.get(PAGE).text
    assert "På verkstaden sedan" in page
    assert "skapar inga ärenden" in page
    assert "byter &lt;b&gt;hjul&lt;/b&gt;" in page
    assert 'value="workshop"' not in page
    assert 'value="in_use"' in page


@pytest.mark.parametrize(
    ("path", "fields", "says"),
    [
        ("loans", {"person": "19121212-1212"}, "Personnummer får inte användas"),
        ("loans", {}, "Ange en pseudonym"),
        ("loans", {"person": "p", "care_unit": "å"}, "Ange enhetens id"),
        ("loans", {"person": "p", "at": "2099-01-01T10:00"}, "inte i framtiden"),
        ("loans", {"person": "p", "at": "1999-01-01T10:00"}, "inom det senaste året"),
        ("loans/end", {}, "inte utlånat"),
        ("loans/needs", {"need": "eating"}, "inget lån att ange behov för"),
        ("placement", {"place": "moon"}, "Välj en plats"),
        ("placement", {"place": "storage", "tag": '"old"'}, "hann ändra lånet"),
    ],
)
def test_a_form_that_is_refused_says_why_and_changes_nothing(desk, url, path, fields, says):
    refused = form(desk, path, **fields)
    assert refused.status_code == 409
    assert says in refused.text
    assert 'role="alert"' in refused.text
    assert f'href="/devices/{CHAIR}?lang=en"' in refused.text
    assert rows(url, "SELECT count(*) FROM loan") == [(0,)]
    assert rows(url, "SELECT count(*) FROM placement") == [(0,)]
    assert rows(url, "SELECT count(*) FROM audit WHERE action = 'start_loan_page'") == [(0,)]


def test_lending_what_is_out_or_was_out_is_refused_in_words(desk):
    lend(desk, at=instant(days=2))
    assert "redan utlånat" in form(desk, "loans", person="p-2").text
    yesterday = (datetime.now(UTC) - timedelta(days=5)).strftime("%Y-%m-%dT%H:%M")
    assert "Lånet började" in form(desk, "loans/end", at=yesterday).text
    form(desk, "loans/end")
    assert "utlånat till" in form(desk, "loans", person="p-2", at=yesterday).text


def test_who_may_not_lend_has_no_form(desk):
    for headers, lends, moves in (
        (DESK, True, True),
        (TECHNICIAN, False, True),
        (bearer(Role.AUDITOR), False, False),
    ):
        page = desk.get(PAGE, headers=headers).text
        assert ('name="person"' in page) is lends
        assert (f'action="/devices/{CHAIR}/placement' in page) is moves


def test_a_refused_form_keeps_what_was_typed(desk):
    typed = {"person": 'p"1å', "care_unit": UNIT, "need": ["toilet", "eating"]}
    page = form(desk, "loans", at="2099-01-01T10:00", **typed).text
    assert 'name="person"' in page
    assert 'value="p&#34;1å"' in page
    assert f'value="{UNIT}"' in page
    assert re.findall(r'value="(\w+)" checked', page) == ["eating", "toilet"]
    assert 'value="2099-01-01T10:00"' in page
    assert "<details open>" in page
    moved = form(desk, "placement", place="moon", why="byter hjul").text
    assert 'value="byter hjul"' in moved
    assert "checked" not in moved


def test_needs_are_said_on_the_page_by_those_who_may(desk, url):
    lend(desk, basic_needs=["eating"], at=instant(days=2))
    page = desk.get(PAGE).text
    assert re.findall(r'value="(\w+)" checked', page) == ["eating"]
    assert form(desk, "loans/needs", need=["toilet", "transfer"]).status_code == 303
    assert "att gå på toaletten, att komma i och ur sängen." in desk.get(PAGE).text
    assert form(desk, "loans/needs").status_code == 303
    assert "Inga behov är angivna." in desk.get(PAGE).text
    log = rows(url, "SELECT role, device_id FROM audit WHERE action = 'change_needs_page'")
    assert log == [("service_desk", CHAIR)] * 2
    assert rows(url, "SELECT device_no FROM agenda") == [(1,)]


def test_the_prescriber_says_needs_on_the_page_of_a_device_of_theirs(desk):
    lend(desk, basic_needs=["eating"], at=instant(days=2))
    prescriber = bearer(Role.PRESCRIBER)
    page = desk.get(PAGE, headers=prescriber).text
    (tag_shown,) = re.findall(r'name="tag" value="([^"]+)"', page)
    sent = {"tag": tag_shown.replace("&#34;", '"'), "need": "communication"}
    path = f"/devices/{CHAIR}/loans/needs"
    assert desk.post(path, data=sent, headers=prescriber).status_code == 303
    assert "att kommunicera." in desk.get(PAGE, headers=prescriber).text
    stranger = bearer(Role.PRESCRIBER, care_unit="SE2321000016-VE99")
    assert desk.post(path, data=sent, headers=stranger).status_code == 404
    for role in (Role.TECHNICIAN, Role.CENTRE_MANAGER, Role.AUDITOR):
        assert desk.post(path, data=sent, headers=bearer(role)).status_code == 403
        assert "/loans/needs" not in desk.get(PAGE, headers=bearer(role)).text


def test_two_who_do_the_same_are_told_that_it_is_done(desk, url):
    free = {"tag": desk.get(LOANS).headers["ETag"], "person": PERSON}
    paths = f"/devices/{CHAIR}/loans?lang=sv", f"/devices/{CHAIR}/loans/end?lang=sv"
    for path, says in zip(paths, ("redan utlånat sedan", "redan avslutat"), strict=True):
        sent = {**free, "tag": desk.get(LOANS).headers["ETag"]}
        with ThreadPoolExecutor(2) as both:
            answers = list(both.map(lambda _, p=path, s=sent: desk.post(p, data=s), range(2)))
        assert sorted(answer.status_code for answer in answers) == [303, 409]
        (late,) = (answer.text for answer in answers if answer.status_code == 409)
        assert says in late
    assert rows(url, "SELECT count(*) FROM loan") == [(1,)]


def test_needs_said_on_an_old_page_change_nothing(desk):
    lend(desk, at=instant(days=2))
    before = desk.get(LOANS).headers["ETag"]
    form(desk, "loans/needs", need="eating")
    late = form(desk, "loans/needs", need="toilet", tag=before)
    assert late.status_code == 409
    assert "hann ändra lånet" in late.text
    assert desk.get(LOANS).json()["items"][0]["basic_needs"] == ["eating"]
    assert re.findall(r'value="(\w+)" checked', late.text) == ["toilet"]


def test_a_change_of_hands_is_marked_in_the_charts(desk, url):
    lend(desk, at=instant(hours=5))
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO rollup_hour SELECT device_no, metric_no, date_trunc('hour', now()) -"
            " n * interval '1 hour', 1, 24, 24, 24, 24, now() FROM device, metric,"
            " generate_series(1, 100) n WHERE id = %s AND name = 'battery_voltage_v'",
            [CHAIR],
        )
        conn.execute(
            "INSERT INTO latest SELECT device_no, metric_no, now(), 24 FROM device, metric"
            " WHERE id = %s AND name = 'battery_voltage_v'",
            [CHAIR],
        )
    page = desk.get(f"{PAGE}&range=7d").text
    assert page.count('class="mark loan"') == 2  # in the chart and in its key
    assert "ett lån började" in page
