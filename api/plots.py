"""Which metrics to draw for a device or a ticket, over which time, with which faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from api import series
from api.charts import LOAN, POINT_BUDGET, VERSION, Chart, Frame, Mark, chart
from api.devices import found_series
from api.privacy import is_hidden, is_private, latest_split
from api.schemas import FindingOut, FindingPointOut, WholeFindingOut
from api.telling import Say
from api.texts import text
from api.tickets import WholeTicket
from api.windows import RANGES, span_around
from fleet.faults import load_catalogue
from fleet.metrics import MetricKind, load_metrics
from fleet.models import load_models
from fleet.privacy import Times, is_always_shared
from fleet.words import Component
from storage import reading
from storage.connection import Connection
from storage.device_reading import VersionRow
from storage.lending import Loan
from storage.reading import (
    DeviceRow,
    FaultRow,
    SeriesKey,
    Span,
    TicketRow,
)

__all__ = [
    "RANGES",
    "Drawings",
    "device_charts",
    "fault_marks",
    "is_private",
    "latest_split",
    "loan_marks",
    "span_around",
    "ticket_charts",
    "version_marks",
]

CHARTS_AT_MOST: Final = 4
MARKS_AT_MOST: Final = 300
FINDING_CHARTS_AT_MOST: Final = 2
AROUND: Final = timedelta(hours=12)

# What to look at first when a part is in doubt; the first that the device has reported is drawn.
_TELLING: Final[Mapping[Component, tuple[str, ...]]] = {
    Component.LEFT_MOTOR: ("motor_left_current_a", "motor_current_a"),
    Component.RIGHT_MOTOR: ("motor_right_current_a", "motor_current_a"),
    Component.MOTOR: ("motor_current_a", "motor_left_current_a", "motor_temp_c"),
    Component.LEFT_BRAKE: ("motor_left_current_a", "motor_current_a"),
    Component.RIGHT_BRAKE: ("motor_right_current_a", "motor_current_a"),
    Component.BRAKE: ("motor_current_a", "motor_left_current_a"),
    Component.CHARGER: ("battery_current_a",),
    Component.POWER_MODULE: ("controller_temp_c", "battery_current_a"),
    Component.MASK_LEAK: ("mask_leak_l_min",),
    Component.MASK: ("mask_leak_l_min",),
    Component.TUBE: ("tube_temp_c", "mask_leak_l_min"),
    Component.HUMIDIFIER: ("humidifier_temp_c",),
    Component.BLOWER: ("blower_temp_c", "blower_pressure_cmh2o"),
    Component.PRESSURE_SENSOR: ("pressure_cmh2o", "blower_pressure_cmh2o"),
    Component.RADIO: ("signal_strength_dbm",),
}
_TELLING_OF_ALL: Final = ("battery_voltage_v", "state_of_charge_pct", "pressure_cmh2o")


@dataclass(frozen=True, slots=True)
class Drawings:
    """Charts of one device, and the metrics that are not among them."""

    charts: list[Chart]
    others: list[str]


@dataclass(frozen=True, slots=True)
class Beside:
    """What is drawn beside the values: marks on the time axis, and findings that have a limit.

    `unshared`: times in which the user kept back what safety does not need.
    """

    marks: Sequence[Mark] = ()
    findings: Sequence[FindingOut] = ()
    unshared: Times = ()

    def limit(self, metric: str) -> float | None:
        limits = (_limit_of(finding, metric) for finding in self.findings)
        return next((limit for limit in limits if limit is not None), None)

    def frame(self, number: int, metric: str, span: Span, say: Say) -> Frame:
        unshared = () if is_always_shared(metric) else self.unshared
        return Frame(number, metric, say.lang, say.now, span, self.limit(metric), unshared)


def device_charts(  # noqa: PLR0913, PLR0917 - what of which device, when, beside what, to whom
    conn: Connection,
    device: DeviceRow,
    reported: Sequence[str],
    span: Span,
    beside: Beside,
    say: Say,
) -> Drawings:
    """Charts over a range: the metric in the address, or the device's main ones."""
    available = _in_order(device.model_id, reported, say)
    picked = say.query.get("metric")
    drawn = [picked] if picked in available else _main(available)
    charts = [
        _draw(conn, device.device_no, beside.frame(number, metric, span, say), beside.marks)
        for number, metric in enumerate(drawn)
    ]
    return Drawings(charts, [metric for metric in available if metric not in drawn])


