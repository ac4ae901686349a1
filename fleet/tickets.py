"""Tickets: their states, where they go, when a fault needs one, and what they say. Pure.

A ticket is written in Swedish first. It says what happened, since when, how often, what is
probably broken and what to do; the technician meets the code first, then words, then numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from fleet.episodes import Episode
from fleet.faults import FaultCode
from fleet.ticket_states import OrderKind
from fleet.words import (
    SEVERITY_LABELS,
    Component,
    DeviceClass,
    Fixer,
    Lang,
    Severity,
    Usability,
    label,
)

_WORKSHOP_CLASSES: Final = frozenset({DeviceClass.POWERED_WHEELCHAIR, DeviceClass.APAP})


def route(device_class: DeviceClass | None, fault: FaultCode) -> OrderKind:
    """Who gets the order: workshop, support desk or supplier.

    The workshop repairs wheelchairs and breathing devices; a critical fault that stops one is
    urgent. Meters and alarms are swapped by support. Dispensers, and codes of a system that
    nobody here has a table for, go to the supplier.
    """
    if fault.device_class is None or device_class is DeviceClass.MEDICATION_DISPENSER:
        return OrderKind.SUPPLIER
    if device_class not in _WORKSHOP_CLASSES:
        return OrderKind.SUPPORT
    if fault.severity is Severity.CRITICAL and fault.usability is Usability.UNUSABLE:
        return OrderKind.URGENT_REPAIR
    return OrderKind.REPAIR


HISTORY_AFTER: Final = timedelta(hours=24)
"""A fault that ended this long before we first heard of it is history. A day, so that the
records of one day give the same tickets in whatever order they arrive."""

SETTLE: Final = timedelta(seconds=60)
"""How long an old raise waits for its clear. A device that was out of contact sends both, the
clear seconds after the raise, and a ticket in between would be opened to be voided."""


class Need(StrEnum):
    """Whether an episode asks for a ticket. `HELD` is decided again after `SETTLE`."""

    TICKET = "ticket"
    HISTORY = "history"
    HELD = "held"


def is_for_workshop(fault: FaultCode) -> bool:
    """True if the fault is bad enough, and beyond the user. What a patient measured never is."""
    if fault.component is Component.MEASUREMENT:
        return False
    return fault.severity.rank >= Severity.MAJOR.rank and fault.fixer is not Fixer.USER


def need_of(episode: Episode, now: datetime) -> Need:
    """Judge one episode of a fault that `is_for_workshop`.

    A fault that was raised needs a person even if it has cleared: most controllers clear at
    the next power-on, repaired or not. A controller's log alone does not say when it happened.
    """
    if episode.raised_n == 0:
        return Need.HISTORY
    horizon = episode.first_received_at - HISTORY_AFTER
    if episode.last_at >= horizon:
        return Need.TICKET
    if episode.ended_at is not None:
        return Need.HISTORY
    return Need.HELD if now < episode.first_received_at + SETTLE else Need.TICKET


def cause_of(fault: FaultCode) -> str:
    """What one ticket is about: the component, or the code where no component is known."""
    if fault.component is Component.UNKNOWN:
        return f"{fault.system}/{fault.code}"
    return str(fault.component)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One episode, and what the catalogue says of its code."""

    fault: FaultCode
    episode: Episode


@dataclass(frozen=True, slots=True)
class TicketText:
    title_sv: str
    title_en: str
    body_sv: str
    body_en: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a ticket says about its cause; a function of the evidence alone."""

    cause: str
    order_kind: OrderKind
    severity: Severity
    usability: Usability
    fixer: Fixer
    component: Component
    text: TicketText
    started_at: datetime
    known_at: datetime
    is_active: bool


def draft(device_class: DeviceClass | None, evidence: Sequence[Evidence]) -> Draft:
    """Write the ticket for `evidence`, episodes of one cause, in any order, at least one."""
    ordered = sorted(evidence, key=_time_order)
    lead = _lead(ordered)
    known_at = min(e.episode.first_received_at for e in ordered)
    return Draft(
        cause=cause_of(lead),
        order_kind=route(device_class, lead),
        severity=lead.severity,
        usability=max((e.fault.usability for e in ordered), key=list(Usability).index),
        fixer=lead.fixer,
        component=lead.component,
        text=explain(ordered, known_at),
        started_at=ordered[0].episode.started_at,
        known_at=known_at,
        is_active=any(e.episode.is_open for e in ordered),
    )


def _time_order(item: Evidence) -> tuple[datetime, str, str]:
    return (item.episode.started_at, item.fault.system, item.fault.code)


def _lead(ordered: Sequence[Evidence]) -> FaultCode:
    """The worst fault; among equals the one that stops more, then the one that came first."""
    usabilities = list(Usability)

    def badness(item: Evidence) -> tuple[int, int]:
        return (item.fault.severity.rank, usabilities.index(item.fault.usability))

    return max(ordered, key=badness).fault


MAX_LISTED: Final = 10
"""Episodes listed in a ticket's text; the page shows the rest."""

