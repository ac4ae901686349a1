"""Faults over time: in words, newest first, and drawn along the axis of the charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from api.charts import LEFT, LOAN, RIGHT, WIDTH, Frame, Mark, found_by, time_axis
from api.telling import Say
from api.texts import text
from api.typography import length, number, when
from fleet.faults import FaultCode, load_catalogue
from storage.reading import EpisodeRow

MERGED_WITHIN: Final = timedelta(hours=24)
"""Stretches of one code with less between them are one line: the same trouble, told once."""
LANES_AT_MOST: Final = 8
_LANE: Final = 30
_HEAD: Final = 16
_RANKS: Final = ("info", "minor", "major", "critical")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Stretches of one code that follow closely, as one.

    Attributes:
        fault: what the code means.
        times: how often it was reported, at least once for each stretch.
        lasted: the sum of the stretches; what is not over counts up to now.
        ended_at: None while it lasts.
    """

    fault: FaultCode
    started_at: datetime
    last_at: datetime
    ended_at: datetime | None
    times: int
    lasted: timedelta
    episodes: tuple[EpisodeRow, ...]


def troubles(episodes: Iterable[EpisodeRow], now: datetime) -> list[Trouble]:
    """Episodes merged by code, the newest first."""
    groups: list[list[EpisodeRow]] = []
    newest: dict[tuple[str, str], list[EpisodeRow]] = {}
    for episode in sorted(episodes, key=lambda row: row.started_at):
        key = (episode.system, episode.code)
        group = newest.get(key)
        if group is not None and _follows(group[-1], episode):
            group.append(episode)
        else:
            newest[key] = [episode]
            groups.append(newest[key])
    found = [_merged(group, now) for group in groups]
    return sorted(found, key=lambda one: (one.ended_at is None, one.last_at), reverse=True)


def _follows(before: EpisodeRow, after: EpisodeRow) -> bool:
    return before.ended_at is None or after.started_at - before.ended_at <= MERGED_WITHIN


def _merged(group: Sequence[EpisodeRow], now: datetime) -> Trouble:
    first, last = group[0], group[-1]
    return Trouble(
        load_catalogue().look_up(first.system, first.code),
        first.started_at,
        max(row.last_at for row in group),
        last.ended_at,
        sum(max(row.raised_n, row.logged_n, 1) for row in group),
        sum(((row.ended_at or now) - row.started_at for row in group), timedelta(0)),
        tuple(reversed(group)),
    )


def told(trouble: Trouble, say: Say) -> str:
    """`3 gånger sedan fre 20 nov 14.05 · sammanlagt 2 tim · pågår`: after code and meaning."""
    times = _times(trouble, say)
    since = say.when(trouble.started_at)
    parts = [text("timeline.since" if trouble.times > 1 else "timeline.at", say.lang,
        times=times, at=since)]  # fmt: skip
    if trouble.lasted >= timedelta(minutes=1):
        key = "timeline.total" if len(trouble.episodes) > 1 else "timeline.lasted"
        parts.append(text(key, say.lang, time=length(trouble.lasted, say.lang)))
    parts.append(_ending(trouble, say))
    return " · ".join(parts)


def _times(trouble: Trouble, say: Say) -> str:
    if trouble.times == 1:
        return text("timeline.once", say.lang)
    return text("timeline.times", say.lang, n=number(trouble.times, say.lang))


def _ending(trouble: Trouble, say: Say) -> str:
    if trouble.ended_at is None:
        return text("timeline.lasts", say.lang)
    return text("timeline.ended", say.lang, at=say.when(trouble.ended_at))


@dataclass(frozen=True, slots=True)
class Timeline:
    """A drawing of the faults; `svg` is None where there were none. `hidden_n` did not fit."""

    svg: Markup | None
    summary: str
    hidden_n: int = 0


