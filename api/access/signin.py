"""Signing in and out: OpenID Connect's authorisation code flow with PKCE."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.access.attempts import Attempt, Attempts, local_path, new_attempt
from api.access.callers import Access, refuse_unknown_origin
from api.access.keys import ProviderDownError
from api.access.provider import CodeRefusedError, Metadata
from api.access.settings import AccessSettings
from api.access.tokens import TokenRefusedError
from api.navigation import home
from api.rooms import InRooms
from api.routes import Router
from api.telling import Say, Voice, page, say_for
from fleet.access.callers import Caller, Role
from fleet.access.claims import ClaimsRefusedError

log = structlog.get_logger(__name__)
router = Router(include_in_schema=False)

CALLBACK: Final = "/sign-in/callback"
_STATUS: Final = {
    "attempt": 400, "cancelled": 403, "refused": 403, "claims": 403, "token": 403, "down": 503,
}  # fmt: skip


class SignInError(Exception):
    """The sign-in came to nothing. `problem` is the key of what people are told."""

    def __init__(self, problem: str, reason: str) -> None:
        super().__init__(reason)
        self.problem = problem


@router.get("/sign-in", operation_id="sign_in_page")
def sign_in_page(request: Request, rooms: InRooms, say: Voice) -> HTMLResponse:
    """What signing in is, and the way to it; also where a sign-out ends."""
    has_left = "left" in say.query
    return page(
        "signin.html",
        say,
        problem=None,
        detail=None,
        has_left=has_left,
        next_path=local_path(say.query.get("next")),
        elsewhere=_sign_out_elsewhere(request, rooms.access) if has_left else None,
        is_demo=rooms.access.settings.is_demo,
    )


def sign_in_first(request: Request) -> Response:
    """Send somebody who is not signed in there, and back to this page afterwards."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(with_query("/sign-in", {"next": wanted}), 303)


@router.get("/sign-in/start", operation_id="start_sign_in")
def start_sign_in(request: Request, rooms: InRooms) -> Response:
    """Send the browser to the sign-in service."""
    access = rooms.access
    attempt = new_attempt(request.query_params.get("next"))
    try:
        address = _authorization_address(request, access, attempt)
    except ProviderDownError as exc:
        return _failed(request, access, SignInError("down", str(exc)))
    response = RedirectResponse(address, 303)
    access.attempts.put(response, attempt, datetime.now(UTC))
    return response


@router.get(CALLBACK, operation_id="finish_sign_in")
def finish_sign_in(request: Request, rooms: InRooms) -> Response:
    """Take the code that the sign-in service sent the browser back with, and open a session."""
    access = rooms.access
    try:
        attempt = _attempt_of(request, access.attempts)
        caller = _signed_in(request, access, attempt)
    except SignInError as exc:
        return _failed(request, access, exc)
    token = access.sessions.open(caller, access.sessions.token_in(request))
    log.info("signed_in", role=caller.role, tenant=caller.tenant)
    response = RedirectResponse(attempt.next or home(caller), 303)
    access.attempts.remove(response)
    access.sessions.put(response, token)
    return response


@router.post("/sign-out", operation_id="sign_out")
def sign_out(request: Request, rooms: InRooms) -> Response:
    """End the session. The page that follows links to the sign-in service's own sign-out.

    It is a link and no redirect, since a form may only lead to pages of this server.
    """
    refuse_unknown_origin(request)
    sessions = rooms.access.sessions
    token = sessions.token_in(request)
    if token is not None:
        sessions.end(token)
    response = RedirectResponse(say_for(request).link("/sign-in", left=1), 303)
    sessions.remove(response)
    return response


def _failed(request: Request, access: Access, error: SignInError) -> HTMLResponse:
    log.info("sign_in_failed", problem=error.problem, reason=str(error)[:300])
    # The address may hold a code; nothing on the page leads back to it.
    say: Say = replace(say_for(request), path="/sign-in", query={})
    response = page(
        "signin.html",
        say,
        _STATUS[error.problem],
        problem=error.problem,
        detail=str(error) if error.problem == "claims" else None,
        has_left=False,
        next_path=None,
        elsewhere=None,
        is_demo=access.settings.is_demo,
    )
    if error.problem != "attempt":  # the right answer to the attempt may still be on its way
        access.attempts.remove(response)
    return response


def base_url(request: Request, settings: AccessSettings) -> str:
    """Where the browser reaches us. The shield lets only names of this machine through."""
    if settings.public_url is not None:
        return settings.public_url.rstrip("/")
    return f"{request.url.scheme}://{request.url.netloc}"


