"""Routes as this API has them: each function also writes its answer, and the large ones take turns.

FastAPI hands what a function returns to a second thread, to check it, and to the event loop, to
write it. What is just of the declared type needs no check, and is written where it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, wraps
from inspect import iscoroutinefunction
from typing import Any, Final, get_type_hints

from fastapi import APIRouter, Depends, Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from api.limits import TAKING_TURNS, in_turn

_JSON: Final = "application/json"


class Route(APIRoute):
    """A route of a `Router`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        if more.get("operation_id") in TAKING_TURNS:
            more["dependencies"] = [*(more.get("dependencies") or ()), Depends(in_turn)]
        if isinstance(more.get("response_model"), DefaultPlaceholder):
            endpoint = _writing(endpoint, more.get("status_code"), more.get("response_class"))
        super().__init__(path, endpoint, **more)


class Router(APIRouter):
    """FastAPI's, which passes over a hundred routes at once when none can be meant."""

    def __init__(self, **more: Any) -> None:
        super().__init__(route_class=Route, **more)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_elsewhere = not scope.get("root_path") and not scope["path"].startswith(self._heads)
        return (Match.NONE, {}) if is_elsewhere else super().matches(scope)

    @cached_property
    def _heads(self) -> tuple[str, ...]:
        """What the paths of its routes begin with, up to their first parameter."""
        paths: Iterable[str] = (getattr(route, "path", "") for route in endpoints(self.routes))
        return tuple({path.partition("{")[0] for path in paths})


def endpoints(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Every endpoint, also those of routers within routers."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from endpoints(inner.routes)


def _writing(endpoint: Callable[..., Any], status: int | None, kind: Any) -> Callable[..., Any]:
    """`endpoint`, which itself writes what it gave: a model, or what its `kind` of answer takes.

    Left to FastAPI is a model of another type than the declared one, of which it tells only what
    that has, and whatever sets headers by FastAPI's own `Response`, since it adds them.
    """
    types = get_type_hints(endpoint)
    declared = types.pop("return", None)
    if iscoroutinefunction(endpoint) or Response in types.values():
        return endpoint

    @wraps(endpoint)
    def written(*args: Any, **values: Any) -> Any:
        answer = endpoint(*args, **values)
        if isinstance(answer, BaseModel) and type(answer) is declared:
            return Response(answer.model_dump_json(by_alias=True), status or 200, media_type=_JSON)
        if isinstance(answer, dict) and isinstance(kind, type):
            return kind(answer, status or 200)
        return answer

    return written