_HEADINGS: Final[Mapping[Lang, tuple[str, str, str, str]]] = {
    "sv": ("Vad som har hänt", "Trolig felkälla", "Att göra", "Varför det här ärendet finns"),
    "en": ("What happened", "Probably broken", "What to do", "Why this ticket exists"),
}
_EFFECT: Final[Mapping[Lang, Mapping[Usability, str]]] = {
    "sv": {
        Usability.USABLE: "Hjälpmedlet går att använda trots felet.",
        Usability.DEGRADED: "Hjälpmedlet fungerar begränsat medan felet varar.",
        Usability.UNUSABLE: "Hjälpmedlet går inte att använda medan felet varar.",
    },
    "en": {
        Usability.USABLE: "The device can be used in spite of the fault.",
        Usability.DEGRADED: "The device works only in part while the fault lasts.",
        Usability.UNUSABLE: "The device cannot be used while the fault lasts.",
    },
}
_NEEDS: Final[Mapping[Lang, Mapping[Fixer, str]]] = {
    "sv": {
        Fixer.USER: "kan åtgärdas av användaren",
        Fixer.TECHNICIAN: "behöver en tekniker",
        Fixer.SUPPLIER: "behöver leverantören",
    },
    "en": {
        Fixer.USER: "can be put right by the user",
        Fixer.TECHNICIAN: "needs a technician",
        Fixer.SUPPLIER: "needs the supplier",
    },
}


def explain(ordered: Sequence[Evidence], known_at: datetime) -> TicketText:
    """Title and body in both languages from evidence in order of time.

    Times are local in Sweden, with the year where it is not that of `known_at`.
    """
    title = {lang: _title(ordered, lang) for lang in _LANGS}
    body = {lang: _body(ordered, lang, local(known_at).year) for lang in _LANGS}
    return TicketText(title["sv"], title["en"], body["sv"], body["en"])


_LANGS: Final[tuple[Lang, Lang]] = ("sv", "en")


def _title(ordered: Sequence[Evidence], lang: Lang) -> str:
    lead = _lead(ordered)
    occurrence_n = sum(e.episode.occurrence_n for e in ordered)
    meaning = lead.meaning(lang)
    if not lead.known:
        meaning = "okänd felkod" if lang == "sv" else "unknown fault code"
    return f"{lead.code} · {meaning} · {times(occurrence_n, lang)}"


def _body(ordered: Sequence[Evidence], lang: Lang, year: int) -> str:
    lead = _lead(ordered)
    sections = (
        _what_happened(ordered, lang, year),
        _suspect(lead, lang),
        _actions(ordered, lead, lang),
        _why(ordered, lead, lang, year),
    )
    parts = zip(_HEADINGS[lang], sections, strict=True)
    return "\n\n".join(f"{heading}\n{text}" for heading, text in parts)


def _what_happened(ordered: Sequence[Evidence], lang: Lang, year: int) -> str:
    lines = [
        _history_of(fault, [e.episode for e in ordered if e.fault == fault], lang, year)
        for fault in _distinct(ordered)
    ]
    worst = max((e.fault.usability for e in ordered), key=list(Usability).index)
    lines.append(_EFFECT[lang][worst])
    return "\n".join(lines)


def _distinct(ordered: Iterable[Evidence]) -> list[FaultCode]:
    """Each code once, in the order they came."""
    return list({(e.fault.system, e.fault.code): e.fault for e in ordered}.values())


def _history_of(fault: FaultCode, episodes: Sequence[Episode], lang: Lang, year: int) -> str:
    """One line: code, meaning, how often, since when, and whether it lasts."""
    parts = [
        f"{fault.code} · {_sentence(fault.meaning(lang))}",
        _reported(episodes, lang, year),
        _counted_by_device(sum(e.logged_n for e in episodes), lang),
        _ending(episodes, lang, year),
    ]
    return " ".join(filter(None, parts))


def _reported(episodes: Sequence[Episode], lang: Lang, year: int) -> str:
    occurrence_n = sum(e.occurrence_n for e in episodes)
    first = spoken_time(episodes[0].started_at, lang, year)
    verb, since = ("Rapporterat", "sedan") if lang == "sv" else ("Reported", "since")
    joint = "," if occurrence_n == 1 else f" {since}"
    return f"{verb} {times(occurrence_n, lang)}{joint} {first}."


def _counted_by_device(logged_n: int, lang: Lang) -> str:
    if logged_n == 0:
        return ""
    count = times(logged_n, lang)
    if lang == "sv":
        return f"Av dem {count} enligt hjälpmedlets egen logg."
    return f"Of these {count} in the device's own log."


def _ending(episodes: Sequence[Episode], lang: Lang, year: int) -> str:
    ends = [e.ended_at for e in episodes if e.ended_at is not None]
    if len(ends) < len(episodes):
        return "Felet pågår." if lang == "sv" else "It is still there."
    ended = spoken_time(max(ends), lang, year)
    return f"Upphörde {ended}." if lang == "sv" else f"It ended {ended}."


