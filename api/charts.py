"""One metric over time as SVG, with faults on the time axis. Colours come from the style sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from statistics import median
from typing import Final

from markupsafe import Markup

from api.readouts import Readout, readout
from api.scales import TimeTick, ValueScale, time_ticks, value_scale
from api.series import Point, Series
from api.texts import text
from api.typography import (
    metric_label,
    metric_unit,
    number,
    shown_value,
    when,
    with_unit,
)
from fleet.metrics import load_metrics
from fleet.privacy import Times
from fleet.ticket_text import local
from fleet.words import Lang
from storage.reading import Span

WIDTH: Final = 520
HEIGHT: Final = 238
LEFT: Final = 52
RIGHT: Final = 508
TOP: Final = 34
BASE: Final = 186
MARK_Y: Final = 198
POINT_BUDGET: Final = 640
MARK_WIDTH: Final = 12
LABEL_WIDTH: Final = 44
MAX_NAMED: Final = 2
"""Faults that one sign tells of: the first ones, and the worst."""
TABLE_ROWS: Final = 12
SHORTEST_BREAK: Final = timedelta(minutes=20)
LOAN: Final = "loan"
VERSION: Final = "version"


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands on the time axis; `label` says it in words.

    `kind` is raised, cleared or logged for a fault, `loan` where a loan began or ended, and
    `version` where the device's software or hardware changed.
    `code` is a fault's system and code, by which a page finds what else it says of it.
    """

    at: datetime
    kind: str
    severity: str
    label: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One stretch of the text alternative, already in words."""

    at: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and what it says in words; `svg` is None when there is nothing to draw."""

    metric: str
    label: str
    unit: str
    svg: Markup | None
    summary: str
    rows: list[Row]
    is_hourly: bool
    has_limit: bool = False
    readout: Readout | None = None
    has_unshared: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What every part of one drawing needs to know.

    `limit` is in the metric's stored unit; `unshared` are times from which values may be missing
    because the user kept them back.
    """

    number: int
    metric: str
    lang: Lang
    now: datetime
    span: Span
    limit: float | None = None
    unshared: Times = ()

    @property
    def shown_limit(self) -> float | None:
        return None if self.limit is None else shown_value(self.limit, self.metric)

    def x(self, at: datetime) -> float:
        """Where a time stands; a stretch that begins before the drawing begins at its edge."""
        share = (at - self.span.low) / (self.span.high - self.span.low)
        return LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, share))

    def amount(self, shown: float) -> str:
        return with_unit(shown, self.metric, self.lang)


def chart(frame: Frame, series: Series, marks: Sequence[Mark]) -> Chart:
    """Draw `series` in the units that people see."""
    label = metric_label(frame.metric, frame.lang)
    is_hourly, has_limit = series.step is not None, frame.limit is not None
    nothing = Chart(
        frame.metric,
        label,
        metric_unit(frame.metric),
        None,
        text("chart.none", frame.lang, metric=label.lower()),
        [],
        is_hourly,
        has_limit,
    )
    points = [_shown(point, frame.metric) for point in series.points]
    return _drawn(nothing, frame, points, series.step, marks) if points else nothing


def _drawn(
    nothing: Chart,
    frame: Frame,
    points: Sequence[Point],
    step: timedelta | None,
    marks: Sequence[Mark],
) -> Chart:
    at = when(points[-1].at, frame.lang, frame.now)
    scale = _scale(frame, points)
    return replace(
        nothing,
        svg=_svg(frame, scale, points, step, marks),
        summary=text("chart.summary", frame.lang, at=at, **_extremes(frame, points)),
        rows=_table(frame, points),
        readout=readout(frame.metric, points, scale, is_of_stretches=step is not None),
        has_unshared=any(True for _ in _shaded(frame)),
    )


def _shown(point: Point, metric: str) -> Point:
    low, high = shown_value(point.low, metric), shown_value(point.high, metric)
    return Point(point.at, shown_value(point.value, metric), low, high, point.sample_n)


def _extremes(frame: Frame, points: Sequence[Point]) -> dict[str, str]:
    return {
        "min": frame.amount(min(point.low for point in points)),
        "max": frame.amount(max(point.high for point in points)),
        "last": frame.amount(points[-1].value),
    }


def _table(frame: Frame, points: Sequence[Point]) -> list[Row]:
    width = (frame.span.high - frame.span.low) / TABLE_ROWS
    stretches = groupby(points, key=lambda point: (point.at - frame.span.low) // width)
    return [_row(frame, list(stretch)) for _, stretch in stretches]


def _row(frame: Frame, points: list[Point]) -> Row:
    words = _extremes(frame, points)
    return Row(when(points[0].at, frame.lang, frame.now), words["min"], words["max"])


def _scale(frame: Frame, points: Sequence[Point]) -> ValueScale:
    known = load_metrics().get(frame.metric)
    smallest = 10.0 ** -(known.decimals if known else 2)
    return value_scale(*_reach(frame, points), smallest)


def _svg(
    frame: Frame,
    scale: ValueScale,
    points: Sequence[Point],
    step: timedelta | None,
    marks: Sequence[Mark],
) -> Markup:
    pieces = _unbroken(points, step)
    parts = [
        _words(frame, points, marks),
        *_shades(frame),
        *_value_axis(frame, scale),
        *_time_axis(frame),
        *(_band(frame, scale, piece) for piece in pieces if step),
        _line(frame, scale, pieces),
        _limit(frame, scale),
        *_marks(frame, marks),
    ]
    head = Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-labelledby="c{}t c{}d">'
    ).format(WIDTH, HEIGHT, frame.number, frame.number)
    return head + Markup("").join(parts) + Markup("</svg>")


def _shaded(frame: Frame) -> Iterable[tuple[datetime, datetime]]:
    """What of the times not shared lies within the drawing."""
    span = frame.span
    for from_at, until_at in frame.unshared:
        low, high = max(from_at, span.low), min(until_at or span.high, span.high)
        if low < high:
            yield low, high


def _shades(frame: Frame) -> Iterable[Markup]:
    for low, high in _shaded(frame):
        left, right = frame.x(low), frame.x(high)
        yield Markup(
            '<rect class="unshared" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title>'
            "</rect>"
        ).format(left, TOP, right - left, BASE - TOP, text("chart.key.unshared", frame.lang))


def _reach(frame: Frame, points: Sequence[Point]) -> tuple[float, float]:
    """The least and greatest value to show; a share is shown against its whole."""
    low, high = min(p.low for p in points), max(p.high for p in points)
    if frame.shown_limit is not None:
        low, high = min(low, frame.shown_limit), max(high, frame.shown_limit)
    if metric_unit(frame.metric) == "%":
        return min(low, 0.0), max(high, 100.0)
    if low == high:
        return low - abs(low) / 10, high + abs(high) / 10
    return low, high


def _words(frame: Frame, points: Sequence[Point], marks: Sequence[Mark]) -> Markup:
    label = metric_label(frame.metric, frame.lang)
    description = text(
        "chart.desc",
        frame.lang,
        metric=label,
        low=when(frame.span.low, frame.lang, frame.now),
        high=when(frame.span.high, frame.lang, frame.now),
        faults=fault_count(sum(mark.kind not in _FLAGS for mark in marks), frame.lang),
        **_extremes(frame, points),
    )
    if frame.shown_limit is not None:
        limit = frame.amount(frame.shown_limit)
        description += " " + text("chart.limit_is", frame.lang, limit=limit)
    return Markup('<title id="c{}t">{}</title><desc id="c{}d">{}</desc>').format(
        frame.number, label, frame.number, description
    )


def fault_count(count: int, lang: Lang) -> str:
    if count == 0:
        return text("chart.faults.none", lang)
    if count == 1:
        return text("chart.faults.one", lang)
    return text("chart.faults.many", lang, n=number(count, lang))


def _value_axis(frame: Frame, scale: ValueScale) -> Iterable[Markup]:
    unit = metric_unit(frame.metric)
    if unit:
        yield Markup('<text class="unit" x="{}" y="13">{}</text>').format(4, unit)
    decimals = _decimals(scale.step)
    for value in scale.ticks():
        y = _y(scale, value)
        yield Markup(
            '<path class="grid" d="M{} {:.1f}H{}"/><text class="tick y" x="{}" y="{:.1f}">{}</text>'
        ).format(LEFT, y, RIGHT, LEFT - 6, y + 4, number(value, frame.lang, decimals))


def _decimals(step: float) -> int:
    return next(count for count in range(7) if count == 6 or _is_whole(step * 10**count))


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-9 * max(1.0, abs(value))


def _y(scale: ValueScale, value: float) -> float:
    return BASE - (BASE - TOP) * (value - scale.low) / (scale.high - scale.low)


def _time_axis(frame: Frame) -> Iterable[Markup]:
    return time_axis(frame, BASE, HEIGHT - 8)


def time_axis(frame: Frame, base: float, label_y: float) -> Iterable[Markup]:
    """The axis that all drawings of one page share, so that they can be read one below another."""
    yield Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, base, RIGHT)
    for index, tick in enumerate(time_ticks(frame.span)):
        x = frame.x(tick.at)
        if x > RIGHT - LABEL_WIDTH / 2:
            continue  # its label would be cut off at the edge
        sparse = " odd" if index % 2 else ""
        yield Markup(
            '<path class="axis" d="M{:.1f} {}v4"/>'
            '<text class="tick x{}" x="{:.1f}" y="{}">{}</text>'
        ).format(x, base, sparse, x, label_y, _time_label(frame, tick))


def _time_label(frame: Frame, tick: TimeTick) -> str:
    here = local(tick.at)
    if not tick.is_midnight:
        return f"{here:%H.%M}" if frame.lang == "sv" else f"{here:%H:%M}"
    day = when(tick.at, frame.lang, tick.at).rsplit(" ", 1)[0]
    is_short = frame.span.high - frame.span.low <= timedelta(days=8)
    return day.partition("\N{NO-BREAK SPACE}")[0] if is_short else day.partition(" ")[2]


def _unbroken(points: Sequence[Point], step: timedelta | None) -> list[list[Point]]:
    """Split where values are missing: a line across would claim what nobody measured.

    A device that reports a few times a day is not interrupted all day long, so its own rhythm
    decides what is missing.
    """
    longest = max(step * 1.5 if step else SHORTEST_BREAK, _usual_distance(points) * 4)
    pieces: list[list[Point]] = []
    for point in points:
        if pieces and point.at - pieces[-1][-1].at <= longest:
            pieces[-1].append(point)
        else:
            pieces.append([point])
    return pieces


def _usual_distance(points: Sequence[Point]) -> timedelta:
    distances = [(after.at - before.at).total_seconds() for before, after in pairwise(points)]
    return timedelta(seconds=median(distances)) if distances else timedelta(0)


def _band(frame: Frame, scale: ValueScale, piece: Sequence[Point]) -> Markup:
    upper = [(frame.x(point.at), _y(scale, point.high)) for point in piece]
    lower = [(frame.x(point.at), _y(scale, point.low)) for point in reversed(piece)]
    outline = "L".join(f"{x:.1f} {y:.0f}" for x, y in [*upper, *lower])
    return Markup('<path class="band" d="M{}Z"/>').format(outline)


def _line(frame: Frame, scale: ValueScale, pieces: Iterable[Sequence[Point]]) -> Markup:
    """One path; a piece of a single value is a dot, by the round ends of its stroke."""
    drawn = []
    for piece in pieces:
        corners = [f"{frame.x(p.at):.1f} {_y(scale, p.value):.1f}" for p in piece]
        drawn.append("M" + "L".join(corners) + ("h0" if len(corners) == 1 else ""))
    return Markup('<path class="line" d="{}"/>').format("".join(drawn))


def _limit(frame: Frame, scale: ValueScale) -> Markup:
    """The value from which a rule speaks, named at the edge above or below the line."""
    if frame.shown_limit is None:
        return Markup("")
    y = _y(scale, frame.shown_limit)
    label = text("chart.limit", frame.lang, limit=frame.amount(frame.shown_limit))
    label_y = y - 5 if y > TOP + 18 else y + 15
    return Markup(
        '<path class="limit" d="M{} {:.1f}H{}"/><text class="tick y at" x="{}" y="{:.1f}">{}</text>'
    ).format(LEFT, y, RIGHT, RIGHT, label_y, label)


def _marks(frame: Frame, marks: Sequence[Mark]) -> Iterable[Markup]:
    """One sign for faults too near to tell apart; it names a few of them."""
    inside = sorted(
        (m for m in marks if frame.span.low <= m.at < frame.span.high), key=lambda m: m.at
    )
    flags = [_FLAGS[mark.kind](frame, mark) for mark in inside if mark.kind in _FLAGS]
    clusters: list[list[Mark]] = []
    for mark in (mark for mark in inside if mark.kind not in _FLAGS):
        if clusters and frame.x(mark.at) - frame.x(clusters[-1][0].at) < MARK_WIDTH:
            clusters[-1].append(mark)
        else:
            clusters.append([mark])
    return [*flags, *(_mark(frame, near) for near in clusters)]


def _loan(frame: Frame, mark: Mark) -> Markup:
    """A flag across the drawing: what is left of it was another person's."""
    x = frame.x(mark.at)
    return Markup(
        '<g class="mark loan"><title>{}</title><path class="stem" d="M{:.1f} {}V{}"/>'
        '<path class="sign" d="M{:.1f} {}h11l-3 4 3 4h-11z"/></g>'
    ).format(_said(frame, mark), x, TOP - 10, BASE, x, TOP - 10)


