"""`fault`: a device reported a fault code. One finding for each episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from fleet import tickets
from fleet.episodes import FLAP_WINDOW, Episode
from fleet.rules.facts import CodedEpisode, Facts
from fleet.rules.findings import Both, Finding, Need, Said
from fleet.rules.kind import Kind
from fleet.rules.parameters import Duration, ParameterError, Word
from fleet.rules.rule import Asks, Needs, Rule, Window
from fleet.rules.selection import PARAMETERS, Selection, selection_of
from fleet.rules.wording import BRAKES, both, meaning_of, sentence, times_of, told_to_user
from fleet.ticket_text import local, spoken_time, times
from fleet.words import Component, Lang, Severity

_NEVER: Final = timedelta(0)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ReportedFault:
    """A fault of `selection`, raised for longer than `debounce`, or again `recurs_within` of it.

    Only what came before an episode decides on it, so that a later one never changes it. A brake,
    and what is at least as bad as `at_once`, is never waited for.
    """

    selection: Selection
    debounce: timedelta = _NEVER
    recurs_within: timedelta = _DAY
    at_once: Severity = Severity.CRITICAL

    @property
    def needs(self) -> Needs:
        back = self.recurs_within if self.debounce else _NEVER
        return Needs(episodes=True, lookback_days=-(-back // _DAY))

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        """Every episode that reaches into the window."""
        return [
            _finding(rule, item, self._need(rule, item, facts))
            for item in sorted(facts.episodes, key=in_time)
            if _reaches(item.episode, window)
            and self.selection.takes(item.fault, care=rule.care)
            and not self._is_passing(item, facts.episodes)
        ]

    def _is_passing(self, item: CodedEpisode, others: Iterable[CodedEpisode]) -> bool:
        """True if it was raised once, cleared within the debounce, and had not been there before.

        A controller's log has no length; it is judged by its count, not by its time.
        """
        episode = item.episode
        if not self._waits_for(item) or episode.raised_n != 1 or episode.logged_n:
            return False
        if episode.ended_at is None or episode.ended_at - episode.started_at > self.debounce:
            return False
        return not any(self._precedes(other, item) for other in others)

    def _waits_for(self, item: CodedEpisode) -> bool:
        is_grave = item.fault.component in BRAKES or item.fault.severity.rank >= self.at_once.rank
        return bool(self.debounce) and not is_grave

    def _precedes(self, other: CodedEpisode, item: CodedEpisode) -> bool:
        before = item.episode.started_at - other.episode.started_at
        return other.about == item.about and _NEVER < before <= self.recurs_within

    def _need(self, rule: Rule, item: CodedEpisode, facts: Facts) -> Need:
        need = Need(tickets.need_of(item.episode, facts.now))
        if need is not Need.TICKET:
            return need
        if rule.care:
            return Need.CARE
        wait = self.debounce if self._waits_for(item) else _NEVER
        young = item.episode.is_open and facts.now < item.episode.started_at + wait
        return Need.HELD if young else Need.TICKET


def in_time(item: CodedEpisode) -> tuple[object, ...]:
    """An order of episodes that does not depend on how they were handed over."""
    return (item.episode.started_at, item.fault.system, item.fault.code, item.episode_no)


def _reaches(episode: Episode, window: Window) -> bool:
    return episode.ended_at is None or episode.ended_at >= window.from_at


def _finding(rule: Rule, item: CodedEpisode, need: Need) -> Finding:
    fault, episode, asks = item.fault, item.episode, rule.asks
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        about=item.about,
        cause=cause_for(asks, item),
        need=need,
        severity=asks.severity or fault.severity,
        usability=asks.usability or fault.usability,
        fixer=asks.fixer or fault.fixer,
        component=asks.component or fault.component,
        order=asks.order,
        started_at=episode.started_at,
        last_at=episode.last_at,
        ended_at=episode.ended_at,
        known_at=episode.first_received_at,
        confidence=_confidence(item),
        occurrence_n=episode.occurrence_n,
        episodes=(item,),
        measures=_measures(episode),
        said=_said(rule, item),
    )


def cause_for(asks: Asks, item: CodedEpisode) -> str:
    """What its ticket is about: the component the rule names, else what the catalogue says."""
    if asks.component is None or asks.component is Component.UNKNOWN:
        return tickets.cause_of(item.fault)
    return str(asks.component)


def _confidence(item: CodedEpisode) -> float:
    """A lone blink says least; each return, and lasting, says more. A foreign code less.

    Ours, without a source; to be tuned on recorded fleets.
    """
    weight = item.episode.occurrence_n + (1 if _lasts(item.episode) else 0)
    certainty = 1 - 0.4 / max(1, weight)
    return round(certainty if item.fault.known else 0.8 * certainty, 3)


def _lasts(episode: Episode) -> bool:
    return episode.ended_at is None or episode.ended_at - episode.started_at > FLAP_WINDOW


def _measures(episode: Episode) -> dict[str, float]:
    measures = {
        "raised_count": float(episode.raised_n),
        "cleared_count": float(episode.cleared_n),
        "logged_count": float(episode.logged_n),
    }
    if episode.ended_at is not None:
        measures["lasted_s"] = (episode.ended_at - episode.started_at).total_seconds()
    return measures


def _said(rule: Rule, item: CodedEpisode) -> Said:
    fault, episode, asks = item.fault, item.episode, rule.asks
    action = asks.action or Both(fault.action_sv, fault.action_en)
    return Said(
        title=both(_title(item, "sv"), _title(item, "en")),
        happened=both(_happened(episode, "sv"), _happened(episode, "en")),
        action=both(sentence(action.sv), sentence(action.en)),
        user=told_to_user(
            asks.component or fault.component,
            asks.usability or fault.usability,
            asks.fixer or fault.fixer,
            lasts=episode.is_open,
            action=action,
        ),
    )


def _title(item: CodedEpisode, lang: Lang) -> str:
    meaning = meaning_of(item.fault, lang)
    return f"{item.fault.code} · {meaning}{times_of(item.episode.occurrence_n, lang)}"


def _happened(episode: Episode, lang: Lang) -> str:
    year = local(episode.first_received_at).year
    how_often = times(episode.occurrence_n, lang)
    first = spoken_time(episode.started_at, lang, year)
    since = {"sv": " sedan", "en": " since"}[lang] if episode.occurrence_n > 1 else ","
    verb = {"sv": "Rapporterat", "en": "Reported"}[lang]
    parts = (f"{verb} {how_often}{since} {first}.", _comes_and_goes(episode, lang))
    return " ".join(filter(None, (*parts, _ending(episode, lang, year))))


FLAPS_FROM: Final = 3
"""Raises in one episode from which the text says that the fault comes and goes. Ours."""


def _comes_and_goes(episode: Episode, lang: Lang) -> str:
    if episode.raised_n < FLAPS_FROM or not episode.cleared_n:
        return ""
    if lang == "sv":
        return "Felet kommer och går, som vid glappkontakt."
    return "The fault comes and goes, as with a loose contact."


def _ending(episode: Episode, lang: Lang, year: int) -> str:
    if episode.ended_at is None:
        return "Felet pågår." if lang == "sv" else "It is still there."
    if episode.ended_at == episode.started_at:
        return ""
    ended = spoken_time(episode.ended_at, lang, year)
    return f"Upphörde {ended}." if lang == "sv" else f"It ended {ended}."


def _build(values: Mapping[str, Any]) -> ReportedFault:
    debounce, recurs_within = values["debounce"], values["recurs_within"]
    if debounce > recurs_within:
        raise ParameterError(
            "recurs_within is shorter than debounce, so no return could ever count",
            "Make recurs_within longer than debounce",
        )
    return ReportedFault(selection_of(values), debounce, recurs_within, values["at_once"])


KIND: Final = Kind(
    name="fault",
    purpose=(
        "A device reported a fault code. One finding for each episode, as long as it lasts; "
        "a fault that flaps is one episode and raises the confidence, never the number."
    ),
    source=(
        "The makers' code tables in fleet/data/faults, each entry with its page. The times are "
        "ours, without a source; to be tuned on recorded fleets."
    ),
    parameters=(
        *PARAMETERS,
        Duration(
            "debounce",
            "A fault raised once and cleared within this time is no finding.",
            default=_NEVER,
            high=_DAY,
        ),
        Duration(
            "recurs_within",
            "Unless the same code had been there this long before.",
            default=_DAY,
            high=timedelta(days=30),
        ),
        Word(
            "at_once",
            "Never wait for a fault at least this bad, nor for a brake.",
            default=Severity.CRITICAL,
            of=Severity,
        ),
    ),
    build=_build,
)
