"""JSON: the catalogues that ship with this release: fault codes, models and metrics."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Annotated

from fastapi import Query

from api import cursors
from api.asking import CodesAsked
from api.meanings import meaning
from api.problems import READING
from api.routes import Router
from api.schemas_device import (
    FaultEntryOut,
    FaultEntryPage,
    MetricList,
    MetricOut,
    ModelList,
    ModelOut,
    SystemList,
    SystemOut,
)
from fleet.faults import FaultCode, FaultFamily, load_catalogue
from fleet.metrics import load_metrics
from fleet.models import load_models

router = Router(prefix="/api/v1/catalogue", tags=["catalogue"], responses=READING)


@router.get("/faults", operation_id="list_catalogue_faults")
def list_catalogue_faults(asked: Annotated[CodesAsked, Query()]) -> FaultEntryPage:
    """What codes mean, in the order of the catalogue.

    A code nobody has described is answered too, with `is_known` false: firmware ships before the
    catalogue does. `system` may be an alias.
    """
    if asked.system is not None and asked.code is not None:
        found = load_catalogue().look_up(asked.system, asked.code)
        return FaultEntryPage(items=[_entry(found)], next_cursor=None)
    start = cursors.decode("catalogue-faults", asked.cursor, cursors.read_small) or 0
    rows = list(islice(_of_system(asked.system), start, start + asked.limit + 1))
    following = None
    if len(rows) > asked.limit:
        following = cursors.encode("catalogue-faults", (start + asked.limit,))
    return FaultEntryPage(items=[_entry(row) for row in rows[: asked.limit]], next_cursor=following)


def _of_system(system: str | None) -> list[FaultCode]:
    catalogue = load_catalogue()
    if system is None:
        return list(catalogue)
    family = catalogue.family(system)
    return [fault for fault in catalogue if family is not None and fault.system == family.system]


def _entry(fault: FaultCode) -> FaultEntryOut:
    return FaultEntryOut(
        **meaning(fault.system, fault.code).model_dump(),
        system=fault.system,
        code=fault.code,
        device_class=fault.device_class,
        vendor=fault.vendor,
        family=fault.family,
        source_title=fault.source_title,
        source_url=fault.source_url,
    )


@router.get("/systems", operation_id="list_catalogue_systems")
def list_catalogue_systems() -> SystemList:
    """The tables of fault codes that are known, and how many codes each has."""
    catalogue = load_catalogue()
    counts = Counter(fault.system for fault in catalogue)
    families = [family for name in catalogue.systems() if (family := catalogue.family(name))]
    return SystemList(items=[_system(family, counts[family.system]) for family in families])


def _system(family: FaultFamily, code_n: int) -> SystemOut:
    return SystemOut(
        system=family.system,
        aliases=list(family.aliases),
        device_class=family.device_class,
        vendor=family.vendor,
        name=family.name,
        code_kind=family.code_kind.value,
        code_n=code_n,
    )


@router.get("/models", operation_id="list_catalogue_models")
def list_catalogue_models() -> ModelList:
    """The models that are known, what they report and how often."""
    return ModelList(items=[ModelOut.model_validate(model) for model in load_models()])


@router.get("/metrics", operation_id="list_catalogue_metrics")
def list_catalogue_metrics() -> MetricList:
    """The metrics that are known, with their units and codes."""
    return MetricList(items=[_metric(name) for name in sorted(m.name for m in load_metrics())])


def _metric(name: str) -> MetricOut:
    found = load_metrics().get(name)
    assert found is not None, "the name comes from the catalogue"
    said = {field: getattr(found, field) for field in MetricOut.model_fields}
    return MetricOut(**{**said, "device_classes": sorted(found.device_classes)})
