"""How long people wait for pages and lists over a county, and what reading does to ingest."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from statistics import median
from typing import Any, Final

import httpx
from psycopg import sql
from psycopg.conninfo import make_conninfo

from fjarrkoll.bench import live
from fjarrkoll.bench.beside import COOKIE, idle_loops, readers
from fjarrkoll.bench.county import CARE_UNIT, FIRST, PERSON, CountySettings, fill
from fjarrkoll.bench.load import TENANT
from fjarrkoll.bench.stage import Stage, cpu_seconds
from fjarrkoll.embedded.broker import free_port
from fleet.access.callers import Caller, Role
from storage.connection import connect
from storage.sessions import open_session

CALLERS_EACH: Final = 16
"""People of one role: requests are shared among them, since each has a limit."""

PAGE_MAX_BYTES: Final = 150_000
PAGE_AIM_MS: Final = 300.0
LIST_AIM_MS: Final = 200.0
API_USER: Final = "fjarrkoll_api_login"
"""As deploy/ has it: the API's sessions are those of a user of its own, and give way to storing."""
_KINDS: Final = ("alone", "beside_idle_loops", "beside_readers")
_NOBODY: Final = "http://127.0.0.1:9"
"""An issuer that is never asked: the people here have their sessions already."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """One address, who asks for it, and how long it may take."""

    path: str
    role: Role
    aim_ms: float
    is_page: bool = False


def pages() -> list[Place]:
    """Every page of the menu and below it."""
    manager, desk, tech = Role.CENTRE_MANAGER, Role.SERVICE_DESK, Role.TECHNICIAN
    listed = (
        ("/", desk), ("/?sort=severity", desk), ("/?state=closed", desk),
        ("/?state=ended&due=overdue&severity=info", desk),
        ("/tickets/{ticket}", tech), ("/devices", tech), (f"/devices/{FIRST}", tech),
        (f"/devices/{FIRST}?range=30d", tech), ("/find?q=4471+0000", tech), ("/fleet", manager),
        ("/fleet?by=centre", manager), ("/fleet/devices?show=faulted", manager),
        ("/key-figures", manager), ("/key-figures?period={year}", manager),
        ("/key-figures/tickets?figure=solved&period={year}", manager),
        ("/key-figures.csv?period={year}", manager), ("/key-figures/use", manager),
        ("/rules", manager), ("/rules/battery-end-of-life", manager),
        ("/data-health", tech), ("/my-device", Role.PATIENT), ("/my-loans", Role.PRESCRIBER),
        ("/access-log", Role.AUDITOR), ("/data-health/quarantine", tech),
        ("/data-health/quarantine/{quarantine}", tech), ("/find?q=4471", tech),
        (f"/new-ticket?device={FIRST}", desk), ("/first-run", Role.ADMINISTRATOR),
        (f"/first-run?device={FIRST}", Role.ADMINISTRATOR),
        ("/fleet/devices?show=silent", manager), ("/fleet/batteries", manager),
        ("/fleet/batteries.csv", manager), ("/key-figures/use.csv", manager),
        ("/my-device/who-looked", Role.PATIENT), (f"/my-device/{FIRST}/sharing", Role.PATIENT),
    )  # fmt: skip
    return [Place(path, role, PAGE_AIM_MS, is_page=True) for path, role in listed]


def lists() -> list[Place]:
    """Every list, and the series behind a chart of thirty days."""
    desk, tech, admin = Role.SERVICE_DESK, Role.TECHNICIAN, Role.ADMINISTRATOR
    manager, patient = Role.CENTRE_MANAGER, Role.PATIENT
    own = f"/api/v1/devices/{FIRST}"
    listed = (
        ("/api/v1/devices", tech), ("/api/v1/devices?q=sn9", tech), (own, tech),
        (f"{own}/samples?metric=battery_voltage_v&from={{month_ago}}", tech),
        (f"{own}/samples?metric=battery_voltage_v", tech), (f"{own}/faults", tech),
        (f"{own}/episodes", tech), (f"{own}/loans", desk), (f"{own}/placements", tech),
        (f"{own}/gaps", tech), ("/api/v1/tickets", desk), ("/api/v1/tickets?sort=severity", desk),
        ("/api/v1/tickets?state=ended", desk), ("/api/v1/tickets?due=overdue", desk),
        ("/api/v1/tickets/{ticket}", desk), ("/api/v1/tickets/{ticket}/events", desk),
        ("/api/v1/findings", tech), ("/api/v1/episodes?system=vr2&code=7100", tech),
        ("/api/v1/gaps", tech), ("/api/v1/ledger", tech), ("/api/v1/quarantine", admin),
        ("/api/v1/users", admin), ("/api/v1/audit", Role.AUDITOR), ("/api/v1/rules", tech),
        ("/api/v1/fleet", manager), ("/api/v1/fleet/devices", manager),
        ("/api/v1/fleet/batteries", manager), ("/api/v1/key-figures", manager),
        ("/api/v1/key-figures?period={year}", manager),
        ("/api/v1/key-figures/tickets?figure=missed&period={year}", manager),
        (f"/api/v1/fhir/Observation?device=Device/{FIRST}&code=battery_voltage_v", tech),
        (f"/api/v1/fhir/Task?focus=Device/{FIRST}", tech),
        ("/api/v1/fhir/Device?identifier=SN9", tech),
        (f"/api/v1/fhir/Device/{FIRST}", tech),
        (f"/api/v1/fhir/DeviceMetric?source=Device/{FIRST}", tech),
        (f"/api/v1/fhir/DeviceMetric/{FIRST}.{{metric}}", tech),
        ("/api/v1/quarantine/{quarantine}", admin), ("/api/v1/fleet/rises", manager),
        ("/api/v1/fleet/devices?show=silent", manager), ("/api/v1/key-figures/use", manager),
        ("/api/v1/tickets/{ticket}/deadlines", desk), ("/api/v1/rules/bad-batch", tech),
        ("/api/v1/rules/bad-batch/backtests", tech), ("/api/v1/policies", desk),
        ("/api/v1/policies/vgr/versions/1", desk), ("/api/v1/agreements", desk),
        ("/api/v1/catalogue/faults", tech), ("/api/v1/catalogue/faults?system=vr2", tech),
        ("/api/v1/catalogue/systems", tech), ("/api/v1/catalogue/models", tech),
        ("/api/v1/catalogue/metrics", tech), ("/api/v1/holds", admin), ("/api/v1/me", tech),
        ("/api/v1/me/devices", patient), ("/api/v1/me/access-log", patient),
        ("/api/v1/me/blocks", patient), ("/api/v1/me/blocked", Role.PRESCRIBER),
    )  # fmt: skip
    return [Place(path, role, LIST_AIM_MS) for path, role in listed]


@dataclass(frozen=True, slots=True)
class PeopleSettings:
    """How much, and for how long the live load runs each time."""

    county: CountySettings = field(default_factory=CountySettings)
    requests: int = 100
    reads_per_s: int = 200
    live_seconds: float = 20.0
    rounds: int = 5
    live_devices: int = 5_000
    rate_per_s: int = 300


def measure(stage: Stage, settings: PeopleSettings, say: Say) -> dict[str, Any]:
    """Fill a county, ask for everything, then let devices report while people read."""
    filled = fill(stage, settings.county, say)
    sessions = _sessions(stage)
    with _api(stage) as served:
        answers = _asked_for(served[0].url, _filled_in(stage), sessions, settings.requests, say)
        ingest = _with_and_without_readers(stage, served, sessions, settings, say)
    return {"filled": filled, "answers": answers, "ingest": ingest}


@dataclass(frozen=True, slots=True)
class _Served:
    """One process of the API."""

    url: str
    pid: int


@contextmanager
def _api(stage: Stage) -> Iterator[list[_Served]]:
    """A process of the API for every two cores, as deploy/ has it: the others are for storing."""
    with ExitStack() as stack:
        way = stage.child("give-way", "--user", API_USER)
        stack.callback(way.stop)
        way.start()
        database_url = _url_of_api(stage)
        count = max(1, (os.cpu_count() or 1) // 2)
        yield [_served(stage, database_url, stack) for _ in range(count)]


def _served(stage: Stage, database_url: str, stack: ExitStack) -> _Served:
    port = free_port()
    more = {
        "FJARRKOLL_OIDC_ISSUER_URL": _NOBODY,
        "FJARRKOLL_OIDC_CLAIMS": "builtin",
        "FJARRKOLL_DATABASE_URL": database_url,
    }
    child = stage.child("api", "--port", str(port), tag=f"-{port}", more=more)
    stack.callback(child.stop)
    child.start()
    child.wait_for_line("api_ready")
    return _Served(f"http://127.0.0.1:{port}", child.pid)


def _url_of_api(stage: Stage) -> str:
    """The database as the API's own user, where the server is ours to make one."""
    if not stage.has_own_database:
        return stage.database_url
    with connect(stage.database_url) as conn:
        user = sql.Identifier(API_USER)
        if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [API_USER]).fetchone() is None:
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT").format(user))
        conn.execute(sql.SQL("GRANT fjarrkoll_api, fjarrkoll_ingest TO {}").format(user))
        conn.commit()
    return make_conninfo(stage.database_url, user=API_USER)