def _in_order(model_id: str, reported: Sequence[str], say: Say) -> list[str]:
    """Metrics of the model in its order, then what else was reported, if the reader may see it."""
    model = load_models().get(model_id)
    listed = list(model.metrics) if model else []
    if reported:
        listed = [metric for metric in listed if metric in set(reported)]
    known = dict.fromkeys([*listed, *reported])
    return [metric for metric in known if not is_hidden(metric, say.caller)]


def _main(available: Sequence[str]) -> list[str]:
    """The first gauges: counters only grow, and states are in words elsewhere."""
    gauges = [metric for metric in available if _is_gauge(metric)]
    return (gauges or list(available))[:CHARTS_AT_MOST]


def _is_gauge(metric: str) -> bool:
    known = load_metrics().get(metric)
    return known is None or (known.kind is MetricKind.GAUGE and not metric.endswith("_state"))


def _draw(conn: Connection, device_no: int, frame: Frame, marks: Sequence[Mark]) -> Chart:
    metric_no = reading.metric_no(conn, frame.metric)
    if metric_no is None:
        return chart(frame, series.Series([], None, 0), marks)
    key = SeriesKey(device_no, metric_no)
    is_short = series.chosen("auto", frame.span) == "raw"
    chosen: series.Known = "raw" if is_short else "hour"
    return chart(frame, found_series(conn, key, frame.span, chosen, POINT_BUDGET), marks)


def fault_marks(faults: Iterable[FaultRow], say: Say) -> list[Mark]:
    return [_mark(fault, say) for fault in faults]


def loan_marks(loans: Iterable[Loan], say: Say) -> list[Mark]:
    """Where a loan began or ended: what stands on the other side was another person's."""
    found = []
    for loan in loans:
        found.append(Mark(loan.started_at, LOAN, "info", text("chart.loan.begins", say.lang)))
        if loan.ended_at is not None:
            found.append(Mark(loan.ended_at, LOAN, "info", text("chart.loan.ends", say.lang)))
    return found


def version_marks(versions: Iterable[VersionRow], say: Say) -> list[Mark]:
    """Where the software or hardware changed, as far as it is known when."""
    return [
        Mark(row.at, VERSION, "info", version_words(row, say))
        for row in versions
        if row.at is not None and not row.is_first
    ]


def version_words(row: VersionRow, say: Say) -> str:
    """`programversion 2.3 → 2.4`, and the hardware where that changed too."""
    pairs = (("device.firmware", row.before_fw, row.fw), ("quality.hw", row.before_hw, row.hw))
    changed = [
        f"{_low(say.t(key))} {now or '?'}" if row.is_first
        else f"{_low(say.t(key))} {before or '?'} → {now or '?'}"
        for key, before, now in pairs
        if before != now
    ]  # fmt: skip
    words = ", ".join(changed)
    return say.t("version.first", versions=words) if row.is_first else words


def _low(words: str) -> str:
    return words[:1].lower() + words[1:]


def _mark(row: FaultRow, say: Say) -> Mark:
    fault = load_catalogue().look_up(row.system, row.code)
    state = text(f"fault.{row.state}", say.lang)
    words = f"{row.code} · {fault.meaning(say.lang)} · {state}"
    return Mark(row.at, row.state, fault.severity.value, words, f"{row.system}/{row.code}")


