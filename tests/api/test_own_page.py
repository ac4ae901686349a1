"""My device: whom to call, what one can take away, and what units are called."""

from __future__ import annotations

import csv
import io
import uuid
import zipfile
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from starlette.testclient import TestClient
from support.people import UNIT, access_settings, bearer
from typer.testing import CliRunner

from api.app import create_app
from api.process import ApiSettings
from fjarrkoll.cli import whole_app
from fleet.access.callers import Role
from storage.lending import end_loan, start_loan
from storage.registry import NewDevice, add_devices, sync_catalogues

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
CHAIR, BEFORE = "wc-1", "wc-0"
ASTRID = bearer(Role.PATIENT, person="p-astrid") | {"Accept-Language": "sv"}
ENGLISH = bearer(Role.PATIENT, person="p-astrid") | {"Accept-Language": "en"}
HERE = {"Origin": "http://127.0.0.1:8460"}


@pytest.fixture(scope="module")
def place(plain):
    name = f"t{uuid.uuid4().hex[:12]}"
    url = plain.create_migrated(name)
    with psycopg.connect(url) as conn:
        sync_catalogues(conn, NOW)
        devices = [NewDevice(CHAIR, "permobil-m3"), NewDevice(BEFORE, "permobil-m3")]
        add_devices(conn, devices, tenant="exempel", centre="norr", centre_name="Norr")
        start_loan(conn, BEFORE, "p-astrid", [], NOW - 90 * DAY, care_unit=UNIT)
        end_loan(conn, BEFORE, NOW - 40 * DAY)
        start_loan(conn, BEFORE, "p-bertil", [], NOW - 30 * DAY, care_unit=UNIT)
        start_loan(conn, CHAIR, "p-astrid", [], NOW - 30 * DAY, care_unit=UNIT)
        for device, days in ((BEFORE, 50), (BEFORE, 20), (CHAIR, 2)):
            at = NOW - days * DAY
            conn.execute("SELECT ensure_sample_partition(%s::date)", [at])
            conn.execute(
                "INSERT INTO sample SELECT %s, %s, %s, device_no, metric_no, 0, NULL"
                " FROM device, metric WHERE id = %s AND name = 'odometer_m'",
                [at, at, days, device],
            )
    app = create_app(ApiSettings(url, access_settings(), port=0))
    with TestClient(app, base_url="http://127.0.0.1:8460", follow_redirects=False) as client:
        yield url, client
    plain.drop_database(name)


@pytest.fixture
def run(place, monkeypatch):
    monkeypatch.setenv("FJARRKOLL_DATABASE_URL", place[0])
    return lambda *said: CliRunner().invoke(whole_app(), ["centre", *said])


def test_a_patient_is_told_whom_to_call(place, run):
    _, client = place
    before = client.get("/my-device", headers=ASTRID).text
    assert "tel:" not in before
    assert client.get("/api/v1/me/devices", headers=ASTRID).json()["items"][0]["centre"] == {
        "name": "Norr", "phone": None, "hours": None, "email": None, "link": None
    }  # fmt: skip
    said = ("contact", "norr", "--tenant", "exempel", "--phone", "08-465 004 00",
            "--hours", "vardagar 8–16", "--link", "https://www.1177.se/")  # fmt: skip
    assert run(*said).exit_code == 0
    page = client.get("/my-device", headers=ASTRID).text
    assert '<a class="phone" href="tel:0846500400">08-465 004 00</a>' in page
    assert "vardagar 8–16" in page
    assert '<dd lang="sv">vardagar 8–16' in client.get("/my-device", headers=ENGLISH).text
    centre = client.get("/api/v1/me/devices", headers=ASTRID).json()["items"][0]["centre"]
    assert (centre["phone"], centre["link"]) == ("08-465 004 00", "https://www.1177.se/")
    taken = run("contact", "norr", "--tenant", "exempel", "--hours", "")
    assert "08-465" in taken.output
    assert "hours" not in taken.output


@pytest.mark.parametrize(
    ("option", "value"),
    [("--phone", "ring oss"), ("--link", "javascript:alert(1)"), ("--email", "norr"),
     ("--link", "http://x.example"), ("--hours", "x" * 201)],
)  # fmt: skip
def test_a_contact_that_is_none_is_refused(run, option, value):
    refused = run("contact", "norr", "--tenant", "exempel", option, value)
    assert refused.exit_code == 2
    assert "centre_" in refused.output


def test_a_centre_that_is_not_there_is_said_to_be_missing(run):
    assert run("contact", "syd", "--tenant", "exempel").exit_code == 1
    assert run("unit", UNIT, "Rehab", "--tenant", "ingen").exit_code == 1


def test_units_are_called_by_their_names_where_they_are_known(place, run):
    _, client = place
    client.get(f"/devices/{CHAIR}", headers=bearer(Role.PRESCRIBER, care_unit=UNIT))
    raw = client.get("/my-device", headers=ASTRID).text
    assert "vårdenhetens id i vårdens nationella katalog" in raw
    assert run("unit", UNIT, "Rehabmottagningen", "--tenant", "exempel").exit_code == 0
    for path in ("/my-device", "/my-device/who-looked"):
        named = client.get(path, headers=ASTRID).text
        assert "enhet Rehabmottagningen" in named.replace("Enhet", "enhet")
        assert "nationella katalog" not in named
    assert f'<option value="{UNIT}">Rehabmottagningen</option>' in client.get(
        "/my-device", headers=ASTRID
    ).text.replace("\n", "")


@pytest.mark.parametrize("path", ["/api/v1/me/export", "/my-device/export"])
def test_a_person_takes_away_what_is_theirs_and_nobody_elses(place, path):
    url, client = place
    answer = client.post(path, headers=ASTRID | HERE)
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    rows = list(csv.DictReader(io.StringIO(archive.read("telemetry.csv").decode())))
    # The device that was theirs before, too, but not what the next one drove with it.
    assert [(row["device"], row["value"]) for row in rows] == [(BEFORE, "50.0"), (CHAIR, "2.0")]
    assert "p-bertil" not in str([archive.read(name) for name in archive.namelist()])
    with psycopg.connect(url) as conn:
        entry = conn.execute(
            "SELECT action, person, role FROM audit ORDER BY audit_no DESC LIMIT 1"
        ).fetchone()
    assert entry == (
        "export_mine" if "api" in path else "my_export_page", "p-astrid", "patient"
    )  # fmt: skip


def test_somebody_without_a_loan_has_nothing_to_take_away(place):
    _, client = place
    nobody = bearer(Role.PATIENT, person="p-nobody")
    assert client.post("/api/v1/me/export", headers=nobody | HERE).status_code == 404
    assert "Hämta dina uppgifter" not in client.get("/my-device", headers=nobody).text
