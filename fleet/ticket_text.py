"""What a ticket says, Swedish first. Pure.

It says what happened, since when, how often, what is probably broken and what to do; the
technician meets the code first, then words, then numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fleet.episodes import Episode
from fleet.faults import FaultCode
from fleet.metrics import gap_before
from fleet.rules.facts import SWEDEN, CodedEpisode
from fleet.rules.findings import NOTHING, Both, Finding
from fleet.rules.storms import Member, most_common, span_of
from fleet.words import (
    SEVERITY_LABELS,
    Component,
    Fixer,
    Lang,
    Usability,
    label,
)


@dataclass(frozen=True, slots=True)
class TicketText:
    """A title, a body for the workshop, and plain words for the user."""

    title: Both
    body: Both
    user: Both


MAX_LISTED: Final = 10
"""Episodes listed in a ticket's text; the page shows the rest."""

_HEADINGS: Final[Mapping[Lang, tuple[str, str, str, str]]] = {
    "sv": ("Vad som har hänt", "Det här gäller", "Att göra", "Varför det här ärendet finns"),
    "en": ("What happened", "What it concerns", "What to do", "Why this ticket exists"),
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
        Fixer.TECHNICIAN: "behöver åtgärdas av en tekniker",
        Fixer.SUPPLIER: "behöver åtgärdas av leverantören",
    },
    "en": {
        Fixer.USER: "can be fixed by the user",
        Fixer.TECHNICIAN: "has to be fixed by a technician",
        Fixer.SUPPLIER: "has to be fixed by the supplier",
    },
}


@dataclass(frozen=True, slots=True)
class _Story:
    """What a ticket is told from: findings of one cause and their episodes, in order of time."""

    findings: Sequence[Finding]
    episodes: Sequence[CodedEpisode]
    usability: Usability
    year: int

    @property
    def fault(self) -> FaultCode | None:
        """The worst fault; among equals the one that stops more, then the one that came first."""
        return max(self.episodes, key=_badness).fault if self.episodes else None

    @property
    def values(self) -> list[Finding]:
        """The findings that rest on values, not on reported faults."""
        return [finding for finding in self.findings if not finding.episodes]


def _badness(item: CodedEpisode) -> tuple[int, int]:
    return (item.fault.severity.rank, list(Usability).index(item.fault.usability))


def explain(findings: Sequence[Finding], lead: Finding, known_at: datetime) -> TicketText:
    """Title and texts in both languages from findings in order of time; `lead` names it.

    Times are local in Sweden, with the year where it is not that of `known_at`.
    """
    usability = max((f.usability for f in findings), key=list(Usability).index)
    story = _Story(findings, _episodes_of(findings), usability, local(known_at).year)
    return TicketText(
        title=Both(_title(story, lead, "sv"), _title(story, lead, "en")),
        body=Both(_body(story, lead, "sv"), _body(story, lead, "en")),
        user=lead.said.user,
    )


def _episodes_of(findings: Iterable[Finding]) -> list[CodedEpisode]:
    """Each episode once, by start."""
    distinct = {
        (item.about, item.episode.started_at): item
        for finding in findings
        for item in finding.episodes
    }
    return sorted(
        distinct.values(),
        key=lambda item: (item.episode.started_at, item.fault.system, item.fault.code),
    )


def _title(story: _Story, lead: Finding, lang: Lang) -> str:
    fault = story.fault
    if fault is None or not lead.episodes:
        return lead.said.title.in_(lang)
    occurrence_n = sum(item.episode.occurrence_n for item in story.episodes)
    meaning = fault.meaning(lang)
    if not fault.known:
        meaning = "okänd felkod" if lang == "sv" else "unknown fault code"
    return f"{fault.code} · {meaning} · {times(occurrence_n, lang)}"


def _body(story: _Story, lead: Finding, lang: Lang) -> str:
    sections = (
        _what_happened(story, lang),
        _suspect(lead, lang),
        _actions(story, lang),
        _why(story, lang),
    )
    parts = zip(_HEADINGS[lang], sections, strict=True)
    return "\n\n".join(f"{heading}\n{text}" for heading, text in parts)


