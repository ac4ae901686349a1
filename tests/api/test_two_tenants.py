"""Several tenants share an installation: each counts only itself, and a 404 tells nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from starlette.testclient import TestClient
from support.people import access_settings, bearer
from support.tenants import seed_two_tenants

from api.app import create_app
from api.limits import Limits
from api.process import ApiSettings
from fleet.access.callers import Role

JSON = {"Accept": "application/json", "Accept-Language": "sv"}
THEIRS_N = 7_000


@pytest.fixture(scope="module")
def two(plain):
    name = "two_tenants"
    yield seed_two_tenants(plain.create_migrated(name))
    plain.drop_database(name)


@pytest.fixture(scope="module")
def counted(two):
    """The other tenant has a great deal of everything that is counted; one has a little."""
    with psycopg.connect(two.url) as conn:
        for statement in _COUNTS:
            conn.execute(statement, {"theirs": two.other.device_id, "own": two.own.device_id})
    return two


_COUNTS = (
    f"UPDATE ledger SET received_n = {THEIRS_N}, stored_n = {THEIRS_N} WHERE device_no ="
    " (SELECT device_no FROM device WHERE id = %(theirs)s)",
    "UPDATE ledger SET received_n = 9, stored_n = 5, duplicate_n = 1, quarantined_n = 3"
    " WHERE device_no = (SELECT device_no FROM device WHERE id = %(own)s)",
    # One that the ledger settled and that came once before it had a number; two were not kept.
    "INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, payload,"
    " payload_size, epoch, seq, message_n, received_at, last_at) VALUES (sha256('x'),"
    " 'out_of_range', 'x', 'fk/1', 'exempel', %(own)s, '{', 1, '00000000000000aa', 4, 2,"
    " now(), now())",
    # Moved out again by a replay: it stands in the ledger as stored.
    "INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, payload,"
    " payload_size, message_n, received_at, last_at, replayed_at, replayed_as) VALUES"
    " (sha256('y'), 'no_decoder', 'x', 'fk/1', 'exempel', %(own)s, '{', 1, 50, now(), now(),"
    " now(), 'stored')",
    "INSERT INTO intake_total (source, received_n, stored_n) VALUES"
    f" ('mqtt-0', {THEIRS_N + 10}, {THEIRS_N + 10})",
    f"INSERT INTO quarantine_total VALUES ('malformed', {THEIRS_N})",
    "INSERT INTO dirty_hour SELECT now(), device_no FROM device, generate_series(1,"
    " CASE id WHEN %(own)s THEN 2 ELSE 300 END)",
    "INSERT INTO inbox (device_no, epoch, seq, received_at) SELECT device_no, '00000000000000aa',"
    " n, now() FROM device, generate_series(1, CASE id WHEN %(own)s THEN 3 ELSE 300 END) n",
    "INSERT INTO outbox (aggregate, kind, payload) SELECT 'ticket:1', 'x',"
    " jsonb_build_object('tenant', t.id) FROM tenant t,"
    " generate_series(1, CASE t.id WHEN 'exempel' THEN 4 ELSE 300 END)",
    "INSERT INTO backtest (rule_id, version, from_at, to_at, ran_at, who, took_s, device_n,"
    " ticket_n, worst_day_share, result) SELECT rule_id, version, now() - interval '9 days',"
    f" now(), now(), 'x', 1, {THEIRS_N}, 77, 0.001, '{{}}' FROM rule_version"
    " WHERE rule_id = 'reported-fault' LIMIT 1",
)


@pytest.fixture(scope="module")
def client(counted) -> Iterator[TestClient]:
    limits = Limits(requests_per_s=1e6, request_burst=10**6, streams=0)
    app = create_app(ApiSettings(counted.url, access_settings(), port=0, limits=limits))
    with TestClient(app, base_url="http://127.0.0.1:8460") as opened:
        yield opened


def test_a_tenant_among_others_sees_its_own_equation(client):
    found = client.get("/api/v1/ledger", headers=bearer(Role.TECHNICIAN) | JSON).json()
    rows = [
        (row["source"], row["received_n"], row["stored_n"], row["duplicate_n"],
         row["quarantined_n"], row["holds"])
        for row in found["sources"]
    ]  # fmt: skip
    # Unnumbered: the one that the fleet was seeded with, and the first receipt of the other.
    assert rows == [("ledger", 9, 5, 1, 3, True), ("unnumbered", 2, 0, 0, 2, True)]
    total = found["total"]
    assert (total["received_n"], total["quarantined_n"], total["holds"]) == (11, 5, True)
    assert total["state_n"] is None
    reasons = {row["reason"]: row["message_n"] for row in found["quarantine"]}
    assert reasons == {"malformed": 1, "out_of_range": 2, "unkept": 2}
    assert found["quarantine_agrees"] is True


def test_the_other_tenants_sums_are_its_own_too(client):
    headers = bearer(Role.AUDITOR, tenant="annan") | JSON
    total = client.get("/api/v1/ledger", headers=headers).json()["total"]
    assert (total["received_n"], total["quarantined_n"]) == (THEIRS_N + 1, 1)


def test_data_health_counts_nothing_of_the_other_tenant(client):
    page = client.get("/data-health", headers=bearer(Role.TECHNICIAN) | JSON).text
    assert "Flera huvudmän delar den här installationen." in page
    assert "✕" not in page
    assert "mqtt-0" not in page
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>(\d+)", page))
    waiting = [facts[name] for name in (
        "Felposter att bedöma", "Timmar att räkna om", "Ärenden att skicka")]  # fmt: skip
    assert waiting == ["3", "2", "4"]
    assert not re.search(r"7\s?0\d\d\b|\b300\b", page)


def test_backtests_over_several_tenants_are_told_to_none_of_them(client):
    headers = bearer(Role.ADMINISTRATOR) | JSON
    found = client.get("/api/v1/rules/reported-fault/backtests", headers=headers).json()
    assert found == {"items": [], "next_cursor": None}
    page = client.get("/rules/reported-fault", headers=headers).text
    assert "Provkörningar räknar alla huvudmäns hjälpmedel" in page


def test_somebody_of_a_tenant_that_is_not_registered_counts_nothing(counted, client):
    with psycopg.connect(counted.url, autocommit=True) as conn:
        for who in ("exempel", "annan", "ingen"):
            conn.execute("SELECT set_config('fjarrkoll.tenant', %s, false)", [who])
            conn.execute(
                "SELECT set_config('fjarrkoll.tenant_no', coalesce(tenant_no_of(%s), -1)::text,"
                " false), set_config('fjarrkoll.reach', 'tenant', false)",
                [who],
            )
            rows = conn.execute("SELECT * FROM intake_sums()").fetchall()
            assert bool(rows) is (who != "ingen"), who


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/devices/{device_id}",
        "/api/v1/devices/{device_id}/faults",
        "/api/v1/devices/{device_id}/loans",
        "/api/v1/tickets/{ticket_no}",
        "/api/v1/tickets/{ticket_no}/events",
        "/api/v1/quarantine/{quarantine_no}",
        "/api/v1/fhir/Device/{device_id}",
        "/api/v1/fhir/Task/{ticket_no}",
        "/devices/{device_id}",
        "/tickets/{ticket_no}",
    ],
)
@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.PRESCRIBER])
def test_another_tenants_id_is_looked_for_as_one_that_does_not_exist(
    client, counted, monkeypatch, path, role
):
    """The same statements in the same order and the same words: no structure for time to show."""
    there = {
        "device_id": counted.other.device_id,
        "ticket_no": counted.other.ticket_no,
        "quarantine_no": counted.other.quarantine_no,
    }
    absent = {"device_id": "fk-90009", "ticket_no": 999_999, "quarantine_no": 999_999}
    client.get(path.format(**absent), headers=bearer(role))  # opens the connections
    first, second = (
        asked(client, monkeypatch, path.format(**ids), role) for ids in (there, absent)
    )
    assert first == second
    status, _, statements = first
    assert status in {403, 404}
    assert statements or status == 403


def asked(client, monkeypatch, path, role):
    """Status, words and the statements that were run; what was asked for is blanked."""
    ran = []
    plain = psycopg.Connection.execute

    def noted(conn, statement, *args, **kwargs):
        ran.append(str(statement))
        return plain(conn, statement, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", noted)
        answer = client.get(path, headers=bearer(role) | JSON)
    words = re.sub(r"(devices|tickets|quarantine|Device|Task)(/|%2F)[\w-]+", r"\1", answer.text)
    return answer.status_code, words, ran
