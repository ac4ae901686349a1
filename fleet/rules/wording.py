"""Words that several evaluators share: names, dates, and what a user is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from fleet.faults import FaultCode
from fleet.metrics import Metric, load_metrics
from fleet.rules.findings import NOTHING, Both
from fleet.rules.statistics import HARD_SPACE
from fleet.ticket_text import local, spoken_time, times
from fleet.words import Component, Fixer, Lang, Usability, part_label

_MONTHS: Final[Mapping[Lang, str]] = {
    "sv": "jan feb mars apr maj juni juli aug sep okt nov dec",
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
}


def both(sv: str, en: str) -> Both:
    """Two texts as one; spaces that fell out of an empty part are closed."""
    return Both(" ".join(sv.split(" ")).strip(), " ".join(en.split(" ")).strip())


def named(metric_name: str, lang: Lang) -> str:
    metric: Metric | None = load_metrics().get(metric_name)
    return metric_name if metric is None else metric.label(lang)


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """`text` with a full stop where it ends without one."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def spoken_date(day: date, lang: Lang, year: int) -> str:
    """`21 nov`, with the year where it is not `year`."""
    text = f"{day.day}{HARD_SPACE}{_MONTHS[lang].split()[day.month - 1]}"
    return text if day.year == year else f"{text} {day.year}"


def spoken_interval(first: date, last: date, lang: Lang, year: int) -> str:
    """`3–17 dec`, `28 nov – 4 dec`, or the one day."""
    if first == last:
        return spoken_date(first, lang, year)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{spoken_date(last, lang, year)}"
    return f"{spoken_date(first, lang, year)} – {spoken_date(last, lang, year)}"


def moment(at: datetime, known_at: datetime) -> Both:
    """`fre 21 nov 14.05`, local time, with the year where it is not that of `known_at`."""
    year = local(known_at).year
    return Both(spoken_time(at, "sv", year), spoken_time(at, "en", year))


def meaning_of(fault: FaultCode, lang: Lang) -> str:
    """The catalogue's words, or that there are none."""
    if fault.known:
        return fault.meaning(lang)
    return "okänd felkod" if lang == "sv" else "unknown fault code"


def times_of(number_of: int, lang: Lang) -> str:
    """` · 3 gånger`; nothing for once."""
    return f" · {times(number_of, lang)}" if number_of > 1 else ""


_STATE: Final[Mapping[Usability, Both]] = {
    Usability.USABLE: Both("Hjälpmedlet går att använda.", "The device can be used."),
    Usability.DEGRADED: Both(
        "Hjälpmedlet kan fungera sämre än vanligt.", "The device may work less well than usual."
    ),
    Usability.UNUSABLE: Both(
        "Hjälpmedlet går inte att använda just nu.", "The device cannot be used just now."
    ),
}
_PASSED: Final = Both(
    "Felet har gått över men kan komma tillbaka.", "The fault has passed but may come back."
)
_NEXT: Final[Mapping[Fixer, Both]] = {
    Fixer.USER: NOTHING,
    Fixer.TECHNICIAN: Both(
        "En tekniker får veta det. Du behöver inte felanmäla.",
        "A technician will be told. You do not need to report it.",
    ),
    Fixer.SUPPLIER: Both(
        "Leverantören får veta det. Du behöver inte felanmäla.",
        "The supplier will be told. You do not need to report it.",
    ),
}
BRAKES: Final = frozenset({Component.BRAKE, Component.LEFT_BRAKE, Component.RIGHT_BRAKE})
_DO_NOT_DRIVE: Final = Both(
    "Kör inte förrän bromsen är kontrollerad.", "Do not drive until the brake has been checked."
)


def told_to_user(
    component: Component, usability: Usability, fixer: Fixer, *, lasts: bool, action: Both = NOTHING
) -> Both:
    """What has happened, what it means, what happens now and what the user can do."""
    state = _STATE[usability] if lasts else _PASSED
    warning = _DO_NOT_DRIVE if component in BRAKES else NOTHING
    own = _own_step(action) if fixer is Fixer.USER else NOTHING
    parts = (_seen(component), state, warning, _NEXT[fixer], own)
    return both(*(" ".join(filter(None, texts)) for texts in zip(*parts, strict=True)))


def _seen(component: Component) -> Both:
    sv, en = part_label(component, "sv"), part_label(component, "en")
    if sv is None or en is None:
        return Both("Hjälpmedlet har visat ett fel.", "The device has shown a fault.")
    return Both(
        f"Hjälpmedlet har visat ett fel som gäller {sv}.",
        f"The device has shown a fault that concerns {en}.",
    )


def _own_step(action: Both) -> Both:
    """What stands after a semicolon is for a technician, if that did not help."""
    if action == NOTHING:
        return NOTHING
    sv, en = (sentence(text.partition(";")[0].strip()) for text in (action.sv, action.en))
    return Both(f"Gör så här: {sv}", f"Do this: {en}")
