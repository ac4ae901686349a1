"""`fjarrkoll sim --score`: one fleet after another with a progress bar, then the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from firmware_sim.history.quality import pooled, report_markdown
from firmware_sim.scoring import Score, SeedScore
from fjarrkoll.console import show
from fjarrkoll.score import Season, score_season


def run_scores(devices: int, seeds: Sequence[int], page: Path | None, *, as_json: bool) -> None:
    """Score a fleet for each seed; print the figures, and write the page if one is named."""
    scores = [_one(Season(seed, devices)) for seed in seeds]
    command = f"fjarrkoll sim --score --devices {devices} --seed {seeds[0]} --seeds {len(seeds)}"
    if page is not None:
        page.write_text(report_markdown(scores, f"{command} --page {page}"), "utf-8")
    result = {
        "devices": devices,
        "seeds": [{"seed": one.seed, **_figures(one.score)} for one in scores],
        "all": _figures(pooled([one.score for one in scores])),
    }
    show(result, as_json=as_json, text=lambda: "\n".join(_lines(result)))


def _one(season: Season) -> SeedScore:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"fleet {season.seed}", total=season.devices)
        return score_season(season, lambda n: progress.advance(task, n))


def _figures(score: Score) -> dict[str, Any]:
    delays_h = score.total.delays_h
    return {
        "recall": score.total.recall,
        "precision": score.total.precision,
        "duplicates": score.total.duplicate_n,
        "tickets_per_cause": score.tickets_per_cause,
        "tickets_of_worst_storm": max(score.storm_tickets, default=0),
        "median_hours_to_ticket": median(delays_h) if delays_h else None,
    }


def _lines(result: dict[str, Any]) -> list[str]:
    rows = [(f"fleet {row['seed']}", row) for row in result["seeds"]] + [("all", result["all"])]
    return [
        f"{name:10} " + "  ".join(f"{key} {_short(row[key])}" for key in row if key != "seed")
        for name, row in rows
    ]


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
