"""The built-in OpenID provider, for demo and tests: real flow, real signatures, no passwords.

It lets anybody who reaches it be anybody, so it listens on loopback only and says on every page
what it is.
"""

from __future__ import annotations

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from jinja2 import Environment, StrictUndefined
from starlette.middleware.trustedhost import TrustedHostMiddleware

from api.access.settings import AccessSettings, AccessSettingsError, is_loopback
from api.access.signin import CALLBACK
from fjarrkoll.embedded.cast import Cast
from fjarrkoll.embedded.grants import AUDIENCE, CLIENT_ID, Asked, GrantError, Grants
from fleet.access.claims import shipped_claim_map

_START_TIMEOUT_S: Final = 20.0
_FIELD_MAX: Final = 1000
_STYLE: Final = (
    "body{font:1.1rem/1.5 sans-serif;margin:2rem auto;max-width:42rem;padding:0 1rem;color:#111}"
    ".mark{border:.3rem solid #b00020;padding:1rem;font-weight:bold}"
    "li{list-style:none;margin:.6rem 0}ul{padding:0}pre{white-space:pre-wrap;background:#eee}"
    "button{font:inherit;min-height:2.6rem;width:16rem;text-align:left;display:block}"
    "h1 small{display:block;font-size:1rem}"
)
# No form-action: browsers hold redirects to it, and the form leads back to any port of ours.
_CSP: Final = (
    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; style-src 'sha256-{style}'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _CSP.format(
        style=b64encode(sha256(_STYLE.encode()).digest()).decode()
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_template: Final = Environment(autoescape=True, undefined=StrictUndefined).from_string(
    files("fjarrkoll").joinpath("data", "issuer.html").read_text("utf-8")
)


class EmbeddedIssuer:
    """One issuer in a thread of its own, on a free loopback port or the one it is given."""

    def __init__(self, cast: Cast, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind the port; nothing is answered before `start`.

        Raises:
            AccessSettingsError: others could reach the address, or the port is taken.
        """
        refuse_reachable(host)
        self.grants: Final = Grants(cast)
        self._socket = _bound(host, port)
        self.url: Final = f"http://{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            issuer_app(self.url, self.grants),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=50,
            ws="none",
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="issuer", daemon=True
        )

    def start(self) -> None:
        """Begin to answer; returns when it does.

        Raises:
            AccessSettingsError: it does not come up.
        """
        self._thread.start()
        if not self._server.is_up.wait(_START_TIMEOUT_S):
            raise AccessSettingsError("the built-in issuer did not start: see the log")

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_START_TIMEOUT_S)
        self._socket.close()

    def rotate(self) -> None:
        """Sign with a fresh key from now on."""
        self.grants.rotate()

    def access_settings(self) -> AccessSettings:
        """What an API needs to trust this issuer."""
        return AccessSettings(
            issuer_url=self.url,
            client_id=CLIENT_ID,
            audience=AUDIENCE,
            claims=shipped_claim_map("builtin"),
            is_demo=True,
        )


def refuse_reachable(host: str) -> None:
    """Refuse an address that others could reach.

    Raises:
        AccessSettingsError: what is wrong, and what to do.
    """
    if not is_loopback(host):
        raise AccessSettingsError(
            f"the built-in issuer refuses to run with the address {host!r}: it asks for no"
            " password, so whoever can reach it could be anybody. Use 127.0.0.1, or name an issuer"
            " of your own in FJARRKOLL_OIDC_ISSUER_URL."
        )


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as exc:
        raise AccessSettingsError(
            f"the built-in issuer cannot listen on {host}:{port}: {exc.strerror}. Choose another"
            " port, or 0 for a free one."
        ) from exc


class _Server(uvicorn.Server):
    """uvicorn that leaves signals alone and tells when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


def issuer_app(url: str, grants: Grants) -> FastAPI:
    """The provider as an application, for the address it will be reached at."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    _add_documents(app, url, grants)
    _add_authorize(app, url, grants)
    _add_token(app, url, grants)
    return app


def _add_documents(app: FastAPI, url: str, grants: Grants) -> None:
    @app.get("/.well-known/openid-configuration")
    def configuration() -> dict[str, Any]:
        return discovery(url)

    @app.get("/jwks")
    def jwks() -> dict[str, Any]:
        return grants.key_set()

    @app.get("/")
    def programs() -> HTMLResponse:
        return _page(url, grants)


def discovery(url: str) -> dict[str, Any]:
    """The discovery document of an issuer at that address."""
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "jwks_uri": f"{url}/jwks",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["Ed25519"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": ["openid", "profile"],
    }


def _add_authorize(app: FastAPI, url: str, grants: Grants) -> None:
    @app.get("/authorize")
    def choose(request: Request) -> HTMLResponse:
        fields = {key: value[:_FIELD_MAX] for key, value in request.query_params.items()}
        try:
            asked_for(fields)
        except GrantError as exc:
            return _page(url, grants, problem=str(exc))
        return _page(url, grants, fields=fields)

    @app.post("/authorize")
    async def chosen(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=30)
        fields = {key: str(value)[:_FIELD_MAX] for key, value in form.items()}
        try:
            asked = asked_for(fields)
            code = grants.code_for(fields.get("user", ""), asked)
        except GrantError as exc:
            return _page(url, grants, problem=str(exc))
        answer = {"code": code, "state": fields["state"], "iss": url}
        return RedirectResponse(f"{asked.redirect_uri}?{urlencode(answer)}", 303)


def asked_for(fields: Mapping[str, str]) -> Asked:
    """Check an authorisation request.

    Raises:
        GrantError: what is missing or wrong. Nobody is sent anywhere then.
    """
    expected = {
        "client_id": CLIENT_ID,
        "response_type": "code",
        "code_challenge_method": "S256",
    }
    for name, value in expected.items():
        if fields.get(name) != value:
            raise GrantError("invalid_request", f"{name} must be {value}")
    for name in ("state", "nonce", "code_challenge"):
        if not fields.get(name):
            raise GrantError("invalid_request", f"{name} is missing")
    if "openid" not in fields.get("scope", "").split():
        raise GrantError("invalid_scope", "scope must hold openid")
    return Asked(_local_callback(fields), fields["nonce"], fields["code_challenge"])


def _local_callback(fields: Mapping[str, str]) -> str:
    """The redirect address: our callback, on any port of this machine."""
    address = fields.get("redirect_uri", "")
    parts = urlsplit(address)
    is_ours = parts.path == CALLBACK and not parts.query and not parts.fragment
    if parts.scheme != "http" or not is_loopback(parts.hostname or "") or not is_ours:
        raise GrantError("invalid_request", f"redirect_uri must be http://127.0.0.1:…{CALLBACK}")
    return address


def _add_token(app: FastAPI, url: str, grants: Grants) -> None:
    @app.post("/token")
    async def token(request: Request) -> JSONResponse:
        form = await request.form(max_files=0, max_fields=30)
        fields = {key: str(value)[:_FIELD_MAX] for key, value in form.items()}
        basic = await HTTPBasic(auto_error=False)(request)
        try:
            return JSONResponse(_granted(url, grants, fields, basic), headers=_HEADERS)
        except GrantError as exc:
            status = 401 if exc.error == "invalid_client" else 400
            body = {"error": exc.error, "error_description": str(exc)}
            return JSONResponse(body, status, _HEADERS)


def _granted(
    url: str, grants: Grants, fields: Mapping[str, str], basic: HTTPBasicCredentials | None
) -> dict[str, Any]:
    """Tokens for what the form brings.

    Raises:
        GrantError: nothing for that.
    """
    match fields.get("grant_type"):
        case "authorization_code":
            if fields.get("client_id") != CLIENT_ID:
                raise GrantError("invalid_client", f"client_id must be {CLIENT_ID}")
            brought = (fields.get(name, "") for name in ("code", "redirect_uri", "code_verifier"))
            return grants.exchanged(url, *brought)
        case "client_credentials":
            who, secret = fields.get("client_id", ""), fields.get("client_secret", "")
            if basic is not None:
                who, secret = basic.username, basic.password
            return grants.for_service(url, who, secret)
        case _:
            raise GrantError("unsupported_grant_type", "use authorization_code")


def _page(
    url: str, grants: Grants, fields: Mapping[str, str] | None = None, problem: str | None = None
) -> HTMLResponse:
    body = _template.render(
        style=_STYLE,
        people=grants.cast.people,
        services=grants.cast.services,
        secrets=grants.secrets,
        issuer=url,
        fields=fields,
        problem=problem,
    )
    return HTMLResponse(body, 400 if problem else 200, _HEADERS)
