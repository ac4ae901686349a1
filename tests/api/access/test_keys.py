"""Keys and addresses of an issuer: fetched when needed, kept, and never on a stranger's order."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from api.access.keys import (
    FRESH_FOR_S,
    KEYS_MAX,
    RETRY_EVERY_S,
    STALE_FOR_S,
    UNKNOWN_EVERY_S,
    FetchedKeys,
    ProviderDownError,
    read_keys,
)
from api.access.provider import BODY_MAX_BYTES, CodeRefusedError, Provider, read_metadata


class Issuer:
    """What an issuer publishes, with a clock and a count of who asked."""

    def __init__(self, *kids):
        self.now_s = 1000.0
        self.fetched_n = 0
        self.is_down = False
        self.publish(*kids)
        self.keys = FetchedKeys(self.fetch, lambda: self.now_s)

    def publish(self, *kids):
        keys = [OKPKey.generate_key("Ed25519", parameters={"kid": kid}) for kid in kids]
        self.key_set = {"keys": [key.as_dict(private=False) for key in keys]}

    def fetch(self):
        self.fetched_n += 1
        if self.is_down:
            raise ProviderDownError("down")
        return self.key_set

    def has(self, kid):
        return self.keys.key(kid) is not None


def test_keys_are_fetched_once_and_kept():
    issuer = Issuer("a", "b")
    assert [issuer.has(kid) for kid in ("a", "b", "a")] == [True] * 3
    issuer.now_s += FRESH_FOR_S
    assert issuer.has("a")
    assert issuer.fetched_n == 1


def test_a_new_key_is_found_without_waiting_for_the_old_ones_to_age():
    issuer = Issuer("a")
    assert issuer.has("a")
    issuer.publish("b")
    issuer.now_s += UNKNOWN_EVERY_S
    assert issuer.has("b")
    assert not issuer.has("a")


def test_unknown_key_ids_make_us_ask_at_most_twice_a_minute():
    issuer = Issuer("a")
    assert issuer.has("a")
    for number in range(605):
        issuer.now_s += 0.1
        assert not issuer.has(f"x{number}")
    assert issuer.fetched_n == 1 + 2


def test_a_withdrawn_key_is_forgotten_when_the_keys_are_old():
    issuer = Issuer("a", "b")
    assert issuer.has("a")
    issuer.publish("b")
    issuer.now_s += FRESH_FOR_S + 1
    assert not issuer.has("a")


def test_an_issuer_that_is_down_is_asked_seldom_and_its_keys_are_used_for_an_hour():
    issuer = Issuer("a")
    assert issuer.has("a")
    issuer.is_down = True
    issuer.now_s += FRESH_FOR_S + 1
    for _ in range(100):
        assert issuer.has("a")
    assert issuer.fetched_n == 2
    issuer.now_s += STALE_FOR_S - FRESH_FOR_S
    with pytest.raises(ProviderDownError):
        issuer.has("a")
    issuer.is_down = False
    issuer.now_s += RETRY_EVERY_S
    assert issuer.has("a")


def test_an_issuer_that_was_never_reached_is_not_hammered_either():
    issuer = Issuer("a")
    issuer.is_down = True
    for _ in range(50):
        with pytest.raises(ProviderDownError):
            issuer.has("a")
    assert issuer.fetched_n == 1
    issuer.is_down = False
    issuer.now_s += RETRY_EVERY_S
    assert issuer.has("a")


def test_many_threads_at_once_make_one_fetch():
    issuer = Issuer("a")
    start, found = threading.Barrier(20), []

    def ask():
        start.wait(5)
        found.append(issuer.has("a"))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert found == [True] * 20
    assert issuer.fetched_n == 1


def test_whoever_waited_for_an_issuer_that_is_down_does_not_ask_it_again():
    issuer = Issuer("a")
    issuer.is_down = True
    fetch = issuer.keys._fetch

    def slow():  # as long as an answer is waited for, which is no shorter than until the next try
        issuer.now_s += RETRY_EVERY_S + 1
        return fetch()

    issuer.keys._fetch = slow
    for _ in range(5):
        with pytest.raises(ProviderDownError):
            issuer.has("a")
    assert issuer.fetched_n == 1


def test_a_known_key_is_used_while_another_thread_waits_for_the_issuer():
    issuer = Issuer("a")
    assert issuer.has("a")
    issuer.now_s += FRESH_FOR_S + 1
    asked, answered = threading.Event(), threading.Event()

    def stuck():
        asked.set()
        assert answered.wait(10)
        return issuer.key_set

    issuer.keys._fetch = stuck
    thread = threading.Thread(target=issuer.has, args=("a",))
    thread.start()
    assert asked.wait(5)
    assert issuer.has("a")
    assert not issuer.keys.must_ask("a")
    assert issuer.keys.must_ask("x")
    answered.set()
    thread.join(5)


def public(key, **more):
    return {**key.as_dict(private=False), **more}


def test_only_strong_public_signature_keys_with_an_id_are_read():
    good = [
        public(RSAKey.generate_key(2048), kid="rsa"),
        public(ECKey.generate_key("P-256"), kid="ec", use="sig"),
        public(OKPKey.generate_key("Ed25519"), kid="okp"),
    ]
    bad = [
        public(RSAKey.generate_key(1024), kid="short"),
        public(ECKey.generate_key("P-256"), kid="enc", use="enc"),
        {**OctKey.generate_key(256).as_dict(), "kid": "secret"},
        {k: v for k, v in public(OKPKey.generate_key("Ed25519")).items() if k != "kid"},
        public(OKPKey.generate_key("Ed25519"), kid=7),
        {"kty": "EC", "kid": "broken", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "RSA", "kid": "empty"},
        {"kty": "ML-DSA", "kid": "new"},
        "text",
        None,
    ]
    assert sorted(read_keys({"keys": bad + good})) == ["ec", "okp", "rsa"]


@pytest.mark.parametrize("key_set", [{}, {"keys": {}}, {"keys": None}, {"keys": [{}] * 51}])
def test_what_is_no_key_set_is_refused(key_set):
    assert KEYS_MAX == 50
    with pytest.raises(ProviderDownError):
        read_keys(key_set)


class Site(ThreadingHTTPServer):
    """A real HTTP server that answers each path with what the test says."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = {}
        self.asked = Counter()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def document(self, **changes):
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/auth",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
        }
        return found | changes


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked[self.path] += 1
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_):
        pass


