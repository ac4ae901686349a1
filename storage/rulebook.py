"""Rules as people see them: what is on and why, their record, and backtests side by side.

Texts, switches and backtests are of the installation; tickets and their outcomes are those within
the caller's reach. Functions take a connection and never commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fleet.ticket_actions import Outcome
from storage.connection import Connection
from storage.queries import load_queries
from storage.rows import Row, all_rows
from storage.tickets import RuleRecord

SWITCHES_SHOWN: Final = 100
COMPARED: Final = 4
_AT_END: Final = 2**63 - 1
_SQL: Final = load_queries("rulebook.sql")


@dataclass(frozen=True, slots=True)
class RuleHead:
    """One rule in the version that was switched last. `switch_no` is 0 until somebody has."""

    rule_id: str
    version: int
    body: str
    is_shipped: bool
    added_at: datetime
    newest_version: int
    is_on: bool
    switch_no: int
    switched_at: datetime | None
    switched_by: str | None
    switched_why: str | None


@dataclass(frozen=True, slots=True)
class VersionRow:
    version: int
    is_shipped: bool
    added_at: datetime
    body: str


@dataclass(frozen=True, slots=True)
class SwitchRow:
    switch_no: int
    version: int
    is_on: bool
    at: datetime
    who: str
    why: str
    backtest_no: int | None


@dataclass(frozen=True, slots=True)
class BacktestRow:
    """`result` names devices of every tenant: its lists are cut to whom they are shown to."""

    backtest_no: int
    version: int
    from_at: datetime
    to_at: datetime
    ran_at: datetime
    device_n: int
    ticket_n: int
    worst_day_share: float
    result: Mapping[str, Any]


def heads(conn: Connection) -> list[RuleHead]:
    """Every rule, by id."""
    return _all(conn, RuleHead, "rule_heads", rule_id=None)


def head(conn: Connection, rule_id: str) -> RuleHead | None:
    return next(iter(_all(conn, RuleHead, "rule_heads", rule_id=rule_id)), None)


def records(conn: Connection, rule_id: str | None = None) -> Mapping[str, RuleRecord]:
    """What each rule's tickets came to; a rule without outcomes has an empty record."""
    found: defaultdict[str, dict[Outcome, int]] = defaultdict(dict)
    for rule, outcome, count in conn.execute(_SQL["rule_outcomes"], {"rule_id": rule_id}):
        found[rule][Outcome(outcome)] = count
    return defaultdict(lambda: RuleRecord({}), {rule: RuleRecord(n) for rule, n in found.items()})


def ticket_counts(conn: Connection, since: datetime, rule_id: str | None = None) -> dict[str, int]:
    """How many tickets each rule has opened since a time."""
    return dict(conn.execute(_SQL["rule_tickets"], {"since": since, "rule_id": rule_id}).fetchall())


def versions(conn: Connection, rule_id: str) -> list[VersionRow]:
    return _all(conn, VersionRow, "rule_versions", rule_id=rule_id)


def switches(conn: Connection, rule_id: str) -> list[SwitchRow]:
    return _all(conn, SwitchRow, "rule_switches", rule_id=rule_id, limit=SWITCHES_SHOWN)


def backtests(
    conn: Connection, rule_id: str, limit: int, before_no: int | None = None
) -> list[BacktestRow]:
    before = _AT_END if before_no is None else before_no
    return _all(conn, BacktestRow, "rule_backtests", rule_id=rule_id, limit=limit, before_no=before)


def compared(conn: Connection, rule_id: str) -> list[BacktestRow]:
    """The newest backtest of each of the last versions, the oldest version first."""
    return _all(conn, BacktestRow, "compared_backtests", rule_id=rule_id, limit=COMPARED)


def backtest(conn: Connection, rule_id: str, backtest_no: int) -> BacktestRow | None:
    """One backtest of a rule, or None."""
    rows = backtests(conn, rule_id, 1, backtest_no + 1)
    return next((row for row in rows if row.backtest_no == backtest_no), None)


def seen_devices(conn: Connection, ids: Iterable[str]) -> frozenset[str]:
    """Those of these devices that exist for the caller."""
    rows = conn.execute(_SQL["seen_devices"], {"ids": list(ids)})
    return frozenset(device for (device,) in rows)


def hold(conn: Connection, rule_id: str) -> None:
    """Keep others from switching the rule until COMMIT."""
    conn.execute(_SQL["hold_rule"], {"rule_id": rule_id})


def is_only_tenant(conn: Connection) -> bool:
    """False where several tenants share the rules, so that none of them decides alone."""
    row = conn.execute(_SQL["is_only_tenant"]).fetchone()
    return row is not None and bool(row[0])


def _all(conn: Connection, kind: type[Row], name: str, **values: object) -> list[Row]:
    return all_rows(conn, kind, _SQL[name], values)