def ticket_charts(conn: Connection, whole: WholeTicket, say: Say) -> list[Chart]:
    """What the findings rest on, drawn: what went on around faults, and values with their limit."""
    marks = fault_marks(whole.faults, say)
    around = _fault_chart(conn, whole, marks, say)
    frames = _finding_frames(whole.findings, say)
    drawn = [_finding_chart(conn, whole.ticket, *pair, marks) for pair in frames]
    return [one for one in (around, *drawn) if one is not None and one.svg is not None]


def _fault_chart(
    conn: Connection, whole: WholeTicket, marks: Sequence[Mark], say: Say
) -> Chart | None:
    """The most telling metric around the newest episode; None when nothing was reported then."""
    device_no = whole.ticket.device_no
    if not whole.episodes or device_no is None:
        return None
    newest = max(whole.episodes, key=lambda episode: episode.last_at)
    span = Span(newest.last_at - AROUND, min(newest.last_at + AROUND, say.now + AROUND / 12))
    reported = [row.metric for row in reading.latest_values(conn, device_no)]
    for metric in _telling(whole.ticket.component, reported):
        drawn = _draw(conn, device_no, Frame(0, metric, say.lang, say.now, span), marks)
        if drawn.svg is not None:
            return drawn
    return None


def _finding_frames(
    findings: Sequence[WholeFindingOut], say: Say
) -> list[tuple[Frame, WholeFindingOut]]:
    """One drawing for each metric that findings rest on, from the newest finding of each."""
    newest: dict[str, WholeFindingOut] = {}
    for finding in findings:
        metric = _drawn_metric(finding)
        if metric is not None:
            newest.setdefault(metric, finding)
    chosen = list(newest.items())[:FINDING_CHARTS_AT_MOST]
    return [
        (_frame(number, metric, finding, say), finding)
        for number, (metric, finding) in enumerate(chosen, start=1)
    ]


def _frame(number: int, metric: str, finding: WholeFindingOut, say: Say) -> Frame:
    span = _span_of(finding, _points(finding, metric), say)
    return Frame(number, metric, say.lang, say.now, span, _limit_of(finding, metric))


def _finding_chart(
    conn: Connection,
    ticket: TicketRow,
    frame: Frame,
    finding: WholeFindingOut,
    marks: Sequence[Mark],
) -> Chart | None:
    """The values the finding keeps; where they are too few, what the device reported then."""
    points = _points(finding, frame.metric)
    if len(points) > 1:
        return chart(frame, _of_points(points), marks)
    return None if ticket.device_no is None else _draw(conn, ticket.device_no, frame, marks)


def _points(finding: WholeFindingOut, metric: str) -> list[FindingPointOut]:
    points = (point for point in finding.points if point.metric == metric)
    return sorted(points, key=lambda point: point.at)


def _drawn_metric(finding: WholeFindingOut) -> str | None:
    """The metric a finding rests on; None for faults, and for what belongs to care."""
    named = finding.points[0].metric if finding.points else finding.about
    return named if named in load_metrics() and not is_private(named) else None


def _span_of(finding: WholeFindingOut, points: Sequence[FindingPointOut], say: Say) -> Span:
    """All the points, with some room after the last; a month where there are none to draw."""
    if len(points) < 2:
        return span_around(finding.last_at, "30d", say.now)
    first, last = points[0].at, points[-1].at
    return Span(first, last + max((last - first) / 50, timedelta(minutes=1)))


def _limit_of(finding: FindingOut, metric: str) -> float | None:
    names = ("limit", f"limit_{metric}") if finding.about == metric else (f"limit_{metric}",)
    return next((finding.measures[name] for name in names if name in finding.measures), None)


def _of_points(points: Sequence[FindingPointOut]) -> series.Series:
    drawn = [series.Point(point.at, point.value, point.value, point.value) for point in points]
    return series.Series(drawn, None, len(drawn))


def _telling(component: str, reported: Sequence[str]) -> list[str]:
    own = _TELLING.get(Component(component), ()) if component in set(Component) else ()
    return [name for name in (*own, *_TELLING_OF_ALL) if name in reported and not is_private(name)]
