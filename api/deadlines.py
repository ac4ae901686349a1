"""How the deadlines of one ticket came about, interval by interval. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from api.dues import Due
from api.schemas import ClockAccountOut, DeadlinesOut, LineOut, PolicyOut, PromiseOut
from fleet.sla.deadlines import Account, Line, Pause, explain
from fleet.sla.policies import Policy, Promise, UnknownPolicyError
from storage.deadlines import ClockRow, Terms, TicketClocks


def deadlines_out(found: TicketClocks, dues: Sequence[Due]) -> DeadlinesOut:
    """The clocks of a ticket with the account of each; `dues` say how they stand."""
    policy = policy_of(found.terms)
    standing = {str(due.clock): due for due in dues}
    return DeadlinesOut(
        ticket_no=found.terms.ticket_no,
        known_at=found.terms.from_at,
        policy=None if policy is None else PolicyOut.model_validate(policy),
        waits_for=found.waits_for,
        clocks=[
            _clock_out(row, _account(found, policy, row), standing)
            for row in sorted(found.clocks, key=lambda row: row.due_at)
        ],
    )


def policy_of(terms: Terms) -> Policy | None:
    """The version the ticket is counted by; None before that, or where a newer release wrote it."""
    if terms.policy_id is None:
        return None
    try:
        return terms.policy
    except UnknownPolicyError:
        return None


def _account(found: TicketClocks, policy: Policy | None, row: ClockRow) -> Account | None:
    promise = None if policy is None else _promise(policy, found.terms, row)
    if policy is None or promise is None:
        return None
    return explain(policy, promise, found.terms.from_at, _until_stopped(found.pauses, row))


def _promise(policy: Policy, terms: Terms, row: ClockRow) -> Promise | None:
    promises = policy.promises_for(terms.order_kind, terms.device_class)
    return next((promise for promise in promises if promise.clock is row.clock), None)


def _until_stopped(pauses: Sequence[Pause], row: ClockRow) -> list[Pause]:
    """A wait after what was promised was done moves nothing."""
    end = row.stopped_at
    if end is None:
        return list(pauses)
    return [
        Pause(pause.from_at, min(pause.until_at, end), pause.reason)
        for pause in pauses
        if pause.from_at < end
    ]


def _clock_out(
    row: ClockRow, account: Account | None, standing: Mapping[str, Due]
) -> ClockAccountOut:
    due = standing.get(str(row.clock))
    is_paused = due is not None and due.is_paused
    return ClockAccountOut.model_validate(
        {
            "clock": str(row.clock),
            "due_at": account.due_at if is_paused and account is not None else row.due_at,
            "notify_at": row.notify_at,
            "notified_at": row.notified_at,
            "stopped_at": row.stopped_at,
            "breached_at": row.breached_at,
            "is_breached": due is not None and due.is_breached,
            "is_paused": is_paused,
            "promise": None if account is None else _promise_out(account.promise),
            "lines": [] if account is None else [_line_out(line) for line in account.lines],
        }
    )


def _promise_out(promise: Promise) -> PromiseOut:
    return PromiseOut.model_validate(
        {
            "within": promise.within,
            "unit": str(promise.unit),
            "clause": promise.clause,
            "target_share": promise.target_share,
            "is_ours": promise.is_ours,
        }
    )


def _line_out(line: Line) -> LineOut:
    return LineOut(
        from_at=line.from_at,
        until_at=line.until_at,
        counted=float(line.counted),
        why=str(line.why),
        sv=line.sv,
        en=line.en,
    )
