"""Signing in and out with the built-in issuer: the real flow, over sockets, to the database."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from support.people import access_settings
from support.signing_in import choose, sign_in

from api.access.attempts import Attempts, local_path, new_attempt
from api.access.settings import AccessSettings, AccessSettingsError
from api.app import create_app
from api.settings import ApiSettings
from fjarrkoll.embedded.cast import demo_cast
from fjarrkoll.embedded.issuer import EmbeddedIssuer
from fleet.access.claims import shipped_claim_map

PAGES = "http://127.0.0.1:8460"
SAME_SITE = {"Origin": PAGES, "Sec-Fetch-Site": "same-origin"}
SESSION = "fjarrkoll_session"


@pytest.fixture(scope="module")
def issuer():
    running = EmbeddedIssuer(demo_cast("demo"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def database(plain):
    name = f"t{uuid.uuid4().hex[:12]}"
    url = plain.create_migrated(name)
    with psycopg.connect(url) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('demo', 'Demo')")
    yield url
    plain.drop_database(name)


def application(database, access):
    app = create_app(ApiSettings(database, access))
    return TestClient(app, base_url=PAGES, follow_redirects=False)


@pytest.fixture
def client(database, issuer):
    with application(database, issuer.access_settings()) as opened:
        yield opened


def text_of(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.text))


def asked(response):
    return {
        name: values[0]
        for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()
    }


def test_somebody_signs_in_and_the_pages_know_who_it_is(client):
    back = sign_in(client, "demo-tova", "/sign-in/start?next=/devices%3Fq%3Dwc")
    assert (back.status_code, back.headers["location"]) == (303, "/devices?q=wc")
    shown = client.get("/devices")
    assert shown.status_code == 200
    assert "Tova Tekniker" in shown.text


@pytest.mark.parametrize("user", [one.subject for one in demo_cast("demo").people])
def test_everybody_of_the_cast_may_sign_in(client, user):
    assert sign_in(client, user).status_code == 303
    assert client.get("/api/v1/devices").status_code == 200


def test_whoever_is_not_signed_in_is_asked_to_and_comes_back(client):
    away = client.get("/devices?q=wc")
    assert away.status_code == 303
    page = client.get(away.headers["location"], headers={"Accept-Language": "sv"})
    assert "Logga in" in page.text
    assert "Inbyggd inloggning – endast för demo och test" in page.text
    start = re.search(r'href="(/sign-in/start[^"]*)"', page.text)
    assert start is not None
    back = sign_in(client, "demo-karim", start[1].replace("&amp;", "&"))
    assert back.headers["location"] == "/devices?q=wc"


def test_the_request_has_state_nonce_and_pkce_and_none_is_used_twice(client):
    first, second = (asked(client.get("/sign-in/start")) for _ in range(2))
    assert first["response_type"] == "code"
    assert first["code_challenge_method"] == "S256"
    assert first["redirect_uri"] == f"{PAGES}/sign-in/callback"
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) == 43
        assert first[name] != second[name]


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(client):
    back = sign_in(client, "demo-tova")
    cookie = next(c for c in back.headers.get_list("set-cookie") if c.startswith(SESSION))
    assert "; HttpOnly" in cookie
    assert "; SameSite=lax" in cookie
    assert "; Path=/" in cookie
    assert "Domain" not in cookie
    assert "Secure" not in cookie, "plain http on this machine"
    assert len(cookie.split("=")[1].split(";")[0]) == 43


def test_over_https_cookies_are_secure_and_of_this_host_alone(database, issuer):
    public = {"public_url": "https://fjarrkoll.example", "is_demo": False}
    access = replace(issuer.access_settings(), **public)
    with application(database, access) as client:
        away = client.get("/sign-in/start", headers={"Host": "fjarrkoll.example"})
        assert asked(away)["redirect_uri"] == "https://fjarrkoll.example/sign-in/callback"
        attempt = away.headers["set-cookie"]
        opened = Response()
        client.app.state.rooms.access.sessions.put(opened, "t")
    session = opened.headers["set-cookie"]
    assert attempt.startswith("__Host-fjarrkoll_sign_in=")
    assert session.startswith("__Host-fjarrkoll_session=")
    for cookie in (attempt, session):
        assert "; Secure" in cookie
        assert "; HttpOnly" in cookie
        assert "; Path=/" in cookie
        assert "Domain" not in cookie


def with_cookie(client, token):
    """What the API answers to another browser that has this token."""
    alone = {"Cookie": f"{SESSION}={token}"}
    client.cookies.clear()
    return client.get("/api/v1/devices", headers=alone)


def test_every_sign_in_has_a_token_of_its_own_and_ends_the_one_before(client):
    sign_in(client, "demo-tova")
    first = client.cookies[SESSION]
    sign_in(client, "demo-tova")
    second = client.cookies[SESSION]
    assert second != first
    assert with_cookie(client, first).status_code == 401
    assert with_cookie(client, second).status_code == 200


def test_a_planted_session_is_not_shared_after_the_sign_in(client):
    planted = "x" * 43
    client.cookies.set(SESSION, planted, domain="127.0.0.1", path="/")
    sign_in(client, "demo-tova")
    assert with_cookie(client, planted).status_code == 401


def test_signing_out_ends_the_session_for_good(client):
    sign_in(client, "demo-tova")
    token = client.cookies[SESSION]
    left = client.post("/sign-out", headers=SAME_SITE)
    assert (left.status_code, left.headers["location"]) == (303, "/sign-in?left=1")
    assert SESSION not in client.cookies
    refused = with_cookie(client, token)
    assert refused.status_code == 401
    assert refused.json()["type"].endswith("session-over")
    page = client.get("/sign-in?left=1", headers={"Accept-Language": "sv"})
    assert "Du är utloggad" in page.text


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
)
def test_another_site_cannot_sign_anybody_out(client, headers):
    sign_in(client, "demo-tova")
    assert client.post("/sign-out", headers=headers).status_code == 403
    assert client.get("/api/v1/devices").status_code == 200


def test_a_change_by_cookie_must_say_which_page_sent_it(client):
    sign_in(client, "demo-adam")
    body = {"action": "triage", "version": 1}
    where = "/api/v1/tickets/1/actions"
    refused = client.post(where, json=body)
    assert refused.status_code == 403
    assert refused.json()["type"].endswith("cross-site")
    told = client.post(where, json=body, headers=SAME_SITE).json()["type"]
    assert not told.endswith("cross-site"), "now it is a matter of roles and tickets"


WRONG_STATES = {
    "another state": lambda query: {**query, "state": "x" * 43},
    "no state": lambda query: {k: v for k, v in query.items() if k != "state"},
    "a state that is not ASCII": lambda query: {**query, "state": "å"},
    "another issuer": lambda query: {**query, "iss": "https://evil.example"},
    "an issuer that does not say who it is": lambda query: {
        k: v for k, v in query.items() if k != "iss"
    },
}


@pytest.mark.parametrize("wrong", WRONG_STATES)
def test_an_answer_to_another_sign_in_opens_no_session(client, wrong):
    away = client.get("/sign-in/start")
    answer = parse_qs(urlsplit(choose(away.headers["location"], "demo-tova")).query)
    query = {name: values[0] for name, values in answer.items()}
    refused = client.get("/sign-in/callback", params=WRONG_STATES[wrong](query))
    assert refused.status_code == 400
    assert SESSION not in client.cookies
    assert "Börja om från början." in text_of(refused)


def test_an_answer_in_another_browser_opens_no_session(client, database, issuer):
    away = client.get("/sign-in/start")
    answer = choose(away.headers["location"], "demo-tova")
    with application(database, issuer.access_settings()) as victim:
        assert victim.get(answer).status_code == 400
        victim.get("/sign-in/start")
        assert victim.get(answer).status_code == 400
        assert SESSION not in victim.cookies


def test_a_nonce_of_another_sign_in_opens_no_session(client):
    """The code is right and the state too; only the nonce that the issuer was told is not ours."""
    away = client.get("/sign-in/start")
    ours = asked(away)["nonce"]
    answer = choose(away.headers["location"].replace(ours, "n" * 43), "demo-tova")
    refused = client.get(answer)
    assert refused.status_code == 403
    assert SESSION not in client.cookies


def test_a_code_challenge_of_another_sign_in_opens_no_session(client):
    away = client.get("/sign-in/start")
    ours = asked(away)["code_challenge"]
    refused = client.get(choose(away.headers["location"].replace(ours, "c" * 43), "demo-tova"))
    assert refused.status_code == 403
    assert SESSION not in client.cookies


def test_a_code_is_good_once(client):
    away = client.get("/sign-in/start")
    attempt = dict(client.cookies)
    answer = choose(away.headers["location"], "demo-tova")
    assert client.get(answer).status_code == 303
    client.cookies.clear()
    client.cookies.update(attempt)
    refused = client.get(answer)
    assert refused.status_code == 403
    assert SESSION not in client.cookies


def test_the_keys_may_change_while_people_sign_in(client, issuer, monkeypatch):
    monkeypatch.setattr("api.access.keys.UNKNOWN_EVERY_S", 0.0)  # instead of waiting for it
    sign_in(client, "demo-tova")
    issuer.rotate()
    assert sign_in(client, "demo-karim").status_code == 303


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        ("access_denied", 403, "Inloggningen avbröts"),
        ("server_error", 403, "Inloggningstjänsten sade nej"),
        ("<script>alert(1)</script>", 403, "Inloggningstjänsten sade nej"),
    ],
)
def test_an_error_of_the_issuer_is_a_page_in_our_words(client, issuer, error, status, words):
    state = asked(client.get("/sign-in/start"))["state"]
    query = {"state": state, "error": error, "iss": issuer.url, "error_description": "<b>x</b>"}
    shown = client.get("/sign-in/callback", params=query, headers={"Accept-Language": "sv"})
    assert shown.status_code == status
    assert words in shown.text
    assert "alert(1)" not in shown.text
    assert "<b>x" not in shown.text


def test_claims_that_make_nobody_are_a_page_that_names_the_claim(database, issuer):
    settings = issuer.access_settings()
    access = AccessSettings(
        settings.issuer_url, settings.client_id, settings.audience, shipped_claim_map("siths")
    )
    with application(database, access) as client:
        shown = sign_in(client, "demo-tova")
        assert shown.status_code == 403
        assert "Ditt uppdrag ger inte tillgång till Fjärrkoll" in text_of(shown)
        assert "no role fits what these claims say: commissionHsaId" in text_of(shown)
        assert SESSION not in client.cookies


def test_an_issuer_that_does_not_answer_is_a_page_and_a_503(database):
    access = access_settings(issuer_url="http://127.0.0.1:1")
    with application(database, access) as client:
        shown = client.get("/sign-in/start", headers={"Accept-Language": "sv"})
        assert shown.status_code == 503
        assert "Inloggningstjänsten svarar inte" in shown.text
        assert client.get("/sign-in?left=1").status_code == 200


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/devices", "/devices"),
        ("/tickets/7?lang=en&x=%C3%A5#y", "/tickets/7?lang=en&x=%C3%A5#y"),
        ("/", "/"),
        (None, None),
        ("", None),
        ("devices", None),
        ("//evil.example", None),
        ("/\\evil.example", None),
        ("/x\\y", None),
        ("https://evil.example", None),
        ("javascript:alert(1)", None),
        ("/x\r\nSet-Cookie: a=b", None),
        ("/x y", None),
        ("/\tevil", None),
        ("/" + "x" * 500, None),
        ("/sign-in", None),
        ("/sign-out", None),
    ],
)
def test_only_paths_of_this_server_are_returned_to(text, path):
    assert local_path(text) == path


def test_an_attempt_is_good_for_ten_minutes_and_in_one_process(issuer):
    now = datetime(2026, 11, 20, tzinfo=UTC)
    attempts, others = (Attempts(issuer.access_settings()) for _ in range(2))
    attempt = new_attempt("/devices")
    sealed = attempts.sealed(attempt, now)
    assert attempt.verifier not in sealed

    def request(value):
        cookie = f"fjarrkoll_sign_in={value}".encode()
        return Request({"type": "http", "headers": [(b"cookie", cookie)]})

    assert attempts.taken(request(sealed), now + timedelta(minutes=9)) == attempt
    assert attempts.taken(request(sealed), now + timedelta(minutes=10)) is None
    assert others.taken(request(sealed), now) is None
    assert attempts.taken(request(sealed[:-4] + "AAAA"), now) is None
    assert attempts.taken(request("x" * 10_000), now) is None


def test_processes_that_share_a_key_finish_each_others_sign_ins(issuer):
    now = datetime(2026, 11, 20, tzinfo=UTC)
    plain = issuer.access_settings()
    one, other, stranger = (
        Attempts(replace(plain, seal_key=key)) for key in ("a" * 32, "a" * 32, "b" * 32)
    )
    attempt = new_attempt("/devices")
    cookie = f"fjarrkoll_sign_in={one.sealed(attempt, now)}".encode()
    request = Request({"type": "http", "headers": [(b"cookie", cookie)]})
    assert other.taken(request, now) == attempt
    assert stranger.taken(request, now) is None
    assert Attempts(plain).taken(request, now) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audience": "fjarrkoll-pages"}, "an audience of its own"),
        ({"issuer_url": "http://issuer.example"}, "no https address"),
        ({"issuer_url": "https://user@issuer.example"}, "no https address"),
        ({"public_url": "http://fjarrkoll.example"}, "no https address"),
        ({"is_demo": True}, "for this machine only"),
        (
            {
                "is_demo": True,
                "issuer_url": "http://127.0.0.1:1",
                "public_url": "https://f.example",
            },
            "for this machine only",
        ),
    ],
)
def test_settings_that_would_not_protect_are_refused(changes, reason):
    with pytest.raises(AccessSettingsError, match=reason):
        access_settings(**changes)


def test_the_client_s_secret_is_in_no_repr():
    assert "hush" not in repr(access_settings(client_secret="hush"))
