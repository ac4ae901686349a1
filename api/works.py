"""What people have set on a ticket, as the core knows it. Pure."""

from __future__ import annotations

from fleet.ticket_actions import Outcome, UrgentAnswer, Work
from fleet.ticket_states import OrderKind, State
from storage.reading import TicketRow


def work_of(ticket: TicketRow) -> Work:
    """What people have set on a ticket."""
    return Work(
        State(ticket.state),
        OrderKind(ticket.order_kind),
        ticket.assignee,
        ticket.waiting_reason,
        Outcome(ticket.outcome) if ticket.outcome else None,
        ticket.outcome_part,
        ticket.outcome_minutes,
        tuple(ticket.urgent_because),
        UrgentAnswer(ticket.urgent_answer) if ticket.urgent_answer else None,
    )


def is_urgency_open(ticket: TicketRow) -> bool:
    """True if `akut AU` is proposed and nobody has answered."""
    return work_of(ticket).is_urgency_open
