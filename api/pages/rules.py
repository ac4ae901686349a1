"""Pages: the rules and their record, and one rule with its text, its tests and its switch."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from fastapi import Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api.access.gate import Errand, InErrand, record_refused
from api.access.policy import shipped_policy
from api.etags import version_tag
from api.forms import Form, Posted, whole_number
from api.grounds import finding_out
from api.problems import ProblemError
from api.rooms import InRooms
from api.routes import Router
from api.rulebook import Switch, known_head, parsed, precision_of, switch, tested
from api.rules import RECENT, RuleId
from api.telling import Say, Voice, page
from api.would_be import listed
from storage import reading, rulebook
from storage.connection import Connection
from storage.reading import FindingFilter
from storage.rulebook import RuleHead, VersionRow
from storage.rules import BACKTEST_HOLDS
from storage.scope import counts_all

router = Router(prefix="/rules", include_in_schema=False)

FINDING_ROWS: Final = 20
WOULD_BE_ROWS: Final = 50
_DIGITS_MAX: Final = 9


@router.get("", operation_id="rules_page")
def rules_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    with rooms.read(errand) as conn:
        heads = rulebook.heads(conn)
        records = rulebook.records(conn)
        recent = rulebook.ticket_counts(conn, say.now - RECENT)
    rows = [
        {
            "head": head,
            "rule": parsed(head.body),
            "precision": precision_of(records[head.rule_id]),
            "ticket_n": recent.get(head.rule_id, 0),
        }
        for head in sorted(heads, key=lambda head: (not head.is_on, head.rule_id))
    ]
    return page("rules.html", say, rows=rows, on_n=sum(head.is_on for head in heads))


@router.get("/{rule_id}", operation_id="rule_page")
def rule_page(rooms: InRooms, errand: InErrand, say: Voice, rule_id: RuleId) -> HTMLResponse:
    with rooms.read(errand) as conn:
        return _shown(conn, say, rule_id)


@router.post("/{rule_id}/switch", operation_id="rule_switch_page")
def rule_switch_page(
    rooms: InRooms, errand: InErrand, say: Voice, rule_id: RuleId, form: Posted
) -> Response:
    """Turn the rule on or off; refused, the page comes back with what was typed and why not."""
    wanted = Switch(form.one("action") == "enable", form.one("why"), _number(form, "version"))
    seen = version_tag(_number(form, "switch_no") or 0)
    try:
        switch(rooms, errand, rule_id, wanted, seen, say.now)
    except ProblemError as exc:
        if exc.status not in {409, 412}:
            raise
        return _refused(rooms, errand, say, rule_id, wanted, exc)
    return RedirectResponse(say.link(f"/rules/{rule_id}"), 303)


def _refused(  # noqa: PLR0913, PLR0917 - what was asked, and why it was not done
    rooms: InRooms, errand: Errand, say: Say, rule_id: str, wanted: Switch, exc: ProblemError
) -> HTMLResponse:
    record_refused(rooms, errand)
    with rooms.read(errand) as conn:
        head = known_head(conn, rule_id)
        why = _why_not(conn, head, wanted, exc, say)
        return _shown(conn, say, rule_id, refusal=why, typed=wanted)


def _why_not(conn: Connection, head: RuleHead, wanted: Switch, exc: ProblemError, say: Say) -> str:
    """The refusal in the reader's language; the store's own words are for the command line."""
    if exc.status == 412:
        return say.t("rules.refused.since", who=head.switched_by or "")
    if not wanted.why.strip():
        return say.t("rules.refused.why")
    if not rulebook.is_only_tenant(conn):
        return say.t("rules.refused.shared")
    version = wanted.version or head.newest_version
    tests = [row for row in rulebook.compared(conn, head.rule_id) if row.version == version]
    if not tests or not _is_fresh(tests[-1].ran_at, say.now):
        command = f"fjarrkoll rules backtest {head.rule_id} --version {version}"
        return say.t("rules.refused.backtest", days=BACKTEST_HOLDS.days, command=command)
    return say.t("rules.refused.share", share=say.share(tests[-1].worst_day_share))


def _is_fresh(ran_at: datetime, now: datetime) -> bool:
    return ran_at >= now - BACKTEST_HOLDS


def _number(form: Form, name: str) -> int | None:
    return whole_number(form.one(name), _DIGITS_MAX) or None


def _shown(
    conn: Connection,
    say: Say,
    rule_id: str,
    refusal: str | None = None,
    typed: Switch | None = None,
) -> HTMLResponse:
    head = known_head(conn, rule_id)
    compared = rulebook.compared(conn, rule_id)
    return page(
        "rule.html",
        say,
        200 if refusal is None else 409,
        head=head,
        rule=parsed(head.body),
        is_shared=not counts_all(conn),
        tests=[tested(row) for row in compared],
        would_be=[listed(conn, row, WOULD_BE_ROWS) for row in reversed(compared[-2:])],
        may_switch=_may_switch(say),
        refusal=refusal,
        typed=typed,
        fresh_from=say.now - BACKTEST_HOLDS,
        **_record(conn, say, head),
    )


def _record(conn: Connection, say: Say, head: RuleHead) -> dict[str, Any]:
    found = reading.findings(conn, FindingFilter(rule_id=head.rule_id), FINDING_ROWS)
    recent = rulebook.ticket_counts(conn, say.now - RECENT, head.rule_id)
    versions: list[VersionRow] = rulebook.versions(conn, head.rule_id)
    return {
        "precision": precision_of(rulebook.records(conn, head.rule_id)[head.rule_id]),
        "ticket_n": recent.get(head.rule_id, 0),
        "versions": versions,
        "switches": rulebook.switches(conn, head.rule_id),
        "findings": [finding_out(row) for row in found],
    }


def _may_switch(say: Say) -> bool:
    return say.caller is not None and shipped_policy()["rule_switch_page"].allows(say.caller.role)
