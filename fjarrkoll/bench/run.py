"""Run the chosen benchmarks and put the numbers in one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fjarrkoll.bench import drain, live
from fjarrkoll.bench.stage import circumstances, stage

PARTS: Final = ("drain", "live")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """What to measure, and on what."""

    parts: tuple[str, ...]
    records: int
    devices: int
    live_seconds: float
    backlog: int
    database_url: str | None = None
    bin_dir: Path | None = None


def run_bench(settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Each part gets fresh servers, so that none runs on what another left behind."""
    result: dict[str, Any] = {}
    for part in settings.parts:
        with stage(settings.database_url, settings.bin_dir) as place:
            result |= circumstances(place) if not result else {}
            if part == "drain":
                result[part] = drain.measure(place, settings.records, settings.devices, say)
            else:
                load = live.LiveSettings(
                    seconds=settings.live_seconds,
                    devices=settings.devices,
                    backlog=settings.backlog,
                )
                result[part] = live.measure(place, load, say)
    return result
