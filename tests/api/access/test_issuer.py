"""The built-in issuer: a real provider, for this machine alone, and every page says so."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.util import urlsafe_b64encode

from api.access.keys import FetchedKeys
from api.access.provider import read_metadata
from api.access.settings import AccessSettingsError
from fjarrkoll.embedded.cast import demo_cast
from fjarrkoll.embedded.grants import CODE_LASTS_S, CODES_MAX, Asked, GrantError, Grants
from fjarrkoll.embedded.issuer import EmbeddedIssuer
from fleet.access.callers import Role

VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).decode()
BACK = "http://127.0.0.1:8460/sign-in/callback"
REQUEST = {
    "client_id": "fjarrkoll-pages",
    "response_type": "code",
    "redirect_uri": BACK,
    "scope": "openid profile",
    "state": "s",
    "nonce": "n",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
ASKED = Asked(BACK, "n", CHALLENGE)
URL = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def issuer():
    running = EmbeddedIssuer(demo_cast("demo"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def browser(issuer):
    with httpx.Client(base_url=issuer.url, trust_env=False) as opened:
        yield opened


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.4", "example.com", "", "127.0.0.1.evil"])
def test_it_refuses_an_address_that_others_can_reach(host):
    with pytest.raises(AccessSettingsError, match="whoever can reach it could be anybody"):
        EmbeddedIssuer(demo_cast("demo"), host)


def test_a_port_that_is_taken_is_refused_with_advice(issuer):
    with pytest.raises(AccessSettingsError, match="Choose another"):
        EmbeddedIssuer(demo_cast("demo"), port=urlsplit(issuer.url).port)


def test_its_documents_pass_our_own_checks(issuer, browser):
    document = browser.get("/.well-known/openid-configuration").json()
    assert read_metadata(document, issuer.url).says_issuer
    kid = issuer.grants.key_set()["keys"][0]["kid"]
    assert "d" not in browser.get("/jwks").json()["keys"][0]
    assert FetchedKeys(lambda: browser.get("/jwks").json()).key(kid) is not None


def test_every_page_says_what_it_is_and_every_role_has_somebody(browser):
    people = {one.role for one in demo_cast("demo").people}
    assert people == set(Role) - {Role.DEVICE}
    assert Role.DEVICE in {one.role for one in demo_cast("demo").services}
    for path in ("/", "/authorize", "/authorize?" + str(httpx.QueryParams(REQUEST))):
        shown = browser.get(path)
        assert "Inbyggd inloggning – endast för demo och test" in shown.text
        assert "for demo and test only" in shown.text
        assert "style-src 'sha256-" in shown.headers["content-security-policy"]
    for one in demo_cast("demo").people:
        assert one.name in shown.text


def test_another_name_for_this_machine_is_not_answered(browser):
    assert browser.get("/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "other"}, "client_id must be"),
        ({"response_type": "token"}, "response_type must be"),
        ({"code_challenge_method": "plain"}, "code_challenge_method must be"),
        ({"code_challenge": ""}, "code_challenge is missing"),
        ({"nonce": ""}, "nonce is missing"),
        ({"state": ""}, "state is missing"),
        ({"scope": "profile"}, "scope must hold openid"),
        ({"redirect_uri": "https://evil.example/sign-in/callback"}, "redirect_uri must be"),
        ({"redirect_uri": "http://127.0.0.1.evil/sign-in/callback"}, "redirect_uri must be"),
        ({"redirect_uri": "http://127.0.0.1:1/other"}, "redirect_uri must be"),
        ({"redirect_uri": f"{BACK}?x=1"}, "redirect_uri must be"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_wrong_request_is_a_page_and_sends_nobody_anywhere(browser, changes, reason, method):
    wrong = REQUEST | changes
    shown = (
        browser.get("/authorize", params=wrong)
        if method == "GET"
        else browser.post("/authorize", data=wrong | {"user": "demo-tova"})
    )
    assert shown.status_code == 400
    assert reason in shown.text


def code_of(browser, **changes):
    sent = browser.post("/authorize", data=REQUEST | {"user": "demo-tova"} | changes)
    answer = parse_qs(urlsplit(sent.headers["location"]).query)
    return answer["code"][0]


def exchange(browser, brought, **changes):
    form = {"grant_type": "authorization_code", "code": brought, "redirect_uri": BACK,
        "client_id": "fjarrkoll-pages", "code_verifier": VERIFIER}  # fmt: skip
    return browser.post("/token", data=form | changes)


def test_a_code_is_exchanged_once(browser):
    code = code_of(browser)
    assert set(exchange(browser, code).json()) >= {"id_token", "access_token", "expires_in"}
    again = exchange(browser, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": ""},
        {"redirect_uri": "http://127.0.0.1:9/sign-in/callback"},
        {"client_id": "other"},
        {"code": "x"},
        {"grant_type": "password"},
    ],
)
def test_a_code_is_not_exchanged_for_somebody_else(browser, changes):
    refused = exchange(browser, code_of(browser), **changes)
    assert refused.status_code in {400, 401}
    assert "token" not in refused.json()


def test_a_wrong_verifier_uses_the_code_up(browser):
    code = code_of(browser)
    exchange(browser, code, code_verifier="w" * 43)
    assert exchange(browser, code).status_code == 400


def test_nobody_can_sign_in_as_a_program(browser):
    shown = browser.post("/authorize", data=REQUEST | {"user": "demo-program"})
    assert shown.status_code == 400


def test_a_code_is_good_for_a_minute():
    now = [1000.0]
    grants = Grants(demo_cast("demo"), lambda: now[0])
    first, second = (grants.code_for("demo-tova", ASKED) for _ in range(2))
    now[0] += CODE_LASTS_S - 1
    assert grants.exchanged(URL, first, BACK, VERIFIER)["token_type"] == "Bearer"
    now[0] += 1
    with pytest.raises(GrantError, match="too old"):
        grants.exchanged(URL, second, BACK, VERIFIER)


def test_the_number_of_codes_is_bounded():
    now = [1000.0]
    grants = Grants(demo_cast("demo"), lambda: now[0])
    for _ in range(CODES_MAX):
        grants.code_for("demo-tova", ASKED)
    with pytest.raises(GrantError, match="too many"):
        grants.code_for("demo-tova", ASKED)
    now[0] += CODE_LASTS_S + 1
    assert grants.code_for("demo-tova", ASKED)


def test_a_program_needs_its_secret(issuer, browser):
    secret = issuer.grants.secrets["demo-device"]
    form = {"grant_type": "client_credentials"}
    good = browser.post("/token", data=form, auth=("demo-device", secret))
    assert good.json()["expires_in"] == 600
    in_form = {"client_id": "demo-device", "client_secret": secret}
    assert browser.post("/token", data=form | in_form).status_code == 200
    for auth in (("demo-device", "x"), ("demo-device", ""), ("demo-tova", ""), ("", "")):
        refused = browser.post("/token", data=form, auth=auth)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
