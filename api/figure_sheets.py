"""Key figures to take along: a line for each municipality or centre, and one for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from fastapi import Response

from api import sheets
from api.figures import Counted, SheetAsked
from api.use import UseCounted
from fleet.figures import SMALLEST, Figures, PlaceFigures, Share
from fleet.words import COMPONENT_LABELS, Lang

_HEADINGS: Final[dict[Lang, tuple[str, ...]]] = {
    "sv": (
        "Hjälpmedel med ärenden", "Nya ärenden", "Åtgärdade ärenden", "Avtalad tid: hållna",
        "Avtalad tid: avgjorda", "Reparationer inom 5 arbetsdagar", "Reparationer",
        "Inom 5 arbetsdagar, %", "Inom 5 arbetsdagar, % från", "Inom 5 arbetsdagar, % till",
        "Åtgärdade på distans", "Lagade första gången", "Reparationer att bedöma",
        "Lagade första gången, %", "Lagade första gången, % från", "Lagade första gången, % till",
        "Ärenden med minuter", "Minuter, felsökning och åtgärd", "Minuter per ärende",
        "Jämförelsevärde, minuter per ärende", "Tecken på onormalt slitage, hjälpmedel nu",
    ),
    "en": (
        "Devices with tickets", "New tickets", "Solved tickets", "Agreed time: kept",
        "Agreed time: decided", "Repairs within 5 working days", "Repairs",
        "Within 5 working days, %", "Within 5 working days, % from", "Within 5 working days, % to",
        "Solved remotely", "Repaired first time", "Repairs to judge",
        "Repaired first time, %", "Repaired first time, % from", "Repaired first time, % to",
        "Tickets with minutes", "Minutes, troubleshooting and repair", "Minutes per ticket",
        "Baseline, minutes per ticket", "Signs of abnormal use, devices now",
    ),
}  # fmt: skip
_CAUSE: Final[dict[Lang, str]] = {"sv": "Nya ärenden", "en": "New tickets"}
_PLACE: Final[dict[str, dict[Lang, str]]] = {
    "municipality": {"sv": "Kommun", "en": "Municipality"},
    "centre": {"sv": "Hjälpmedelscentral", "en": "Centre"},
}
_NOWHERE: Final[dict[str, dict[Lang, str]]] = {
    "municipality": {"sv": "Uppgift saknas", "en": "Not known"},
    "centre": {"sv": "utan hjälpmedelscentral", "en": "no centre"},
}
_HIDDEN: Final[dict[Lang, str]] = {"sv": "visas inte", "en": "not shown"}
_FILE: Final[dict[str, dict[Lang, str]]] = {
    "municipality": {"sv": "kommun", "en": "municipality"},
    "centre": {"sv": "central", "en": "centre"},
}
_SIGNS_AT: Final = len(_HEADINGS["sv"]) - 1
_ALL: Final[dict[Lang, str]] = {"sv": "Alla", "en": "All"}


def figures_csv(found: Counted, asked: SheetAsked, use: UseCounted, lang: Lang) -> Response:
    """One line for each place, and one for all. Small numbers of a municipality are not shown.

    Signs of abnormal use are counted by municipality, where that is known; a centre has none.
    """
    causes = [component for component, _ in found.whole.causes]
    names = [f"{_CAUSE[lang]}: {_component(name, lang)}" for name in causes]
    head = ["Period", _PLACE[asked.by][lang], *_HEADINGS[lang], *names]
    lines = _by_area(found, use, causes, lang) if asked.by == "municipality" else _by_centre(
        found, causes, lang
    )  # fmt: skip
    word = "nyckeltal" if lang == "sv" else "key-figures"
    return sheets.answer(f"{word}-{_FILE[asked.by][lang]}-{found.period.text}", head, lines)


def _component(name: str, lang: Lang) -> str:
    words: Mapping[str, str] = {str(key): label for key, label in COMPONENT_LABELS[lang].items()}
    return words.get(name, name)


def _by_centre(found: Counted, causes: Sequence[str], lang: Lang) -> Iterator[list[str]]:
    names = {centre.id: centre.name for centre in found.centres}
    for row in found.of_centres:
        name = names.get(row.name or "", row.name) or _NOWHERE["centre"][lang]
        cells = _cells(row, found.baseline, causes, lang)
        yield [found.period.text, name, *_with_signs(cells, "")]
    yield [found.period.text, _ALL[lang], *_with_signs(_all(found, causes, lang), "")]


def _by_area(
    found: Counted, use: UseCounted, causes: Sequence[str], lang: Lang
) -> Iterator[list[str]]:
    """The line of all is hidden too where only one is: else that could be had by subtraction."""
    rows = found.of_municipalities
    hidden = [_HIDDEN[lang]] * (len(_HEADINGS[lang]) + len(causes))
    shown = {row.name for row in rows if row.name and row.figures is not None}
    signs = _signs(found, use, shown, lang)
    for row in rows:
        cells = _cells(row, found.baseline, causes, lang)
        told = _with_signs(cells, signs.get(row.name, "")) if cells else hidden
        yield [found.period.text, row.name or _NOWHERE["municipality"][lang], *told]
    whole = _with_signs(_all(found, causes, lang), signs.get(_ALL[lang], ""))
    is_hidden = sum(row.figures is None for row in rows) == 1
    yield [found.period.text, _ALL[lang], *(hidden if is_hidden else whole)]


def _all(found: Counted, causes: Sequence[str], lang: Lang) -> list[str]:
    devices = {fact.device_no for fact in found.facts}
    return _cells(PlaceFigures(None, len(devices), found.whole), found.baseline, causes, lang)


def _with_signs(cells: list[str], signs: str) -> list[str]:
    return [*cells[:_SIGNS_AT], signs, *cells[_SIGNS_AT:]]


def _signs(
    found: Counted, use: UseCounted, shown: AbstractSet[str], lang: Lang
) -> dict[str | None, str]:
    """How many devices with signs each shown municipality has, and all; small numbers hidden.

    Nothing where they cannot be counted so: of one centre, or when there are more than are listed.
    """
    if found.centre is not None or use.n > len(use.signs):
        return {}
    known = {(sign.area, sign.device_id) for sign in use.signs if sign.area}
    counts = Counter(area for area, _ in known)
    told: dict[str | None, str] = {
        area: _HIDDEN[lang] if 0 < counts[area] < SMALLEST else str(counts[area]) for area in shown
    }
    kept_back = [n for area, n in counts.items() if area not in shown or n < SMALLEST]
    total = sum(counts.values())
    is_hidden = len(kept_back) == 1 or 0 < total < SMALLEST
    return {**told, _ALL[lang]: _HIDDEN[lang] if is_hidden else str(total)}


def _cells(
    row: PlaceFigures, baseline: float | None, causes: Sequence[str], lang: Lang
) -> list[str]:
    """All but the signs; none where the place is too small."""
    if row.figures is None:
        return []
    of_cause = dict(row.figures.causes)
    return [
        str(row.device_n),
        *_numbers(row.figures, baseline, lang),
        *(str(of_cause.get(name, 0)) for name in causes),
    ]


def _numbers(found: Figures, baseline: float | None, lang: Lang) -> Iterator[str]:
    kept = sum(share.hit_n for share in found.promises.values())
    judged = sum(share.n for share in found.promises.values())
    yield from map(str, (found.known_n, found.solved_n, kept, judged))
    yield from _share(found.five_days, lang)
    yield str(found.remote.hit_n)
    yield from _share(found.held, lang)
    minutes = found.minutes
    yield from map(str, (minutes.noted_n, minutes.sum_min))
    yield from (sheets.decimal(n, lang) for n in (minutes.mean, baseline))


def _share(share: Share, lang: Lang) -> Iterator[str]:
    """How many, of how many, and the share with its 95 % interval (Wilson), in per cent."""
    yield from map(str, (share.hit_n, share.n))
    if share.value is None:
        yield from ("", "", "")
        return
    for part in (share.value, *share.interval):
        yield sheets.decimal(100 * part, lang)
