"""Every endpoint, role and tenant: what is let through is what the policy file says, no more."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import psycopg
import pytest
from starlette.testclient import TestClient
from support.people import access_settings, bearer
from support.tenants import filled, seed_two_tenants

from api.access.gate import operation_of
from api.access.policy import shipped_policy
from api.app import create_app
from api.examples import example_of
from api.limits import SIGN_INS, Limits
from api.process import ApiSettings
from api.routes import endpoints
from fleet.access.callers import Role

LIMITS = Limits(requests_per_s=1e6, request_burst=10**6, streams=0)
NOT_THIS_ROLE = "urn:fjarrkoll:problem:not-your-role"
JSON = {"Accept": "application/json"}
TENANT_WIDE = {"rule_id", "version", "backtest_no", "policy_name", "name", "code", "system"}
"""Path parameters that name nothing of a tenant's."""


@pytest.fixture(scope="module")
def two(plain):
    name = "matrix"
    yield seed_two_tenants(plain.create_migrated(name))
    plain.drop_database(name)


def application(two, **changes):
    settings = ApiSettings(two.url, access_settings(), port=0, limits=LIMITS, **changes)
    return create_app(settings)


@pytest.fixture(scope="module")
def app(two):
    return application(two)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url="http://127.0.0.1:8460", follow_redirects=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def document(app):
    return app.openapi()


def routes(app):
    return [
        (operation_of(route), next(iter(sorted(route.methods - {"HEAD"}))), route.path)
        for route in endpoints(app.routes)
    ]


def asked(document, path, method, things):
    """Query and body of a request that the document calls right, about one tenant's things."""
    operation = document["paths"].get(path, {}).get(method.lower())
    if operation is None:
        return {}, None
    schemas = document["components"]["schemas"]
    query = {
        parameter["name"]: example_of(parameter["name"], parameter["schema"], schemas)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and parameter.get("required")
    }
    query = {name: told(value, things) for name, value in query.items()}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = example_of("body", content["schema"], schemas) if content else None
    return query, {k: told(v, things) for k, v in body.items()} if isinstance(body, dict) else body


def told(value, things):
    """An example names the device of the first tenant; here it is the one that is asked about."""
    return value.replace("fk-20417", things.device_id) if isinstance(value, str) else value


@pytest.mark.parametrize("tenant", ["exempel", "annan"])
@pytest.mark.parametrize("role", Role)
def test_each_role_is_let_in_exactly_where_the_policy_says(client, app, two, role, tenant):
    things = two.own if tenant == "exempel" else two.other
    headers = bearer(role, tenant=tenant) | JSON
    wrong = []
    for operation, method, path in routes(app):
        rule = shipped_policy()[operation]
        if rule.roles is None:
            continue
        answer = client.request(method, filled(path, things), headers=headers)
        is_kept_out = (
            answer.status_code == 403 and answer.json().get("type") == NOT_THIS_ROLE
            if is_json(answer)
            else answer.status_code == 403
        )
        if is_kept_out is rule.allows(role) or answer.status_code in {401, 500}:
            wrong.append((operation, answer.status_code))
    assert wrong == []


def is_for(role, operation):
    rule = shipped_policy()[operation]
    return rule.roles is not None and role in rule.roles


def is_json(answer):
    return "json" in answer.headers.get("content-type", "")


def test_nobody_gets_anywhere_without_signing_in(client, app, two):
    for operation, method, path in routes(app):
        if operation in SIGN_INS:
            continue  # these ask the sign-in service, which is no part of this
        answer = client.request(method, filled(path, two.own), headers=JSON)
        is_open = shipped_policy()[operation].roles is None
        is_sent_to_sign_in = answer.status_code == 303 and "/sign-in" in answer.headers["location"]
        assert (answer.status_code == 401 or is_sent_to_sign_in) is not is_open, operation


def test_every_documented_operation_is_in_the_policy_and_served(document, app):
    documented = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert documented <= {operation for operation, _, _ in routes(app)} == set(shipped_policy())


@pytest.mark.parametrize("role", [r for r in Role if r is not Role.DEVICE])
def test_every_id_of_the_other_tenant_is_404(client, app, two, document, role):
    """With everything right about the request but whose thing it names."""
    headers = bearer(role) | JSON | {"If-Match": "*"}
    seen, wrong, before = 0, [], belongings(two)
    for operation, method, path in routes(app):
        names = set(re.findall(r"\{(\w+)", path))
        if not names - TENANT_WIDE or not is_for(role, operation):
            continue
        query, body = asked(document, path, method, two.other)
        send = {"params": query} | ({"json": body} if body is not None else {})
        answer = client.request(method, filled(path, two.other), headers=headers, **send)
        is_form = method == "POST" and path not in document["paths"]
        # What a form must say is not in the document; that it changed nothing is seen below.
        if answer.status_code != 404 and not (is_form and 400 <= answer.status_code < 500):
            wrong.append((operation, answer.status_code, answer.text[:300]))
        seen += 1
    assert seen > 3
    assert wrong == []
    assert belongings(two) == before


