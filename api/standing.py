"""How a device is now and what is wrong with it, in one sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from api.lending import place_of
from api.open_findings import Unticketed
from api.telling import Say
from api.timelines import Trouble
from fleet.models import load_models
from storage.lending import Place, Placement
from storage.reading import DeviceRow, TicketRow

Level = Literal["bad", "warn", "good", "quiet"]
_RANKS = ("info", "minor", "major", "critical")


@dataclass(frozen=True, slots=True)
class Standing:
    """A sentence, and how much it should be noticed."""

    level: Level
    sentence: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the sentence is made of; `troubles` the newest first, `findings` the worst."""

    device: DeviceRow
    tickets: Sequence[TicketRow]
    troubles: Sequence[Trouble]
    placements: Sequence[Placement]
    findings: Sequence[Unticketed] = ()


def standing(known: Known, say: Say) -> Standing:
    """The first of what matters most: not in use, broken, suspect, silent, unheard of, well."""
    return (
        _not_active(known, say)
        or _away(known, say)
        or _ticket(known, say)
        or _fault(known, say)
        or _finding(known, say)
        or _contact(known, say)
    )


def _not_active(known: Known, say: Say) -> Standing | None:
    if known.device.status == "active":
        return None
    return Standing("quiet", say.t(f"standing.{known.device.status}"))


def _away(known: Known, say: Say) -> Standing | None:
    """Outside use a device is quiet, so nothing that it reports counts."""
    place = place_of(list(known.placements))
    if place is Place.IN_USE:
        return None
    since = next(row.from_at for row in known.placements if row.until_at is None)
    where = say.cap(say.word("place", place))
    return Standing("quiet", say.t("standing.away", place=where, at=say.when(since)))


def _ticket(known: Known, say: Say) -> Standing | None:
    if not known.tickets:
        return None
    worst = max(known.tickets, key=lambda ticket: _RANKS.index(ticket.severity))
    title = worst.title_sv if say.lang == "sv" else worst.title_en
    effect = say.word("usability", worst.usability)
    sentence = say.t("standing.ticket", title=title, usability=effect)
    if len(known.tickets) > 1:
        sentence += " " + say.t("standing.tickets", n=say.n(len(known.tickets)))
    return Standing("bad" if worst.usability != "usable" else "warn", sentence)


def _fault(known: Known, say: Say) -> Standing | None:
    lasting = [one for one in known.troubles if one.ended_at is None]
    if not lasting:
        return None
    worst = max(lasting, key=lambda one: _RANKS.index(one.fault.severity.value))
    fault = f"{worst.fault.code} · {worst.fault.meaning(say.lang)}"
    return Standing("warn", say.t("standing.fault", fault=fault, at=say.when(worst.started_at)))


def _finding(known: Known, say: Say) -> Standing | None:
    """What holds without a ticket; what was over when it became known says nothing of now."""
    now = [one for one in known.findings if one.seen.finding.need not in {"history", "quiet"}]
    if not now:
        return None
    worst = now[0].seen
    since = say.when(worst.finding.started_at)
    return Standing("warn", say.t("standing.finding", title=worst.title, at=since))


def _contact(known: Known, say: Say) -> Standing:
    """A silence is one only where the model should have been heard by now."""
    heard = known.device.last_contact_at
    if heard is None:
        return Standing("quiet", say.t("standing.never"))
    since = say.since(heard)
    model = load_models().get(known.device.model_id)
    longest = model.longest_silence_s if model else None
    if longest is not None and say.now - heard > timedelta(seconds=longest):
        return Standing("warn", say.t("standing.silent", since=since, at=say.when(heard)))
    return Standing("good", say.t("standing.well", since=since))
