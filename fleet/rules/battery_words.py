"""What is known of a battery's end, in the words of technicians and of its user. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from fleet.rules.findings import Both, Said
from fleet.rules.rule import Rule
from fleet.rules.statistics import counted, months, number, quantity

VOLTAGE: Final = "battery_voltage_v"
REACH_D: Final = 400
"""How many days ahead anything is said of."""

COLD_C: Final = 8.0
"""From here on it is much colder than it was. Ours, without a source."""


def said_of(
    rule: Rule, measures: Mapping[str, float], day: int, way: str, *, is_chilled: bool
) -> Said:
    """All of it. `way` is the metric that distances are told in."""
    return Said(
        _title(measures, day, way),
        _happened(measures, way, is_chilled=is_chilled),
        rule.asks.action or _ACTION,
        _user(measures, day),
    )


def ruled_out(measures: Mapping[str, float], colder_c: float | None) -> tuple[Both, ...]:
    found = []
    if colder_c is not None and colder_c < COLD_C:
        found.append(
            Both(
                "Kyla: det är inte mycket kallare omkring hjälpmedlet än i början av perioden.",
                "Cold: it is not much colder around the device than when the period began.",
            )
        )
    if measures.get("charges_30d_n", 0) >= 4:
        times = number(measures["charges_30d_n"])
        found.append(
            Both(
                f"Laddaren: batteriet har laddats {times.sv} gånger de senaste 30 dygnen.",
                f"The charger: the battery was charged {times.en} times in the last 30 days.",
            )
        )
    return tuple(found)


def _title(measures: Mapping[str, float], day: int, way: str) -> Both:
    if "full_v" in measures:
        return Both("En battericell är troligen död", "A battery cell is probably dead")
    if measures["best_d"] > 0:
        until = _until(measures, day)
        return Both(
            f"Batteriet räcker troligen {until.sv}", f"The battery will probably last {until.en}"
        )
    range_m = measures.get("range_m", math.inf)
    if range_m < measures.get("usual_needed_m", 0.0):
        km = quantity(way, measures["usual_daily_m"])
        return Both(
            f"Batteriet har för liten marginal för den vanliga dagssträckan, {km.sv}",
            f"The battery has too little margin for the usual daily distance, {km.en}",
        )
    if range_m < measures.get("needed_range_m", 0.0):
        share = number(100 * range_m / measures["best_range_m"])
        return Both(
            f"Batteriet är slitet: räckvidden är {share.sv}\u00a0% av den bästa",
            f"The battery is worn: its range is {share.en}% of its best",
        )
    return Both("Batteriet behöver bytas", "The battery needs to be replaced")


def _until(measures: Mapping[str, float], day: int) -> Both:
    today = date.fromordinal(day)
    first = today + timedelta(days=measures["earliest_d"])
    last = today + timedelta(days=measures["latest_d"])
    if measures["latest_d"] >= REACH_D:
        month = months(first, first, today)
        return Both(f"åtminstone till {month.sv}", f"at least until {month.en}")
    span = months(first, last, today)
    return Both(f"till {span.sv}", f"until {span.en}")


def _happened(measures: Mapping[str, float], way: str, *, is_chilled: bool) -> Both:
    told = (_on_cell(measures), _on_range(measures, way), _on_load(measures), _on_deep(measures))
    parts = [part for part in told if part]
    if is_chilled:
        parts.append(
            Both(
                "Det har blivit mycket kallare omkring hjälpmedlet; det kan vara en del av "
                "förklaringen.",
                "It has become much colder around the device, which may be part of the reason.",
            )
        )
    return Both(" ".join(part.sv for part in parts), " ".join(part.en for part in parts))


def _on_cell(measures: Mapping[str, float]) -> Both | None:
    if "full_v" not in measures:
        return None
    now, before = (quantity(VOLTAGE, measures[name]) for name in ("full_v", "full_before_v"))
    return Both(
        f"Fulladdat når batteriet nu {now.sv}, mot {before.sv} tidigare: troligen är en cell död.",
        f"Fully charged the battery now reaches {now.en}, against {before.en} before: "
        "a cell is probably dead.",
    )


def _on_range(measures: Mapping[str, float], way: str) -> Both | None:
    if "range_m" not in measures:
        return None
    names = ("range_m", "best_range_m", "usual_daily_m", "needed_range_m")
    now, best, usual, needed = (quantity(way, measures[name]) for name in names)
    return Both(
        f"En full laddning räcker nu till {now.sv} körning, mot {best.sv} som bäst. "
        f"En vanlig dag körs {usual.sv}; gränsen är {needed.sv}.",
        f"A full charge now lasts for {now.en} of driving, against {best.en} at its best. "
        f"A usual day takes {usual.en}; the limit is {needed.en}.",
    )


def _on_load(measures: Mapping[str, float]) -> Both | None:
    if "load_v" not in measures:
        return None
    low = quantity(VOLTAGE, measures["load_v"])
    sag = quantity(VOLTAGE, measures.get("sag_v", 0.0))
    return Both(
        f"Spänningen går ner till {low.sv} under körning, {sag.sv} lägre än dygnets högsta.",
        f"The voltage falls to {low.en} while driving, {sag.en} below the day's highest.",
    )


def _on_deep(measures: Mapping[str, float]) -> Both | None:
    times = round(measures.get("deep_discharge_n", 0.0))
    if times < 1:
        return None
    said = counted(times, "djupurladdning", "djupurladdningar", "deep discharge")
    return Both(f"{said.sv} under perioden.", f"{said.en} in the period.")


_ACTION: Final = Both(
    "Mät kapaciteten på båda batterierna och byt dem som ett par. Kontrollera laddaren.",
    "Measure the capacity of both batteries and replace them as a pair. Check the charger.",
)


def _user(measures: Mapping[str, float], day: int) -> Both:
    if measures["best_d"] <= 0:
        return Both(
            "Batteriet är slitet och räcker kanske inte till din vanliga dag. Ladda varje natt och "
            "planera för kortare sträckor. Ett ärende är skapat, och en tekniker hör av sig.",
            "The battery is worn and may not last for your usual day. Charge it every night and "
            "plan for shorter trips. A ticket has been created, and a technician will contact you.",
        )
    until = _until(measures, day)
    return Both(
        f"Batteriet börjar bli slitet. Det räcker troligen {until.sv}. Du kan använda hjälpmedlet "
        "som vanligt. En tekniker hör av sig i god tid om ett byte.",
        f"The battery is wearing out. It will probably last {until.en}. You can use the device "
        "as usual. A technician will contact you about a replacement in good time.",
    )
