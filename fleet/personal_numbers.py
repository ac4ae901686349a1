"""Numbers that name a person to the whole country: they have no place here. Pure."""

from __future__ import annotations

import re
from typing import Final

_WHOLE_NUMBER: Final = re.compile(r"(?:\d{2})?\d{6}[-+ ]?\d{4}")
_DATED_NUMBER: Final = re.compile(
    r"(?<!\d)(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01]|[6-8]\d|9[01])[-+ ]?\d{4}(?!\d)"
)


def is_like_personal_number(text: str) -> bool:
    """Ten or twelve digits alone, or twelve that begin with a date anywhere in the text.

    An HSA-id holds ten digits too, after its letters; an organisation's number has no month in
    it, so it is not taken for a person's.
    """
    bare = text.strip()
    return bool(_WHOLE_NUMBER.fullmatch(bare) or _DATED_NUMBER.search(bare))
