"""What the rules may know of devices, loaded for a whole batch of them at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Final

from fleet.episodes import Episode
from fleet.faults import load_catalogue
from fleet.models import load_models
from fleet.privacy import Unshared, is_always_shared, shared_days, shared_samples
from fleet.rules.facts import (
    CodedEpisode,
    Contact,
    DaySeries,
    DeviceProfile,
    Facts,
    Repair,
    Sample,
    Span,
    day_series,
    day_starts_at,
    last_closed_day,
)
from fleet.rules.rule import Needs
from fleet.words import DeviceClass
from storage import lending, privacy
from storage.connection import Connection
from storage.queries import load_queries

REPAIRS_KEPT: Final = timedelta(days=400)
"""How long a repair is remembered, for service that is due by date."""

SAMPLES_BEFORE: Final = timedelta(days=2)
"""How far before a window raw samples are read: a stretch that reaches into it began there."""

_SQL: Final = load_queries("facts.sql")
_CLASSES: Final = {str(device_class): device_class for device_class in DeviceClass}


def load_facts(
    conn: Connection, from_at: Mapping[int, datetime], needs: Needs, now: datetime
) -> dict[int, Facts]:
    """The facts of each device by number: what `needs` names, from a time of each device on.

    Days on which a loan did not share have no values but those that safety needs.

    Args:
        from_at: where the device's window begins; the lookback is added here.
    """
    devices = sorted(from_at)
    back = timedelta(days=needs.lookback_days)
    since = {device_no: at - back for device_no, at in from_at.items()}
    until = day_starts_at(last_closed_day(now) + 1)
    first = min(from_at.values(), default=now)
    episodes = _episodes(conn, since) if needs.episodes else {}
    days = _days(conn, from_at, needs, until)
    recent = {device_no: at - SAMPLES_BEFORE for device_no, at in from_at.items()}
    samples = _samples(conn, recent, needs, now) if needs.samples else {}
    unshared = {
        no: Unshared.during(times) for no, times in privacy.unshared_times(conn, devices).items()
    }
    repairs = _repairs(conn, devices, first - REPAIRS_KEPT) if needs.repairs else {}
    contacts = _contacts(conn, devices, now - back) if needs.contact else {}
    quiet = lending.quiet_spans(conn, devices, min(since.values(), default=now))
    return {
        no: Facts(
            device=profile,
            now=now,
            episodes=episodes.get(no, ()),
            days=_days_shared(days.get(no, {}), unshared.get(no)),
            samples=_samples_shared(samples.get(no, {}), unshared.get(no)),
            quiet=[Span(*span) for span in quiet.get(no, ())],
            repairs=repairs.get(no, ()),
            contact=contacts.get(no),
        )
        for no, profile in profiles(conn, devices).items()
    }


def profiles(conn: Connection, device_nos: Iterable[int]) -> dict[int, DeviceProfile]:
    rows = conn.execute(_SQL["profiles"], {"devices": sorted(set(device_nos))})
    return {row[0]: _profile(*row) for row in rows}


def _profile(  # noqa: PLR0913, PLR0917 - the columns of a row
    device_no: int,
    device_id: str,
    tenant_no: int,
    tenant_id: str,
    device_class: str,
    model_id: str,
    *rest: object,
) -> DeviceProfile:
    """A class that a newer release has registered is None here."""
    return DeviceProfile(
        device_no,
        device_id,
        tenant_no,
        tenant_id,
        _CLASSES.get(device_class),
        model_id,
        load_models().get(model_id),
        *rest,  # type: ignore[arg-type]
    )


def _columns(from_at: Mapping[int, datetime]) -> dict[str, list[object]]:
    return {"devices": list(from_at), "from_at": list(from_at.values())}


def _episodes(
    conn: Connection, since: Mapping[int, datetime]
) -> Mapping[int, Sequence[CodedEpisode]]:
    found: dict[int, list[CodedEpisode]] = defaultdict(list)
    catalogue = load_catalogue()
    for device_no, number, system, code, *fields in conn.execute(
        _SQL["episodes_since"], _columns(since)
    ):
        fault = catalogue.look_up(system, code)
        found[device_no].append(CodedEpisode(number, fault, Episode(*fields)))
    return found


def _days(
    conn: Connection, from_at: Mapping[int, datetime], needs: Needs, until: datetime
) -> Mapping[int, Mapping[str, DaySeries]]:
    """Each metric as far back as some rule needs it, one query for each reach."""
    reaches: dict[int, list[str]] = defaultdict(list)
    for name in needs.metrics:
        reaches[needs.days_back(name)].append(name)
    found: dict[int, dict[str, DaySeries]] = defaultdict(dict)
    for days_back, names in sorted(reaches.items()):
        since = {no: at - timedelta(days=days_back) for no, at in from_at.items()}
        parameters = {**_columns(since), "metrics": names, "until_at": until}
        rows = conn.execute(_SQL["days"], parameters).fetchall()
        for (device_no, name), days in groupby(rows, key=itemgetter(0, 1)):
            found[device_no][name] = day_series([row[2:] for row in days])
    return found


def _samples(
    conn: Connection, from_at: Mapping[int, datetime], needs: Needs, now: datetime
) -> Mapping[int, Mapping[str, Sequence[Sample]]]:
    bounds = {
        "bound_metrics": [bound[0] for bound in needs.bounds],
        "lows": [bound[1] for bound in needs.bounds],
        "highs": [bound[2] for bound in needs.bounds],
    }
    parameters = {**_columns(from_at), **bounds, "metrics": list(needs.samples), "until_at": now}
    found: dict[int, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for device_no, name, at, value in conn.execute(_SQL["samples"], parameters):
        found[device_no][name].append(Sample(at, value))
    return found


def _days_shared(
    days: Mapping[str, DaySeries], unshared: Unshared | None
) -> Mapping[str, DaySeries]:
    if unshared is None:
        return days
    kept = {
        name: series if is_always_shared(name) else shared_days(series, unshared)
        for name, series in days.items()
    }
    return {name: series for name, series in kept.items() if len(series)}


def _samples_shared(
    samples: Mapping[str, Sequence[Sample]], unshared: Unshared | None
) -> Mapping[str, Sequence[Sample]]:
    if unshared is None:
        return samples
    kept = {
        name: found if is_always_shared(name) else shared_samples(found, unshared)
        for name, found in samples.items()
    }
    return {name: found for name, found in kept.items() if found}


def _repairs(
    conn: Connection, devices: Sequence[int], since: datetime
) -> Mapping[int, Sequence[Repair]]:
    found: dict[int, list[Repair]] = defaultdict(list)
    rows = conn.execute(_SQL["repairs"], {"devices": list(devices), "since_at": since})
    for device_no, ticket_no, cause, solved_at, codes in rows:
        found[device_no].append(Repair(ticket_no, cause, solved_at, frozenset(codes)))
    return found


def _contacts(conn: Connection, devices: Sequence[int], since: datetime) -> Mapping[int, Contact]:
    rhythm: dict[int, list[int]] = dict(
        conn.execute(_SQL["active_hours"], {"devices": list(devices), "since_at": since}).fetchall()
    )
    rows = conn.execute(_SQL["contacts"], {"devices": list(devices)})
    return {
        device_no: Contact(last_at, rhythm.get(device_no, ()), gateway_last_at)
        for device_no, last_at, gateway_last_at in rows
    }
