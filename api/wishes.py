"""What somebody asks of a ticket in a form, and why it was not done, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from api.forms import Form, whole_number
from api.problems import invalid
from api.telling import Say
from fleet.ticket_actions import (
    MACHINE_NAMES,
    MINUTES_MAX,
    NAME_MAX,
    PEOPLES_REASONS,
    WHY_MAX,
    Action,
    ActionRefusedError,
    Detail,
    Outcome,
    Request,
    Work,
    offered,
    required,
)
from fleet.ticket_states import OrderKind
from storage.deadlines import PauseRefusedError
from storage.queue import Stamp
from storage.tickets import OfSeveralCentresError, TicketChangedError

Word = TypeVar("Word", Action, Outcome, OrderKind)

FIELDS: Final = ("why", "assignee", "reason", "outcome", "part", "minutes", "new_kind")


@dataclass(frozen=True, slots=True)
class Wish:
    """One action as typed. `typed` goes back into the form when it is refused."""

    action: Action
    typed: Mapping[str, str]

    def request(self, who: str) -> Request:
        """The action as the core knows it; a word that it does not know counts as not said."""
        minutes = self.typed["minutes"]
        return Request(
            action=self.action,
            who=who,
            why=self.typed["why"],
            assignee=self.typed["assignee"] or None,
            reason=self._reason,
            outcome=_word(Outcome, self.typed["outcome"]),
            part=self.typed["part"] or None,
            minutes=int(minutes) if _is_minutes(minutes) and minutes else None,
            new_kind=_word(OrderKind, self.typed["new_kind"]),
        )

    @property
    def _reason(self) -> str | None:
        """Which reasons a ticket may wait for is its agreement's to say."""
        reason = self.typed["reason"] or None
        return None if self.action is Action.VOID and reason not in PEOPLES_REASONS else reason


def wish_of(form: Form) -> Wish:
    """What a form asks for.

    Raises:
        ProblemError: 422, no such action.
    """
    action = _word(Action, form.one("action"))
    if action is None:
        raise invalid("body.action", f"is not one of {', '.join(Action)}")
    return Wish(action, {name: form.one(name) for name in FIELDS})


def _word(kind: type[Word], text: str) -> Word | None:
    return next((word for word in kind if str(word) == text), None)


def _is_minutes(text: str) -> bool:
    minutes = whole_number(text, 5)
    return not text or (minutes is not None and minutes <= MINUTES_MAX)


def mistyped(wish: Wish, say: Say) -> list[str]:
    """What cannot be read, before anything is tried."""
    if _is_minutes(wish.typed["minutes"]):
        return []
    return [say.t("lacks.minutes", n=say.n(MINUTES_MAX))]


def why_not(wish: Wish, exc: ActionRefusedError, work: Work, stamp: Stamp, say: Say) -> list[str]:
    """Why an action was refused, from how the ticket stands now. At least one reason."""
    if isinstance(exc, TicketChangedError):
        return [changed(stamp, say)]
    if isinstance(exc, OfSeveralCentresError):
        return [say.t("refused.centres")]
    if wish.action not in offered(work):
        return [_not_now(wish.action, work, say)]
    if isinstance(exc, PauseRefusedError):
        return [say.t("lacks.reason")]
    found = _wrong(wish, work, say)
    return found or [say.t("refused.other", why=str(exc))]


def _wrong(wish: Wish, work: Work, say: Say) -> list[str]:
    found = [_lacks(detail, wish.action, say) for detail in _lacking(wish, work)]
    if not _is_name(wish.typed["assignee"]):
        found.append(say.t("lacks.name", n=NAME_MAX))
    if max(len(wish.typed["why"]), len(wish.typed["part"])) > WHY_MAX:
        found.append(say.t("lacks.shorter", n=say.n(WHY_MAX)))
    return found + _wrong_kind(wish, work, say)


def _lacking(wish: Wish, work: Work) -> list[Detail]:
    request = wish.request("x")
    needs = required(wish.action, work.state)
    if request.outcome is Outcome.PART_REPLACED:
        needs |= {Detail.PART}
    return [detail for detail in Detail if detail in needs and not getattr(request, detail)]


def _lacks(detail: Detail, action: Action, say: Say) -> str:
    is_note = action is Action.COMMENT and detail is Detail.WHY
    return say.t("lacks.note" if is_note else f"lacks.{detail}")


def _is_name(name: str) -> bool:
    fits = len(name) <= NAME_MAX and name.isprintable()
    return fits and name.lower() not in MACHINE_NAMES


def _wrong_kind(wish: Wish, work: Work, say: Say) -> list[str]:
    new_kind = wish.request("x").new_kind if wish.action is Action.REORDER else None
    if new_kind is None:
        return []
    if new_kind is work.order_kind:
        return [say.t("refused.same_kind", kind=say.word("kind", new_kind))]
    if new_kind is OrderKind.URGENT_REPAIR and work.order_kind is not OrderKind.REPAIR:
        return [say.t("refused.only_repair")]
    return []


def changed(stamp: Stamp, say: Say) -> str:
    """Who was first, with what, and how the ticket stands now."""
    return say.t(
        "refused.changed",
        who=say.word("who", stamp.last_who or "diagnostics"),
        what=say.word("event", stamp.last_kind or "opened"),
        at=say.when(stamp.last_at or say.now),
        state=say.word("state", stamp.state),
    )


def _not_now(action: Action, work: Work, say: Say) -> str:
    state = say.word("state", work.state)
    return say.t("refused.state", action=say.word("action", action), state=state)
