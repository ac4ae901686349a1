"""FHIR ids of our things, and back. An id has at most 64 letters, digits, `-` and `.`.

Ids of metrics and values begin with the device's, so that the access log knows whose they are.
Devices whose own id is longer than `DEVICE_ID_MAX` have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final, NamedTuple

DEVICE_ID_MAX: Final = 40
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DEVICE: Final = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_REFERENCE: Final = re.compile(r"Device/([A-Za-z0-9.-]{1,64})", re.ASCII)


class MetricId(NamedTuple):
    """One metric of one device."""

    device_id: str
    metric_no: int

    def __str__(self) -> str:
        return f"{device_id_to_fhir(self.device_id)}.{self.metric_no}"


class ValueId(NamedTuple):
    """One value of one metric of one device."""

    device_id: str
    metric_no: int
    at: datetime

    @property
    def metric(self) -> MetricId:
        return MetricId(self.device_id, self.metric_no)

    def __str__(self) -> str:
        return f"{self.metric}.{(self.at - _EPOCH) // _MICROSECOND}"


def device_id_to_fhir(device_id: str) -> str:
    """A device's id has no dot, so one can stand for the underscore that FHIR does not allow."""
    return device_id.replace("_", ".")


def device_id_from_fhir(fhir_id: str) -> str | None:
    """The device's own id; None for what cannot be one."""
    return fhir_id.replace(".", "_") if _DEVICE.fullmatch(fhir_id) else None


def device_of_reference(reference: str) -> str | None:
    """The device's own id in `Device/fk-20417`; None for anything else."""
    found = _REFERENCE.fullmatch(reference)
    return None if found is None else device_id_from_fhir(found[1])


def metric_id(text: str) -> MetricId | None:
    device, _, number = text.rpartition(".")
    if not _DEVICE.fullmatch(device) or not re.fullmatch(r"[1-9]\d{0,8}", number, re.ASCII):
        return None
    return MetricId(device.replace(".", "_"), int(number))


def value_id(text: str) -> ValueId | None:
    rest, _, microseconds = text.rpartition(".")
    metric = metric_id(rest)
    if metric is None or not re.fullmatch(r"\d{1,17}", microseconds, re.ASCII):
        return None
    return ValueId(*metric, _EPOCH + int(microseconds) * _MICROSECOND)


def named_device(ids: Mapping[str, str], references: Iterable[str]) -> str | None:
    """The device that an address names: in an id, by its parameter, or in a reference; the first.

    What an id is of is the parameter's to say: `wc.12.345` is a metric of wc_12, or a value of wc.
    """
    found = (_DEVICE_IN[name](text) for name, text in ids.items() if name in _DEVICE_IN)
    return next(filter(None, chain(found, map(device_of_reference, references))), None)


def _device_of_metric(text: str) -> str | None:
    part = metric_id(text)
    return None if part is None else part.device_id


def _device_of_value(text: str) -> str | None:
    part = value_id(text)
    return None if part is None else part.device_id


_DEVICE_IN: Final[Mapping[str, Callable[[str], str | None]]] = {
    "device_id": device_id_from_fhir,
    "device_metric_id": _device_of_metric,
    "observation_id": _device_of_value,
}
