"""What a user can safely try by themselves: the fault's own advice, else a step for the part. Pure.

Only what needs no tool and opens nothing is offered. A step never closes a ticket: it is tried,
the answer is kept, and a rule or a person decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from fleet.catalogue import Entry, packaged, parse
from fleet.faults import FaultCode
from fleet.rules.findings import Both
from fleet.words import Component, DeviceClass, Fixer, Severity

STEPS_MAX: Final = 3
"""Steps offered for one ticket: whoever sits in a chair that stopped reads no list."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to try. The id is what answers are kept under."""

    id: str
    text: Both
    device_classes: frozenset[DeviceClass]
    components: frozenset[Component]
    source_title: str
    source_url: str


@cache
def load_steps() -> Mapping[str, Step]:
    """The steps that ship with this package by id, read and checked once.

    Raises:
        CatalogueError: a data file is wrong.
    """
    return parse_steps(packaged("selfhelp"))


def parse_steps(texts: Mapping[str, str]) -> Mapping[str, Step]:
    """Steps by id, in the order of the files, from file name -> TOML text.

    Raises:
        CatalogueError: the first thing that is wrong.
    """
    steps: dict[str, Step] = {}
    for file, text in texts.items():
        whole = parse(file, text)
        whole.allow_only({"step"})
        for entry in whole.tables("step"):
            step = _step(entry)
            if step.id in steps:
                raise entry.named(step.id).error("the id stands twice", "Choose another id")
            steps[step.id] = step
    return steps


_KEYS: Final = frozenset({
    "id", "device_classes", "components", "text_sv", "text_en", "source_title", "source_url",
})  # fmt: skip


def _step(entry: Entry) -> Step:
    entry.allow_only(_KEYS)
    step_id = entry.slug("id")
    row = entry.named(step_id)
    text = Both(row.text("text_sv"), row.text("text_en"))
    if text.sv == text.en:
        raise row.error("the Swedish text equals the English one", "Translate it")
    return Step(
        id=step_id,
        text=text,
        device_classes=frozenset(row.members("device_classes", DeviceClass)),
        components=frozenset(row.members("components", Component)),
        source_title=row.text("source_title"),
        source_url=row.source_url("source_url"),
    )


def steps_for(
    device_class: str | None, component: str, faults: Iterable[FaultCode] = ()
) -> list[Step]:
    """What to try for a ticket: what its faults' own manuals say first, then what suits the part.

    Args:
        faults: the codes that the ticket rests on, the worst first.
    """
    own = [step for fault in faults if (step := catalogue_step(fault)) is not None]
    general = [
        step
        for step in load_steps().values()
        if component in step.components and device_class in step.device_classes
    ]
    distinct = {step.text.sv: step for step in [*own[:1], *general]}
    return list(distinct.values())[:STEPS_MAX]


_NOT_FOR_USERS: Final[Sequence[str]] = (
    "anslut", "byt ", "kabel", "kablage", "nödläge", "pol", "spänning", "säkring",
)  # fmt: skip
"""What a technician's advice for a wheelchair may ask for, and its user should not do."""


def catalogue_step(fault: FaultCode) -> Step | None:
    """The first half of a catalogued action that is meant for the user; None where none is safe.

    After a semicolon the catalogue says what to do when that did not help, to a technician.
    """
    if not fault.known or fault.fixer is not Fixer.USER or fault.severity is Severity.INFO:
        return None
    text = Both(_first_half(fault.action_sv), _first_half(fault.action_en))
    is_chair = fault.device_class is DeviceClass.POWERED_WHEELCHAIR
    if is_chair and any(word in text.sv.lower() for word in _NOT_FOR_USERS):
        return None
    return Step(
        id="catalogue",
        text=text,
        device_classes=frozenset({fault.device_class} if fault.device_class else ()),
        components=frozenset({fault.component}),
        source_title=fault.source_title,
        source_url=fault.source_url,
    )


def _first_half(action: str) -> str:
    return action.partition(";")[0].strip().removesuffix(".") + "."


def step_text(step_id: str) -> Both | None:
    """The words of a shipped step; None for an id of another release, and for a fault's own."""
    step = load_steps().get(step_id)
    return None if step is None else step.text
