"""What belongs to care and not to repair: values and codes about the person or the therapy. Pure.

Those who repair never see them; the person and the unit that prescribed do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from fleet.access.callers import Caller, Role
from fleet.device_settings import is_care
from fleet.faults import load_catalogue
from fleet.metrics import Purpose, load_metrics
from fleet.privacy import sent
from fleet.words import Component, DeviceClass
from storage.reading import LatestRow


class Coded(Protocol):
    """Anything that names a fault code."""

    @property
    def system(self) -> str: ...

    @property
    def code(self) -> str: ...


class Set(Protocol):
    """Anything about one setting; `is_care` as it was judged when it was reported."""

    @property
    def name(self) -> str: ...

    @property
    def is_care(self) -> bool: ...


Row = TypeVar("Row", bound=Coded)
SetRow = TypeVar("SetRow", bound=Set)


def is_private(metric: str) -> bool:
    """True of a value about the person or the therapy: it belongs to care, not to repair."""
    known = load_metrics().get(metric)
    return known is not None and known.patient


def is_hidden(metric: str, caller: Caller | None) -> bool:
    """True where the caller may not see values of the metric; whoever is unknown may not."""
    return is_private(metric) and (caller is None or caller.is_staff)


def is_clinical(row: Coded) -> bool:
    """True of a code that says what was measured on the person, such as a high glucose value."""
    found = load_catalogue().look_up(row.system, row.code)
    return found.component is Component.MEASUREMENT


def may_read_payload(device_class: str | None, caller: Caller | None) -> bool:
    """Whether bytes that a device sent and nobody could read may be shown as they are.

    Where the class measures a person, or is not known, they may be values about somebody, or ones
    that are not shared: those who repair get the reason and the topic.
    """
    if caller is not None and caller.role is Role.ADMINISTRATOR:
        return True
    known = next((word for word in DeviceClass if word == device_class), None)
    return known is not None and Purpose.CARE not in sent(known)


def open_to(rows: Iterable[Row], caller: Caller | None) -> list[Row]:
    """The faults or episodes that the caller may see."""
    if caller is not None and not caller.is_staff:
        return list(rows)
    return [row for row in rows if not is_clinical(row)]


def latest_split(
    rows: Iterable[LatestRow], caller: Caller | None = None
) -> tuple[list[LatestRow], int]:
    """The values that may be shown to the caller, and how many may not."""
    rows = list(rows)
    shown = [row for row in rows if not is_hidden(row.metric, caller)]
    return shown, len(rows) - len(shown)


def open_settings(
    rows: Iterable[SetRow], device_class: str, caller: Caller | None = None
) -> list[SetRow]:
    """The settings that the caller may see. The database hides those of the treatment already;
    this adds what the catalogue says today of settings that were reported before it did.
    """
    if caller is not None and not caller.is_staff:
        return list(rows)
    return [row for row in rows if not (row.is_care or is_care(row.name, device_class))]
