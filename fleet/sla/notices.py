"""What people read about a deadline: the draft to the prescriber, and the note of a breach. Pure.

Swedish first. A device id and no more: nothing here says whose device it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet.sla.policies import Clock
from fleet.ticket_text import local, spoken_time
from fleet.words import Lang


@dataclass(frozen=True, slots=True)
class Promised:
    """A deadline of a ticket as a reader needs it. `device` is None for a ticket about a group."""

    ticket_no: int
    device: str | None
    clock: Clock
    due_at: datetime
    agreement: str
    clause: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A text for people in both languages."""

    subject_sv: str
    subject_en: str
    text_sv: str
    text_en: str

    def fields(self) -> dict[str, Any]:
        """As stored and sent."""
        return {
            "subject_sv": self.subject_sv,
            "subject_en": self.subject_en,
            "text_sv": self.text_sv,
            "text_en": self.text_en,
        }


def at_risk(promised: Promised, now: datetime) -> Notice:
    """To the prescriber, before the deadline."""
    no = promised.ticket_no
    return Notice(
        f"Ärende {no} riskerar att bli försenat",
        f"Ticket {no} may be late",
        f"{_about(promised, 'sv')} {_must(promised, 'sv', now)} Det är inte säkert att vi hinner."
        f" Hör av dig om användaren inte klarar sig utan hjälpmedlet så länge."
        f"\n\n{_grounds(promised, 'sv')}",
        f"{_about(promised, 'en')} {_must(promised, 'en', now)} We may not manage it."
        f" Tell us if the user cannot do without the device that long."
        f"\n\n{_grounds(promised, 'en')}",
    )


def late(promised: Promised, now: datetime) -> Notice:
    """To the prescriber and to the record, once the deadline has passed."""
    no = promised.ticket_no
    return Notice(
        f"Ärende {no} är försenat",
        f"Ticket {no} is late",
        f"{_about(promised, 'sv')} {_should(promised, 'sv', now)}"
        f" Hör av dig om användaren inte klarar sig utan hjälpmedlet."
        f"\n\n{_grounds(promised, 'sv')}",
        f"{_about(promised, 'en')} {_should(promised, 'en', now)}"
        f" Tell us if the user cannot do without the device."
        f"\n\n{_grounds(promised, 'en')}",
    )


def _about(promised: Promised, lang: Lang) -> str:
    no, device = promised.ticket_no, promised.device
    if lang == "sv":
        return f"Ärende {no}" + (" om flera hjälpmedel" if device is None else f" om {device}")
    return f"Ticket {no}" + (" about several devices" if device is None else f" about {device}")


def _must(promised: Promised, lang: Lang, now: datetime) -> str:
    due = spoken_time(promised.due_at, lang, local(now).year)
    if lang == "sv":
        verb = "påbörjas" if promised.clock is Clock.START else "vara klart"
        return f"ska {verb} senast {due}."
    verb = "begin" if promised.clock is Clock.START else "be done"
    return f"is to {verb} by {due}."


def _should(promised: Promised, lang: Lang, now: datetime) -> str:
    due = spoken_time(promised.due_at, lang, local(now).year)
    if lang == "sv":
        verb = "ha påbörjats" if promised.clock is Clock.START else "ha varit klart"
        return f"skulle {verb} senast {due}."
    verb = "begun" if promised.clock is Clock.START else "been done"
    return f"should have {verb} by {due}."


def _grounds(promised: Promised, lang: Lang) -> str:
    """The clause stays in the language of the agreement."""
    word = "Enligt" if lang == "sv" else "Under"
    return f"{word} {promised.agreement}: {promised.clause}."