def _version(frame: Frame, mark: Mark) -> Markup:
    """A peg on the upper edge, for it is a fact beside the values and no event of use."""
    x = frame.x(mark.at)
    return Markup(
        '<g class="mark version"><title>{}</title><path class="stem" d="M{:.1f} {}V{}"/>'
        '<path class="sign" d="M{:.1f} {}h8l-4 7z"/></g>'
    ).format(_said(frame, mark), x, TOP - 8, BASE, x - 4, TOP - 10)


_FLAGS: Final[Mapping[str, Callable[[Frame, Mark], Markup]]] = {LOAN: _loan, VERSION: _version}


def _said(frame: Frame, mark: Mark) -> str:
    return f"{when(mark.at, frame.lang, frame.now)} · {mark.label}"


_RANKS: Final = ("info", "minor", "major", "critical")


def _mark(frame: Frame, near: Sequence[Mark]) -> Markup:
    happened = [mark for mark in near if mark.kind != "cleared"]
    worst = max(happened or near, key=lambda mark: _RANKS.index(mark.severity))
    named = near[:MAX_NAMED] if worst in near[:MAX_NAMED] else [*near[: MAX_NAMED - 1], worst]
    lines = [_said(frame, mark) for mark in named]
    if len(near) > MAX_NAMED:
        lines.append(text("chart.more", frame.lang, n=number(len(near) - MAX_NAMED, frame.lang)))
    x = frame.x(worst.at)
    kind = worst.severity if happened else "cleared"
    return Markup('<g class="mark {}"{}><title>{}</title>{}{}</g>').format(
        kind, found_by(worst.code, worst.at), "\n".join(lines),
        _stem(x) if happened else Markup(""), _sign(x, kind)
    )  # fmt: skip


def found_by(code: str, at: datetime) -> Markup:
    """How a script finds the fault behind a mark: its system and code, and when it was."""
    return Markup(' data-code="{}" data-at="{}"').format(code, round(at.timestamp()))


def _stem(x: float) -> Markup:
    return Markup('<path class="stem" d="M{:.1f} {}V{}"/>').format(x, TOP, BASE)


def _sign(x: float, kind: str) -> Markup:
    """Shapes differ with severity, so that colour is never all there is."""
    if kind == "cleared":
        return Markup('<circle cx="{:.1f}" cy="{}" r="4"/>').format(x, MARK_Y + 3)
    if kind == "critical":
        return Markup('<path class="sign" d="M{:.1f} {}l7 14h-14z"/>').format(x, MARK_Y - 5)
    if kind == "major":
        return Markup('<path class="sign" d="M{:.1f} {}l6 6-6 6-6-6z"/>').format(x, MARK_Y - 3)
    return Markup('<path class="sign" d="M{:.1f} {}h8v8h-8z"/>').format(x - 4, MARK_Y - 1)
