"""Secrets sent through everything leave by no page, problem, metric or log line."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient
from support.people import access_settings, bearer, claims_of, sign
from support.tenants import filled, seed_two_tenants

from api.access.gate import operation_of
from api.access.policy import shipped_policy
from api.app import create_app
from api.limits import SIGN_INS, Limits
from api.process import ApiSettings
from api.routes import endpoints
from fleet.access.callers import Role
from fleet.rules.reader import shipped_rules
from storage import rules
from storage.connection import connect
from storage.rules import NewBacktest
from storage.sessions import open_session

LIMITS = Limits(requests_per_s=1e6, request_burst=10**6, streams=0)
CLIENT_SECRET = "canary-client-" + secrets.token_hex(8)
PASSWORD = "canary-password-" + secrets.token_hex(8)
SESSION = "canary-session-" + secrets.token_hex(14)
PERSON = "p-fk-20417"
FORGED = "canary.forged." + secrets.token_hex(8)
CODE = "canary-code-" + secrets.token_hex(8)


@pytest.fixture(scope="module")
def two(plain):
    name = "canaries"
    seeded = seed_two_tenants(plain.create_migrated(name))
    put_backtest(seeded)
    yield seeded
    plain.drop_database(name)


def put_backtest(two):
    """One backtest of a shipped rule, so that there is one to read."""
    rule = shipped_rules()["reported-fault"][0]
    new = NewBacktest(
        rule.id, rule.version, two.now - timedelta(days=90), two.now, 1.0, 2, 0, 0.0, {}
    )
    with connect(two.url) as conn:
        rules.sync_shipped(conn, two.now)
        rules.put_backtest(conn, new, two.now, "A. Berg")
        conn.commit()


def with_password(url: str) -> str:
    return url.replace("postgres@", f"postgres:{PASSWORD}@")


def application(url: str) -> TestClient:
    access = replace(access_settings(), client_secret=CLIENT_SECRET)
    app = create_app(ApiSettings(url, access, port=0, limits=LIMITS, database_wait_s=0.2))
    return TestClient(
        app, base_url="http://127.0.0.1:8460", follow_redirects=False,
        raise_server_exceptions=False,
    )  # fmt: skip


def heard(answer) -> str:
    """All that an answer says, the cookie that a browser is meant to have aside."""
    headers = {name: said for name, said in answer.headers.items() if name != "set-cookie"}
    return f"{headers}{answer.text}"


def readable(client, two) -> dict[str, str]:
    """Every endpoint that is read, pages and vitals among them, at what one tenant has."""
    return {
        operation_of(route): filled(route.path, two.own)
        for route in endpoints(client.app.routes)
        if "GET" in route.methods and operation_of(route) not in SIGN_INS
    }


def walked(client, two, headers) -> list[str]:
    """What every readable endpoint answers."""
    return [heard(client.get(path, headers=headers)) for path in readable(client, two).values()]


def test_no_secret_leaves(two, capfd):
    staff = bearer(Role.ADMINISTRATOR)
    token = staff["Authorization"].removeprefix("Bearer ")
    told: list[str] = []
    with connect(two.url) as conn:
        caller = access_settings().claims.caller(claims_of(Role.SERVICE_DESK))
        open_session(conn, SESSION, caller, datetime.now(UTC), timedelta(hours=1))
        conn.commit()
    with application(with_password(two.url)) as client:
        told += walked(client, two, staff)
        told += walked(client, two, {"Cookie": f"fjarrkoll_session={SESSION}"})
        told += attacked(client)
        told += walked(client, two, {})
    with application(with_password(two.url).replace("/canaries", "/there-is-none")) as client:
        told += [heard(client.get(path, headers=staff)) for path in ("/api/v1/devices", "/readyz")]
        told.append(heard(client.get("/", headers=staff)))
    logged = "".join(capfd.readouterr())
    expired = sign(claims_of(Role.ADMINISTRATOR))
    assert len(told) > 100
    assert "token_refused" in logged, "the log was not seen at all"
    for secret in (CLIENT_SECRET, PASSWORD, SESSION, token, expired, FORGED, CODE):
        assert secret not in logged
        assert not [text[:300] for text in told if secret in text]
    assert PERSON not in logged


def attacked(client) -> list[str]:
    """Requests that fail, with secrets in all the places where one may stand."""
    forged = {"Authorization": f"Bearer {FORGED}"}
    return [
        heard(answer)
        for answer in (
            client.get("/api/v1/me", headers=forged),
            client.get("/", headers=forged),
            client.get("/api/v1/me", headers={"Authorization": f"Basic {FORGED}"}),
            client.get("/api/v1/me", headers={"Cookie": f"fjarrkoll_session={FORGED:x<43}"}),
            client.get(f"/sign-in/callback?code={CODE}&state=x"),
            client.get(f"/sign-in/callback?error=access_denied&code={CODE}"),
            client.post("/api/v1/tickets", headers=forged, content=FORGED),
            client.post("/sign-out", headers={"Cookie": f"fjarrkoll_session={SESSION[:-1]}x"}),
            client.get("/metrics"),
        )
    ]


def test_the_walk_is_of_what_there_is(two):
    """A walk past answers of 404 would find no secret anywhere."""
    with application(two.url) as client:
        paths = readable(client, two)
        for role in Role:
            found = {
                operation: client.get(path, headers=bearer(role)).status_code
                for operation, path in paths.items()
                if is_for(role, operation)
            }
            absent = {operation for operation, status in found.items() if status == 404}
            assert absent <= {"list_backtest_tickets"}, "shown to none of several tenants"
            assert {operation for operation, status in found.items() if status >= 500} == set()


def is_for(role, operation) -> bool:
    rule = shipped_policy()[operation]
    return rule.roles is not None and role in rule.roles


def test_staff_never_read_the_name_behind_a_loan(two):
    """The pseudonym is for the person, the unit that prescribed, and those who audit."""
    may = {"list_audit", "access_log_page", "start_loan", "start_loan_page"}
    with application(two.url) as client:
        for role in (Role.TECHNICIAN, Role.SERVICE_DESK, Role.CENTRE_MANAGER):
            assert not {op for op in may & {"list_audit"} if shipped_policy()[op].allows(role)}
            assert not [t[:300] for t in walked(client, two, bearer(role)) if PERSON in t]
