"""Forged, borrowed and stale tokens against the application: each is a 401 that tells nothing."""

from __future__ import annotations

import hmac
import json
import time
from datetime import UTC, datetime
from hashlib import sha256, sha512

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode
from starlette.testclient import TestClient
from structlog.testing import capture_logs
from support.people import AUDIENCE, CLIENT, KEY, access_settings, bearer, claims_of, sign

from api.access.keys import FixedKeys
from api.access.tokens import TokenRefusedError, Verifier
from api.app import create_app
from api.settings import ApiSettings
from fleet.access.callers import Role

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
DEVICES = "/api/v1/devices"
OTHER = OKPKey.generate_key("Ed25519", parameters={"kid": "people"})
RSA = RSAKey.generate_key(2048, parameters={"kid": "rsa"})
EC = ECKey.generate_key("P-256", parameters={"kid": "ec"})
SHORT = RSAKey.generate_key(1024, parameters={"kid": "short"})
FOR_ENCRYPTION = OKPKey.generate_key("Ed25519", parameters={"kid": "enc", "use": "enc"})
SECRET = OctKey.generate_key(256, parameters={"kid": "oct"})
TRUSTED = [KEY, RSA, EC, SHORT, FOR_ENCRYPTION]


@pytest.fixture(scope="module")
def client():
    """Without a database: whoever gets past the gate is told 503."""
    keys = {"keys": [*(key.as_dict(private=False) for key in TRUSTED), SECRET.as_dict()]}
    settings = ApiSettings(NOWHERE, access_settings(key_set=keys), database_wait_s=0.1)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as opened:
        yield opened


def said(**changes):
    claims = claims_of(Role.TECHNICIAN) | changes
    return {name: value for name, value in claims.items() if value is not None}


def raw(header, claims, signature=b""):
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(urlsafe_b64encode(part).decode() for part in parts)


def signed_raw(header, claims=None):
    """Genuinely signed, with a header that no library would write."""
    signed, _, _ = raw({"alg": "EdDSA", "kid": "people"} | header, claims or said()).rpartition(".")
    signature = KEY.private_key.sign(signed.encode())
    return f"{signed}.{urlsafe_b64encode(signature).decode()}"


def with_public_key_as_secret(algorithm):
    """The old trick: an HMAC keyed with what everybody may know."""
    signed, _, _ = raw({"alg": algorithm, "kid": "rsa"}, said()).rpartition(".")
    digest = {"HS256": sha256, "HS512": sha512}[algorithm]
    signature = hmac.new(RSA.as_pem(private=False), signed.encode(), digest).digest()
    return f"{signed}.{urlsafe_b64encode(signature).decode()}"


def changed_payload():
    header, _, signature = sign(said()).split(".")
    forged = urlsafe_b64encode(json.dumps(said(role="administrator")).encode()).decode()
    return f"{header}.{forged}.{signature}"


def with_own_key_in_header():
    header = {"alg": "Ed25519", "kid": "people", "jwk": OTHER.as_dict(private=False)}
    return jwt.encode(header, said(), OTHER, algorithms=["Ed25519"])


