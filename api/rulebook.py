"""Rules as JSON and the pages tell them: their record, what a backtest says, and the switch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from api.access.gate import Errand
from api.etags import check_version
from api.problems import ProblemError, not_found
from api.rooms import Rooms
from fleet.rules.reader import RuleFileError, parse_rule
from fleet.rules.rule import Rule
from fleet.rules.statistics import Interval, wilson
from fleet.ticket_actions import WHY_MAX
from storage import rulebook, rules
from storage.connection import Connection
from storage.rulebook import BacktestRow, RuleHead
from storage.rules import RuleRefusedError
from storage.tickets import RuleRecord

_RULES_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Precision:
    """The share of a rule's judged tickets that were right, with its 95 % interval (Wilson)."""

    hit_n: int
    miss_n: int
    share: float | None
    low: float
    high: float


def precision_of(record: RuleRecord) -> Precision:
    found: Interval = wilson(record.hits, record.hits + record.misses)
    return Precision(record.hits, record.misses, record.precision, found.low, found.high)


@dataclass(frozen=True, slots=True)
class Tested:
    """What one backtest says in sums. `precision` is None where nobody has judged a ticket."""

    backtest_no: int
    version: int
    from_at: datetime
    to_at: datetime
    ran_at: datetime
    device_n: int
    ticket_n: int
    worst_day_share: float
    visit_n: int | None
    hit_n: int | None
    miss_n: int | None
    precision: float | None
    against_version: int | None
    in_both_n: int | None
    only_before_n: int | None
    only_after_n: int | None


def tested(row: BacktestRow) -> Tested:
    """The sums of a backtest; for its lists, which name devices, see `api.would_be`."""
    outcomes: Mapping[str, Any] = row.result.get("outcomes") or {}
    against: Mapping[str, Any] = row.result.get("against") or {}
    return Tested(
        backtest_no=row.backtest_no,
        version=row.version,
        from_at=row.from_at,
        to_at=row.to_at,
        ran_at=row.ran_at,
        device_n=row.device_n,
        ticket_n=row.ticket_n,
        worst_day_share=row.worst_day_share,
        visit_n=row.result.get("visits"),
        hit_n=outcomes.get("hits"),
        miss_n=outcomes.get("misses"),
        precision=outcomes.get("precision"),
        against_version=against.get("version"),
        in_both_n=against.get("in_both"),
        only_before_n=against.get("only_before_n"),
        only_after_n=against.get("only_after_n"),
    )


@lru_cache(maxsize=_RULES_KEPT)
def parsed(body: str) -> Rule | None:
    """A stored rule's text, read; None where this release cannot read it."""
    try:
        return parse_rule(body)
    except RuleFileError:
        return None


def known_head(conn: Connection, rule_id: str) -> RuleHead:
    """The rule of that id.

    Raises:
        ProblemError: 404.
    """
    found = rulebook.head(conn, rule_id)
    if found is None:
        raise not_found("rule with that id")
    return found


@dataclass(frozen=True, slots=True)
class Switch:
    """What somebody wants of a rule. `version` None: the newest; off needs none."""

    turn_on: bool
    why: str
    version: int | None = None


def switch(  # noqa: PLR0913, PLR0917 - who does what to what, as they saw it, and when
    rooms: Rooms, errand: Errand, rule_id: str, wanted: Switch, if_match: str | None, now: datetime
) -> RuleHead:
    """Turn a rule on or off, as the command line does, and log it with its reason.

    Raises:
        ProblemError: 404; 409 refused; 412 switched by somebody else since; 428 no If-Match.
    """
    with rooms.change(replace(errand, why=wanted.why[:WHY_MAX])) as conn:
        rulebook.hold(conn, rule_id)
        check_version(if_match, known_head(conn, rule_id).switch_no)
        try:
            _check_alone(conn)
            _switch(conn, errand.caller.name, rule_id, wanted, now)
        except RuleRefusedError as exc:
            raise ProblemError(
                409, "rule-refused", str(exc), "Do what it says, and try again."
            ) from exc
        return known_head(conn, rule_id)


def _check_alone(conn: Connection) -> None:
    if not rulebook.is_only_tenant(conn):
        raise RuleRefusedError(
            "several tenants share the rules of this installation, so none of them switches one"
            " alone. Whoever runs it does: fjarrkoll rules enable"
        )


def _switch(conn: Connection, who: str, rule_id: str, wanted: Switch, now: datetime) -> None:
    if not wanted.why.strip():
        raise RuleRefusedError("no reason was given. Say why; it is kept with the change.")
    if wanted.turn_on:
        rule, _ = rules.stored_rule(conn, rule_id, wanted.version)
        rules.enable(conn, rule, now, who, wanted.why)
    else:
        # What is on is turned off, also where a newer version waits for its backtest.
        rule, _ = rules.stored_rule(conn, rule_id, known_head(conn, rule_id).version)
        rules.disable(conn, rule, now, who, wanted.why)


def ids_of_kind(conn: Connection, kind: str) -> list[str]:
    """The rules of one kind, whether they are on or not: what they found before still stands."""
    read = ((head.rule_id, parsed(head.body)) for head in rulebook.heads(conn))
    return [rule_id for rule_id, rule in read if rule is not None and rule.kind == kind]