def _what_happened(story: _Story, lang: Lang) -> str:
    lines = [
        _history_of(fault, _stretches(story.episodes, fault), lang, story.year)
        for fault in _distinct(story.episodes)
    ]
    lines += [_sentence(finding.said.happened.in_(lang)) for finding in story.values]
    if story.episodes:
        lines.append(_EFFECT[lang][story.usability])
    return "\n".join(dict.fromkeys(lines))


def _stretches(episodes: Iterable[CodedEpisode], fault: FaultCode) -> list[Episode]:
    return [item.episode for item in episodes if item.fault == fault]


def _distinct(ordered: Iterable[CodedEpisode]) -> list[FaultCode]:
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
        return f"Varav {count} enligt hjälpmedlets egen logg."
    return f"Of these {count} in the device's own log."


def _ending(episodes: Sequence[Episode], lang: Lang, year: int) -> str:
    ends = [e.ended_at for e in episodes if e.ended_at is not None]
    if len(ends) < len(episodes):
        return "Felet pågår." if lang == "sv" else "It is still there."
    ended = spoken_time(max(ends), lang, year)
    return f"Upphörde {ended}." if lang == "sv" else f"It ended {ended}."


def _actions(story: _Story, lang: Lang) -> str:
    """The worst fault's action first, each action once."""
    faults = [] if story.fault is None else [story.fault, *_distinct(story.episodes)]
    said = [fault.action(lang) for fault in faults]
    said += [finding.said.action.in_(lang) for finding in story.values]
    lines = list(dict.fromkeys(_sentence(text) for text in said if text))
    if story.fault is not None and not story.fault.known:
        lines.append(_UNKNOWN_ADVICE[lang])
    if not any(finding.is_open for finding in story.findings):
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


def _suspect(lead: Finding, lang: Lang) -> str:
    if lead.component is Component.UNKNOWN:
        return "Okänd, koden säger det inte." if lang == "sv" else "Unknown, the code does not say."
    return _capitalised(label(lead.component, lang)) + "."


def _why(story: _Story, lang: Lang) -> str:
    lines = [] if story.fault is None else [_grounds(story.fault, lang)]
    if len(story.episodes) > MAX_LISTED:
        earlier_n = len(story.episodes) - MAX_LISTED
        word = "tidigare felperioder" if lang == "sv" else "earlier episodes"
        lines.append(f"– {earlier_n} {word}")
    lines += [_listed(item, lang, story.year) for item in story.episodes[-MAX_LISTED:]]
    lines += [_listed_finding(finding, lang, story.year) for finding in story.values[-MAX_LISTED:]]
    lines += _ruled_out(story.findings, lang)
    lines += _rules(story.findings, lang)
    if story.fault is not None and story.fault.source_title:
        lines.append(f"{'Källa' if lang == 'sv' else 'Source'}: {story.fault.source_title}")
    return "\n".join(lines)


def _listed_finding(finding: Finding, lang: Lang, year: int) -> str:
    since = "sedan" if lang == "sv" else "since"
    title = finding.said.title.in_(lang)
    return f"– {title} · {since} {spoken_time(finding.started_at, lang, year)}"


def _ruled_out(findings: Iterable[Finding], lang: Lang) -> list[str]:
    """What else it could have been, each once."""
    texts = [both.in_(lang) for finding in findings for both in finding.ruled_out]
    word = "Uteslutet" if lang == "sv" else "Ruled out"
    return [f"{word}: {_sentence(text)}" for text in dict.fromkeys(texts)]


def _rules(findings: Iterable[Finding], lang: Lang) -> list[str]:
    """Which rules speak, each with its version."""
    named = dict.fromkeys(f"{f.rule_id}, version {f.rule_version}" for f in findings)
    word = "Regel" if lang == "sv" else "Rule"
    return [f"{word}: {name}" for name in named]


def _grounds(lead: FaultCode, lang: Lang) -> str:
    severity = SEVERITY_LABELS[lang][lead.severity]
    if lang == "sv":
        if not lead.known:
            return f"Koden är okänd. Tills någon har tittat räknas felet som {severity}."
        return f"Allvarlighetsgrad: {severity}. Felet {_NEEDS[lang][lead.fixer]}."
    if not lead.known:
        return f"The code is unknown. It counts as {severity} until someone has looked."
    return f"Severity: {severity}. The fault {_NEEDS[lang][lead.fixer]}."