NOW = int(time.time())
ATTACKS = {
    "no algorithm": raw({"alg": "none", "kid": "people"}, said()),
    "no algorithm, other case": raw({"alg": "NoNe", "kid": "people"}, said()),
    "no algorithm, a signature": raw({"alg": "none", "kid": "people"}, said(), b"x" * 64),
    "no alg header": raw({"kid": "people"}, said()),
    "HS256 with the public key": with_public_key_as_secret("HS256"),
    "HS512 with the public key": with_public_key_as_secret("HS512"),
    "HS256 with a secret key of the set": sign(said(), SECRET, alg="HS256"),
    "an algorithm that is not allowed": sign(said(), RSA, alg="RS384"),
    "another key of the same id": sign(said(), OTHER),
    "another key in the header": with_own_key_in_header(),
    "an unknown key id": sign(said(), KEY, kid="other"),
    "no key id": sign(said(), KEY, kid=None),
    "a key id that is no text": raw({"alg": "EdDSA", "kid": 7}, said(), b"x" * 64),
    "a key of another kind": sign(said(), KEY, kid="rsa"),
    "a weak key": sign(said(), SHORT, alg="RS256"),
    "a key for encryption": jwt.encode(
        {"alg": "Ed25519", "kid": "enc"},
        said(),
        OKPKey.import_key(
            {k: v for k, v in FOR_ENCRYPTION.as_dict(private=True).items() if k != "use"}
        ),
        algorithms=["Ed25519"],
    ),
    "changed after signing": changed_payload(),
    "the signature cut off": sign(said()).rpartition(".")[0] + ".",
    "another audience": sign(said(aud="other-api")),
    "another audience among several": sign(said(aud=["other-api", "third"])),
    "the pages' audience": sign(said(aud=CLIENT)),
    "no audience": sign(said(aud=None)),
    "another issuer": sign(said(iss="https://issuer.test.example.evil")),
    "the issuer with a slash": sign(said(iss="https://issuer.test.example/")),
    "no issuer": sign(said(iss=None)),
    "expired": sign(said(exp=NOW - 120, iat=NOW - 600)),
    "no expiry": sign(said(exp=None)),
    "an expiry that is no number": sign(said(exp="9999999999")),
    "an expiry that is true": sign(said(exp=True)),
    "not valid yet": sign(said(nbf=NOW + 600)),
    "issued in the future": sign(said(iat=NOW + 600)),
    "no time of issue": sign(said(iat=None)),
    "no subject": sign(said(sub=None)),
    "a subject that is a list": sign(said(sub=["a"])),
    "a sign-out's token": sign(said(), typ="logout+jwt"),
    "a type that is no text": signed_raw({"typ": 3}),
    "a critical header of no list": signed_raw({"crit": 5}),
    "an unknown critical header": signed_raw({"crit": ["x"], "x": 1}),
    "a critical header that is known": signed_raw({"crit": ["b64"], "b64": True}),
    "no role": sign(said(role=None)),
    "a role that nobody has": sign(said(role="root")),
    "a patient without a pseudonym": sign(claims_of(Role.PATIENT, person=None)),
    "no tenant": sign(said(tenant=None)),
    "a personal number as subject": sign(said(sub="191212121212")),
    "too long": sign(said(filler="x" * 20_000)),
    "empty": "",
    "two parts": "a.b",
    "five parts": "a.b.c.d.e",
    "no base64": "!.!.!",
    "a list as claims": signed_raw({}, [said()]),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_token_that_is_not_right_opens_nothing_and_is_told_nothing(client, attack):
    with capture_logs() as logged:
        response = client.get(DEVICES, headers={"Authorization": f"Bearer {ATTACKS[attack]}"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="fjarrkoll", error="invalid_token"'
    body = response.json()
    assert body["type"] == "urn:fjarrkoll:problem:token-refused"
    assert body["detail"] == "The access token is not accepted."
    (entry,) = [line for line in logged if line["event"] == "token_refused"]
    assert entry["reason"], "the reason is in our log"
    assert "191212121212" not in str(logged)


@pytest.mark.parametrize("header", ["Basic YTpi", "bearer", "Digest x", f"Token {sign(said())}"])
def test_another_scheme_opens_nothing(client, header):
    assert client.get(DEVICES, headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("Ed25519", KEY), ("EdDSA", KEY), ("RS256", RSA), ("PS256", RSA), ("ES256", EC)],
)
def test_a_right_token_gets_past_the_gate(client, algorithm, key):
    token = sign(said(), key, alg=algorithm)
    assert client.get(DEVICES, headers={"Authorization": f"Bearer {token}"}).status_code == 503


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({"aud": ["other", AUDIENCE]}, {}),
        ({"exp": -30, "iat": -600}, {}),  # another machine's clock may be a minute off
        ({"nbf": 30}, {}),
        ({}, {"typ": "JWT"}),
        ({}, {"typ": None}),
        ({}, {"typ": "application/at+jwt"}),
    ],
)
def test_what_is_only_unusual_is_accepted(client, changes, header):
    now = int(time.time())
    at = {name: now + value for name, value in changes.items() if isinstance(value, int)}
    token = sign(said(**changes | at), **header)
    assert client.get(DEVICES, headers={"Authorization": f"bearer {token}"}).status_code == 503


def test_the_raw_forger_signs_genuinely(client):
    headers = {"Authorization": f"Bearer {signed_raw({})}"}
    assert client.get(DEVICES, headers=headers).status_code == 503


def test_every_role_s_token_from_the_test_kit_is_genuine(client):
    for role in Role:
        assert client.get(DEVICES, headers=bearer(role)).status_code != 401


def test_a_bad_token_is_not_made_good_by_a_cookie(client):
    headers = {"Authorization": "Bearer x", "Cookie": f"fjarrkoll_session={'x' * 43}"}
    assert client.get(DEVICES, headers=headers).json()["type"].endswith("token-refused")


ID_TOKEN = {"aud": CLIENT, "nonce": "n-1"}


def id_token(changes, **header):
    token = sign(said(**(ID_TOKEN | changes)), **({"typ": "JWT"} | header))
    settings = access_settings()
    verifier = Verifier(settings, FixedKeys(settings.key_set))
    now = claims_of(Role.TECHNICIAN)["iat"]
    return verifier.id_token(token, "n-1", datetime.fromtimestamp(now, UTC))


@pytest.mark.parametrize("changes", [{}, {"aud": [CLIENT]}, {"azp": CLIENT},
    {"aud": [CLIENT, "other"], "azp": CLIENT}])  # fmt: skip
def test_an_id_token_for_us_is_accepted(changes):
    assert id_token(changes)["role"] == "technician"


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({"nonce": "n-2"}, {}),
        ({"nonce": None}, {}),
        ({"nonce": ["n-1"]}, {}),
        ({"nonce": "ñ-1"}, {}),
        ({"aud": AUDIENCE}, {}),
        ({"aud": [CLIENT, "other"]}, {}),
        ({"aud": [CLIENT, "other"], "azp": "other"}, {}),
        ({"azp": "other"}, {}),
        ({}, {"typ": "at+jwt"}),
        ({"exp": NOW - 120, "iat": NOW - 600}, {}),
    ],
)
def test_an_id_token_for_another_or_another_sign_in_is_refused(changes, header):
    with pytest.raises(TokenRefusedError):
        id_token(changes, **header)
