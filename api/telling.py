"""How a page speaks: its language, its addresses, and the templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Protocol
from urllib.parse import quote, urlencode

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from api import statics, typography
from api.addresses import read_path
from api.navigation import Place, home, places
from api.texts import text, text_or_raw
from fleet.access.callers import Caller
from fleet.metrics import gap_before
from fleet.ticket_actions import ACTION_LABELS, OUTCOME_LABELS, VOID_REASON_LABELS
from fleet.words import (
    COMPONENT_LABELS,
    DEVICE_CLASS_LABELS,
    FIXER_LABELS,
    SEVERITY_LABELS,
    USABILITY_LABELS,
    Component,
    Lang,
    part_label,
)
from storage.lending import BASIC_NEED_LABELS, PLACE_LABELS

_HIGH_FROM: Final = 0.8
_MEDIUM_FROM: Final = 0.5

_WORDS: Final[Mapping[str, Mapping[Lang, Mapping[Any, str]]]] = {
    "severity": SEVERITY_LABELS,
    "usability": USABILITY_LABELS,
    "fixer": FIXER_LABELS,
    "component": COMPONENT_LABELS,
    "device_class": DEVICE_CLASS_LABELS,
    "action": ACTION_LABELS,
    "outcome": OUTCOME_LABELS,
    "void": VOID_REASON_LABELS,
    "need": BASIC_NEED_LABELS,
    "place": PLACE_LABELS,
}


_templates: Final = Environment(
    loader=PackageLoader("api"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals["static"] = statics.address


class Both(Protocol):
    """Anything with a text in each language."""

    @property
    def sv(self) -> str: ...

    @property
    def en(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Say:
    """One page's voice. `is_chosen` when the address itself names the language.

    `path` is where the page is read, also when it answers a form that was refused. `caller` is
    whoever is signed in; None on pages that anyone may see.
    """

    lang: Lang
    is_chosen: bool
    path: str
    query: Mapping[str, str]
    now: datetime
    caller: Caller | None = None

    def t(self, key: str, **values: object) -> str:
        return text(key, self.lang, **values)

    def word(self, kind: str, value: str) -> str:
        """A word of the domain, lower case; the value itself when it has no word yet."""
        if kind in _WORDS and value in _WORDS[kind][self.lang]:
            return _WORDS[kind][self.lang][value]
        return text_or_raw(kind, value, self.lang)

    def part(self, component: str) -> str:
        """`batteriet`, for whoever uses the device; empty where no part of it is meant."""
        return part_label(Component(component), self.lang) or ""

    def both(self, texts: Both) -> str:
        return texts.sv if self.lang == "sv" else texts.en

    def cap(self, words: str) -> str:
        return words[:1].upper() + words[1:]

    def when(self, at: datetime) -> str:
        return typography.when(at, self.lang, self.now)

    def when_due(self, at: datetime) -> str:
        """`i dag kl. 14`, or the day and time."""
        return typography.when_due(at, self.lang, self.now)

    def instant(self, at: datetime) -> str:
        """An instant as an address carries it, to the minute."""
        return f"{at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"

    def confidence(self, share: float) -> str:
        """`hög (92 %)`: in words first, so that a number is not taken for a measurement."""
        level = "high" if share >= _HIGH_FROM else "medium" if share >= _MEDIUM_FROM else "low"
        return self.t(f"confidence.{level}", share=self.share(share))

    def share(self, share: float) -> str:
        return f"{self.n(round(share * 100))}{gap_before('%', self.lang)}%"

    def amount(self, value: float) -> str:
        """A whole number as it is, another with two decimals."""
        return typography.number(value, self.lang, 0 if float(value).is_integer() else 2)

    def minutes(self, amount: float) -> str:
        return f"{self.n(amount)}{typography.HARD_SPACE}min"

    def ago(self, at: datetime) -> str:
        return typography.length(self.now - at, self.lang)

    def since(self, at: datetime) -> str:
        """`för 3 tim sedan`, or `nyss` within the last minute."""
        if self.now - at < timedelta(minutes=1):
            return self.t("device.just_now")
        return self.t("device.ago", time=self.ago(at))

    def n(self, value: float) -> str:
        return typography.number(value, self.lang)

    def day(self, day: date) -> str:
        """`21 nov`, with the year where it is not this one."""
        return typography.day(day, self.lang, self.now)

    def month(self, day: date) -> str:
        """`November 2026`."""
        return self.cap(typography.month(day, self.lang))

    def quantity(self, value: float, metric: str) -> str:
        return typography.quantity(value, metric, self.lang)

    def metric(self, name: str) -> str:
        return typography.metric_label(name, self.lang)

    def setting(self, name: str) -> str:
        return typography.setting_label(name, self.lang)

    def setting_value(self, value: bool | float | str, name: str) -> str:
        if isinstance(value, bool):
            return self.t("setting.on" if value else "setting.off")
        return typography.setting_value(value, name, self.lang)

    def duration_ms(self, amount: int) -> str:
        """`12 s`, `5 min`: for the error of a clock."""
        seconds = abs(amount) / 1000
        if seconds < 60:
            return f"{typography.number(seconds, self.lang)}{typography.HARD_SPACE}s"
        return typography.length(timedelta(milliseconds=abs(amount)), self.lang)

    def span(self, time: timedelta) -> str:
        """`12 tim`, `3 dygn`: a length of time."""
        return typography.length(time, self.lang)

    def link(self, path: str, /, **query: object) -> str:
        """An address inside the house that keeps the chosen language."""
        kept = {key: str(value) for key, value in query.items() if value not in (None, "")}
        if self.is_chosen:
            kept["lang"] = self.lang
        return f"{path}?{urlencode(kept)}" if kept else path

    def places(self) -> list[Place]:
        return places(self.caller)

    def home(self) -> str:
        """Where the brand in the corner leads."""
        return self.link("/" if self.caller is None else home(self.caller))

    def other_language(self) -> tuple[str, str]:
        """The language not spoken here and this page's address in it."""
        other = "en" if self.lang == "sv" else "sv"
        # A path that began with two slashes, or a backslash, would lead to another host.
        path = "/" + quote(self.path.lstrip("/\\"))
        return other, f"{path}?{urlencode({**self.query, 'lang': other})}"