def _listed(item: CodedEpisode, lang: Lang, year: int) -> str:
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
    return at.astimezone(SWEDEN)


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


_BASIC_NEEDS_LISTED: Final = 10


def incident_text(lead: Finding, members: Sequence[Member]) -> TicketText:
    """What the ticket of a storm says: how many, since when, what they have in common, who first.

    Args:
        lead: one device's finding, which names the fault.
        members: all devices of the storm, at least one.
    """
    return TicketText(
        title=Both(_incident_title(lead, members, "sv"), _incident_title(lead, members, "en")),
        body=Both(_incident_body(lead, members, "sv"), _incident_body(lead, members, "en")),
        user=NOTHING,
    )


def _number(number: int, lang: Lang) -> str:
    digits = f"{number:,}"
    return digits.replace(",", _HARD_SPACE) if lang == "sv" else digits


def _incident_title(lead: Finding, members: Sequence[Member], lang: Lang) -> str:
    fault = lead.episodes[0].fault
    count = _number(len(members), lang)
    if lang == "sv":
        return f"{fault.code} · {fault.meaning(lang)} · samma fel på {count} hjälpmedel"
    return f"{fault.code} · {fault.meaning(lang)} · the same fault on {count} devices"


def _incident_body(lead: Finding, members: Sequence[Member], lang: Lang) -> str:
    first, last = span_of(members)
    year = local(last).year
    begin, end = spoken_time(first, lang, year), spoken_time(last, lang, year)
    if lang == "sv":
        opening = (
            f"Felet började på {_number(len(members), lang)} hjälpmedel mellan {begin} och {end}."
            " Enskilda ärenden hålls tillbaka tills det här ärendet är avslutat."
        )
        headings = ("Vad som har hänt", "Gemensamt", "Kontakta först", "Att göra")
    else:
        opening = (
            f"The fault began on {_number(len(members), lang)} devices between {begin} and {end}."
            " Single tickets are held until this one has ended."
        )
        headings = ("What happened", "In common", "Contact first", "What to do")
    sections = (
        opening,
        _in_common(members, lang),
        _contact_first(members, lang),
        _sentence(lead.episodes[0].fault.action(lang)),
    )
    return "\n\n".join(f"{h}\n{text}" for h, text in zip(headings, sections, strict=True) if text)


_SHARED: Final[Sequence[tuple[str, str, str]]] = (
    ("model_id", "modell", "model"),
    ("firmware", "programversion", "firmware"),
    ("batch", "tillverkningsserie", "batch"),
    ("gateway", "gateway", "gateway"),
    ("network", "nät", "network"),
    ("area", "område", "area"),
    ("centre", "hjälpmedelscentral", "centre"),
)


def _in_common(members: Sequence[Member], lang: Lang) -> str:
    """What most of the devices share, the likeliest places to look for the cause."""
    lines = []
    for name, sv, en in _SHARED:
        common = most_common([getattr(member.device, name) for member in members])
        if common is not None and common[1] >= 0.5:
            share = f"{common[1] * 100:.0f}{gap_before('%', lang)}%"
            lines.append(f"{_capitalised(sv if lang == 'sv' else en)} {common[0]}: {share}")
    return "\n".join(lines)


def _contact_first(members: Sequence[Member], lang: Lang) -> str:
    """The devices whose users cannot do without them, the most dependent first."""
    needing = sorted(
        (member for member in members if member.needs),
        key=lambda member: (-len(member.needs), member.device.device_id),
    )
    lines = [f"– {member.device.mark}" for member in needing[:_BASIC_NEEDS_LISTED]]
    if len(needing) > _BASIC_NEEDS_LISTED:
        rest = _number(len(needing) - _BASIC_NEEDS_LISTED, lang)
        lines.append(f"– {rest} till" if lang == "sv" else f"– {rest} more")
    return "\n".join(lines)
