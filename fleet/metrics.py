"""The metric catalogue: what a number in a record measures, in which unit, and how it is shown."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from fleet.catalogue import Entry, packaged, parse
from fleet.words import DeviceClass, Lang

METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
"""What a metric may be called, known or not. Use ``fullmatch``."""


class MetricKind(StrEnum):
    """A gauge goes up and down; a counter only up, until the device is replaced or reset."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Purpose(StrEnum):
    """Why a value is sent. A person may stop sharing everything but what safety needs."""

    SAFETY = "safety"
    SERVICE = "service"
    CARE = "care"


def gap_before(unit: str, lang: Lang) -> str:
    """What stands between a number and its unit: a hard space, but nothing before % in English."""
    return "" if unit == "%" and lang == "en" else _HARD_SPACE


@dataclass(frozen=True, slots=True)
class Metric:
    """One quantity. `patient` values stay with care: they never drive a repair ticket.

    `loinc` and `mdc` are None where no code exists; `mdc_ref` is the name that goes with `mdc`.
    Stored value times `display_factor`, with `decimals` decimals, is a number of `display_unit`.
    """

    name: str
    label_en: str
    label_sv: str
    kind: MetricKind
    ucum: str
    loinc: str | None
    mdc: int | None
    mdc_ref: str | None
    patient: bool
    purpose: Purpose
    device_classes: frozenset[DeviceClass]
    display_unit: str
    decimals: int
    display_factor: float

    def label(self, lang: Lang) -> str:
        return self.label_sv if lang == "sv" else self.label_en


class Metrics:
    """All known metrics. Iterates in file order."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = {metric.name: metric for metric in metrics}

    def get(self, name: str) -> Metric | None:
        """None for a name we do not know, which a device may well send."""
        return self._metrics.get(name)

    def of(self, device_class: DeviceClass) -> tuple[Metric, ...]:
        """What a device of this class may report."""
        return tuple(metric for metric in self if device_class in metric.device_classes)

    def __contains__(self, name: object) -> bool:
        return name in self._metrics

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics.values())

    def __len__(self) -> int:
        return len(self._metrics)


@cache
def load_metrics() -> Metrics:
    """The metrics that ship with this package, read and checked once.

    Raises:
        CatalogueError: the data file is wrong.
    """
    return parse_metrics(packaged("metrics.toml")["metrics.toml"])


def parse_metrics(text: str, file: str = "metrics.toml") -> Metrics:
    """Build the catalogue from TOML text.

    Raises:
        CatalogueError: the first thing that is wrong.
    """
    whole = parse(file, text)
    whole.allow_only({"metric"})
    metrics: dict[str, Metric] = {}
    for entry in whole.tables("metric"):
        name = entry.text("name")
        if name in metrics:
            raise entry.named(name).error("the name stands twice", "Keep one of the two entries")
        metrics[name] = _metric(entry.named(name))
    return Metrics(metrics.values())


_KEYS = {
    "name",
    "label_en",
    "label_sv",
    "kind",
    "ucum",
    "loinc",
    "mdc",
    "mdc_ref",
    "patient",
    "purpose",
    "device_classes",
    "display_unit",
    "decimals",
    "display_factor",
}

# How a name must end for its unit. Annotations in braces are unitless in UCUM.
ENDINGS = {
    "%": "pct",
    "/h": "per_h",
    "/min": "per_min",
    "A": "a",
    "Cel": "c",
    "L/min": "l_min",
    "V": "v",
    "cm": "cm",
    "cm[H2O]": "cmh2o",
    "d": "d",
    "deg": "deg",
    "kg": "kg",
    "kg/m2": "kg_m2",
    "m": "m",
    "m/s": "m_s",
    "mL": "ml",
    "min": "min",
    "mm[Hg]": "mmhg",
    "mmol/L": "mmol_l",
    "mmol/mol": "mmol_mol",
    "s": "s",
    "{count}": "count",
    "{dBm}": "dbm",
    "{state}": "state",
    "{steps}": "count",
}

_HARD_SPACE = "\N{NO-BREAK SPACE}"
_LOINC = re.compile(r"[0-9]{1,7}-[0-9]")


def _metric(entry: Entry) -> Metric:
    entry.allow_only(_KEYS)
    ucum = entry.text("ucum")
    loinc = entry.optional_text("loinc")
    _check_name(entry, ucum)
    if loinc is not None and not _LOINC.fullmatch(loinc):
        raise entry.error(f"loinc {loinc!r} is no LOINC code", "Write it as 12345-6")
    if ("mdc" in entry.fields) != ("mdc_ref" in entry.fields):
        raise entry.error("mdc and mdc_ref go together", "Give both or neither")
    patient, purpose = entry.flag("patient"), entry.member("purpose", Purpose)
    if patient is not (purpose is Purpose.CARE):
        remedy = "A patient's value has the purpose care, and only such a value has it"
        raise entry.error(f"purpose {purpose} does not fit patient", remedy)
    return Metric(
        name=entry.name,
        label_en=entry.text("label_en"),
        label_sv=entry.text("label_sv"),
        kind=entry.member("kind", MetricKind),
        ucum=ucum,
        loinc=loinc,
        mdc=entry.optional_whole("mdc", 1, 2**32 - 1),
        mdc_ref=entry.optional_text("mdc_ref"),
        patient=patient,
        purpose=purpose,
        device_classes=_device_classes(entry),
        display_unit=_display_unit(entry),
        decimals=entry.whole("decimals", 0, 6),
        display_factor=entry.positive("display_factor", 1.0),
    )


def _check_name(entry: Entry, ucum: str) -> None:
    if not METRIC_NAME.fullmatch(entry.name):
        raise entry.error("not a metric name", f"Match {METRIC_NAME.pattern}")
    ending = ENDINGS.get(ucum)
    if ending is None:
        raise entry.error(f"unit {ucum!r} is unknown", f"Use one of {', '.join(ENDINGS)}")
    if not entry.name.endswith(f"_{ending}"):
        raise entry.error(f"the name does not end in its unit {ucum}", f"End it in _{ending}")


def _device_classes(entry: Entry) -> frozenset[DeviceClass]:
    """No list means any class; an empty list would be a metric of nothing."""
    if "device_classes" not in entry.fields:
        return frozenset(DeviceClass)
    classes = frozenset(entry.members("device_classes", DeviceClass))
    if not classes:
        raise entry.error("device_classes is empty", "Name a class, or leave the key out for any")
    return classes


def _display_unit(entry: Entry) -> str:
    """Empty for counts and states, which are shown as a bare number."""
    return "" if entry.fields.get("display_unit") == "" else entry.text("display_unit")
