"""The benchmarks of the rules and the score of the diagnostics run, on a small scale."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from fjarrkoll.bench import backtest, people, rules
from fjarrkoll.bench.county import CountySettings
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


def test_a_small_county_is_asked_for_everything_beside_live_load():
    settings = people.PeopleSettings(
        county=CountySettings(devices=300, open_tickets=30, samples=30_000),
        requests=1, reads_per_s=40, live_seconds=1.0, rounds=1, live_devices=20, rate_per_s=20,
    )  # fmt: skip
    with stage(None, None) as place:
        found = people.measure(place, settings, lambda _: None)
    assert found["filled"]["samples"] > 20_000
    assert {tuple(one["status"]) for one in found["answers"]} == {(200,)}
    assert len(found["answers"]) > 90
    (counts,) = found["ingest"]["rounds"]
    for kind in ("alone", "beside_idle_loops", "beside_readers"):
        assert counts[kind]["never_seen"] == 0
        assert found["ingest"]["median_p99_ms"][kind] > 0
    assert set(counts["readers"]["by_status"]) == {"200"}
    assert counts["readers"]["requests_per_s"] > 10