CONFIGURATION = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def server():
    running = Site()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    thread.join(5)
    running.server_close()


@pytest.fixture
def site(server):
    server.answers.clear()
    server.asked.clear()
    server.answers[CONFIGURATION] = as_json(server.document())
    return server


@pytest.fixture
def provider(site):
    made = Provider(site.url)
    yield made
    made.close()


def as_json(value, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def test_addresses_are_asked_for_once(site, provider):
    assert provider.metadata().token_endpoint == f"{site.url}/token"
    assert provider.metadata().end_session_endpoint is None
    assert site.asked == {CONFIGURATION: 1}


def test_addresses_are_asked_for_again_after_an_hour(site):
    now = [0.0]
    provider = Provider(site.url, lambda: now[0])
    provider.metadata()
    now[0] = 3601.0
    provider.metadata()
    provider.close()
    assert site.asked[CONFIGURATION] == 2


def test_a_provider_that_does_not_answer_is_asked_seldom(site):
    now = [0.0]
    provider = Provider(site.url, lambda: now[0])
    good = site.answers.pop(CONFIGURATION)
    for _ in range(20):
        with pytest.raises(ProviderDownError):
            provider.metadata()
    assert site.asked[CONFIGURATION] == 1
    now[0] = RETRY_EVERY_S
    with pytest.raises(ProviderDownError):
        slowly(provider, now)
    with pytest.raises(ProviderDownError):
        provider.metadata()
    assert site.asked[CONFIGURATION] == 2, "not at once after a long wait"
    site.answers[CONFIGURATION] = good
    now[0] += RETRY_EVERY_S
    assert provider.metadata().jwks_uri == f"{site.url}/jwks"
    provider.close()


def slowly(provider, now):
    """Ask, while the time passes in which an answer is waited for."""
    document = provider._document

    def waits(url):
        now[0] += RETRY_EVERY_S + 1
        return document(url)

    provider._document = waits
    try:
        provider.metadata()
    finally:
        provider._document = document


ANSWERS = {
    "a body that never seems to end": (200, {}, b"{" + b" " * (BODY_MAX_BYTES + 1) + b"}"),
    "no JSON": (200, {}, b"<html>"),
    "no JSON object": (200, {}, b"[]"),
    "a redirect": (302, {"Location": "https://evil.example/"}, b""),
    "not found": (404, {}, b"{}"),
    "a refusal": (400, {}, b"{}"),
    "an error": (500, {}, b"{}"),
    "empty": (200, {}, b""),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_cannot_be_used_counts_as_down(site, provider, answer):
    site.answers[CONFIGURATION] = ANSWERS[answer]
    with pytest.raises(ProviderDownError, match="openid-configuration"):
        provider.metadata()


@pytest.mark.parametrize("answer", ANSWERS)
def test_keys_that_cannot_be_used_count_as_down(site, provider, answer):
    site.answers["/jwks"] = ANSWERS[answer]
    with pytest.raises(ProviderDownError):
        provider.keys.key("a")


def test_a_code_that_is_refused_is_told_from_an_issuer_that_is_down(site, provider):
    site.answers["/token"] = as_json({"error": "invalid_grant"}, 400)
    with pytest.raises(CodeRefusedError):
        provider.exchanged({"code": "c"}, "client", None)
    site.answers["/token"] = as_json({}, 502)
    with pytest.raises(ProviderDownError):
        provider.exchanged({"code": "c"}, "client", None)


def test_userinfo_of_a_provider_without_it_is_an_error_that_says_so(provider):
    with pytest.raises(ProviderDownError, match="no userinfo endpoint"):
        provider.userinfo("t")


SAFE = {
    "issuer": "https://i.example",
    "authorization_endpoint": "https://i.example/a",
    "token_endpoint": "https://i.example/t",
    "jwks_uri": "https://keys.example/j",
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://i.example/"}, "write FJARRKOLL_OIDC_ISSUER_URL exactly"),
        ({"issuer": "https://evil.example"}, "of issuer 'https://evil.example'"),
        ({"issuer": None}, "of issuer None"),
        ({"jwks_uri": "http://i.example/j"}, "no safe jwks_uri"),
        ({"jwks_uri": "file:///etc/passwd"}, "no safe jwks_uri"),
        ({"token_endpoint": None}, "no safe token_endpoint"),
        ({"token_endpoint": "https://u:p@i.example/t"}, "no safe token_endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no safe authorization_endpoint"),
        ({"end_session_endpoint": "http://i.example/e"}, "no safe end_session_endpoint"),
        ({"userinfo_endpoint": 5}, "no safe userinfo_endpoint"),
    ],
)
def test_a_discovery_document_that_leads_astray_is_refused(changes, reason):
    assert read_metadata(SAFE, "https://i.example").takes_basic
    with pytest.raises(ProviderDownError, match=reason):
        read_metadata(SAFE | changes, "https://i.example")
