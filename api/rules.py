"""JSON: rules, their versions and backtests, and turning one on or off."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from fastapi import Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api import cursors, would_be
from api.access.gate import InErrand
from api.asking import _Asked, _Cursor, _Limit
from api.etags import version_tag
from api.problems import CHANGING, READING, not_found
from api.rooms import InRooms
from api.routes import Router
from api.rulebook import Switch, known_head, parsed, precision_of, switch, tested
from api.schemas import BothOut, Instant, Out
from fleet.ticket_actions import WHY_MAX
from storage import rulebook
from storage.rulebook import RuleHead
from storage.tickets import RuleRecord

router = Router(prefix="/api/v1/rules", tags=["rules"])

RECENT: Final = timedelta(days=90)
LISTED_MAX: Final = 200
RuleId = Annotated[
    str, Path(pattern=r"^[a-z0-9._-]{1,40}$", description="The rule's id, as `reported-fault`.")
]
IfMatch = Annotated[
    str | None,
    Header(description='The rule\'s ETag, or its `switch_no` in quotes: `"7"`. Without it: 428.'),
]


class PrecisionOut(Out):
    """Tickets that people judged. `low` and `high` are the 95 % interval of `share` (Wilson)."""

    hit_n: int
    miss_n: int
    share: float | None
    low: float
    high: float


class RuleOut(Out):
    """A rule in the version that was last switched. `switch_no` goes into If-Match."""

    id: str
    version: int
    newest_version: int
    kind: str | None
    title: BothOut | None = Field(description="None: this release cannot read the rule's text.")
    why: BothOut | None
    source: str | None
    is_shipped: bool
    is_on: bool
    switch_no: int
    switched_at: Instant | None
    switched_by: str | None
    switched_why: str | None
    precision: PrecisionOut
    ticket_90_d_n: int = Field(description="Tickets it opened in the last 90 days.")


class RuleList(Out):
    items: list[RuleOut]


class RuleVersionOut(Out):
    """One version, whose text never changes."""

    id: str
    version: int
    is_shipped: bool
    added_at: Instant
    body: str = Field(description="The rule's TOML.")


class BacktestOut(Out):
    """What a version would have done, in sums over the installation.

    Where several tenants share the installation there are none: the sums count the others too.
    """

    backtest_no: int
    version: int
    from_at: Instant
    to_at: Instant
    ran_at: Instant
    device_n: int
    ticket_n: int
    worst_day_share: float
    visit_n: int | None
    hit_n: int | None
    miss_n: int | None
    precision: float | None
    against_version: int | None = Field(description="Another version over the same history.")
    in_both_n: int | None
    only_before_n: int | None
    only_after_n: int | None


class WouldBeOut(Out):
    """A ticket that the version would have opened. `is_new` null: nothing tells."""

    device_id: str
    opened_at: Instant
    cause: str
    title_sv: str
    title_en: str
    is_new: bool | None = Field(description="Not so by `against_version`.")


class GoneOut(Out):
    """A ticket that only `against_version` would have opened; a day in Sweden."""

    device_id: str
    cause: str
    day: date


class BacktestTicketsOut(Out):
    """Of devices within the caller's reach, the newest first. A backtest lists at most 200."""

    version: int
    ticket_n: int = Field(description="Tickets in all, over the installation.")
    against_version: int | None
    tickets: list[WouldBeOut]
    gone: list[GoneOut]


class BacktestPage(Out):
    items: list[BacktestOut]
    next_cursor: str | None


class BacktestsAsked(_Asked):
    cursor: _Cursor = None
    limit: _Limit = 50


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    why: str = Field(
        min_length=1, max_length=WHY_MAX, pattern=r"^[^\x00]*$", examples=["pilot in Borås"]
    )


class EnableAsked(_Told):
    version: int | None = Field(None, ge=1, lt=2**31, description="The newest when none is named.")


class DisableAsked(_Told):
    pass


@router.get("", operation_id="list_rules", responses=READING)
def list_rules(rooms: InRooms, errand: InErrand) -> RuleList:
    """Every rule with its record. Tickets and outcomes are those within the caller's reach."""
    with rooms.read(errand) as conn:
        heads = rulebook.heads(conn)
        records = rulebook.records(conn)
        recent = rulebook.ticket_counts(conn, datetime.now(UTC) - RECENT)
    items = [rule_out(head, records[head.rule_id], recent.get(head.rule_id, 0)) for head in heads]
    return RuleList(items=items)


@router.get("/{rule_id}", operation_id="get_rule", responses=READING)
def get_rule(rooms: InRooms, errand: InErrand, rule_id: RuleId, response: Response) -> RuleOut:
    """One rule. Its ETag is what `enable` and `disable` want as If-Match."""
    with rooms.read(errand) as conn:
        head = known_head(conn, rule_id)
        record = rulebook.records(conn, rule_id)[rule_id]
        recent = rulebook.ticket_counts(conn, datetime.now(UTC) - RECENT, rule_id)
    response.headers["ETag"] = version_tag(head.switch_no)
    return rule_out(head, record, recent.get(rule_id, 0))


