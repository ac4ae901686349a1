"""Rules as stored: their texts, what is on, and the backtests that were its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from fleet.rules.reader import parse_rule, shipped_rules
from fleet.rules.rule import Rule
from storage.connection import Connection
from storage.queries import load_queries

BACKTEST_HOLDS: Final = timedelta(days=7)
"""How long a backtest is a reason to turn a rule on."""

SHIPPED_BY: Final = "release"

_SQL: Final = load_queries("rules.sql")


class RuleRefusedError(ValueError):
    """A rule cannot be stored or turned on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ListedRule:
    """One stored version. The `switched_*` fields are of the rule's last switch."""

    rule_id: str
    version: int
    is_shipped: bool
    added_at: datetime
    body: str
    is_on: bool
    switched_at: datetime | None
    switched_by: str | None
    switched_why: str | None
    backtest_no: int | None
    backtest_at: datetime | None
    backtest_ticket_n: int | None
    backtest_worst_day_share: float | None


class StoredBacktest(NamedTuple):
    backtest_no: int
    from_at: datetime
    to_at: datetime
    ran_at: datetime
    device_n: int
    ticket_n: int
    worst_day_share: float
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewBacktest:
    """What one backtest found. `worst_day_share`: tickets on the worst day, of devices covered."""

    rule_id: str
    version: int
    from_at: datetime
    to_at: datetime
    took_s: float
    device_n: int
    ticket_n: int
    worst_day_share: float
    result: Mapping[str, Any]


def digest(body: str) -> str:
    """What identifies a rule's text."""
    return sha256(body.encode()).hexdigest()


def sync_shipped(conn: Connection, now: datetime) -> None:
    """Store the rules of this release; turn on those that nobody has ever decided on.

    A newer version of a rule that somebody decided on waits for a backtest, like any other.
    """
    for rule, body in shipped_rules().values():
        _put(conn, rule, body, now, SHIPPED_BY, is_shipped=True)
    for (rule_id,) in conn.execute(_SQL["never_switched"]).fetchall():
        if rule_id in shipped_rules():
            rule, _ = shipped_rules()[rule_id]
            _switch(conn, rule, now, SHIPPED_BY, "comes with the release", None, is_on=True)


def add_version(conn: Connection, body: str, file: str, now: datetime, who: str) -> Rule:
    """Store a rule's text under the number it carries; the same text again is no change.

    Raises:
        RuleFileError: the text is no rule.
        RuleRefusedError: the number is taken by another text.
    """
    rule = parse_rule(body, file)
    _put(conn, rule, body, now, who, is_shipped=False)
    return rule


def _put(  # noqa: PLR0913 - the columns of a row
    conn: Connection, rule: Rule, body: str, now: datetime, who: str, *, is_shipped: bool
) -> None:
    key = {"rule_id": rule.id, "version": rule.version}
    row = {**key, "digest": digest(body), "body": body, "is_shipped": is_shipped}
    conn.execute(_SQL["put_version"], {**row, "now": now, "who": who})
    found = conn.execute(_SQL["digest_of"], key).fetchone()
    if found is None or found[0] != digest(body):
        raise RuleRefusedError(
            f"{rule.id} version {rule.version} is stored with another text."
            f" Give the changed rule a new number: version = {rule.version + 1}."
        )


def enable(conn: Connection, rule: Rule, now: datetime, who: str, why: str) -> int:
    """Turn a stored version on; return the backtest that was the reason.

    Raises:
        RuleRefusedError: no backtest of this version in the last 7 days, or it would open more
            tickets a day than the rule allows itself.
    """
    found = newest_backtest(conn, rule.id, rule.version)
    if found is None or found.ran_at < now - BACKTEST_HOLDS:
        days = BACKTEST_HOLDS.days
        raise RuleRefusedError(
            f"{rule.id} version {rule.version} has no backtest of the last {days} days."
            f" Run: fjarrkoll rules backtest {rule.id} --version {rule.version}"
        )
    if found.worst_day_share > rule.max_day_share:
        raise RuleRefusedError(
            f"{rule.id} version {rule.version} would have opened tickets for"
            f" {found.worst_day_share:.1%} of the devices it covers on one day; it allows itself"
            f" {rule.max_day_share:.1%} (max_day_share). Narrow the rule and backtest it again."
        )
    _switch(conn, rule, now, who, why, found.backtest_no, is_on=True)
    return found.backtest_no


def disable(conn: Connection, rule: Rule, now: datetime, who: str, why: str) -> None:
    """Turn a rule off. Its findings stay as they were; its tickets stay with people."""
    _switch(conn, rule, now, who, why, None, is_on=False)


def _switch(  # noqa: PLR0913, PLR0917 - the columns of a row
    conn: Connection,
    rule: Rule,
    now: datetime,
    who: str,
    why: str,
    backtest_no: int | None,
    *,
    is_on: bool,
) -> None:
    row = {"rule_id": rule.id, "version": rule.version, "is_on": is_on, "now": now}
    conn.execute(_SQL["switch_rule"], {**row, "who": who, "why": why, "backtest_no": backtest_no})


def enabled(conn: Connection) -> list[Rule]:
    """The rules that are on, read from their stored texts, in order of their ids."""
    rows = conn.execute(_SQL["enabled"]).fetchall()
    return [parse_rule(body, f"{rule_id}.v{version}") for rule_id, version, body in rows]


def newest_switch(conn: Connection) -> int:
    """A number that changes whenever a rule is turned on or off."""
    row = conn.execute(_SQL["newest_switch"]).fetchone()
    assert row is not None
    return int(row[0])


def listed(conn: Connection) -> list[ListedRule]:
    """Every stored version of every rule."""
    return [ListedRule(*row) for row in conn.execute(_SQL["listed"])]


def stored_rule(conn: Connection, rule_id: str, version: int | None = None) -> tuple[Rule, str]:
    """A stored rule and its text; the newest version when none is named.

    Raises:
        RuleRefusedError: there is none.
    """
    if version is None:
        row = conn.execute(_SQL["newest_version"], {"rule_id": rule_id}).fetchone()
        version = row[0] if row else None
    row = conn.execute(_SQL["body_of"], {"rule_id": rule_id, "version": version}).fetchone()
    if row is None:
        wanted = f" version {version}" if version else ""
        raise RuleRefusedError(f"no rule {rule_id}{wanted}. See `fjarrkoll rules list`.")
    return parse_rule(row[0], f"{rule_id}.v{version}"), row[0]


def put_backtest(conn: Connection, backtest: NewBacktest, now: datetime, who: str) -> int:
    """Keep what a backtest found; return its number."""
    row = conn.execute(
        _SQL["put_backtest"],
        {
            "rule_id": backtest.rule_id,
            "version": backtest.version,
            "from_at": backtest.from_at,
            "to_at": backtest.to_at,
            "ran_at": now,
            "who": who,
            "took_s": backtest.took_s,
            "device_n": backtest.device_n,
            "ticket_n": backtest.ticket_n,
            "worst_day_share": backtest.worst_day_share,
            "result": Jsonb(dict(backtest.result)),
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def newest_backtest(conn: Connection, rule_id: str, version: int) -> StoredBacktest | None:
    key = {"rule_id": rule_id, "version": version}
    row = conn.execute(_SQL["newest_backtest"], key).fetchone()
    return None if row is None else StoredBacktest(*row)
