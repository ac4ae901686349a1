"""Forms that pages post: read with a limit, and kept as typed when they are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import Depends, Request

from api.problems import ProblemError, too_large

MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
BODY_MAX_BYTES: Final = 32_768
FIELDS_MAX: Final = 300
VALUE_MAX: Final = 4_000


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, by field. Ends are trimmed, and no value has a NUL or is endless."""

    values: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        """The first value of a field; empty where it was not sent."""
        return next(iter(self.values.get(name, ())), "")

    def all(self, name: str) -> Sequence[str]:
        return self.values.get(name, ())


def read_form(body: bytes) -> Form:
    """Take a form apart. Pure.

    Raises:
        ProblemError: 413, more fields than a page of ours sends.
    """
    text = body.decode("utf-8", "replace")
    try:
        found = parse_qs(text, max_num_fields=FIELDS_MAX, errors="replace")
    except ValueError as exc:
        raise too_large(f"The form has more than {FIELDS_MAX} fields.") from exc
    return Form({name: [_clean(value) for value in values] for name, values in found.items()})


def whole_number(text: str | None, digits: int) -> int | None:
    """The number in a text of at most so many digits; None for anything else.

    `int` would take other alphabets' digits too, and underscores. Pure.
    """
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= digits):
        return None
    return int(text)


def _clean(value: str) -> str:
    return value.replace("\0", "").replace("\r\n", "\n").strip()[:VALUE_MAX]


async def posted(request: Request) -> Form:
    """The form in a request.

    Raises:
        ProblemError: 413 too large, 415 not a form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise ProblemError(
            415, "not-a-form", f"The content type is not {MEDIA_TYPE}.", "Send it from the page."
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            raise too_large(f"The form is larger than {BODY_MAX_BYTES} bytes.")
    return read_form(bytes(body))


Posted = Annotated[Form, Depends(posted)]