def timeline(frame: Frame, episodes: Sequence[EpisodeRow], marks: Sequence[Mark]) -> Timeline:
    """One lane for each code, the worst on top, with a bar for each stretch."""
    lanes = _lanes(frame, episodes)
    shown = lanes[:LANES_AT_MOST]
    if not shown:
        return Timeline(None, text("timeline.none", frame.lang))
    base = _HEAD + _LANE * len(shown)
    parts = [
        _words(frame, shown),
        *time_axis(frame, base, base + 20),
        *_loans(frame, marks, base),
        *(_lane(frame, place, *lane) for place, lane in enumerate(shown)),
    ]
    head = Markup(
        '<svg class="chart lanes" viewBox="0 0 {} {}" role="img" aria-labelledby="tlt tld">'
    ).format(WIDTH, base + 28)
    svg = head + Markup("").join(parts) + Markup("</svg>")
    return Timeline(svg, text("timeline.help", frame.lang), len(lanes) - len(shown))


Lane = tuple[FaultCode, list[EpisodeRow]]


def _lanes(frame: Frame, episodes: Iterable[EpisodeRow]) -> list[Lane]:
    found: dict[tuple[str, str], list[EpisodeRow]] = {}
    for row in episodes:
        if row.started_at < frame.span.high and (row.ended_at or frame.now) >= frame.span.low:
            found.setdefault((row.system, row.code), []).append(row)
    lanes = [(load_catalogue().look_up(*key), rows) for key, rows in found.items()]
    return sorted(lanes, key=lambda lane: -_RANKS.index(lane[0].severity.value))


def _words(frame: Frame, lanes: Sequence[Lane]) -> Markup:
    listed = "; ".join(f"{fault.code} {fault.meaning(frame.lang)}" for fault, _ in lanes)
    return Markup('<title id="tlt">{}</title><desc id="tld">{}</desc>').format(
        text("timeline.title", frame.lang), listed
    )


_LABEL_LENGTH: Final = 62


def _lane(frame: Frame, place: int, fault: FaultCode, rows: Sequence[EpisodeRow]) -> Markup:
    top = _HEAD + _LANE * place
    label = f"{fault.code} · {fault.meaning(frame.lang)}"
    label = label if len(label) <= _LABEL_LENGTH else label[: _LABEL_LENGTH - 1] + "…"
    bars = Markup("").join(_bar(frame, fault, row, top + 15) for row in rows)
    return Markup(
        '<g class="lane {}"><text class="name" x="{}" y="{}">{}</text>'
        '<path class="grid" d="M{} {}H{}"/>{}</g>'
    ).format(fault.severity.value, LEFT, top + 9, label, LEFT, top + 20, RIGHT, bars)


def _bar(frame: Frame, fault: FaultCode, row: EpisodeRow, y: float) -> Markup:
    left = max(LEFT, frame.x(max(row.started_at, frame.span.low)))
    right = min(RIGHT, frame.x(min(row.ended_at or frame.now, frame.span.high)))
    end = "" if row.ended_at is not None else " lasts"
    return Markup(
        '<rect class="bar{}" x="{:.1f}" y="{}" width="{:.1f}" height="10"{}><title>{}</title>'
        "</rect>"
    ).format(
        end, min(left, RIGHT - 3), y, max(3, right - left),
        found_by(f"{row.system}/{row.code}", row.started_at), _bar_words(frame, fault, row),
    )  # fmt: skip


def _bar_words(frame: Frame, fault: FaultCode, row: EpisodeRow) -> str:
    end = (
        text("timeline.lasts", frame.lang)
        if row.ended_at is None
        else when(row.ended_at, frame.lang, frame.now)
    )
    return f"{fault.code} · {when(row.started_at, frame.lang, frame.now)} – {end}"


def _loans(frame: Frame, marks: Sequence[Mark], base: float) -> Iterable[Markup]:
    for mark in marks:
        if mark.kind == LOAN and frame.span.low <= mark.at < frame.span.high:
            x = frame.x(mark.at)
            yield Markup(
                '<g class="mark loan"><title>{}</title><path class="stem" d="M{:.1f} 4V{}"/></g>'
            ).format(f"{when(mark.at, frame.lang, frame.now)} · {mark.label}", x, base)
