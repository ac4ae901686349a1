"""The JSON about single devices: episodes, gaps, loans, places and the catalogues."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas import EpisodeOut, GapOut, Instant, MeaningOut, Out
from fleet.metrics import MetricKind
from fleet.words import DeviceClass
from storage.lending import BasicNeed, Place


class EpisodePage(Out):
    items: list[EpisodeOut]
    next_cursor: str | None


class FleetEpisodeOut(EpisodeOut):
    device_id: str
    model_id: str


class FleetEpisodePage(Out):
    items: list[FleetEpisodeOut]
    next_cursor: str | None


class GapPage(Out):
    items: list[GapOut]
    next_cursor: str | None


class LoanOut(Out):
    """One person's time with a device; the person is never named here. `ended_at` None: lasts."""

    loan_no: int
    basic_needs: list[BasicNeed] = Field(
        description="What the person cannot do while the device stands still."
    )
    started_at: Instant
    ended_at: Instant | None


class LendingOut(Out):
    """The loans of a device that the caller may see, newest first, at most 1,000."""

    device_id: str
    is_lent: bool
    items: list[LoanOut]


class PlacementOut(Out):
    """Where a device is or was. One that ends where it begins was overruled by a correction."""

    placement_no: int
    place: Place
    from_at: Instant
    until_at: Instant | None
    who: str
    why: str


class PlacementsOut(Out):
    """Where a device has been, newest first; none: it has always been in use."""

    device_id: str
    place: Place
    items: list[PlacementOut]


class FaultEntryOut(MeaningOut):
    """One code of the fault catalogue; `is_known` false where nobody has described it."""

    system: str
    code: str
    device_class: DeviceClass | None
    vendor: str
    family: str
    source_title: str
    source_url: str


class FaultEntryPage(Out):
    items: list[FaultEntryOut]
    next_cursor: str | None


class SystemOut(Out):
    """One table of fault codes; `aliases` are other names that devices use for it."""

    system: str
    aliases: list[str]
    device_class: DeviceClass
    vendor: str
    name: str
    code_kind: Literal["hex", "flash", "text", "number", "bits"]
    code_n: int


class SystemList(Out):
    items: list[SystemOut]


class ModelOut(Out):
    """What a model speaks and how often. None in both times: it reports on measurement only."""

    id: str
    device_class: DeviceClass
    maker: str
    name: str
    fault_systems: list[str]
    metrics: list[str]
    report_interval_s: int | None
    longest_silence_s: int | None
    iso9999: str | None
    mdc_type: int | None


class ModelList(Out):
    items: list[ModelOut]


class MetricOut(Out):
    """One metric. Stored value times `display_factor` is a number of `display_unit`."""

    name: str
    label_sv: str
    label_en: str
    kind: MetricKind
    ucum: str
    loinc: str | None
    mdc: int | None
    patient: bool = Field(description="About the person or the therapy: not shown to repair.")
    device_classes: list[DeviceClass]
    display_unit: str
    decimals: int
    display_factor: float


class MetricList(Out):
    items: list[MetricOut]
