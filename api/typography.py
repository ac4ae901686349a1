"""Numbers, quantities, times and lengths of time as each language writes them. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from babel.dates import format_date

from fleet.device_settings import load_device_settings
from fleet.metrics import gap_before, load_metrics
from fleet.ticket_text import local, spoken_time
from fleet.words import Lang

HARD_SPACE: Final = "\N{NO-BREAK SPACE}"
MINUS: Final = "\N{MINUS SIGN}"


def number(value: float, lang: Lang, decimals: int = 0) -> str:
    """`1 234,5` in Swedish, `1,234.5` in English."""
    text = f"{abs(value):,.{decimals}f}"
    if lang == "sv":
        text = text.replace(",", HARD_SPACE).replace(".", ",")
    is_negative = value < 0 and any(char in "123456789" for char in text)
    return MINUS + text if is_negative else text


def quantity(value: float, metric: str, lang: Lang) -> str:
    """`24,6 V`: in the unit and with the decimals of the metric catalogue."""
    return with_unit(shown_value(value, metric), metric, lang)


def shown_value(value: float, metric: str) -> float:
    """A stored value in the unit that people see."""
    known = load_metrics().get(metric)
    return value * known.display_factor if known else value


def with_unit(shown: float, metric: str, lang: Lang) -> str:
    known = load_metrics().get(metric)
    if known is None:
        return number(shown, lang, 0 if float(shown).is_integer() else 2)
    text = number(shown, lang, known.decimals)
    return _with_its_unit(text, known.display_unit, lang)


def _with_its_unit(text: str, unit: str | None, lang: Lang) -> str:
    return f"{text}{gap_before(unit, lang)}{unit}" if unit else text


def metric_label(metric: str, lang: Lang) -> str:
    """The metric in words, with a capital; a metric outside the catalogue keeps its name."""
    known = load_metrics().get(metric)
    if known is None:
        return metric
    text = known.label(lang)
    return text[:1].upper() + text[1:]


def metric_unit(metric: str) -> str:
    known = load_metrics().get(metric)
    return known.display_unit if known else ""


def setting_label(name: str, lang: Lang) -> str:
    """A setting in words; one outside the catalogue keeps its name."""
    known = load_device_settings().get(name)
    return name if known is None else known.label(lang)


def setting_value(value: float | str, name: str, lang: Lang) -> str:
    """`80 %`, `näsmask`: as the settings catalogue says it; else as it was sent."""
    known = load_device_settings().get(name)
    if isinstance(value, str):
        return value if known is None else known.word(value, lang)
    decimals = _decimals(value) if known is None else max(known.decimals, _decimals(value))
    text = number(value, lang, decimals)
    return text if known is None else _with_its_unit(text, known.unit, lang)


def _decimals(value: float) -> int:
    """How many decimals show a setting as it is: it was chosen, not measured. Six at the most."""
    digits = f"{value:.6f}".partition(".")[2]
    return len(digits.rstrip("0"))


def when(at: datetime, lang: Lang, now: datetime) -> str:
    """`fre 21 nov 14.05`, with the year when it is not this one."""
    return spoken_time(at, lang, local(now).year)


def day(at: date, lang: Lang, now: datetime) -> str:
    """`21 nov`, with the year when it is not this one."""
    pattern = "d MMM" if at.year == local(now).year else "d MMM y"
    return format_date(at, pattern, locale=lang).replace(".", "")


def month(at: date, lang: Lang) -> str:
    """`november 2026`."""
    return format_date(at, "LLLL y", locale=lang)


_UNITS: Final = {
    "sv": (("dygn", "dygn"), ("tim", "tim"), ("min", "min")),
    "en": (("day", "days"), ("h", "h"), ("min", "min")),
}


def length(time: timedelta, lang: Lang) -> str:
    """`3 dygn`, `4 tim`, `12 min`: the largest unit that fits, rounded down."""
    minutes = max(0, int(time.total_seconds() // 60))
    counts = (minutes // 1440, minutes // 60, minutes)
    for count, (one, many) in zip(counts, _UNITS[lang], strict=True):
        if count:
            return f"{number(count, lang)}{HARD_SPACE}{one if count == 1 else many}"
    return f"0{HARD_SPACE}min"


def days(amount: float, lang: Lang) -> str:
    """`12 dygn`, rounded to whole days."""
    count = round(amount)
    word = "dygn" if lang == "sv" else "day" if count == 1 else "days"
    return f"{number(count, lang)}{HARD_SPACE}{word}"


def when_due(at: datetime, lang: Lang, now: datetime) -> str:
    """`i dag kl. 14`, `i morgon kl. 14.30`, else the day and time."""
    away = (local(at).date() - local(now).date()).days
    if away not in _NEAR[lang]:
        return when(at, lang, now)
    here = local(at)
    if lang == "sv":
        return f"{_NEAR[lang][away]} kl.{HARD_SPACE}{here:%H}{f'.{here:%M}' if here.minute else ''}"
    return f"{_NEAR[lang][away]} at{HARD_SPACE}{here:%H:%M}"


_NEAR: Final[dict[Lang, dict[int, str]]] = {
    "sv": {-1: "i går", 0: "i dag", 1: "i morgon"},
    "en": {-1: "yesterday", 0: "today", 1: "tomorrow"},
}
