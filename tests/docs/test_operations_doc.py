"""What the operations page lists is what there is: settings, metrics, roles, exit statuses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

import diagnostics.process
import ingest.worker
from api.rooms import Meters
from fjarrkoll.console import SERVER_ERROR, USAGE_ERROR
from fjarrkoll.errors import explain
from fjarrkoll.settings import PREFIX, Settings
from storage.connection import ROLES

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
_READ = (ingest.worker, diagnostics.process)  # they register their metrics when imported


def _table(title: str) -> dict[str, str]:
    section = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| ")
    ]
    return {row[0].strip("`"): row[1].strip("`") for row in rows[1:]}


def _printed(default: object) -> str:
    if default is None:
        return "unset"
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_every_setting_is_listed_with_its_default() -> None:
    fields = Settings.model_fields.items()
    real = {PREFIX + name.upper(): _printed(field.default) for name, field in fields}
    assert _table("Environment variables") == real


def test_the_bounds_of_settings_are_right() -> None:
    for name, field in Settings.model_fields.items():
        bounds = {
            kind: getattr(rule, kind)
            for rule in field.metadata
            for kind in ("ge", "le")
            if hasattr(rule, kind)
        }
        if bounds and "port" not in name:
            row = re.search(rf"`{PREFIX}{name.upper()}` \|[^|]*\| (.*)", PAGE)
            assert row is not None
            assert row[1].startswith(f"{bounds['ge']} to {bounds['le']}; ")


def _scraped(families: Iterable[Metric]) -> set[str]:
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
        if family.name.startswith("fjarrkoll_")
    }


def test_every_metric_is_listed() -> None:
    real = _scraped(REGISTRY.collect()) | _scraped(Meters().registry.collect())
    assert set(_table("Metrics")) == real


def test_every_role_is_listed() -> None:
    assert tuple(_table("Database roles")) == ROLES


def test_every_exit_status_is_listed() -> None:
    unexpected, _ = explain(ZeroDivisionError())
    expected = {0, 1, USAGE_ERROR, SERVER_ERROR, unexpected, 130}
    assert {int(status) for status in _table("Exit status")} == expected
