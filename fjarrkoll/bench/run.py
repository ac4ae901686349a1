"""Run the chosen benchmarks and put the numbers in one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fjarrkoll.bench import backtest, drain, live, people, rules
from fjarrkoll.bench.county import CountySettings
from fjarrkoll.bench.stage import Stage, circumstances, stage

PARTS: Final = ("drain", "live", "rules", "backtest", "people")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """What to measure, and on what."""

    parts: tuple[str, ...]
    records: int
    devices: int
    live_seconds: float
    backlog: int
    fleets: tuple[int, ...] = rules.FLEETS
    backtest_devices: int = 10_000
    backtest_days: int = 180
    county: CountySettings = field(default_factory=CountySettings)
    reads_per_s: int = 200
    database_url: str | None = None
    bin_dir: Path | None = None


def run_bench(settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Each part gets fresh servers, so that none runs on what another left behind."""
    result: dict[str, Any] = {}
    for part in settings.parts:
        with stage(settings.database_url, settings.bin_dir) as place:
            result |= circumstances(place) if not result else {}
            result[part] = _measured(part, place, settings, say)
    return result


def _measured(part: str, place: Stage, settings: BenchSettings, say: Say) -> dict[str, Any]:
    match part:
        case "drain":
            return drain.measure(place, settings.records, settings.devices, say)
        case "rules":
            return rules.measure(place, rules.RulesSettings(settings.fleets), say)
        case "backtest":
            asked = backtest.BacktestSettings(settings.backtest_devices, settings.backtest_days)
            return backtest.measure(place, asked, say)
        case "people":
            wanted = people.PeopleSettings(
                settings.county,
                reads_per_s=settings.reads_per_s,
                live_seconds=settings.live_seconds,
            )
            return people.measure(place, wanted, say)
        case _:
            load = live.LiveSettings(
                seconds=settings.live_seconds, devices=settings.devices, backlog=settings.backlog
            )
            return live.measure(place, load, say)