def say_for(request: Request) -> Say:
    """The language the address names, else the browser's, else Swedish."""
    named = request.query_params.get("lang")
    chosen: Lang | None = "sv" if named == "sv" else "en" if named == "en" else None
    spoken = chosen or preferred(request.headers.get("accept-language", ""))
    query = {key: value for key, value in request.query_params.items() if key != "lang"}
    caller = getattr(request.state, "caller", None)
    return Say(spoken, chosen is not None, read_path(request), query, datetime.now(UTC), caller)


async def _voice(request: Request) -> Say:
    return say_for(request)


Voice = Annotated[Say, Depends(_voice)]


def preferred(header: str) -> Lang:
    """The first of Swedish and English in an Accept-Language header. Pure."""
    best: tuple[float, Lang] = (0.0, "sv")
    for part in header.split(",")[:20]:
        tag, _, parameters = part.partition(";")
        weight = _weight(parameters)
        primary = tag.strip().lower().partition("-")[0]
        if primary == "en" and weight > best[0]:
            best = (weight, "en")
        elif primary == "sv" and weight > best[0]:
            best = (weight, "sv")
    return best[1]


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0


def page(name: str, say: Say, status: int = 200, **values: object) -> HTMLResponse:
    """Render a template."""
    body = _templates.get_template(name).render(say=say, **values)
    headers = {"Content-Language": say.lang, "Vary": "Accept-Language, Cookie"}
    return HTMLResponse(body, status, headers)
