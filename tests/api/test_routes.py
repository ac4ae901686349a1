"""Routes: found as FastAPI finds them, and answered as FastAPI answers them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from fastapi import APIRouter, FastAPI, Response
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from api.app import create_app
from api.limits import HEAVY, SUMS, in_turn
from api.routes import Route, Router, endpoints
from api.schemas import Instant, Out, rfc3339

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
WORDS = ("api", "v1", "tickets", "devices", "fleet", "fhir", "Device", "me", "7", "wc-1", "åäö", "")


class Said(Out):
    """Something with another name outside than inside."""

    at: Instant
    text: str = Field(serialization_alias="said")
    parts: tuple[Said, ...] = ()


class More(Said):
    """Says more than a route that declares `Said` may tell."""

    secret: str = "hemligt"


class Own(Response):
    media_type = "application/fhir+json"

    def render(self, content):
        return repr(content).encode()


def with_routes(router):
    """The same routes on any router."""

    @router.get("/model")
    def model() -> Said:
        return Said(at=NOON, text="å", parts=(Said(at=NOON, text="ö"),))

    @router.get("/more")
    def more() -> Said:
        return More(at=NOON, text="å", parts=(More(at=NOON, text="ö"),))

    @router.get("/told", response_model=Said)
    def told() -> More:
        return More(at=NOON, text="å")

    @router.post("/made", status_code=201)
    def made(response: Response) -> Said:
        response.headers["ETag"] = '"7"'
        return Said(at=NOON, text="")

    @router.post("/put", status_code=201)
    def put(text: str) -> Said:
        return Said(at=NOON, text=text)

    @router.get("/dict", response_class=Own)
    def own() -> dict[str, int]:
        return {"a": 1}

    @router.get("/list")
    async def listed() -> list[int]:
        return [1, 2]

    app = FastAPI()
    app.include_router(router)
    return TestClient(app)


@pytest.fixture(scope="module")
def ours():
    return with_routes(Router())


@pytest.fixture(scope="module")
def fastapis():
    return with_routes(APIRouter())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/model"), ("GET", "/more"), ("GET", "/told"), ("POST", "/made"),
        ("POST", "/put?text=x"), ("POST", "/put"),
        ("GET", "/dict"), ("GET", "/list"), ("POST", "/list"), ("GET", "/mod"), ("GET", "/model/"),
    ],
)  # fmt: skip
def test_an_answer_is_the_one_that_fastapi_gives(ours, fastapis, method, path):
    found, expected = (client.request(method, path) for client in (ours, fastapis))
    assert found.content == expected.content
    assert b"hemligt" not in found.content
    assert found.status_code == expected.status_code
    assert dict(found.headers) == dict(expected.headers)


def test_the_description_is_the_one_that_fastapi_writes(ours, fastapis):
    assert ours.app.openapi() == fastapis.app.openapi()


@pytest.fixture(scope="module")
def app(settings):
    return create_app(settings)


def found_by(app, scope):
    """Which of the application's routers takes a request, and how well it fits."""
    return [route.matches(dict(scope))[0] for route in app.router.routes]


@given(
    parts=st.lists(st.sampled_from(WORDS), max_size=6),
    method=st.sampled_from(("GET", "POST", "PUT")),
)
def test_no_router_is_passed_over_that_has_the_route(app, parts, method):
    check_found(app, "/" + "/".join(parts), method)


def test_every_route_is_found(app):
    for route in endpoints(app.routes):
        for method in route.methods:
            check_found(app, re.sub(r"\{\w+\}", "7", route.path), method)


def check_found(app, path, method):
    """The routers pass over what cannot be meant, and without doing so they find the same."""
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    assert found_by(app, scope) == found_by(app, {**scope, "root_path": ""})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Router, "matches", APIRouter.matches)
        expected = found_by(app, scope)
    assert found_by(app, scope) == expected


def test_a_path_below_another_is_found_all_the_same(app):
    scope = {"type": "http", "method": "GET", "path": "/below/api/v1/me", "root_path": "/below"}
    assert found_by(app, scope) == found_by(app, {**scope, "path": "/api/v1/me", "root_path": ""})


def test_the_large_answers_take_turns_and_no_others(app):
    taking = {
        route.operation_id
        for route in endpoints(app.routes)
        if isinstance(route, Route)
        and in_turn in [dependency.dependency for dependency in route.dependencies]
    }
    assert taking == HEAVY | SUMS


def test_every_endpoint_is_of_our_kind(app):
    others = {route.path for route in endpoints(app.routes) if not isinstance(route, Route)}
    assert others == {"/api/v1/openapi.json"}


@given(at=st.datetimes(timezones=st.just(UTC)))
def test_an_instant_is_written_the_same_way_everywhere(at):
    assert json.loads(Said(at=at, text="").model_dump_json())["at"] == rfc3339(at)
