"""What an evaluator offers to the reader of rule files and to the manual. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.rules.parameters import Parameter
from fleet.rules.rule import Condition


@dataclass(frozen=True, slots=True)
class Kind:
    """One evaluator.

    Attributes:
        name: the word in `kind = "…"`.
        purpose: one or two English sentences for the manual.
        source: where the method comes from.
        parameters: the keys of `[when]`, in the order in which they are read.
        build: makes the condition from read values; raises ParameterError for values that make
            no sense together (a window shorter than what must fit in it).
    """

    name: str
    purpose: str
    source: str
    parameters: tuple[Parameter, ...]
    build: Callable[[Mapping[str, Any]], Condition]
