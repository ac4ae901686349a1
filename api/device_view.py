"""All that the page of one device shows, read in one view of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from api.access.policy import shipped_policy
from api.asking import known_device
from api.charts import Frame
from api.grounds import finding_out
from api.lending import current, place_of, tag_of_loans
from api.meanings import fault_out, ledger_out
from api.open_findings import unticketed
from api.plots import (
    MARKS_AT_MOST,
    Beside,
    device_charts,
    fault_marks,
    loan_marks,
    version_marks,
    version_words,
)
from api.privacy import latest_split, open_settings, open_to
from api.standing import Known, standing
from api.telling import Say
from api.timelines import timeline, told, troubles
from api.windows import Moves, Window, moves, window_of
from fleet.contact import Contact, contact
from fleet.device_settings import load_device_settings
from fleet.models import load_models
from fleet.privacy import Times
from storage import device_reading, lending, privacy, reading
from storage.connection import Connection
from storage.device_reading import BootRow, VersionRow
from storage.lending import Loan, Placement
from storage.reading import DeviceRow, EpisodeRow, FindingFilter, Span

SETTING_CHANGE_ROWS: Final = 20
FAULT_ROWS: Final = 50
GAP_ROWS: Final = 20
TICKET_ROWS: Final = 20
ENDED_ROWS: Final = 10
FINDING_ROWS: Final = 20
EPISODE_ROWS: Final = 300
TROUBLE_ROWS: Final = 30
BOOT_ROWS: Final = 50
VERSION_ROWS: Final = 20
LOOK_BACK: Final = timedelta(days=365 * 5)
CONTACT_OVER: Final = timedelta(days=14)
BOOTS_OVER: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class View:
    """One device as somebody sees it; what a page and its charts have in common."""

    device: DeviceRow
    window: Window
    loans: Sequence[Loan]
    reported: Sequence[str]
    versions: Sequence[VersionRow]


def view(conn: Connection, device_id: str, say: Say) -> View:
    """The device, or a 404 where it does not exist for the caller."""
    device = known_device(conn, device_id)
    reported = [row.metric for row in reading.latest_values(conn, device.device_no)]
    loans = lending.loans(conn, device_id)
    versions = device_reading.versions(conn, device.device_no, VERSION_ROWS)
    return View(device, window_of(say.query, say.now), loans, reported, versions)


def charts(conn: Connection, seen: View, say: Say) -> dict[str, Any]:
    """What `device_charts.html` draws."""
    window, device = seen.window, seen.device
    span = window.span
    found = device_reading.episodes(conn, device.device_no, span, EPISODE_ROWS)
    faults = reading.faults(conn, device.device_no, span, MARKS_AT_MOST + 1)
    loaned = loan_marks(seen.loans, say)
    changed = version_marks(seen.versions, say)
    marks = [*fault_marks(open_to(faults[:MARKS_AT_MOST], say.caller), say), *loaned, *changed]
    unshared = _unshared(conn, device.device_no, span)
    beside = Beside(marks, _limits(conn, device.device_no), unshared)
    frame = Frame(99, "", say.lang, say.now, span)
    return {
        "device": device,
        "window": window,
        "moves": _named(moves(window, say.now), say, device.id),
        "picked": say.query.get("metric"),
        "drawings": device_charts(conn, device, seen.reported, span, beside, say),
        "unshared": unshared,
        "marks_cut": MARKS_AT_MOST if len(faults) > MARKS_AT_MOST else 0,
        "timeline": timeline(frame, open_to(found, say.caller), loaned),
        "has_loan_mark": any(span.low <= mark.at < span.high for mark in loaned),
        "has_version_mark": any(span.low <= mark.at < span.high for mark in changed),
    }


def _unshared(conn: Connection, device_no: int, span: Span) -> Times:
    """When within a time the user kept back what safety does not need."""
    times = privacy.unshared_times(conn, [device_no]).get(device_no, ())
    return [
        (from_at, until_at)
        for from_at, until_at in times
        if from_at < span.high and (until_at is None or span.low < until_at)
    ]


def _limits(conn: Connection, device_no: int) -> list[Any]:
    wanted = FindingFilter(device_no=device_no, is_open=True)
    return [finding_out(row) for row in reading.findings(conn, wanted, FINDING_ROWS)]


def _named(found: Moves, say: Say, device_id: str) -> list[tuple[str, str | None]]:
    """The moves as (word, address); None where one cannot go on."""
    metric = say.query.get("metric")
    words = ("earlier", "later", "closer", "wider")
    return [
        (word, None if said is None else say.link(f"/devices/{device_id}", metric=metric, **said))
        for word in words
        for said in [getattr(found, word)]
    ]


def whole(conn: Connection, seen: View, say: Say) -> dict[str, Any]:
    """Everything beside the charts."""
    device = seen.device
    latest, private_n = latest_split(reading.latest_values(conn, device.device_no), say.caller)
    episodes = _episodes(conn, device.device_no, say)
    stretches = troubles(open_to(episodes, say.caller), say.now)
    placements = lending.placements(conn, device.id)
    tickets = [
        *reading.open_tickets_of(conn, device.device_no, TICKET_ROWS),
        *device_reading.incidents_of(conn, device.device_no, TICKET_ROWS),
    ]
    found = _unticketed(conn, device.device_no, episodes, say)
    known = Known(device, tickets, stretches, placements, found["unticketed"])
    return {
        "standing": standing(known, say),
        "latest": latest,
        "private_n": private_n,
        "tickets": tickets,
        **found,
        **_ended(conn, device.device_no),
        "troubles": [(one, told(one, say)) for one in stretches[:TROUBLE_ROWS]],
        "trouble_rows": TROUBLE_ROWS,
        "trouble_n": len(stretches),
        "placements": placements,
        "place_now": place_of(placements),
        "loans": list(seen.loans),
        "loan": current(list(seen.loans)),
        "tag": tag_of_loans(list(seen.loans)),
        **_registered(conn, device, say),
        **_settings(conn, device, say),
        "versions": seen.versions,
        "version_rows": VERSION_ROWS,
        "version_words": version_words,
        **_quality(conn, device, placements, say),
        **_records(conn, seen, say),
    }


def _registered(conn: Connection, device: DeviceRow, say: Say) -> dict[str, Any]:
    """What people registered about it, for staff; and a hold, for those who may list holds."""
    caller = say.caller
    is_staff = caller is not None and caller.is_staff
    may_hold = caller is not None and shipped_policy()["list_holds"].allows(caller.role)
    return {
        "facts": device_reading.facts(conn, device.device_no) if is_staff else None,
        "hold": privacy.hold_of(conn, device.device_no) if may_hold else None,
    }


def _episodes(conn: Connection, device_no: int, say: Say) -> list[EpisodeRow]:
    span = Span(say.now - LOOK_BACK, say.now + timedelta(days=2))
    return device_reading.episodes(conn, device_no, span, EPISODE_ROWS)


def _unticketed(
    conn: Connection, device_no: int, episodes: Sequence[EpisodeRow], say: Say
) -> dict[str, Any]:
    """What holds and has no ticket: for those who may list findings."""
    if say.caller is None or not say.caller.is_staff:
        return {"unticketed": [], "finding_rows": FINDING_ROWS}
    rows = device_reading.unticketed_findings(conn, device_no, FINDING_ROWS)
    return {"unticketed": unticketed(rows, episodes, say), "finding_rows": FINDING_ROWS}


def _ended(conn: Connection, device_no: int) -> dict[str, Any]:
    """What was done about the device before, the newest first."""
    rows = reading.ended_tickets_of(conn, device_no, ENDED_ROWS + 1)
    return {"ended": rows[:ENDED_ROWS], "has_more_ended": len(rows) > ENDED_ROWS}


def _settings(conn: Connection, device: DeviceRow, say: Say) -> dict[str, Any]:
    """What the device is set to, in the catalogue's order, and how that changed."""
    told = device_reading.settings(conn, device.device_no)
    changed = device_reading.setting_changes(conn, device.device_no, SETTING_CHANGE_ROWS)
    care_n, left_out_n = device_reading.settings_kept_back(conn, device.device_no)
    shown = open_settings(told, device.device_class, say.caller)
    place = load_device_settings().place
    return {
        "settings": sorted(shown, key=lambda row: place(row.name)),
        "setting_changes": open_settings(changed, device.device_class, say.caller),
        "setting_change_rows": SETTING_CHANGE_ROWS,
        "settings_told_at": max((one.reported_at for one in told if one.reported_at), default=None),
        "care_setting_n": care_n + len(told) - len(shown),
        "settings_left_out_n": left_out_n,
    }


