"""The files that pages load: style, icon and our own JavaScript. Read once, kept by browsers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from fastapi import Response

from api.problems import no_such_address
from api.routes import Router

router = Router(include_in_schema=False)

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_A_YEAR: Final = "public, max-age=31536000, immutable"
_FOR_A_MINUTE: Final = "public, max-age=60"


@dataclass(frozen=True, slots=True)
class Static:
    """One file. `version` changes with its bytes, so an address that names it never goes stale."""

    body: bytes
    media_type: str
    version: str


def _statics() -> dict[str, Static]:
    found = {}
    for file in files("api").joinpath("static").iterdir():
        kind = "." + file.name.rpartition(".")[2]
        if kind in _TYPES:
            body = file.read_bytes()
            found[file.name] = Static(body, _TYPES[kind], sha256(body).hexdigest()[:12])
    return found


STATICS: Final[Mapping[str, Static]] = MappingProxyType(_statics())


def address(name: str) -> str:
    """Where a page finds a file, with the version that lets browsers keep it for good."""
    return f"/static/{name}?v={STATICS[name].version}"


@router.get("/static/{name}", operation_id="static_file")
async def static_file(name: str, v: str = "") -> Response:
    """A file by its name; kept for a year only where the address names its present version."""
    found = STATICS.get(name)
    if found is None:
        raise no_such_address()
    kept = _FOR_A_YEAR if v == found.version else _FOR_A_MINUTE
    return Response(found.body, media_type=found.media_type, headers={"Cache-Control": kept})
