"""The benchmarks of the rules and the score of the diagnostics run, on a small scale."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from fjarrkoll.bench import backtest, rules
from fjarrkoll.bench.stage import stage
from fjarrkoll.cli import app


def test_a_minute_a_night_and_a_backtest_are_measured():
    with stage(None, None) as place:
        settings = rules.RulesSettings(fleets=(300,), faulty=50, hours=100, agenda=10)
        found = rules.measure(place, settings, lambda _: None)
    ((minute),) = found["minute"]
    assert minute["tickets_opened"] > 0
    assert minute["evaluation_s"] > 0
    assert found["night"]["devices_per_s"] > 0
    assert found["night"]["left_due"] == 0
    with stage(None, None) as place:
        small = backtest.BacktestSettings(
            devices=120, days=20, hours_a_day=2, rules=("reported-fault", "battery-end-of-life")
        )
        found = backtest.measure(place, small, lambda _: None)
    assert found["rollup_rows"] == 120 * 20 * 2 * 5
    assert found["rules"]["reported-fault"]["tickets"] > 0


def test_a_labelled_fleet_is_scored_and_written_down(tmp_path):
    page = tmp_path / "quality.md"
    arguments = ["sim", "--score", "--devices", "60", "--seeds", "1", "--page", str(page), "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert 0 < found["all"]["recall"] <= 1
    assert 0 < found["all"]["precision"] <= 1
    assert "fjarrkoll sim --score --devices 60" in page.read_text("utf-8")
