"""What happened to a ticket, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.telling import Say
from fleet.sla.deadlines import pause_label
from fleet.sla.policies import load_policies
from storage.reading import TicketEventRow


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. `why` is in a person's own words; `draft` is a text that was written."""

    at: datetime
    what: str
    details: str
    who: str
    why: str
    draft: str


def happened(events: Sequence[TicketEventRow], say: Say) -> list[Happened]:
    return [_happened(event, say) for event in events]


def _happened(event: TicketEventRow, say: Say) -> Happened:
    detail = dict(event.detail)
    return Happened(
        at=event.at,
        what=say.cap(say.word("event", event.kind)),
        details=", ".join(_details(event.kind, detail, say)),
        who=say.word("who", event.who),
        why=str(detail.get("why", "")),
        draft=str(detail.get(f"text_{say.lang}", "")),
    )


def _details(kind: str, detail: Mapping[str, Any], say: Say) -> list[str]:
    """What an event carries; what has no words yet is shown as it is."""
    found = []
    for key, value in _joined(detail).items():
        if key in _ELSEWHERE:
            continue
        words = _SAID[key](value, say) if key in _SAID else f"{key}: {value}"
        found.append(waiting_words(str(value), say) if (kind, key) == _WAIT else words)
    return [words for words in found if words]


_WAIT: Final = ("waiting", "reason")
_ELSEWHERE: Final = frozenset(
    {"version", "ticket_version", "policy", "policy_version", "agreement", "clause", "why",
     "subject_sv", "subject_en", "text_sv", "text_en"}
)  # fmt: skip


def _joined(detail: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs together as one: from and to, a clock and its time, a rule and its version."""
    rest = dict(detail)
    if "from" in rest and "to" in rest:
        rest = {"change": (rest.pop("from"), rest.pop("to")), **rest}
    if "clock" in rest and "due_at" in rest:
        rest["due"] = (rest.pop("clock"), rest.pop("due_at"))
    if "rule" in rest and "version" in rest:
        rest["rule"] = (rest["rule"], rest.pop("version"))
    if "because_sv" in rest and "because_en" in rest:
        rest["seen"] = (rest.pop("because_sv"), rest.pop("because_en"))
    return rest


def _change(value: Any, say: Say) -> str:
    """A step to the same state says nothing."""
    before, after = (_state_severity_or_kind(str(word), say) for word in value)
    return "" if before == after else say.t("event.change", before=before, after=after)


def _state_severity_or_kind(word: str, say: Say) -> str:
    kinds = ("state", "severity", "kind")
    return next((said for kind in kinds if (said := say.word(kind, word)) != word), word)


def _counted(key: str) -> Callable[[Any, Say], str]:
    def said(value: Any, say: Say) -> str:
        count = len(value) if isinstance(value, list) else value
        if count == 1:
            return say.t(f"{key}.one")
        return say.t(f"{key}.many", n=say.n(count))

    return said


def _ticket(key: str) -> Callable[[Any, Say], str]:
    return lambda value, say: say.t(key, n=value)


def _due(value: Any, say: Say) -> str:
    clock, due_at = value
    return f"{say.word('due', clock)} {say.when(datetime.fromisoformat(due_at))}"


def _seen(value: Any, say: Say) -> str:
    return str(value[0] if say.lang == "sv" else value[1])


def _rule(value: Any, say: Say) -> str:
    return say.t("event.rule", rule=value[0], version=value[1])


_SAID: Final[Mapping[str, Callable[[Any, Say], str]]] = {
    "change": _change,
    "episodes": _counted("event.episodes"),
    "findings": _counted("event.findings"),
    "devices": _counted("event.devices"),
    "because": lambda value, say: ", ".join(say.word("need", str(word)) for word in value),
    "reason": lambda value, say: say.word("void", str(value)),
    "replaces": _ticket("event.replaces"),
    "replaced_by": _ticket("event.replaced_by"),
    "repeats": _ticket("event.repeats"),
    "incident": _ticket("event.incident"),
    "kind": lambda value, say: say.word("kind", str(value)),
    "by_hand": lambda _, say: say.t("event.by_hand"),
    "new_kind": lambda value, say: say.word("kind", str(value)),
    "assignee": lambda value, say: say.t("event.to", who=value),
    "outcome": lambda value, say: say.word("outcome", str(value)),
    "part": lambda value, _: str(value),
    "minutes": lambda value, say: say.minutes(value),
    "due": _due,
    "rule": _rule,
    "seen": _seen,
}


def waiting_words(reason: str, say: Say) -> str:
    """Why a ticket waits, as any of the agreements words it; the reason itself if none does."""
    for policy in load_policies():
        if policy.pause(reason) is not None:
            label = pause_label(policy, reason, say.lang)
            return label[:1].lower() + label[1:]
    return reason