def _quality(
    conn: Connection, device: DeviceRow, placements: Sequence[Placement], say: Say
) -> dict[str, Any]:
    boots = device_reading.boots(conn, device.device_no, say.now - BOOTS_OVER, BOOT_ROWS)
    return {
        "contact": _contact(conn, device, placements, say),
        "boots": boots,
        "boot_rows": BOOT_ROWS,
        "worst_skew_ms": _worst_skew(boots),
    }


def _contact(
    conn: Connection, device: DeviceRow, placements: Sequence[Placement], say: Say
) -> Contact | None:
    """None for a model whose silence says nothing, and for one too new to judge."""
    model = load_models().get(device.model_id)
    if model is None or model.longest_silence_s is None:
        return None
    low = max(say.now - CONTACT_OVER, device.created_at)
    heard = device_reading.contact_hours(conn, device.device_no, Span(low, say.now))
    quiet = [(row.from_at, row.until_at) for row in placements if row.place != "in_use"]
    silence = timedelta(seconds=model.longest_silence_s)
    return contact(heard, silence, low, say.now, quiet)


def _worst_skew(boots: Sequence[BootRow]) -> int | None:
    known = [boot.skew_ms for boot in boots if boot.skew_ms is not None]
    return max(known, key=abs, default=None)


def _records(conn: Connection, seen: View, say: Say) -> dict[str, Any]:
    """What came in: the reports themselves, and for staff the ledger and its gaps.

    A ledger counts from the device's first record on, also what came before a loan.
    """
    device_no, at = seen.device.device_no, seen.window.at
    high = say.now if at is None else seen.window.span.high
    span = Span(high - LOOK_BACK, high + timedelta(days=2))
    faults = open_to(reading.faults(conn, device_no, span, FAULT_ROWS), say.caller)
    is_staff = say.caller is not None and say.caller.is_staff
    ledgers = reading.ledgers_of(conn, device_no) if is_staff else []
    return {
        "faults": [fault_out(fault) for fault in faults],
        "fault_rows": FAULT_ROWS,
        "has_ledger": is_staff,
        "ledgers": [ledger_out(row) for row in ledgers],
        "gaps": device_reading.gaps_of(conn, device_no, GAP_ROWS) if is_staff else [],
    }
