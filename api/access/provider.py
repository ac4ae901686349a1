"""The sign-in service over HTTP: its addresses, its keys, and codes exchanged for tokens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from api.access.keys import RETRY_EVERY_S, FetchedKeys, ProviderDownError
from api.access.settings import is_loopback, is_safe_url

TIMEOUT_S: Final = 5.0
BODY_MAX_BYTES: Final = 256 * 1024
METADATA_FRESH_FOR_S: Final = 3600.0


class CodeRefusedError(Exception):
    """The sign-in service does not exchange the code."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The addresses of a provider, from its discovery document."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    says_issuer: bool
    takes_basic: bool


class Provider:
    """One OpenID provider. Nothing is fetched before it is needed.

    `clock` returns seconds that only grow.
    """

    def __init__(self, issuer_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer_url: Final = issuer_url
        self._clock = clock
        host = urlsplit(issuer_url).hostname or ""
        # A proxy for the world outside must not see what stays on this machine.
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=not is_loopback(host))
        self._lock = threading.Lock()
        self._metadata: Metadata | None = None
        self._until_s = float("-inf")
        self._next_s = float("-inf")
        self.keys: Final = FetchedKeys(self._key_set, clock)

    def close(self) -> None:
        self._client.close()

    def metadata(self) -> Metadata:
        """The provider's addresses, asked for at most once an hour.

        Raises:
            ProviderDownError: it does not answer, or not as OpenID Connect discovery says.
        """
        with self._lock:
            if self._metadata is None or self._clock() > self._until_s:
                self._renew()
            assert self._metadata is not None, "renewed, or an error was raised"
            return self._metadata

    def _renew(self) -> None:
        """Ask, unless the last try failed a moment ago: whoever waits here holds up a thread."""
        if self._clock() < self._next_s:
            raise ProviderDownError(f"{self.issuer_url} did not answer a moment ago")
        url = self.issuer_url.rstrip("/") + "/.well-known/openid-configuration"
        self._next_s = self._clock() + RETRY_EVERY_S
        try:
            self._metadata = read_metadata(self._document(url), self.issuer_url)
        except ProviderDownError:
            self._next_s = self._clock() + RETRY_EVERY_S
            raise
        self._until_s = self._clock() + METADATA_FRESH_FOR_S
        self._next_s = float("-inf")

    def _key_set(self) -> Mapping[str, Any]:
        return self._document(self.metadata().jwks_uri)

    def _document(self, url: str) -> dict[str, Any]:
        """A public document, for which there is nothing to refuse."""
        try:
            return self._fetched("GET", url)
        except CodeRefusedError as exc:
            raise ProviderDownError(str(exc)) from exc

    def exchanged(
        self, form: Mapping[str, str], client_id: str, secret: str | None
    ) -> dict[str, Any]:
        """What the token endpoint gives for a code: `id_token`, `access_token` and more.

        Raises:
            CodeRefusedError: the code is refused, as one that is used or too old is.
            ProviderDownError: no answer, or none that can be used.
        """
        metadata = self.metadata()
        body = dict(form)
        auth: httpx.BasicAuth | None = None
        if secret is not None and metadata.takes_basic:
            auth = httpx.BasicAuth(quote(client_id, safe=""), quote(secret, safe=""))
        else:
            body |= {"client_id": client_id} | ({} if secret is None else {"client_secret": secret})
        return self._fetched("POST", metadata.token_endpoint, data=body, auth=auth)

    def userinfo(self, access_token: str) -> dict[str, Any]:
        """The claims behind the userinfo endpoint.

        Raises:
            CodeRefusedError: it does not accept the token.
            ProviderDownError: no answer, none that can be used, or no such endpoint.
        """
        url = self.metadata().userinfo_endpoint
        if url is None:
            raise ProviderDownError(f"{self.issuer_url} has no userinfo endpoint")
        headers = {"Authorization": f"Bearer {access_token}"}
        return self._fetched("GET", url, headers=headers)

    def _fetched(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        """The JSON object at an address of the provider's.

        Raises:
            CodeRefusedError: status 400 or 401.
            ProviderDownError: any other way in which it fails.
        """
        try:
            with self._client.stream(method, url, **options) as response:
                body = _limited(response)
        except httpx.HTTPError as exc:
            raise ProviderDownError(f"{url}: {type(exc).__name__}: {exc}") from exc
        if response.status_code in {400, 401}:
            raise CodeRefusedError(f"{url}: status {response.status_code}")
        if response.status_code != 200:
            raise ProviderDownError(f"{url}: status {response.status_code}")
        return _object(body, url)


def _limited(response: httpx.Response) -> bytes:
    """The body, unless it is longer than anything a provider has to say."""
    body = b""
    for part in response.iter_bytes():
        body += part
        if len(body) > BODY_MAX_BYTES:
            raise ProviderDownError(f"{response.url}: more than {BODY_MAX_BYTES} bytes")
    return body


def _object(body: bytes, url: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as exc:
        raise ProviderDownError(f"{url}: no JSON") from exc
    if not isinstance(found, dict):
        raise ProviderDownError(f"{url}: no JSON object")
    return found


def read_metadata(document: Mapping[str, Any], issuer_url: str) -> Metadata:
    """Check a discovery document. Pure.

    Raises:
        ProviderDownError: it is another issuer's, or lacks an address, or names an unsafe one.
    """
    if document.get("issuer") != issuer_url:
        raise ProviderDownError(
            f"the discovery document is of issuer {document.get('issuer')!r}, not {issuer_url!r}:"
            " write FJARRKOLL_OIDC_ISSUER_URL exactly as the provider does"
        )
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        authorization_endpoint=_address(document, "authorization_endpoint"),
        token_endpoint=_address(document, "token_endpoint"),
        jwks_uri=_address(document, "jwks_uri"),
        userinfo_endpoint=_optional_address(document, "userinfo_endpoint"),
        end_session_endpoint=_optional_address(document, "end_session_endpoint"),
        says_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        takes_basic=isinstance(methods, list) and "client_secret_basic" in methods,
    )


def _address(document: Mapping[str, Any], name: str) -> str:
    url = document.get(name)
    if not isinstance(url, str) or not is_safe_url(url):
        raise ProviderDownError(f"the discovery document has no safe {name}")
    return url


def _optional_address(document: Mapping[str, Any], name: str) -> str | None:
    return _address(document, name) if name in document else None