def _actions(ordered: Sequence[Evidence], lead: FaultCode, lang: Lang) -> str:
    """The lead fault's action first, each action once."""
    faults = [lead, *_distinct(ordered)]
    lines = list(dict.fromkeys(_sentence(fault.action(lang)) for fault in faults))
    if not lead.known:
        lines.append(_UNKNOWN_ADVICE[lang])
    if not any(item.episode.is_open for item in ordered):
        lines.append(_CLEARED_ADVICE[lang])
    return "\n".join(lines)


_UNKNOWN_ADVICE: Final[Mapping[Lang, str]] = {
    "sv": "Fråga användaren hur hjälpmedlet fungerar. Det kan sluta fungera.",
    "en": "Ask the user how the device works. It may stop working.",
}
_CLEARED_ADVICE: Final[Mapping[Lang, str]] = {
    "sv": "Felet har upphört men kan komma tillbaka. Kontrollera innan ärendet avslutas.",
    "en": "The fault has cleared but may return. Check before the ticket is closed.",
}


def _suspect(lead: FaultCode, lang: Lang) -> str:
    if lead.component is Component.UNKNOWN:
        return "Okänd, koden säger det inte." if lang == "sv" else "Unknown, the code does not say."
    return _capitalised(label(lead.component, lang)) + "."


def _why(ordered: Sequence[Evidence], lead: FaultCode, lang: Lang, year: int) -> str:
    lines = [_grounds(lead, lang)]
    if len(ordered) > MAX_LISTED:
        earlier_n = len(ordered) - MAX_LISTED
        word = "tidigare felperioder" if lang == "sv" else "earlier episodes"
        lines.append(f"– {earlier_n} {word}")
    lines += [_listed(item, lang, year) for item in ordered[-MAX_LISTED:]]
    if lead.source_title:
        lines.append(f"{'Källa' if lang == 'sv' else 'Source'}: {lead.source_title}")
    return "\n".join(lines)


def _grounds(lead: FaultCode, lang: Lang) -> str:
    severity = SEVERITY_LABELS[lang][lead.severity]
    if lang == "sv":
        if not lead.known:
            return f"Koden är okänd. Tills någon har tittat räknas felet som {severity}."
        return f"Felet är {severity} och {_NEEDS[lang][lead.fixer]}."
    if not lead.known:
        return f"The code is unknown. It counts as {severity} until someone has looked."
    return f"The fault is {severity} and {_NEEDS[lang][lead.fixer]}."


def _listed(item: Evidence, lang: Lang, year: int) -> str:
    """One episode as a line of evidence: code, from, to, how often."""
    episode = item.episode
    start = spoken_time(episode.started_at, lang, year)
    if episode.ended_at is None:
        span = f"{start}, pågår" if lang == "sv" else f"{start}, still there"
    elif episode.ended_at == episode.started_at:
        span = start
    elif local(episode.ended_at).date() == local(episode.started_at).date():
        span = f"{start}–{_clock(episode.ended_at, lang)}"
    else:
        span = f"{start} – {spoken_time(episode.ended_at, lang, year)}"
    return f"– {item.fault.code} · {span} · {times(episode.occurrence_n, lang)}"


_SWEDEN: Final = ZoneInfo("Europe/Stockholm")
_DAYS: Final[Mapping[Lang, str]] = {
    "sv": "mån tis ons tor fre lör sön",
    "en": "Mon Tue Wed Thu Fri Sat Sun",
}
_MONTHS: Final[Mapping[Lang, str]] = {
    "sv": "jan feb mars apr maj juni juli aug sep okt nov dec",
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
}
_HARD_SPACE: Final = "\N{NO-BREAK SPACE}"


def local(at: datetime) -> datetime:
    """`at` as clocks in Sweden show it."""
    return at.astimezone(_SWEDEN)


def spoken_time(at: datetime, lang: Lang, year: int) -> str:
    """`fre 21 nov 14.05`, with the year where it is not `year`. Local time in Sweden."""
    here = local(at)
    day = _DAYS[lang].split()[here.weekday()]
    month = _MONTHS[lang].split()[here.month - 1]
    date = f"{day} {here.day}{_HARD_SPACE}{month}"
    if here.year != year:
        date += f" {here.year}"
    return f"{date} {_clock(at, lang)}"


def _clock(at: datetime, lang: Lang) -> str:
    return f"{local(at):%H.%M}" if lang == "sv" else f"{local(at):%H:%M}"


def times(number: int, lang: Lang) -> str:
    """`1 gång`, `1 200 gånger`: hard spaces, so that a line never breaks inside."""
    if lang == "sv":
        digits = f"{number:,}".replace(",", _HARD_SPACE)
        return f"{digits}{_HARD_SPACE}{'gång' if number == 1 else 'gånger'}"
    return "once" if number == 1 else f"{number:,}{_HARD_SPACE}times"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