def _sessions(stage: Stage) -> dict[Role, list[str]]:
    """Sessions of several people of each role, as signing in leaves them."""
    found: dict[Role, list[str]] = {}
    with connect(stage.database_url) as conn:
        for role in Role:
            found[role] = [secrets.token_urlsafe(32) for _ in range(CALLERS_EACH)]
            for number, token in enumerate(found[role]):
                now = datetime.now(UTC)
                open_session(conn, token, _caller(role, number), now, timedelta(hours=12))
        conn.commit()
    return found


def _caller(role: Role, number: int) -> Caller:
    return Caller(
        f"bench-{role}-{number}",
        f"Bo {role}",
        role,
        TENANT,
        care_unit=CARE_UNIT if role is Role.PRESCRIBER else None,
        person=PERSON if role is Role.PATIENT else None,
        device=FIRST if role is Role.DEVICE else None,
    )


def _filled_in(stage: Stage) -> list[Place]:
    """All places, with the numbers, the instant and the year that their addresses name."""
    with connect(stage.database_url) as conn:
        row = conn.execute(
            "SELECT (SELECT min(ticket_no) FROM ticket), (SELECT min(quarantine_no)"
            " FROM quarantine), (SELECT metric_no FROM metric WHERE name = 'battery_voltage_v')"
        ).fetchone()
    assert row is not None
    now = datetime.now(UTC)
    month_ago = f"{now - timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}"
    return [
        Place(
            place.path.format(
                ticket=row[0], quarantine=row[1], metric=row[2], month_ago=month_ago, year=now.year
            ),
            place.role, place.aim_ms, place.is_page,
        )
        for place in pages() + lists()
    ]  # fmt: skip