def _authorization_address(request: Request, access: Access, attempt: Attempt) -> str:
    settings = access.settings
    asked = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": base_url(request, settings) + CALLBACK,
        "scope": " ".join(settings.claims.scopes),
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
        "ui_locales": say_for(request).lang,
    }
    if settings.claims.requested:
        asked["claims"] = _claims_parameter(settings)
    return with_query(access.provider.metadata().authorization_endpoint, asked)


def _claims_parameter(settings: AccessSettings) -> str:
    place = "userinfo" if settings.claims.asks_userinfo else "id_token"
    return json.dumps({place: {name: {"essential": True} for name in settings.claims.requested}})


def with_query(url: str, values: Mapping[str, str]) -> str:
    """`url` with `values` added to whatever its query says already."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(values)}"


def _attempt_of(request: Request, attempts: Attempts) -> Attempt:
    """The attempt that this answer belongs to.

    Raises:
        SignInError: none, or another one: then somebody may have planted the answer.
    """
    attempt = attempts.taken(request, datetime.now(UTC))
    state = request.query_params.get("state", "")
    if attempt is None:
        raise SignInError("attempt", "no attempt in this browser, or one that is too old")
    if not secrets.compare_digest(state.encode(), attempt.state.encode()):
        raise SignInError("attempt", "the state is not the one of this attempt")
    return attempt


def _signed_in(request: Request, access: Access, attempt: Attempt) -> Caller:
    """Whoever the sign-in service says has signed in.

    Raises:
        SignInError: nobody, with what people are told.
    """
    try:
        code = _code_of(request, access)
        claims = _claims_for(request, access, attempt, code)
        return _person(access.settings.claims.caller(claims))
    except CodeRefusedError as exc:
        raise SignInError("refused", str(exc)) from exc
    except ProviderDownError as exc:
        raise SignInError("down", str(exc)) from exc
    except TokenRefusedError as exc:
        raise SignInError("token", str(exc)) from exc
    except ClaimsRefusedError as exc:
        raise SignInError("claims", str(exc)) from exc


def _code_of(request: Request, access: Access) -> str:
    """The code in the answer, if the answer is from the right issuer (RFC 9207)."""
    query = request.query_params
    issuer = query.get("iss")
    is_said = issuer is not None or access.provider.metadata().says_issuer
    if is_said and issuer != access.settings.issuer_url:
        raise SignInError("attempt", "the answer is from another issuer, or does not say")
    error = query.get("error")
    if error is not None:
        problem = "cancelled" if error == "access_denied" else "refused"
        raise SignInError(problem, f"the sign-in service answered {error[:60]!r}")
    code = query.get("code", "")
    if not code:
        raise SignInError("refused", "the answer holds no code")
    return code


def _claims_for(request: Request, access: Access, attempt: Attempt, code: str) -> Mapping[str, Any]:
    settings = access.settings
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": base_url(request, settings) + CALLBACK,
        "code_verifier": attempt.verifier,
    }
    answer = access.provider.exchanged(form, settings.client_id, settings.client_secret)
    id_token = answer.get("id_token")
    if not isinstance(id_token, str):
        raise TokenRefusedError("the answer holds no ID token")
    claims = access.verifier.id_token(id_token, attempt.nonce, datetime.now(UTC))
    return _completed(access, claims, answer) if settings.claims.asks_userinfo else claims


def _completed(
    access: Access, claims: Mapping[str, Any], answer: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The claims with those of the userinfo endpoint; what was signed goes before them."""
    more = access.provider.userinfo(str(answer.get("access_token", "")))
    if more.get("sub") != claims["sub"]:
        raise TokenRefusedError("userinfo is about somebody else")
    return {**more, **claims}


def _person(caller: Caller) -> Caller:
    if caller.is_service or caller.role is Role.DEVICE:
        raise ClaimsRefusedError("programs and devices use access tokens and do not sign in here")
    return caller


def _sign_out_elsewhere(request: Request, access: Access) -> str | None:
    """The sign-in service's own sign-out; None when it has none, or does not answer."""
    try:
        metadata: Metadata = access.provider.metadata()
    except ProviderDownError:
        return None
    if metadata.end_session_endpoint is None:
        return None
    back = base_url(request, access.settings) + "/sign-in"
    values = {"client_id": access.settings.client_id, "post_logout_redirect_uri": back}
    return with_query(metadata.end_session_endpoint, values)
