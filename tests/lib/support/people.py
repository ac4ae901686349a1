"""People for tests: access tokens signed by a key that the application is told to trust."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import OKPKey

from api.access.settings import AccessSettings
from fleet.access.callers import Role
from fleet.access.claims import shipped_claim_map

ISSUER: Final = "https://issuer.test.example"
AUDIENCE: Final = "fjarrkoll-api"
CLIENT: Final = "fjarrkoll-pages"
TENANT: Final = "exempel"
UNIT: Final = "SE2321000016-VE01"
KEY: Final = OKPKey.generate_key("Ed25519", parameters={"kid": "people"})

NAMES: Final = {
    Role.TECHNICIAN: "Tova Tekniker",
    Role.SERVICE_DESK: "Karim Kundtjänst",
    Role.PRESCRIBER: "Frida Förskrivare",
    Role.PATIENT: "Astrid Användare",
    Role.CENTRE_MANAGER: "Cilla Chef",
    Role.ADMINISTRATOR: "Adam Administratör",
    Role.DEVICE: "Dosan",
    Role.AUDITOR: "Greta Granskare",
}
_NEEDED: Final[dict[Role, dict[str, str]]] = {
    Role.PATIENT: {"person": "p-fk-20417"},
    Role.PRESCRIBER: {"care_unit": UNIT},
    Role.DEVICE: {"device": "fk-20417"},
}


def access_settings(**changes: Any) -> AccessSettings:
    """An issuer without an address, whose only key is `KEY`."""
    settings = AccessSettings(
        issuer_url=ISSUER,
        client_id=CLIENT,
        audience=AUDIENCE,
        claims=shipped_claim_map("builtin"),
        key_set={"keys": [KEY.as_dict(private=False)]},
    )
    return replace(settings, **changes)


def claims_of(role: Role | str, tenant: str = TENANT, **said: str | bool | None) -> dict[str, Any]:
    """What the issuer says of somebody with that role; None takes away what a role needs."""
    role = Role(role)
    now = int(time.time())
    standard = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": f"{tenant}-{role}",
        "iat": now,
        "exp": now + 6 * 3600,  # made when a test file is read, and used when its turn comes
        "name": NAMES[role],
        "role": str(role),
        "tenant": tenant,
    }
    found = {**standard, **_NEEDED.get(role, {}), **said}
    return {name: value for name, value in found.items() if value is not None}


def sign(claims: dict[str, Any], key: Any = KEY, **header: Any) -> str:
    """A token; `header` replaces what it would say, None leaves it out."""
    plain = {"alg": "Ed25519", "kid": key.kid, "typ": "at+jwt"} | header
    return jwt.encode(
        {name: value for name, value in plain.items() if value is not None},
        claims,
        key,
        algorithms=[plain["alg"]],
    )


def bearer(
    role: Role | str,
    *,
    tenant: str = TENANT,
    centre: str | None = None,
    person: str | None = None,
    care_unit: str | None = None,
    device: str | None = None,
    commission: str | None = None,
    subject: str | None = None,
    name: str | None = None,
    is_service: bool = False,
) -> dict[str, str]:
    """Request headers of somebody with that role. What a role cannot do without is filled in."""
    said = {
        "centre": centre, "person": person, "care_unit": care_unit, "device": device,
        "commission": commission, "sub": subject, "name": name,
        "kind": "service" if is_service else None,
    }  # fmt: skip
    given = {claim: value for claim, value in said.items() if value is not None}
    return {"Authorization": f"Bearer {sign(claims_of(role, tenant, **given))}"}
