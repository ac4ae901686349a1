"""The application: routes, errors and the shield put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api import (
    actions,
    audit,
    catalogue,
    devices,
    episodes,
    fhir,
    findings,
    gaps,
    holds,
    ingest,
    ledger,
    loans,
    me,
    overview,
    pages,
    persons,
    stream,
    tickets,
    users,
    vitals,
)
from api.access import signin
from api.access.gate import check_policy, gate
from api.addresses import read_paths
from api.openapi import document_with
from api.problems import (
    MEDIA_TYPE,
    FieldProblem,
    ProblemError,
    database_down,
    invalid_fields,
    method_not_allowed,
    no_such_address,
    not_done,
    not_taken,
    too_large,
    unexpected,
)
from api.rooms import Rooms
from api.routes import endpoints
from api.settings import ApiSettings
from api.shield import Shield
from storage.connection import DatabaseDownError, DataRejectedError
from storage.privacy import PrivacyError

log = structlog.get_logger(__name__)

_PARTS: Final = (
    devices, episodes, gaps, loans, tickets, actions, findings, overview, ledger, catalogue,
    me, persons, holds, audit, users, stream, fhir, ingest, vitals, signin, pages,
)  # fmt: skip
_DESCRIPTION: Final = """Telemetry of assistive devices: devices, samples, faults, findings,
tickets and the ledger.

Instants are RFC 3339 in UTC, with a fraction of a second where there is one: compare them as times,
not as text. Lists end with `next_cursor`; give it back as `cursor` for the next rows. Errors are
problem details (RFC 9457) whose `next` says what to do. Every address but the vitals wants a
sign-in; what is outside the caller's reach does not exist for them.
"""


def create_app(settings: ApiSettings) -> FastAPI:
    """The API and the pages as one ASGI application."""
    rooms = Rooms(settings)
    app = FastAPI(
        title="Fjärrkoll",
        version="1",
        description=_DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # its page loads scripts from another site
        redoc_url=None,
        lifespan=_lifespan(rooms),
        dependencies=[Depends(gate)],
    )
    app.state.rooms = rooms
    for part in _PARTS:
        app.include_router(part.router)
    app.add_middleware(
        Shield,
        answer=answer,
        meters=rooms.meters,
        body_max=settings.max_body_bytes,
        public_url=settings.access.public_url,
    )
    _handle_errors(app)
    app.state.read_paths = read_paths(endpoints(app.routes))
    document_with(app, settings.access)
    check_policy(app.routes)
    return app


def _lifespan(rooms: Rooms) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with rooms.running():
            yield

    return lifespan


def answer(request: Request, error: ProblemError, kept: pages.Unsent | None = None) -> Response:
    """An error as JSON for machines, as a page for people; they may sign in and go on."""
    if pages.is_for_people(request):
        if error.status == 401 and request.method in {"GET", "HEAD"}:
            return signin.sign_in_first(request)
        return pages.error_page(request, error, kept)
    body = error.body(request.url.path)
    return JSONResponse(body, error.status, dict(error.headers), MEDIA_TYPE)


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(ProblemError)
    async def _problem(request: Request, exc: ProblemError) -> Response:
        return await _answered(request, exc)

    @app.exception_handler(DatabaseDownError)
    async def _down(request: Request, exc: DatabaseDownError) -> Response:
        log.warning("database_down", path=request.url.path, reason=str(exc)[:200])
        return await _answered(request, database_down())

    @app.exception_handler(DataRejectedError)
    async def _rejected(request: Request, exc: DataRejectedError) -> Response:
        log.warning("data_rejected", path=request.url.path, reason=str(exc)[:200])
        return await _answered(request, not_taken())

    @app.exception_handler(PrivacyError)
    async def _too_much(request: Request, exc: PrivacyError) -> Response:
        return await _answered(request, not_done(str(exc)))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, exc: RequestValidationError) -> Response:
        return await _answered(request, invalid_fields(_field_problems(exc)))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, exc: HTTPException) -> Response:
        return await _answered(request, _from_http(exc))


async def _answered(request: Request, error: ProblemError) -> Response:
    kept = await pages.unsent(request, error)
    return await run_sync(answer, request, error, kept)


def _field_problems(exc: RequestValidationError) -> list[FieldProblem]:
    return [
        FieldProblem(where=".".join(map(str, error["loc"])), what=str(error["msg"]))
        for error in exc.errors()[:20]
    ]


def _from_http(exc: HTTPException) -> ProblemError:
    """Starlette's own refusals: no such route, or not with that method; and the shield's."""
    if exc.status_code == 404:
        return no_such_address()
    if exc.status_code == 405:
        return method_not_allowed((exc.headers or {}).get("Allow", ""))
    if exc.status_code == 413:
        return too_large(str(exc.detail))
    if exc.status_code < 500:
        return ProblemError(exc.status_code, "bad-request", str(exc.detail), "Correct the request.")
    return unexpected()
