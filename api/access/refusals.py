"""What is said to those who are not let in. Never why a token was refused: that helps forgers."""

from __future__ import annotations

from api.problems import ProblemError


def _challenge(error: str = "") -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="fjarrkoll"{error}'}


def sign_in_needed() -> ProblemError:
    """Nobody said who is asking."""
    return ProblemError(
        401,
        "sign-in-needed",
        "This address is for those who have signed in.",
        "Sign in at /sign-in, or send Authorization: Bearer with an access token.",
        headers=_challenge(),
    )


def token_refused() -> ProblemError:
    """An access token that is not accepted, whatever is wrong with it."""
    return ProblemError(
        401,
        "token-refused",
        "The access token is not accepted.",
        "Get a new token for this API from the sign-in service and send it again.",
        headers=_challenge(', error="invalid_token"'),
    )


def session_over() -> ProblemError:
    """The cookie opens nothing any more."""
    return ProblemError(
        401,
        "session-over",
        "The session has ended.",
        "Sign in again at /sign-in.",
        headers=_challenge(),
    )


def origin_needed() -> ProblemError:
    """A change that a browser's cookie would allow, from who knows which page."""
    return ProblemError(
        403,
        "cross-site",
        "The request has a session's cookie, and does not say which page sent it.",
        "Send it from a page of this server, or use an access token instead of a cookie.",
    )


def provider_down() -> ProblemError:
    """The sign-in service does not answer, so nothing can be said about a token."""
    return ProblemError(
        503,
        "sign-in-service-down",
        "The sign-in service does not answer, so the token cannot be checked.",
        "Try again after the time in Retry-After.",
        headers={"Retry-After": "10"},
    )
