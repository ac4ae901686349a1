"""Against a certified OpenID provider that we did not write: `oidc-provider` from npm."""

from __future__ import annotations

import uuid
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from starlette.testclient import TestClient
from support.oidc_provider import installed, log_in, running

from api.access.settings import AccessSettings
from api.app import create_app
from api.settings import ApiSettings
from fjarrkoll.embedded.broker import free_port
from fleet.access.claims import shipped_claim_map

PAGES = "http://127.0.0.1:8460"
BACK = f"{PAGES}/sign-in/callback"
SESSION = "fjarrkoll_session"
AUDIENCE = "https://fjarrkoll.example/api"
CLAIMS = {"name": "Åsa Öberg", "role": "technician", "tenant": "demo"}
BOTH = {"redirect_uris": [BACK], "grant_types": ["authorization_code"], "response_types": ["code"]}
CLIENTS = [
    BOTH | {"client_id": "public", "token_endpoint_auth_method": "none"},
    BOTH | {"client_id": "confidential", "client_secret": "s3cret/with+signs:&%"},
    BOTH | {"client_id": "elliptic", "token_endpoint_auth_method": "none",
        "id_token_signed_response_alg": "ES256"},
    {"client_id": "program", "client_secret": "p" * 20, "redirect_uris": [],
        "response_types": [], "grant_types": ["client_credentials"]},
]  # fmt: skip


@pytest.fixture(scope="module")
def main():
    found = installed()
    if isinstance(found, str):
        print(found)
        pytest.skip(found)
    return found


@pytest.fixture(scope="module")
def options():
    return {"port": free_port(), "clients": CLIENTS, "claims": CLAIMS, "inUserinfo": False}


@pytest.fixture
def provider(main, options):
    with running(main, options) as url:
        yield url


@pytest.fixture(scope="module")
def database(plain):
    name = f"t{uuid.uuid4().hex[:12]}"
    url = plain.create_migrated(name)
    with psycopg.connect(url) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('demo', 'Demo')")
    yield url
    plain.drop_database(name)


def access(issuer, client_id, secret=None, **claim_map):
    shipped = replace(shipped_claim_map("builtin"), **claim_map)
    return AccessSettings(issuer, client_id, AUDIENCE, shipped, secret)


def application(database, settings):
    app = create_app(ApiSettings(database, settings))
    return TestClient(app, base_url=PAGES, follow_redirects=False)


def signed_in(client):
    away = client.get("/sign-in/start?next=/devices")
    assert away.status_code == 303, away.text
    return client.get(log_in(away.headers["location"], "asa", BACK))


def is_known(client):
    return client.get("/api/v1/devices").status_code == 200


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [("public", None), ("confidential", "s3cret/with+signs:&%"), ("elliptic", None)],
)
def test_somebody_signs_in_to_a_page_of_ours(provider, database, client_id, secret):
    with application(database, access(provider, client_id, secret)) as client:
        assert not is_known(client)
        back = signed_in(client)
        assert (back.status_code, back.headers["location"]) == (303, "/devices")
        assert "Åsa Öberg" in client.get("/devices").text


def test_claims_that_only_userinfo_has_are_fetched(main, database):
    port = free_port()
    told = {"port": port, "clients": CLIENTS, "claims": CLAIMS, "inUserinfo": True}
    with running(main, told) as url:
        with application(database, access(url, "public")) as client:
            refused = signed_in(client)
            assert refused.status_code == 403
            assert "no role fits" in refused.text
        with application(database, access(url, "public", asks_userinfo=True)) as client:
            assert signed_in(client).status_code == 303
            assert is_known(client)


def test_a_wrong_secret_opens_no_session(provider, database):
    with application(database, access(provider, "confidential", "wrong")) as client:
        assert signed_in(client).status_code == 403
        assert SESSION not in client.cookies


def test_a_challenge_that_is_not_ours_opens_no_session(provider, database):
    with application(database, access(provider, "public")) as client:
        away = client.get("/sign-in/start").headers["location"]
        ours = parse_qs(urlsplit(away).query)["code_challenge"][0]
        back = log_in(away.replace(ours, "c" * 43), "asa", BACK)
        assert client.get(back).status_code == 403
        assert SESSION not in client.cookies


def test_a_provider_without_pkce_in_the_request_refuses_us(provider):
    """So the tests above prove that we send it."""
    query = {"client_id": "public", "response_type": "code", "scope": "openid",
        "redirect_uri": BACK, "state": "s", "nonce": "n"}  # fmt: skip
    answer = httpx.get(f"{provider}/auth", params=query)
    assert "PKCE" in answer.headers["location"]


@pytest.mark.parametrize("name", ["state", "nonce"])
def test_a_state_or_nonce_that_is_not_ours_opens_no_session(provider, database, name):
    with application(database, access(provider, "public")) as client:
        away = client.get("/sign-in/start").headers["location"]
        ours = parse_qs(urlsplit(away).query)[name][0]
        back = log_in(away.replace(ours, "x" * 43), "asa", BACK)
        assert client.get(back).status_code == (400 if name == "state" else 403)
        assert SESSION not in client.cookies


def test_a_code_is_good_once(provider, database):
    with application(database, access(provider, "public")) as client:
        away = client.get("/sign-in/start")
        attempt = dict(client.cookies)
        back = log_in(away.headers["location"], "asa", BACK)
        assert client.get(back).status_code == 303
        client.cookies.clear()
        client.cookies.update(attempt)
        assert client.get(back).status_code == 403
        assert SESSION not in client.cookies


def test_new_keys_are_found_and_old_ones_forgotten(main, options, database, monkeypatch):
    monkeypatch.setattr("api.access.keys.UNKNOWN_EVERY_S", 0.0)  # instead of waiting for it
    with running(main, options) as url:
        settings = access(url, "public")
        old = program_token(url)
        with application(database, settings) as client:
            headers = {"Authorization": f"Bearer {old}"}
            assert client.get("/api/v1/devices", headers=headers).status_code == 200
    with application(database, settings) as client:
        client_keys = client.app.state.rooms.access.provider.keys
        with running(main, options):
            assert signed_in(client).status_code == 303
            first = set(client_keys._keys)
        with running(main, options) as url:
            headers = {"Authorization": f"Bearer {program_token(url)}"}
            assert client.get("/api/v1/devices", headers=headers).status_code == 200
            assert set(client_keys._keys).isdisjoint(first)
            client.cookies.clear()
            assert signed_in(client).status_code == 303
            refused = client.get("/api/v1/devices", headers={"Authorization": f"Bearer {old}"})
            assert refused.status_code == 401


def program_token(url, audience=AUDIENCE):
    form = {"grant_type": "client_credentials", "resource": audience}
    answer = httpx.post(f"{url}/token", data=form, auth=("program", "p" * 20))
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def test_a_program_uses_client_credentials(provider, database):
    with application(database, access(provider, "public")) as client:
        for audience, status in ((AUDIENCE, 200), ("https://another.example/api", 401)):
            headers = {"Authorization": f"Bearer {program_token(provider, audience)}"}
            assert client.get("/api/v1/devices", headers=headers).status_code == status


def test_signing_out_leads_to_the_provider_s_own_sign_out(provider, database):
    with application(database, access(provider, "public")) as client:
        signed_in(client)
        left = client.post("/sign-out", headers={"Origin": PAGES})
        shown = client.get(left.headers["location"])
        assert f"{provider}/session/end?client_id=public" in shown.text
        assert not is_known(client)
