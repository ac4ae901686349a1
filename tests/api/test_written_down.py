"""What the access log keeps: nothing about a person is shown, or asked for, without an entry."""

from __future__ import annotations

import re
from dataclasses import replace

import psycopg
import pytest
from starlette.testclient import TestClient
from support.people import access_settings, bearer
from support.tenants import seed_two_tenants

from api.access.gate import operation_of
from api.access.policy import shipped_policy
from api.app import create_app
from api.limits import Limits
from api.process import ApiSettings
from api.routes import endpoints
from fleet.access.callers import Role

LIMITS = Limits(requests_per_s=1e6, request_burst=10**6, streams=0)
HERE = {"Origin": "http://127.0.0.1:8460"}


@pytest.fixture(scope="module")
def two(plain):
    name = "writtendown"
    yield seed_two_tenants(plain.create_migrated(name))
    plain.drop_database(name)


@pytest.fixture(scope="module")
def app(two):
    return create_app(ApiSettings(two.url, access_settings(), port=0, limits=LIMITS))


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url="http://127.0.0.1:8460", follow_redirects=False) as opened:
        yield opened


class Log:
    """The entries that were added since it was made or last asked."""

    COLUMNS = "action, object_kind, object_id, device_id, loan_no, person"

    def __init__(self, url):
        self.conn = psycopg.connect(url, autocommit=True)
        self.last = 0
        self.news()

    def news(self):
        rows = self.conn.execute(
            f"SELECT audit_no, {self.COLUMNS} FROM audit WHERE tenant_no = 1 AND audit_no > %s"
            " ORDER BY audit_no",
            [self.last],
        ).fetchall()
        self.last = rows[-1][0] if rows else self.last
        return [row[1:] for row in rows]


@pytest.fixture
def log(two):
    found = Log(two.url)
    yield found
    found.conn.close()


WRONG = {
    "bulk_action_page": {"action": "triage"},
    "new_ticket_form": {"device": "fk-20417"},
    "ticket_action_page": {"action": "take", "minutes": "x"},
    "start_loan_page": {"tag": "x"},
    "end_loan_page": {"tag": "x"},
    "place_page": {"place": "workshop", "tag": "x"},
    "replay_page": {},
    "rule_switch_page": {"action": "enable", "why": ""},
    "override_block_page": {"why": "x"},
    "change_needs_page": {"tag": "x"},
    "place_hold_page": {"why": "x"},
    "release_hold_page": {"why": ""},
}
"""Forms that come back as a page when what was typed cannot be done, and such a wrong."""
PROBLEMS_ONLY = {
    "my_sharing_change_page", "self_help_page", "my_blocks_page", "check_entry_page",
    "replay_all_page", "sign_out_user_page", "my_export_page",
}  # fmt: skip
"""Forms that are answered with a way on, with a problem, which shows no data, or with a file."""
FORM_ONLY = {
    "export_person_page", "try_erasure_page", "erase_person_page", "search_access_log_page",
}  # fmt: skip
"""Forms that come again with what was typed and nothing else, until it names a person."""


def forms(app):
    documented = app.openapi()["paths"]
    return [
        (operation_of(route), route.path)
        for route in endpoints(app.routes)
        if "POST" in getattr(route, "methods", ())
        and route.path not in documented
        and shipped_policy()[operation_of(route)].roles is not None
    ]


def filled(path, things):
    names = {"device_id": things.device_id, "ticket_no": things.ticket_no, "entry_no": 10**9,
             "rule_id": "reported-fault", "quarantine_no": things.quarantine_no,
             "hold_no": 1}  # fmt: skip
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: str(names[found[1]]), path)