def belongings(two):
    """How much of everything the other tenant has, and the state of it."""
    with psycopg.connect(two.url) as conn:
        return conn.execute(
            "SELECT (SELECT array_agg((state, version)) FROM ticket WHERE tenant_no = t),"
            " (SELECT count(*) FROM ticket_event JOIN ticket USING (ticket_no)"
            " WHERE tenant_no = t),"
            " (SELECT count(*) FROM loan JOIN device USING (device_no) WHERE tenant_no = t),"
            " (SELECT count(*) FROM placement JOIN device USING (device_no) WHERE tenant_no = t),"
            " (SELECT max(replayed_at) FROM quarantine WHERE tenant_id = %(other)s),"
            " (SELECT count(*) FROM audit WHERE tenant_no = t)"
            " FROM (SELECT tenant_no AS t FROM tenant WHERE id = %(other)s) AS theirs",
            {"other": two.other.tenant},
        ).fetchone()


@pytest.mark.parametrize("role", list(Role))
def test_nothing_of_the_other_tenant_is_in_any_answer(client, app, two, document, role):
    """Whatever is asked for, also where a query names the other tenant's device."""
    headers = bearer(role) | JSON
    for operation, method, path in routes(app):
        if method != "GET" or not is_for(role, operation):
            continue
        query, _ = asked(document, path, method, two.other)
        for more in (query, {**query, "device": two.other.device_id}):
            answer = client.get(filled(path, two.own), params=more, headers=headers)
            text = answer.text.replace(str(answer.url.query), "")
            assert f"i-{two.other.tenant}" not in text, operation
            assert answer.status_code < 500, (operation, answer.text)


def test_nothing_tells_a_thing_of_another_from_one_that_is_not_there(client, two):
    headers = bearer(Role.ADMINISTRATOR) | JSON
    for path, other, none in (
        ("/api/v1/devices/{}", two.other.device_id, "fk-none1"),
        ("/api/v1/tickets/{}", two.other.ticket_no, 999_999),
        ("/api/v1/quarantine/{}", two.other.quarantine_no, 999_999),
    ):
        answers = [client.get(path.format(which), headers=headers) for which in (other, none)]
        bodies = [answer.json() | {"instance": ""} for answer in answers]
        assert bodies[0] == bodies[1]
        assert bodies[0]["status"] == 404


def test_callers_of_two_tenants_who_share_one_connection_see_their_own(two):
    """Interleaved over a pool of one, with errors and requests that are given up in between."""
    seen = threading.local()
    with TestClient(
        application(two, pool_size=1, database_wait_s=10), base_url="http://127.0.0.1:8460"
    ) as client:
        turns = list(zip(range(120), cycle([two.own, two.other]), strict=False))

        def ask(turn):
            number, things = turn
            headers = bearer(Role.TECHNICIAN, tenant=things.tenant)
            if number % 7 == 0:
                bad = client.get("/api/v1/devices?cursor=zz", headers=headers)
                missing = client.get("/api/v1/tickets/999999", headers=headers)
                return {bad.status_code, missing.status_code} == {422, 404}
            if number % 11 == 0:
                give_up(client, headers)
            seen.answer = client.get("/api/v1/devices", headers=headers).json()
            return [item["id"] for item in seen.answer["items"]] == [things.device_id]

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(ask, turns))


def give_up(client, headers):
    """A request whose sender goes away before the answer."""
    import anyio  # noqa: PLC0415 - beside its only use

    async def scene():
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "path": "/api/v1/tickets",
            "raw_path": b"/api/v1/tickets", "query_string": b"", "scheme": "http",
            "headers": [(b"host", b"127.0.0.1:8460"),
                        (b"authorization", headers["Authorization"].encode())],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8460), "app": client.app,
        }  # fmt: skip

        async def receive():
            await anyio.lowlevel.checkpoint()
            return {"type": "http.disconnect"}

        async def send(_message):
            await anyio.lowlevel.checkpoint()

        with anyio.move_on_after(0.002):
            await client.app(scope, receive, send)

    anyio.run(scene)
