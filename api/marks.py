"""A device by what is printed on it: its id, individual number, serial or UDI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from api.devices import searchable
from fleet.udi import UdiError, read_udi
from fleet.wire.topics import is_id
from storage import device_reading, reading
from storage.connection import Connection

Trouble = Literal["product", "broken"]


@dataclass(frozen=True, slots=True)
class Sought:
    """What to look for. `trouble`: the text names a product only, or is a broken UDI."""

    mark: str | None
    is_udi: bool = False
    trouble: Trouble | None = None


def sought_by(typed: str) -> Sought:
    """The mark in what was typed: of a UDI the individual's part. Pure."""
    try:
        udi = read_udi(typed)
    except UdiError:
        return Sought(None, is_udi=True, trouble="broken")
    if udi is None:
        return Sought(searchable(typed))
    if udi.individual is None:
        return Sought(None, is_udi=True, trouble="product")
    return Sought(searchable(udi.individual), is_udi=True)


def marked_device_no(conn: Connection, typed: str) -> int | None:
    """The one device of that id, else the one with that mark on it; None for none or several."""
    text = typed.strip()
    number = reading.device_no(conn, text) if is_id(text) else None
    if number is not None:
        return number
    mark = sought_by(text).mark
    found = device_reading.marked(conn, mark, 2) if mark else None
    if found is None or not found.is_exact or len(found.devices) != 1:
        return None
    return found.devices[0].device_no
