"""What the architecture page names is there: constraints, indexes, modules, failpoints."""

from __future__ import annotations

import re
from pathlib import Path

from ingest.settings import BatchLimits
from runtime.failpoints import NAMES
from storage.connection import Connection

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def _words(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def test_every_named_constraint_and_index_exists(conn: Connection) -> None:
    rows = conn.execute(
        "SELECT conname FROM pg_constraint UNION SELECT indexname FROM pg_indexes"
        " UNION SELECT tgname FROM pg_trigger UNION SELECT proname FROM pg_proc"
    ).fetchall()
    section = PAGE.split("## Invariants", 1)[1]
    enforced_by = " ".join(line.split("|")[2] for line in section.splitlines() if "|" in line)
    named = {word for word in _words(enforced_by) if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)}
    assert named - {row[0] for row in rows} == {
        "check_durability",
        "check_policy",
        "intake_total",
    }


def test_every_named_file_exists() -> None:
    files = {word for word in _words(PAGE) if re.fullmatch(r"\w+(/\w+)+\.(py|sql)", word)}
    assert len(files) > 15
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []


def test_the_failpoints_are_all_of_them() -> None:
    table = PAGE.split("## What a crash does", 1)[1].split("## ", 1)[0]
    first_cells = " ".join(line.split("|")[1] for line in table.splitlines() if "|" in line)
    assert _words(first_cells) == NAMES


def test_the_batch_limits_are_the_codes() -> None:
    limits = BatchLimits()
    said = f"{limits.rows_max:,} messages, {limits.bytes_max // 2**20} MiB or"
    assert f"{said} {limits.age_max_s * 1000:.0f} ms" in PAGE