def _asked_for(
    url: str, places: Sequence[Place], sessions: Mapping[Role, list[str]], times: int, say: Say
) -> list[dict[str, Any]]:
    found = []
    with httpx.Client(base_url=url, timeout=30) as client:
        for place in places:
            one = _timed(client, place, sessions[place.role], times)
            say(f"  {one['p95_ms']:8.1f} ms  {one['bytes']:>7,} B  {place.path}")
            found.append(one)
    return found


def _timed(client: httpx.Client, place: Place, tokens: Sequence[str], times: int) -> dict[str, Any]:
    """One address asked for again and again, one request at a time, by people in turn."""
    seconds, size, status = [], 0, set()
    for _, token in zip(range(times), cycle(tokens), strict=False):
        began = time.perf_counter()
        answer = client.get(place.path, headers={"Cookie": f"{COOKIE}={token}"})
        seconds.append(time.perf_counter() - began)
        size = max(size, len(answer.content))
        status.add(answer.status_code)
    ordered = sorted(seconds)
    p95_ms = ordered[min(times - 1, int(times * 0.95))] * 1000
    return {
        "path": place.path,
        "role": str(place.role),
        "status": sorted(status),
        "n": times,
        "p50_ms": round(ordered[times // 2] * 1000, 1),
        "p95_ms": round(p95_ms, 1),
        "max_ms": round(ordered[-1] * 1000, 1),
        "aim_ms": place.aim_ms,
        "bytes": size,
        "is_met": status == {200} and p95_ms < place.aim_ms
        and (not place.is_page or size <= PAGE_MAX_BYTES),
    }  # fmt: skip


def _with_and_without_readers(
    stage: Stage,
    served: Sequence[_Served],
    sessions: Mapping[Role, list[str]],
    settings: PeopleSettings,
    say: Say,
) -> dict[str, Any]:
    """The delay from a record to its value being there, alone and beside many readers in turn."""
    load = live.LiveSettings(
        settings.live_seconds,
        settings.rate_per_s,
        settings.live_devices,
        backlog_devices=0,
        faults_max=0,
    )
    mix = [place for place in lists() if "{" not in place.path]
    told = [(place.path, token) for place in mix for token in sessions[place.role]]
    urls = [one.url for one in served]
    say("every process answers everything once")  # so do these: what is counted once is kept
    _asked_once(urls, mix, sessions)
    rounds = []
    with live.running(stage, load) as run:
        run.live()  # the first second after a start is another measurement
        for number in range(1, settings.rounds + 1):
            say(f"round {number} of {settings.rounds}: {load.rate_per_s:,} records/s alone")
            alone = run.live()
            say("the same while every core has a loop that gives way")
            with idle_loops():
                beside_loops = run.live()
            say(f"the same beside {settings.reads_per_s} requests/s")
            with readers(urls, told, settings.reads_per_s) as counted:
                began, before_s = time.monotonic(), _cpu_s(served)
                beside = run.live()
                spent_s, took_s = _cpu_s(served) - before_s, time.monotonic() - began
            counted["api_cores"] = round(spent_s / took_s, 2)
            figures = (alone, beside_loops, beside)
            rounds.append({**dict(zip(_KINDS, figures, strict=True)), "readers": counted})
    return {"median_p99_ms": {key: _median_p99(rounds, key) for key in _KINDS}, "rounds": rounds}


def _asked_once(
    urls: Sequence[str], places: Sequence[Place], sessions: Mapping[Role, list[str]]
) -> None:
    for url in urls:
        with httpx.Client(base_url=url, timeout=60) as client:
            for place in places:
                client.get(place.path, headers={"Cookie": f"{COOKIE}={sessions[place.role][0]}"})


def _cpu_s(served: Sequence[_Served]) -> float:
    return sum(cpu_seconds(one.pid) for one in served)


def _median_p99(rounds: Sequence[Mapping[str, Any]], kind: str) -> float:
    return float(median(one[kind]["record_to_queryable"]["p99_ms"] for one in rounds))
