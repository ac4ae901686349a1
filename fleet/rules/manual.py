"""The catalogue of evaluators as Markdown, from the same tables that read rule files. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from fleet.metrics import load_metrics
from fleet.rules.kind import Kind
from fleet.rules.parameters import REQUIRED, Parameter, Value, spoken
from fleet.rules.reader import KINDS

BEGINS: Final = "<!-- evaluators: begin -->"
ENDS: Final = "<!-- evaluators: end -->"


def manual() -> str:
    """Every kind with its purpose, source and parameters; what stands in docs/rules.md."""
    return "\n".join(line for kind in KINDS.values() for line in _section(kind))


def _section(kind: Kind) -> Iterator[str]:
    yield f"### `{kind.name}`"
    yield ""
    yield kind.purpose
    yield ""
    yield f"Source: {kind.source}"
    yield ""
    yield "| parameter | written | left out | meaning |"
    yield "|---|---|---|---|"
    for parameter in kind.parameters:
        cells = (parameter.written, _default(kind, parameter), parameter.meaning)
        yield f"| `{parameter.name}` | {' | '.join(map(_cell, cells))} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(kind: Kind, parameter: Parameter) -> str:
    """What holds when the parameter is left out, written as in a rule file."""
    default = parameter.default
    if default is REQUIRED:
        return "must be given"
    if default is None or default == frozenset():
        return "–"
    if isinstance(parameter, Value):
        return f'`"{default} {_unit(kind, parameter)}"`'
    return f"`{_spelled(default)}`"


def _unit(kind: Kind, parameter: Value) -> str:
    """The unit of the metric that the value belongs to when that one is left out too."""
    named = next(other.default for other in kind.parameters if other.name == parameter.of)
    metric = load_metrics().get(str(named))
    return metric.ucum if metric is not None else ""


def _spelled(default: object) -> str:
    match default:
        case bool():
            return str(default).lower()
        case timedelta():
            return f'"{spoken(default)}"'
        case str():
            return f'"{default}"'
        case frozenset():
            return str(sorted(map(str, default)))
        case _:
            return str(default)
