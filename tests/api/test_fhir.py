"""The FHIR views over HTTP: valid, within reach, without persons, logged by device."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.devicemetric import DeviceMetric
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.task import Task
from support.people import bearer

from fleet.access.callers import Role

CHAIR, METER = "fk-20417", "fk-40001"
TECH = bearer(Role.TECHNICIAN)
BASE = "/api/v1/fhir"


def read(client, path, headers=TECH, status=200):
    answer = client.get(f"{BASE}/{path}", headers=headers)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.headers["content-type"] == "application/fhir+json"
    return answer.json()


def entries(client, path, headers=TECH):
    found = read(client, path, headers)
    Bundle.model_validate(found)
    return [entry["resource"] for entry in found.get("entry", [])]


def test_whoever_asks_learns_what_the_server_can_do(nobody):
    CapabilityStatement.model_validate(read(nobody, "metadata", headers={}))


@pytest.mark.parametrize(
    "identifier",
    ["4471 0293", "urn:fjarrkoll:exempel:individual-no|4471 0293", CHAIR, "OB-88213-A"],
)
def test_a_device_is_found_by_what_is_printed_on_it(client, identifier):
    (found,) = entries(client, f"Device?identifier={identifier}")
    assert Device.model_validate(found).id == CHAIR
    assert read(client, f"Device/{found['id']}") == found


@pytest.mark.parametrize("identifier", ["4471", "urn:x|4471 0293", "%", "x" * 80, "|", "a|"])
def test_part_of_a_number_finds_nothing(client, identifier):
    assert entries(client, f"Device?identifier={identifier}") == []


@pytest.fixture
def short_serial(fleet) -> Iterator[str]:
    """The last of many devices has as its whole serial what the others' begin with."""
    rename = "UPDATE device SET serial = %s WHERE id = 'fk-50055'"
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        conn.execute(rename, ["SN0000"])
        yield "fk-50055"
        conn.execute(rename, ["SN000055"])


def test_a_device_is_found_among_many_whose_numbers_begin_alike(client, short_serial):
    (found,) = entries(client, "Device?identifier=SN0000&_count=1")
    assert found["id"] == short_serial


def test_metrics_values_and_pages_of_them(client):
    metrics = entries(client, f"DeviceMetric?source=Device/{CHAIR}")
    names = {m["type"]["coding"][-1]["code"]: m for m in metrics}
    one = names["battery_voltage_v"]
    assert DeviceMetric.model_validate(one)
    assert read(client, f"DeviceMetric/{one['id']}") == one
    url = f"{BASE}/Observation?device=Device/{CHAIR}&code=battery_voltage_v&date=ge2020&_count=200"
    seen = []
    while url:
        page = client.get(url, headers=TECH).json()
        Bundle.model_validate(page)
        seen += [entry["resource"] for entry in page.get("entry", [])]
        links = {link["relation"]: link["url"] for link in page["link"]}
        url = links.get("next", "").replace("http://127.0.0.1:8460", "")
    raw = client.get(
        f"/api/v1/devices/{CHAIR}/samples",
        params={"metric": "battery_voltage_v", "from": "2020-01-01T00:00:00Z", "resolution": "raw"},
    ).json()
    assert len(seen) == raw["row_n"] > 200
    assert len({item["id"] for item in seen}) == len(seen)
    assert Observation.model_validate(seen[0])
    assert read(client, f"Observation/{seen[0]['id']}") == seen[0]


def test_codes_are_understood_in_every_system(client):
    url = f"Observation?device=Device/{CHAIR}&date=ge2020&_count=1&code="
    by_name = entries(client, f"{url}state_of_charge_pct")
    assert by_name
    assert entries(client, f"{url}urn:iso:std:iso:11073:10101|67996") == by_name
    assert entries(client, f"{url}67996") == by_name
    assert entries(client, f"{url}http://loinc.org|67996") == []


def test_what_was_measured_on_a_person_is_not_for_those_who_repair(client):
    url = f"Observation?device=Device/{METER}&date=ge2020&code=8480-6"
    assert entries(client, url) == []
    kinds = [m["type"]["text"] for m in entries(client, f"DeviceMetric?source=Device/{METER}")]
    assert kinds == ["batterispänning"]


def test_a_task_tells_of_a_ticket(client, fleet):
    for found in entries(client, f"Task?focus=Device/{CHAIR}"):
        assert Task.model_validate(found).focus.reference == f"Device/{CHAIR}"
        assert read(client, f"Task/{found['id']}") == found
    every = {item["id"] for item in entries(client, f"Task?focus=Device/{CHAIR}")}
    first = read(client, f"Task?focus=Device/{CHAIR}&_count=1")
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    second = client.get(following, headers=TECH).json()
    assert {first["entry"][0]["resource"]["id"], second["entry"][0]["resource"]["id"]} <= every
    requested = {
        item["id"] for item in entries(client, f"Task?focus=Device/{CHAIR}&status=requested")
    }
    assert requested < every
    assert entries(client, f"Task?focus=Device/{CHAIR}&status=nonsense") == []


@pytest.mark.parametrize(
    "path",
    [
        "Device/fk-none", "Device/fk_20417", "DeviceMetric/fk-20417.999999", "DeviceMetric/x",
        "Observation/fk-20417.1.17", "Observation/x", "Task/999999", "Patient/1",
        "DeviceMetric?source=fk-20417", "Task?focus=Device/fk-none",
    ],
)  # fmt: skip
def test_what_there_is_not_is_404(client, path):
    status = 422 if path == "Device/fk_20417" else 404
    assert read(client, path, status=status)["status"] == status


@pytest.mark.parametrize(
    "query",
    [
        "date=ne2026&code=x",
        "date=2026&date=2026&date=2026&code=x",
        "code=x&_count=0",
        "",
        "code=x&nonsense=1",
        "code=x&_after=zz",
    ],
)
def test_a_wrong_search_is_refused(client, query):
    read(client, f"Observation?device=Device/{CHAIR}&{query}", status=422)


def test_no_person_is_in_any_view_and_a_patient_sees_the_own_device_only(client):
    patient = bearer(Role.PATIENT)
    pages = [
        client.get(f"{BASE}/{path}", headers=patient).text
        for path in (
            f"Device/{CHAIR}",
            f"DeviceMetric?source=Device/{CHAIR}",
            f"Observation?device=Device/{CHAIR}&code=battery_voltage_v",
            f"Task?focus=Device/{CHAIR}",
        )
    ]
    assert "p-fk-20417" not in "".join(pages)
    read(client, "Device/fk-31102", headers=patient, status=404)


def test_the_log_names_the_device_whichever_id_was_asked_for(client, fleet):
    (metric, *_) = entries(client, f"DeviceMetric?source=Device/{CHAIR}")
    read(client, f"DeviceMetric/{metric['id']}")
    read(client, f"Observation/{metric['id']}.17", status=404)
    read(client, f"Device/{CHAIR}")
    entries(client, f"Observation?device=Device/{CHAIR}&code=x")
    with psycopg.connect(fleet.url) as conn:
        rows = conn.execute(
            "SELECT action, device_id, loan_no IS NOT NULL FROM audit WHERE action LIKE 'fhir%'"
            " AND device_id IS NOT NULL ORDER BY audit_no DESC LIMIT 4"
        ).fetchall()
    assert {row[0] for row in rows} == {
        "fhir_read_device_metric", "fhir_read_observation", "fhir_read_device",
        "fhir_search_observations",
    }  # fmt: skip
    assert {row[1:] for row in rows} == {(CHAIR, True)}