def test_a_form_that_is_refused_shows_nothing_that_is_not_written_down(app, client, two, log):
    with psycopg.connect(two.url) as conn:  # one that cannot be replayed
        conn.execute("UPDATE quarantine SET payload_size = 9 WHERE tenant_id = 'exempel'")
    again = set()
    for operation, path in forms(app):
        role = min(shipped_policy()[operation].roles - {Role.DEVICE})
        typed = WRONG.get(operation, {}) | {"x": "1"}
        answer = client.post(filled(path, two.own), data=typed, headers=bearer(role) | HERE)
        if answer.status_code in {200, 409} and "html" in answer.headers["content-type"]:
            again.add(operation)
            written = {entry[0] for entry in log.news()}
            assert operation in FORM_ONLY or f"{operation}_refused" in written, operation
        else:
            assert operation in PROBLEMS_ONLY, (operation, answer.status_code, answer.text[-900:])
    assert again == set(WRONG) | FORM_ONLY


def test_a_refused_form_says_whom_the_page_that_came_again_concerns(client, two, log):
    answer = client.post(
        f"/devices/{two.own.device_id}/placement",
        data={"place": "workshop", "tag": "x"},
        headers=bearer(Role.TECHNICIAN) | HERE,
    )
    assert answer.status_code == 409
    device = two.own.device_id
    assert log.news() == [
        ("place_page_refused", "device", device, device, two.own.loan_no, f"p-{device}")
    ]


def test_each_ticket_that_was_left_as_it_was_has_an_entry(client, two, log):
    rows = {"ticket": [f"{two.own.ticket_no}:1", "999999:1"], "action": "void"}
    answer = client.post("/tickets/actions", data=rows, headers=bearer(Role.SERVICE_DESK) | HERE)
    assert answer.status_code == 409
    found = log.news()
    assert [entry[:3] for entry in found] == [
        ("bulk_action_page_refused", "ticket", str(two.own.ticket_no)),
        ("bulk_action_page_refused", "ticket", "999999"),
    ]
    assert found[0][3] == two.own.device_id


@pytest.mark.parametrize(
    "path", ["/api/v1/tickets", "/api/v1/findings", "/api/v1/ledger", "/api/v1/quarantine", "/"]
)
def test_a_list_of_one_device_is_a_read_of_it(client, two, log, path):
    device, admin = two.own.device_id, bearer(Role.ADMINISTRATOR)
    assert client.get(path, params={"device": device}, headers=admin).status_code == 200
    ((action, *about),) = log.news()
    assert action in shipped_policy()
    assert about == ["device", device, device, two.own.loan_no, f"p-{device}"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/v1/devices/{device_id}/gaps", "device"),
        ("/api/v1/quarantine/{quarantine_no}", "quarantine"),
        ("/tickets/{ticket_no}?device=fk-90001", "ticket"),
        ("/api/v1/fhir/DeviceMetric/{device_id}.1", "device_metric"),
    ],
)
def test_what_is_read_says_whom_it_concerns_and_no_parameter_says_another(
    client, two, log, path, kind
):
    address = path.format_map(vars(two.own))
    assert client.get(address, headers=bearer(Role.ADMINISTRATOR)).status_code == 200
    ((_, *about),) = log.news()
    assert about[0] == kind
    assert about[2:] == [two.own.device_id, two.own.loan_no, f"p-{two.own.device_id}"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/v1/persons/export", {}),
        ("/api/v1/persons/erase", {"dry_run": True}),
        ("/api/v1/persons/erase", {"dry_run": False}),
    ],
)
def test_whoever_asks_for_a_person_that_is_not_there_stands_in_the_log(client, log, path, told):
    asked = {"person": "p-gissad", "why": "Begäran 2026-117"} | told
    answer = client.post(path, json=asked, headers=bearer(Role.ADMINISTRATOR))
    assert answer.status_code == 404
    ((action, *about),) = log.news()
    assert action in {"export_person_refused", "try_erasure_refused", "erase_person_refused"}
    assert about == ["person", "p-gissad", None, None, "p-gissad"]


