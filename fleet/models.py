"""Device models: what a device says it is at birth, and what may be expected of it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from fleet.catalogue import Entry, packaged, parse
from fleet.faults import FaultCatalogue, load_catalogue
from fleet.metrics import Metrics, load_metrics
from fleet.words import DeviceClass


@dataclass(frozen=True, slots=True)
class Model:
    """One model. `fault_systems` and `metrics` are what it speaks, not a limit on an individual.

    `report_interval_s` and `longest_silence_s` are None for a device that reports on measurement
    only: its silence says nothing and is never judged. `raw_decoder` names the decoder of its
    vendor packets, None when it sends none.
    """

    id: str
    device_class: DeviceClass
    maker: str
    name: str
    fault_systems: tuple[str, ...]
    metrics: tuple[str, ...]
    report_interval_s: int | None
    longest_silence_s: int | None
    iso9999: str | None
    mdc_type: int | None
    raw_decoder: str | None


class Models:
    """All known models. Iterates in file order."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = {model.id: model for model in models}

    def get(self, model_id: str) -> Model | None:
        """None for a model we do not know, which a device may well claim to be."""
        return self._models.get(model_id)

    def of(self, device_class: DeviceClass) -> tuple[Model, ...]:
        return tuple(model for model in self if model.device_class is device_class)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._models

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)


@cache
def load_models() -> Models:
    """The models that ship with this package, read and checked once.

    Raises:
        CatalogueError: this file is wrong, or one of the catalogues it leans on.
    """
    text = packaged("models.toml")["models.toml"]
    return parse_models(text, load_catalogue(), load_metrics())


def parse_models(
    text: str, faults: FaultCatalogue, metrics: Metrics, file: str = "models.toml"
) -> Models:
    """Build the models from TOML text; what they speak must be in the two catalogues.

    Raises:
        CatalogueError: the first thing that is wrong.
    """
    whole = parse(file, text)
    whole.allow_only({"model"})
    models: dict[str, Model] = {}
    for numbered in whole.tables("model"):
        entry = numbered.named(numbered.slug("id"))
        model = _model(entry)
        if model.id in models:
            raise entry.error("the id stands twice", "Keep one of the two entries")
        _check_systems(entry, model, faults)
        _check_metrics(entry, model, metrics)
        models[model.id] = model
    return Models(models.values())


_KEYS = {
    "id",
    "device_class",
    "maker",
    "name",
    "fault_systems",
    "metrics",
    "report_interval_s",
    "longest_silence_s",
    "iso9999",
    "mdc_type",
    "raw_decoder",
}

_ISO9999 = re.compile(r"[0-9]{2} [0-9]{2} [0-9]{2}")
_YEAR_S = 366 * 24 * 3600


def _model(entry: Entry) -> Model:
    entry.allow_only(_KEYS)
    interval_s, silence_s = _timing(entry)
    return Model(
        id=entry.name,
        device_class=entry.member("device_class", DeviceClass),
        maker=entry.text("maker"),
        name=entry.text("name"),
        fault_systems=entry.texts("fault_systems"),
        metrics=entry.texts("metrics"),
        report_interval_s=interval_s,
        longest_silence_s=silence_s,
        iso9999=_iso9999(entry),
        mdc_type=entry.optional_whole("mdc_type", 1, 2**32 - 1),
        raw_decoder=entry.slug("raw_decoder") if "raw_decoder" in entry.fields else None,
    )


def _timing(entry: Entry) -> tuple[int | None, int | None]:
    interval_s = entry.optional_whole("report_interval_s", 1, _YEAR_S)
    silence_s = entry.optional_whole("longest_silence_s", 1, _YEAR_S)
    if (interval_s is None) != (silence_s is None):
        remedy = "Give both, or neither for a device that reports on measurement only"
        raise entry.error("report_interval_s and longest_silence_s go together", remedy)
    if interval_s and silence_s and silence_s < interval_s:
        raise entry.error("longest_silence_s is shorter than report_interval_s", "Raise it")
    return interval_s, silence_s


def _iso9999(entry: Entry) -> str | None:
    code = entry.optional_text("iso9999")
    if code is not None and not _ISO9999.fullmatch(code):
        raise entry.error(f"iso9999 {code!r} is no ISO 9999 code", "Write it as 12 23 06")
    return code


def _check_systems(entry: Entry, model: Model, faults: FaultCatalogue) -> None:
    for system in model.fault_systems:
        family = faults.family(system)
        if family is None or family.system != system:
            raise entry.error(f"fault system {system!r} is not in the catalogue", "Add or fix it")
        if family.device_class is not model.device_class:
            problem = f"fault system {system!r} belongs to {family.device_class}"
            raise entry.error(problem, "Name a table of the model's own class")


def _check_metrics(entry: Entry, model: Model, metrics: Metrics) -> None:
    if not model.metrics:
        raise entry.error("metrics is empty", "Name at least one metric it reports")
    for name in model.metrics:
        metric = metrics.get(name)
        if metric is None:
            raise entry.error(f"metric {name!r} is not in the catalogue", "Add or fix it")
        if model.device_class not in metric.device_classes:
            problem = f"metric {name!r} is not for {model.device_class}"
            raise entry.error(problem, "Add the class to the metric, or drop it here")