@router.get("/{rule_id}/versions/{version}", operation_id="get_rule_version", responses=READING)
def get_rule_version(
    rooms: InRooms,
    errand: InErrand,
    rule_id: RuleId,
    version: Annotated[int, Path(ge=1, lt=2**31)],
) -> RuleVersionOut:
    """The text of one version."""
    with rooms.read(errand) as conn:
        known_head(conn, rule_id)
        rows = rulebook.versions(conn, rule_id)
    row = next((row for row in rows if row.version == version), None)
    if row is None:
        raise not_found("version of the rule with that number")
    return RuleVersionOut.model_validate(
        {"id": rule_id, "version": version, "is_shipped": row.is_shipped,
         "added_at": row.added_at, "body": row.body}
    )  # fmt: skip


@router.get("/{rule_id}/backtests", operation_id="list_backtests", responses=READING)
def list_backtests(
    rooms: InRooms, errand: InErrand, rule_id: RuleId, asked: Annotated[BacktestsAsked, Query()]
) -> BacktestPage:
    """What backtests of the rule said, the newest first."""
    before = cursors.decode("backtests", asked.cursor, cursors.read_number)
    with rooms.read(errand) as conn:
        known_head(conn, rule_id)
        rows = rulebook.backtests(conn, rule_id, asked.limit + 1, before)
    shown, following = cursors.cut("backtests", rows, asked.limit, "backtest_no")
    items = [BacktestOut.model_validate(tested(row)) for row in shown]
    return BacktestPage(items=items, next_cursor=following)


@router.get(
    "/{rule_id}/backtests/{backtest_no}/tickets",
    operation_id="list_backtest_tickets",
    responses=READING,
)
def list_backtest_tickets(
    rooms: InRooms,
    errand: InErrand,
    rule_id: RuleId,
    backtest_no: Annotated[int, Path(ge=1, lt=2**63 - 1)],
) -> BacktestTicketsOut:
    """The tickets that a backtest would have made, and those that it would not have any more."""
    with rooms.read(errand) as conn:
        known_head(conn, rule_id)
        row = rulebook.backtest(conn, rule_id, backtest_no)
        if row is None:
            raise not_found("backtest of the rule with that number")
        return BacktestTicketsOut.model_validate(would_be.listed(conn, row, LISTED_MAX))


@router.post("/{rule_id}/enable", operation_id="enable_rule", responses=CHANGING)
def enable_rule(  # noqa: PLR0913, PLR0917 - a request
    rooms: InRooms,
    errand: InErrand,
    rule_id: RuleId,
    asked: EnableAsked,
    response: Response,
    if_match: IfMatch = None,
) -> RuleOut:
    """Turn a version on. It needs a backtest of the last 7 days that stays within its limit."""
    wanted = Switch(turn_on=True, why=asked.why, version=asked.version)
    head = switch(rooms, errand, rule_id, wanted, if_match, datetime.now(UTC))
    return _switched(rooms, errand, head, response)


@router.post("/{rule_id}/disable", operation_id="disable_rule", responses=CHANGING)
def disable_rule(  # noqa: PLR0913, PLR0917 - a request
    rooms: InRooms,
    errand: InErrand,
    rule_id: RuleId,
    asked: DisableAsked,
    response: Response,
    if_match: IfMatch = None,
) -> RuleOut:
    """Turn a rule off. Its tickets stay with the people who have them."""
    wanted = Switch(turn_on=False, why=asked.why)
    head = switch(rooms, errand, rule_id, wanted, if_match, datetime.now(UTC))
    return _switched(rooms, errand, head, response)


def _switched(rooms: InRooms, errand: InErrand, head: RuleHead, response: Response) -> RuleOut:
    response.headers["ETag"] = version_tag(head.switch_no)
    with rooms.read(errand) as conn:
        record = rulebook.records(conn, head.rule_id)[head.rule_id]
        recent = rulebook.ticket_counts(conn, datetime.now(UTC) - RECENT, head.rule_id)
    return rule_out(head, record, recent.get(head.rule_id, 0))


def rule_out(head: RuleHead, record: RuleRecord, recent_n: int) -> RuleOut:
    rule = parsed(head.body)
    names = (
        "version", "newest_version", "is_shipped", "is_on", "switch_no", "switched_at",
        "switched_by", "switched_why",
    )  # fmt: skip
    return RuleOut.model_validate(
        {
            **{name: getattr(head, name) for name in names},
            "id": head.rule_id,
            "kind": rule and rule.kind,
            "title": rule and BothOut(sv=rule.title.sv, en=rule.title.en),
            "why": rule and BothOut(sv=rule.why.sv, en=rule.why.en),
            "source": rule and rule.source,
            "precision": PrecisionOut.model_validate(precision_of(record)),
            "ticket_90_d_n": recent_n,
        }
    )