def test_guesses_at_a_blocked_loan_are_written_down_and_counted(two, log):
    limits = replace(LIMITS, sign_ins_per_s=0.01, sign_in_burst=2)
    app = create_app(ApiSettings(two.url, access_settings(), port=0, limits=limits))
    guess = {"individual_no": "4471 9999", "why": "Hittad utan pump på natten"}
    unit = bearer(Role.PRESCRIBER)
    with TestClient(app, base_url="http://127.0.0.1:8460", follow_redirects=False) as client:
        answers = [
            client.post("/api/v1/me/overrides", json=guess, headers=unit),
            client.post("/my-loans/overrides", data=guess, headers=unit | HERE),
            client.post("/my-loans/overrides", data=guess, headers=unit | HERE),
        ]
        assert [answer.status_code for answer in answers] == [404, 409, 429]
        other = bearer(Role.PRESCRIBER, subject="somebody-else")
        assert client.post("/api/v1/me/overrides", json=guess, headers=other).status_code == 404
    entries = [entry[:3] for entry in log.news() if entry[0] != "my_loans_page"]
    assert entries == [
        ("override_block_refused", "individual", "4471 9999"),
        ("override_block_page_refused", "individual", "4471 9999"),
        ("override_block_refused", "individual", "4471 9999"),
    ]


def test_a_role_that_may_not_is_named_in_the_process_log(client, capfd):
    assert client.get("/api/v1/audit", headers=bearer(Role.TECHNICIAN)).status_code == 403
    said = "".join(capfd.readouterr())
    assert "refused" in said
    assert "list_audit" in said
    assert "exempel-technician" in said


def test_the_log_links_loans_to_persons_for_auditors_only(client, two):
    device = two.own.device_id
    assert client.get(f"/devices/{device}", headers=bearer(Role.TECHNICIAN)).status_code == 200
    for role, person in ((Role.AUDITOR, f"p-{device}"), (Role.ADMINISTRATOR, None)):
        found = client.get("/api/v1/audit?subject=exempel-technician", headers=bearer(role)).json()
        assert found["items"][0]["loan_no"] == two.own.loan_no
        assert {entry["person"] for entry in found["items"]} == {person}
        page = client.get("/access-log", headers=bearer(role)).text
        assert (f"p-{device}" in page) is (person is not None)


REFUSED = """
INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, payload, payload_size,
    received_at, last_at)
SELECT sha256('payload'), 'malformed', 'x', 't', 'exempel', %s, '{"bp": 131', 10, now(), now()
RETURNING quarantine_no
"""


@pytest.mark.parametrize(
    ("model", "is_shown"), [(None, False), ("ble-blood-pressure", False), ("permobil-m3", True)]
)
def test_who_repairs_reads_no_payload_that_may_be_about_a_person(client, two, model, is_shown):
    with psycopg.connect(two.url) as conn:
        if model is not None:
            conn.execute(
                "INSERT INTO device (id, tenant_no, centre_no, model_id, shard)"
                " VALUES ('fk-m', 1, 1, %s, 1)", [model]
            )  # fmt: skip
        (number,) = conn.execute(REFUSED, ["fk-m"]).fetchone()
    for role, shown in ((Role.TECHNICIAN, is_shown), (Role.ADMINISTRATOR, True)):
        for path in (
            f"/api/v1/quarantine/{number}", "/api/v1/quarantine?device=fk-m",
            f"/data-health/quarantine/{number}", "/data-health/quarantine?device=fk-m",
        ):  # fmt: skip
            answer = client.get(path, headers=bearer(role))
            assert answer.status_code == 200
            assert ("131" in answer.text) is shown, (role, path)
    with psycopg.connect(two.url) as conn:
        conn.execute("DELETE FROM quarantine WHERE quarantine_no = %s", [number])
        conn.execute("DELETE FROM device WHERE id = 'fk-m'")


def test_the_ledger_of_a_device_is_for_staff(client, two):
    """It counts from before the loan."""
    for role, is_shown in ((Role.TECHNICIAN, True), (Role.PRESCRIBER, False)):
        text = client.get(f"/devices/{two.own.device_id}?lang=sv", headers=bearer(role)).text
        assert ("Mottagningsliggare" in text) is is_shown
