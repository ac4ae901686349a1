"""How the API's callers sign in, from the settings: an issuer of one's own, or the built-in one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from api.access.settings import AccessSettings
from fjarrkoll.embedded.cast import demo_cast
from fjarrkoll.embedded.issuer import EmbeddedIssuer, refuse_reachable
from fjarrkoll.settings import PREFIX, ConfigurationError, Settings
from fleet.access.claims import ClaimMap, parse_claim_map, shipped_claim_map


def configured_access(settings: Settings) -> AccessSettings:
    """What the environment says about signing in.

    Raises:
        ConfigurationError: no issuer or no claim map is named, or its file cannot be read.
        CatalogueError: the claim map is wrong.
        AccessSettingsError: nobody could sign in safely like that.
    """
    if settings.oidc_issuer_url is None:
        raise ConfigurationError(
            f"{PREFIX}OIDC_ISSUER_URL is not set, so nobody could sign in. Name the sign-in"
            " service there. To try things out, `fjarrkoll api --demo-issuer` and `fjarrkoll demo`"
            " bring one of their own."
        )
    secret = settings.oidc_client_secret
    return AccessSettings(
        issuer_url=settings.oidc_issuer_url,
        client_id=settings.oidc_client_id,
        audience=settings.oidc_audience,
        claims=_claim_map(settings.oidc_claims),
        client_secret=None if secret is None else secret.get_secret_value(),
        seal_key=_seal_key(settings),
        public_url=settings.public_url,
        session_for=timedelta(hours=settings.session_hours),
        idle_for=timedelta(minutes=settings.session_idle_minutes),
    )


def _seal_key(settings: Settings) -> str | None:
    return None if settings.seal_key is None else settings.seal_key.get_secret_value()


def _claim_map(named: str | None) -> ClaimMap:
    """A shipped map by its name, or the file at a path."""
    if named is None:
        raise ConfigurationError(
            f"{PREFIX}OIDC_CLAIMS is not set. Name the file that says how claims become roles;"
            " docs/signing-in.md says how; `siths` is a pattern to copy."
        )
    if not named.endswith(".toml"):
        return shipped_claim_map(named)
    try:
        text = Path(named).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{PREFIX}OIDC_CLAIMS: cannot read {named}: {exc}") from exc
    return parse_claim_map(text, named)


@contextmanager
def demo_access(settings: Settings, tenant: str, host: str) -> Iterator[AccessSettings]:
    """The built-in issuer, for as long as the block lasts.

    Raises:
        AccessSettingsError: the API's address, or its public one, is not for this machine alone.
    """
    refuse_reachable(host)
    issuer = EmbeddedIssuer(demo_cast(tenant))
    issuer.start()
    try:
        yield replace(
            issuer.access_settings(),
            public_url=settings.public_url,
            seal_key=_seal_key(settings),
            session_for=timedelta(hours=settings.session_hours),
            idle_for=timedelta(minutes=settings.session_idle_minutes),
        )
    finally:
        issuer.stop()
