"""Errors for machines, as RFC 9457 says: what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, Field

MEDIA_TYPE: Final = "application/problem+json"


class FieldProblem(BaseModel):
    """One wrong value: where it stands and what is wrong with it."""

    where: str = Field(examples=["query.limit"])
    what: str = Field(examples=["Input should be less than or equal to 500"])


class Problem(BaseModel):
    """RFC 9457 problem details. `next` says what the caller can do about it."""

    type: str = Field(examples=["urn:fjarrkoll:problem:not-found"])
    title: str
    status: int
    detail: str
    instance: str
    next: str
    errors: list[FieldProblem] = []


@dataclass(eq=False)  # not frozen: Python notes the traceback on it
class ProblemError(Exception):
    """Raised where a request cannot be served; becomes a problem, or a page for people."""

    status: int
    slug: str
    detail: str
    next: str
    errors: tuple[FieldProblem, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, instance: str) -> dict[str, Any]:
        return Problem(
            type=f"urn:fjarrkoll:problem:{self.slug}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            instance=instance,
            next=self.next,
            errors=list(self.errors),
        ).model_dump()


def not_found(what: str) -> ProblemError:
    return ProblemError(
        404, "not-found", f"There is no {what}.", "Check the spelling, or list what there is."
    )


def no_such_address() -> ProblemError:
    return ProblemError(
        404,
        "not-found",
        "There is nothing at this address.",
        "See /api/v1/openapi.json for the addresses there are.",
    )


def method_not_allowed(allowed: str) -> ProblemError:
    return ProblemError(
        405,
        "method-not-allowed",
        "This address does not take that method.",
        f"Use {allowed or 'GET'}.",
        headers={"Allow": allowed} if allowed else {},
    )


def invalid(where: str, what: str) -> ProblemError:
    return ProblemError(
        422,
        "invalid-request",
        f"{where}: {what}",
        "Correct the values named in errors and send the request again.",
        (FieldProblem(where=where, what=what),),
    )


def invalid_fields(errors: list[FieldProblem]) -> ProblemError:
    return ProblemError(
        422,
        "invalid-request",
        f"{len(errors)} value(s) cannot be used.",
        "Correct the values named in errors and send the request again.",
        tuple(errors),
    )


def too_large(detail: str) -> ProblemError:
    return ProblemError(413, "too-large", detail, "Send less at a time.")


def database_down() -> ProblemError:
    return ProblemError(
        503,
        "database-down",
        "The database does not answer, so nothing can be read or stored.",
        "Try again after the time in Retry-After. Records sent again are counted once.",
        headers={"Retry-After": "5"},
    )


def not_taken() -> ProblemError:
    """The database refused a value that got past every earlier check; nothing was changed."""
    return ProblemError(
        422,
        "not-taken",
        "The database does not take a value of this request. Nothing was changed.",
        "Check lengths, characters and dates, and whether the thing has changed meanwhile.",
    )


def not_done(why: str) -> ProblemError:
    """Something about a person that a limit or a rule of the store forbids; nothing was changed."""
    return ProblemError(409, "not-done", f"Nothing was changed: {why}.", "Read what there is now.")


def unexpected() -> ProblemError:
    return ProblemError(
        500,
        "unexpected",
        "Something went wrong on our side. It has been logged.",
        "Try again; if it happens again, report the address and the time.",
    )


def _documented(what: str) -> dict[str, Any]:
    return {"description": what, "content": {MEDIA_TYPE: {"schema": _REF}}}


_REF: Final = {"$ref": "#/components/schemas/Problem"}
READING: Final[dict[int | str, dict[str, Any]]] = {
    404: _documented("There is no such thing."),
    422: _documented("A value cannot be used."),
    503: _documented("The database does not answer. Try again after Retry-After seconds."),
}
STORING: Final[dict[int | str, dict[str, Any]]] = {
    404: _documented("The caller does not speak for that device."),
    403: _documented("The request comes from a page of another site."),
    413: _documented("The body is too large, or holds too many records."),
    415: _documented("The body is not application/json."),
    422: READING[422],
    503: READING[503],
}
CHANGING: Final[dict[int | str, dict[str, Any]]] = {
    403: _documented("The caller's role does not do that, or the page is of another site."),
    404: READING[404],
    409: _documented("Not possible as things stand now."),
    412: _documented("Changed since the version in If-Match."),
    422: READING[422],
    428: _documented("If-Match is missing."),
    503: READING[503],
}
CREATING: Final = {status: said for status, said in CHANGING.items() if status not in {412, 428}}
