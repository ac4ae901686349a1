"""The OpenAPI document: what every operation may answer, how to sign in, and an example of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI

from api.access.policy import Policy, shipped_policy
from api.access.settings import AccessSettings
from api.examples import example_of
from api.problems import MEDIA_TYPE, Problem

Document = dict[str, Any]

_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})
_SAID: Final[Mapping[str, str]] = {
    "400": "The body cannot be read at all.",
    "401": "Nobody has signed in, or the token or session is not accepted.",
    "403": "The caller's role has no access to this, or the request comes from elsewhere.",
    "413": "The body is larger than this server reads.",
    "422": "A value cannot be used.",
    "429": "Too much at once. The type names the limit; try again after Retry-After seconds.",
    "503": "The database does not answer. Try again after Retry-After seconds.",
}
_FOR_CALLERS: Final = ("401", "403", "422", "429", "503")
_RETRY_AFTER: Final = {
    "description": "Seconds until it is worth trying again.",
    "schema": {"type": "integer", "minimum": 1},
    "example": 5,
}
_UNUSED: Final = ("HTTPValidationError", "ValidationError")


def document_with(app: FastAPI, access: AccessSettings) -> None:
    """Let the application's document be completed, once, when somebody first asks for it."""
    plain = app.openapi

    def documented() -> Document:
        found = plain()
        if "securitySchemes" not in found["components"]:
            completed(found, shipped_policy(), is_secure=access.is_secure)
        return found

    app.openapi = documented  # type: ignore[method-assign]  # FastAPI's documented way


def completed(document: Document, policy: Policy, *, is_secure: bool) -> None:
    """Add to a document what FastAPI cannot know. Pure but for the document itself."""
    components = document["components"]
    components["securitySchemes"] = _security(is_secure=is_secure)
    _add_problem(components["schemas"])
    for operation in operations(document):
        _complete(operation, policy)
    for name in _UNUSED:
        components["schemas"].pop(name, None)
    for name, schema in components["schemas"].items():
        schema.setdefault("examples", [example_of(name, schema, components["schemas"])])


def operations(document: Document) -> Iterator[Document]:
    """Every operation of a document."""
    for path in document["paths"].values():
        yield from (operation for method, operation in path.items() if method in _METHODS)


def _security(*, is_secure: bool) -> Document:
    prefix = "__Host-" if is_secure else ""
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token of the sign-in service, made out to this API.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": f"{prefix}fjarrkoll_session",
            "description": "The session that signing in at /sign-in gives a browser.",
        },
    }


def _add_problem(schemas: Document) -> None:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas["Problem"] = schema


def _complete(operation: Document, policy: Policy) -> None:
    responses = operation["responses"]
    if _is_default(responses.get("422")):
        del responses["422"]
    rule = policy[operation["operationId"]]
    if rule.roles is None:
        operation["security"] = []
    else:
        operation["security"] = [{"bearer": []}, {"session": []}]
        roles = ", ".join(sorted(rule.roles))
        operation["description"] = f"{operation.get('description', '')}\n\nRoles: {roles}.".strip()
        for status in ("400", "413", *_FOR_CALLERS) if "requestBody" in operation else _FOR_CALLERS:
            responses.setdefault(status, _problem(_SAID[status]))
    for status in ("429", "503"):
        if status in responses:
            responses[status].setdefault("headers", {"Retry-After": _RETRY_AFTER})
    operation["responses"] = dict(sorted(responses.items()))


def _is_default(response: Document | None) -> bool:
    """FastAPI's own description of a 422, which we never send."""
    return response is not None and "application/json" in response.get("content", {})


def _problem(what: str) -> Document:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": what, "content": {MEDIA_TYPE: {"schema": schema}}}
