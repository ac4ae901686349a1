"""What a backtest says: tickets, hits and misses, deadlines and visits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Final

from diagnostics.backtest import Replayed
from diagnostics.replay import WouldBe
from fleet.rules.facts import SWEDEN
from fleet.ticket_states import OrderKind

LISTED: Final = 200
"""Tickets a stored result lists one by one; the counts are of all."""

HITS: Final = frozenset({"real_fault", "part_replaced", "solved_remotely"})
MISSES: Final = frozenset({"no_fault_found", "user_error"})
_VISITS: Final = frozenset({OrderKind.REPAIR, OrderKind.URGENT_REPAIR, OrderKind.PREVENTIVE})

DueOf = Callable[[WouldBe], datetime | None]
"""When a would-be ticket would have had to be finished; None: nothing is promised."""


def summarise(replayed: Sequence[Replayed], device_n: int, due_of: DueOf) -> dict[str, Any]:
    """The result as plain data: what is printed, stored, and compared between versions.

    Tickets are what would have been opened anew. A duplicate would have become evidence of a
    ticket that was open; a single of a storm would have been held by its incident.
    """
    duplicates = [item for item in replayed if item.duplicate_of is not None]
    held = [r for r in replayed if r.duplicate_of is None and r.ticket.incident is not None]
    opened = [r for r in replayed if r.duplicate_of is None and r.ticket.incident is None]
    incidents = {(r.ticket.device.tenant_no, r.ticket.incident) for r in held}
    return {
        "devices": device_n,
        "tickets": len(opened) + len(incidents),
        "devices_with_tickets": len({r.ticket.device.device_no for r in opened}),
        "incidents": len(incidents),
        "held_by_incidents": len(held),
        "duplicates_of_existing": len(duplicates),
        "by_centre": dict(_by_centre(opened)),
        "by_order_kind": dict(Counter(str(r.ticket.draft.order_kind) for r in opened)),
        "most_tickets_on_one_device": _most_on_one(opened),
        "worst_day": _worst_day(opened, len(incidents), device_n),
        "outcomes": _outcomes([*opened, *duplicates]),
        "visits": sum(r.ticket.draft.order_kind in _VISITS for r in opened),
        "deadlines": _deadlines(opened, due_of),
        "listed": [_listed(item, due_of) for item in opened[:LISTED]],
    }


def _local_day(at: datetime) -> date:
    return at.astimezone(SWEDEN).date()


def _by_centre(opened: Sequence[Replayed]) -> Counter[str]:
    return Counter(r.ticket.device.centre or r.ticket.device.tenant_id for r in opened)


def _most_on_one(opened: Sequence[Replayed]) -> dict[str, Any] | None:
    counts = Counter(r.ticket.device.device_id for r in opened)
    if not counts:
        return None
    device, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return {"device": device, "tickets": count}


def _worst_day(opened: Sequence[Replayed], incident_n: int, device_n: int) -> dict[str, Any]:
    """The day with most tickets. `share` is of the devices covered."""
    days = Counter(_local_day(r.ticket.opened_at) for r in opened)
    if not days:
        return {"day": None, "tickets": 0, "share": min(1.0, incident_n / max(device_n, 1))}
    day, count = min(days.items(), key=lambda item: (-item[1], item[0]))
    return {"day": day.isoformat(), "tickets": count, "share": count / max(device_n, 1)}


def _outcomes(found: Sequence[Replayed]) -> dict[str, Any]:
    """Against what people found. `precision` is None where nobody has said anything."""
    hits = sum(item.outcome in HITS for item in found)
    misses = sum(item.outcome in MISSES for item in found)
    judged = hits + misses
    return {
        "hits": hits,
        "misses": misses,
        "unknown": len(found) - judged,
        "precision": hits / judged if judged else None,
    }


def _deadlines(opened: Sequence[Replayed], due_of: DueOf) -> dict[str, Any]:
    """How many finish-by dates it would have set, and the busiest day of them."""
    dues = Counter(_local_day(due) for r in opened if (due := due_of(r.ticket)) is not None)
    if not dues:
        return {"set": 0, "busiest_day": None, "due_on_it": 0}
    day, count = min(dues.items(), key=lambda item: (-item[1], item[0]))
    return {"set": dues.total(), "busiest_day": day.isoformat(), "due_on_it": count}


def _listed(item: Replayed, due_of: DueOf) -> dict[str, Any]:
    ticket, due = item.ticket, due_of(item.ticket)
    return {
        "device": ticket.device.device_id,
        "cause": ticket.draft.cause,
        "order_kind": str(ticket.draft.order_kind),
        "opened_at": ticket.opened_at.isoformat(),
        "ended_at": None if ticket.ended_at is None else ticket.ended_at.isoformat(),
        "due_at": None if due is None else due.isoformat(),
        "title_sv": ticket.draft.text.title.sv,
        "title_en": ticket.draft.text.title.en,
        "outcome": item.outcome,
    }


def difference(old: Sequence[Replayed], new: Sequence[Replayed]) -> dict[str, Any]:
    """What another version of a rule changes: the tickets only one of the two would open."""
    before, after = _keys(old), _keys(new)
    return {
        "in_both": len(before & after),
        "only_before": sorted(map(_key_words, before - after))[:LISTED],
        "only_after": sorted(map(_key_words, after - before))[:LISTED],
        "only_before_n": len(before - after),
        "only_after_n": len(after - before),
    }


_Key = tuple[str, str, date]


def _keys(replayed: Sequence[Replayed]) -> set[_Key]:
    return {
        (r.ticket.device.device_id, r.ticket.draft.cause, _local_day(r.ticket.opened_at))
        for r in replayed
        if r.duplicate_of is None and r.ticket.incident is None
    }


def _key_words(key: _Key) -> str:
    device, cause, day = key
    return f"{device} {cause} {day.isoformat()}"
