"""A small fleet with a week behind it, in a real database, and the application in front."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.types.json import Jsonb
from starlette.testclient import TestClient
from support.by_hand import Opens, opening
from support.people import UNIT, access_settings, bearer, claims_of
from support.postgres import Cluster
from support.serving import running

from api.app import create_app
from api.process import ApiSettings
from fleet import drafts
from fleet.access.callers import Role
from fleet.clock import ClockQuality
from fleet.episodes import Episode
from fleet.faults import load_catalogue
from fleet.rules.facts import (
    CodedEpisode,
    DaySeries,
    DeviceProfile,
    Facts,
    day_series,
    last_closed_day,
)
from fleet.rules.findings import Finding
from fleet.rules.reader import shipped_rules
from fleet.rules.rule import Window
from fleet.rules.selection import Selection
from fleet.rules.storms import Member
from fleet.ticket_actions import Action, Outcome, Request
from fleet.ticket_states import State
from fleet.wire.topics import shard_of
from storage import raising
from storage.connection import connect
from storage.deadlines import (
    assign_agreement,
    moved,
    open_clocks,
    record_breaches,
    record_notices,
    take_to_breach,
    take_to_notify,
)
from storage.facts import profiles
from storage.findings import (
    FindingChanges,
    Subject,
    link_findings,
    linked_findings,
    save_findings,
)
from storage.lending import BasicNeed, current_needs, start_loan
from storage.migrate import migrate
from storage.raising import NewTicket, TicketEvent
from storage.registry import sync_catalogues
from storage.sessions import open_session
from storage.tickets import change, confirm_urgent

CHAIR, APAP, SILENT, METER = "fk-20417", "fk-31102", "fk-20555", "fk-40001"
EPOCH = "9f2c61d0a4b7e813"
STORM = ("vr2.named", "COMMUNICATIONS ERROR")
CANARY = "<script>alert(1)</script>"
Admin = psycopg.Connection[tuple[Any, ...]]


@dataclass
class Fleet:
    """What was seeded, for tests to compare with."""

    url: str
    now: datetime
    device_ids: list[str] = field(default_factory=list)
    ticket_nos: list[int] = field(default_factory=list)
    tickets: dict[str, int] = field(default_factory=dict)
    quarantine_n: int = 0


@pytest.fixture(scope="session")
def fleet(plain: Cluster) -> Iterator[Fleet]:
    """The fleet that tests share and leave as it was."""
    yield from _seeded(plain)


@pytest.fixture(scope="module")
def own_fleet(plain: Cluster) -> Iterator[Fleet]:
    """A fleet that the tests of one module may change."""
    yield from _seeded(plain)


def _seeded(plain: Cluster) -> Iterator[Fleet]:
    name = f"t{uuid.uuid4().hex[:12]}"
    url = plain.create_database(name)
    migrate(url)
    seeded = Fleet(url, datetime.now(UTC).replace(microsecond=0))
    with psycopg.connect(url) as conn:
        Seeding(conn, seeded).everything()
    yield seeded
    plain.drop_database(name)


@pytest.fixture(scope="session")
def settings(fleet: Fleet) -> ApiSettings:
    return ApiSettings(fleet.url, access_settings(), port=0, database_wait_s=2.0)


@pytest.fixture
def client(settings: ApiSettings) -> Iterator[TestClient]:
    """The application, asked by an administrator unless a request brings other headers."""
    app = create_app(settings)
    headers = bearer(Role.ADMINISTRATOR)
    with TestClient(app, base_url="http://127.0.0.1:8460", headers=headers) as opened:
        yield opened


@pytest.fixture
def nobody(settings: ApiSettings) -> Iterator[TestClient]:
    """The application, asked by nobody who is signed in."""
    with TestClient(
        create_app(settings), base_url="http://127.0.0.1:8460", follow_redirects=False
    ) as opened:
        yield opened


@pytest.fixture(scope="session")
def sessions(fleet: Fleet, settings: ApiSettings) -> Callable[[Role], dict[str, str]]:
    """A browser's session cookie of somebody with a role, as signing in leaves it."""

    def opened(role: Role) -> dict[str, str]:
        token = secrets.token_urlsafe(32)
        caller = settings.access.claims.caller(claims_of(role))
        with connect(fleet.url) as conn:
            open_session(conn, token, caller, datetime.now(UTC), timedelta(hours=1))
            conn.commit()
        return {"name": "fjarrkoll_session", "value": token}

    return opened


@pytest.fixture(scope="session")
def server(settings: ApiSettings) -> Iterator[str]:
    """The address of a running server."""
    with running(settings) as address:
        yield address


@pytest.fixture
def by_hand(client: TestClient, fleet: Fleet) -> Iterator[Opens]:
    """Opens tickets by hand; afterwards they were never there."""
    yield from opening(client, fleet.url, max(fleet.ticket_nos))


class Scenes:
    """Findings, tickets, deadlines and people's work, written by the code that writes them."""

    def __init__(self, conn: Admin, now: datetime) -> None:
        self.conn = conn
        self.now = now
        self.named: dict[str, int] = {}

    def everything(self, storm: dict[int, CodedEpisode]) -> dict[str, int]:
        self.incident(storm)
        self.forecast()
        self.replacement()
        self.missed()
        return self.named

    def agreements_and_loans(self) -> None:
        long_ago = self.now - timedelta(days=300)
        assign_agreement(
            self.conn, tenant="exempel", policy_id="vgr", from_at=long_ago, who="Anna Ek"
        )
        needs = {CHAIR: [BasicNeed.SOLE_MOBILITY, BasicNeed.TRANSFER], APAP: [], SILENT: []}
        needs |= {f"fk-5{number:04d}": [BasicNeed.EATING] for number in (33, 41)}
        for device, listed in needs.items():
            start_loan(self.conn, device, f"p-{device}", listed, long_ago, care_unit=UNIT)

    def numbers(self) -> list[int]:
        rows = self.conn.execute("SELECT ticket_no FROM ticket ORDER BY 1").fetchall()
        return [row[0] for row in rows]

    def reported(self, device_no: int, evidence: list[CodedEpisode], state: str) -> int:
        """A ticket as diagnostics opens it for reported faults, and people bring to `state`."""
        found = self.judged(device_no, evidence)
        number = self.opened(device_no, found)
        self.brought_to(number, state)
        return number

    def judged(self, device_no: int, evidence: list[CodedEpisode]) -> list[Finding]:
        """What the shipped rule for reported faults says; a ticket whatever the severity."""
        rule = shipped_rules()["reported-fault"][0]
        anything = replace(rule.condition, selection=Selection())
        facts = Facts(self.profile(device_no), self.now, episodes=evidence)
        return anything.evaluate(rule, facts, Window(self.now - timedelta(days=30), 0, 0))

    def profile(self, device_no: int) -> DeviceProfile:
        return profiles(self.conn, [device_no])[device_no]

    def stored(self, device_no: int, found: list[Finding]) -> dict[int, Finding]:
        subject = Subject(1, device_no)
        numbers, _ = save_findings(
            self.conn, FindingChanges([], [(subject, finding) for finding in found], [])
        )
        return {
            numbers[subject, finding.rule_id, finding.about, finding.started_at]: finding
            for finding in found
        }

    def opened(self, device_no: int, found: list[Finding], at: datetime | None = None) -> int:
        stored = self.stored(device_no, found)
        profile = self.profile(device_no)
        needs = current_needs(self.conn, [device_no]).get(device_no)
        draft = drafts.draft(profile.device_class, found, needs)
        at = at or draft.known_at
        (number,) = raising.insert_tickets(
            self.conn, [NewTicket(Subject(1, device_no), draft)], at
        ).values()
        link_findings(self.conn, [(number, finding_no) for finding_no in stored])
        for item in (item for finding in found for item in finding.episodes):
            self.conn.execute(
                "INSERT INTO ticket_episode VALUES (%s, %s)", (number, item.episode_no)
            )
        events = [TicketEvent(number, "opened", {"findings": sorted(stored)})]
        if draft.urgent_because:
            because = {"because": list(draft.urgent_because)}
            events.append(TicketEvent(number, "urgent_proposed", because))
        raising.insert_ticket_events(self.conn, events, at)
        open_clocks(self.conn, [number], at)
        return number

    def brought_to(self, number: int, state: str) -> None:
        at = self.now - timedelta(hours=1)
        for minute, request in enumerate(WORK.get(state, ())):
            change(self.conn, number, request, at + timedelta(minutes=minute))

    def incident(self, storm: dict[int, CodedEpisode]) -> None:
        """One ticket for a storm; two of its devices had tickets of their own before."""
        found = {device_no: self.judged(device_no, [item])[0] for device_no, item in storm.items()}
        alone = dict(list(found.items())[:2])
        singles = [self.opened(device_no, [finding]) for device_no, finding in alone.items()]
        stored = {}
        for device_no, finding in found.items():
            if device_no not in alone:
                stored |= self.stored(device_no, [finding])
        linked = linked_findings(self.conn, singles)
        stored |= {no: finding for findings in linked.values() for no, finding in findings.items()}
        lead = next(iter(found.values()))
        needs = current_needs(self.conn, found)
        known = profiles(self.conn, found)
        members = [
            Member(known[no], finding, needs.get(no, frozenset())) for no, finding in found.items()
        ]
        at = lead.known_at + timedelta(minutes=30)
        draft = drafts.draft_incident(lead, members, at)
        group = Subject(1, None, f"storm:{lead.about}")
        (number,) = raising.insert_tickets(self.conn, [NewTicket(group, draft)], at).values()
        link_findings(self.conn, [(number, finding_no) for finding_no in stored])
        raising.void_singles(self.conn, singles, number, at)
        detail = {"reason": "part_of_incident", "incident": number}
        events = [TicketEvent(number, "opened", {"devices": 22})]
        events.append(TicketEvent(number, "devices_added", {"devices": len(found)}))
        events += [TicketEvent(single, "voided", detail) for single in singles]
        raising.insert_ticket_events(self.conn, events, at)
        open_clocks(self.conn, [number], at)
        for single in singles:
            moved(self.conn, single, State.NEW, State.VOID, at)
        self.named |= {"incident": number, "single": singles[0]}

    def forecast(self) -> None:
        """A battery that fades, as the shipped rule sees it."""
        rule = shipped_rules()["battery-end-of-life"][0]
        device_no = self.number_of("fk-50055")
        last_day = last_closed_day(self.now)
        day = np.arange(150.0)
        days = {
            "battery_voltage_v": (24.6 - 0.02 * day, 26.9 - 0.003 * day),
            "state_of_charge_pct": (45 - 0.12 * day, 98 + 0 * day),
            "odometer_m": (1e6 + 7000 * day, 1e6 + 7000 * (day + 1)),
            "ambient_temp_c": (18 + 0 * day, 21 + 0 * day),
        }
        facts = Facts(
            self.profile(device_no),
            self.now,
            days={name: self.by_day(last_day, *ends) for name, ends in days.items()},
        )
        window = Window(self.now - timedelta(days=60), last_day - 60, last_day)
        found = rule.condition.evaluate(rule, facts, window)[-1:]
        assert found, "the rule sees that the battery fades"
        self.named["forecast"] = self.opened(device_no, found)

    @staticmethod
    def by_day(last_day: int, low: Any, high: Any) -> DaySeries:
        rows = zip(range(last_day - len(low) + 1, last_day + 1), low, high, strict=True)
        return day_series([(day, 30, lo, hi, (lo + hi) * 15, hi) for day, lo, hi in rows])

    def number_of(self, device: str) -> int:
        row = self.conn.execute("SELECT device_no FROM device WHERE id = %s", (device,)).fetchone()
        assert row is not None
        return int(row[0])

    def replacement(self) -> None:
        """A ticket that a person confirmed as urgent, so that another one took its place."""
        rows = self.conn.execute(
            "SELECT ticket_no FROM ticket WHERE state = 'new' AND order_kind = 'AU'"
            " AND urgent_because <> '{}' ORDER BY ticket_no DESC LIMIT 1"
        ).fetchall()
        old = rows[0][0]
        at = self.now - timedelta(minutes=50)
        self.named["replaced"] = old
        self.named["urgent"] = confirm_urgent(self.conn, old, "Anna Ek", at, "ringt användaren")

    def missed(self) -> None:
        """A ticket that nobody took in time: a notice was drafted, then the breach recorded."""
        device_no = self.number_of("fk-50054")
        at = self.now - timedelta(days=21)
        episode = Episode(at, at, None, 1, 0, 0, at + timedelta(seconds=4))
        number = self.conn.execute(
            "INSERT INTO episode (device_no, system, code, started_at, last_at, raised_n,"
            " cleared_n, logged_n, first_received_at)"
            " VALUES (%s, 'vr2', '3D00', %s, %s, 1, 0, 0, %s) RETURNING episode_no",
            (device_no, at, at, episode.first_received_at),
        ).fetchone()
        assert number is not None
        item = CodedEpisode(number[0], load_catalogue().look_up("vr2", "3D00"), episode)
        self.named["missed"] = self.opened(device_no, self.judged(device_no, [item]))
        warned = self.now - timedelta(days=17)
        record_notices(self.conn, take_to_notify(self.conn, warned, 100), warned)
        record_breaches(self.conn, take_to_breach(self.conn, self.now, 100), self.now)


_ANNA, _BO = "Anna Ek", "Bo Lind"
_TAKEN = Request(Action.TAKE, _BO)
_SOLVED = Request(
    Action.SOLVE,
    _BO,
    "Kontakten i motorkabeln var ärgad. Bytte kontakt.",
    outcome=Outcome.PART_REPLACED,
    part="motorkontakt",
    minutes=40,
)
WORK = {
    "triaged": [Request(Action.TRIAGE, _ANNA)],
    "assigned": [_TAKEN],
    "waiting": [_TAKEN, Request(Action.WAIT, _BO, "del beställd", reason="part_on_order")],
    "solved": [_TAKEN, _SOLVED],
    "closed": [_TAKEN, _SOLVED, Request(Action.CLOSE, _BO, "provkörd med användaren")],
}


class Seeding:
    def __init__(self, conn: Admin, fleet: Fleet) -> None:
        self.conn = conn
        self.fleet = fleet
        self.now = fleet.now
        self.numbers: dict[str, int] = {}
        self.seq = 0
        self.scenes = Scenes(conn, fleet.now)

    def everything(self) -> None:
        self.registry()
        self.week_of_samples()
        self.summaries()
        self.states_and_ledgers()
        self.faults_and_tickets()
        self.fleet.tickets = self.scenes.everything(self.storm())
        self.fleet.ticket_nos = self.scenes.numbers()
        self.quarantine()
        self.backlog()
        self.conn.execute("ANALYZE")

    def registry(self) -> None:
        run = self.conn.execute
        run("INSERT INTO tenant (id, name) VALUES ('exempel', 'Region Exempel')")
        run(
            "INSERT INTO centre (tenant_no, id, name) VALUES"
            " (1, 'norr', 'Hjälpmedelscentralen Norr'), (1, 'syd', 'Hjälpmedelscentralen Syd')"
        )
        sync_catalogues(self.conn, self.now - timedelta(days=30))
        self.device(CHAIR, "otto-bock-b400", 1, "4471 0293", "OB-88213-A")
        self.device(APAP, "resmed-airsense-11", 1, "4471 8820", "23211409117")
        self.device(SILENT, "permobil-m3", 2, "4471 1145", "PM3-00917")
        self.device(METER, "ble-blood-pressure", 2, "4472 0007", CANARY)
        models = ["permobil-m3", *["otto-bock-b400", "otto-bock-skippi"] * 2]
        for number in range(56):
            self.device(
                f"fk-5{number:04d}",
                models[number % 5],
                1 + number % 2,
                f"4480 {number:04d}",
                f"SN{number:06d}",
            )

    def device(self, device_id: str, model: str, centre: int, individual: str, serial: str) -> None:
        row = self.conn.execute(
            "INSERT INTO device (id, tenant_no, centre_no, model_id, shard, serial, individual_no,"
            " created_at) VALUES (%s, 1, %s, %s, %s, %s, %s, %s) RETURNING device_no",
            (
                device_id,
                centre,
                model,
                shard_of(device_id),
                serial,
                individual,
                self.now - timedelta(days=400),
            ),
        ).fetchone()
        assert row is not None
        self.numbers[device_id] = row[0]
        self.fleet.device_ids.append(device_id)

    def week_of_samples(self) -> None:
        for days in (0, 8, 31):
            month = (self.now - timedelta(days=days)).date().replace(day=1)
            self.conn.execute("SELECT ensure_sample_partition(%s)", (month,))
        day_h, wave = "extract(hour FROM at)", "sin(extract(epoch FROM at) / 900)"
        # Out and about from 6 to 19 UTC, a charge at night; a voltage sag in the last afternoon.
        chair = {
            "battery_voltage_v": f"26.9 - 0.19 * ({day_h} - 6) + 0.25 * {wave}"
            " - CASE WHEN at > %(now)s - interval '5 hours' THEN 1.4 ELSE 0 END",
            "state_of_charge_pct": f"98 - 5.1 * ({day_h} - 6 + extract(minute FROM at) / 60)",
            "battery_current_a": f"9 + 6 * {wave} + 2 * random()",
            "motor_left_current_a": f"6 + 4 * {wave} + 2 * random()"
            " + CASE WHEN at > %(now)s - interval '6 hours' THEN 5 ELSE 0 END",
            "motor_right_current_a": f"6 + 4 * {wave} + 2 * random()",
            "motor_temp_c": f"31 + 1.6 * ({day_h} - 6) + 3 * {wave}",
            "drive_time_s": "913200 + extract(epoch FROM at - %(now)s) / 4",
        }
        for metric, value in chair.items():
            self.samples(CHAIR, metric, value, f"{day_h} BETWEEN 6 AND 19", "1 minute")
        night = f"{day_h} NOT BETWEEN 6 AND 20"
        self.samples(APAP, "mask_leak_l_min", f"14 + 9 * {wave} + 4 * random()", night, "1 minute")
        self.samples(APAP, "humidifier_temp_c", f"28 + {wave}", night, "1 minute")
        self.samples(APAP, "ahi_per_h", "3.1", f"{day_h} = 5", "1 hour")
        self.samples(METER, "bp_systolic_mmhg", "131", f"{day_h} = 7", "1 hour")
        self.samples(METER, "battery_voltage_v", "2.91", f"{day_h} = 7", "1 hour")

    def samples(self, device: str, metric: str, value: str, when: str, every: str) -> None:
        self.conn.execute(
            "INSERT INTO sample (at, received_at, value, device_no, metric_no, clock)"
            f" SELECT at, at + interval '2 seconds', {value}, %(device)s, m.metric_no, 0"
            " FROM metric m, generate_series(%(now)s - interval '8 days', %(now)s,"
            f" interval '{every}') at WHERE m.name = %(metric)s AND {when}",
            {"device": self.numbers[device], "metric": metric, "now": self.now},
        )

    def summaries(self) -> None:
        self.conn.execute(
            "INSERT INTO rollup_hour SELECT device_no, metric_no, date_trunc('hour', at), count(*),"
            " min(value), max(value), sum(value), (array_agg(value ORDER BY at DESC))[1], max(at)"
            " FROM sample GROUP BY 1, 2, 3"
        )
        self.conn.execute(
            "INSERT INTO latest SELECT DISTINCT ON (device_no, metric_no) device_no, metric_no, at,"
            " value FROM sample ORDER BY device_no, metric_no, at DESC"
        )

    def states_and_ledgers(self) -> None:
        hour = timedelta(hours=1)
        self.state(CHAIR, True, "synced", 400, "2.4.1", self.now - 3 * hour)
        self.state(APAP, True, "drifting", 95_000, "11.8.3", self.now - 30 * hour)
        self.state(SILENT, False, "unset", None, "1.9.0", self.now - 70 * hour)
        self.ledger(CHAIR, EPOCH, "{[1,4702),[4705,5321)}", 5330, 5312, 14, 4, self.now)
        self.ledger(
            CHAIR, "00000000000000aa", "{[1,812)}", 811, 811, 0, 0, self.now - timedelta(days=90)
        )
        self.ledger(APAP, EPOCH, "{[1,3361)}", 3360, 3360, 0, 0, self.now - 2 * hour)
        self.ledger(SILENT, EPOCH, "{[1,77),[80,91)}", 90, 90, 0, 0, self.now - 70 * hour)
        self.gap(CHAIR, 4702, 4704, None)
        self.gap(SILENT, 77, 79, None)
        self.gap(CHAIR, 1200, 1207, "lost_on_device")
        self.gap(CHAIR, 3300, 3301, "received")
        for source, counts in {
            "mqtt-0": (8_412, 8_391, 12, 9),
            "mqtt-1": (1_179, 1_170, 2, 7),
            "http-1": (41, 36, 4, 1),
        }.items():
            self.conn.execute(
                "INSERT INTO intake_total VALUES (%s, %s, %s, %s, %s, 61, %s)",
                (source, *counts, self.now),
            )

    def state(
        self, device: str, online: bool, clock: str, skew_ms: int | None, fw: str, at: datetime
    ) -> None:
        self.conn.execute(
            "INSERT INTO device_state (device_no, is_online, boot, epoch, clock, skew_ms, fw,"
            " born_at, changed_at) VALUES (%s, %s, 17, %s, %s, %s, %s, %s, %s)",
            (self.numbers[device], online, EPOCH, clock, skew_ms, fw, at, at),
        )

    def ledger(self, device: str, epoch: str, ranges: str, *rest: Any) -> None:
        received, stored, duplicate, quarantined, last_at = rest
        self.conn.execute(
            "INSERT INTO ledger (device_no, epoch, received, received_n, stored_n, duplicate_n,"
            " quarantined_n, is_gapped, first_at, last_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                self.numbers[device],
                epoch,
                ranges,
                received,
                stored,
                duplicate,
                quarantined,
                "," in ranges.replace(",", "", 1),
                last_at - timedelta(days=8),
                last_at,
            ),
        )

    def gap(self, device: str, low: int, high: int, closed_as: str | None) -> None:
        at = self.now - timedelta(hours=20)
        self.conn.execute(
            "INSERT INTO gap (device_no, epoch, low, high, opened_at, asked_n, asked_at, closed_at,"
            " closed_as) VALUES (%s, %s, %s, %s, %s, 3, %s, %s, %s)",
            (
                self.numbers[device],
                EPOCH,
                low,
                high,
                at,
                at + timedelta(minutes=1),
                at + timedelta(minutes=9) if closed_as else None,
                closed_as,
            ),
        )

    def faults_and_tickets(self) -> None:
        self.scenes.agreements_and_loans()
        hour = timedelta(hours=1)
        self.cause(CHAIR, "vr2", ["3B00"], [-28 * hour, -6 * hour, -3 * hour], "new", None)
        self.cause(CHAIR, "vr2", ["7100"], [-100 * hour], "assigned", 2 * hour)
        self.cause(APAP, "resmed.str", ["Fault.Device"], [-20 * hour], "waiting", None)
        self.cause(SILENT, "rnet.ics", ["2012"], [-80 * hour], "closed", hour)
        self.cause(METER, CANARY_SYSTEM, ["<b>X</b>"], [-9 * hour], "triaged", None)
        for number in range(40):
            device = f"fk-5{number:04d}"
            system = "rnet.ics" if number % 5 == 0 else "vr2"
            code = "2013" if number % 5 == 0 else ("3C00", "7100")[number % 2]
            state = "closed" if number % 4 == 3 else "new"
            self.cause(device, system, [code], [-(number + 2) * hour], state, hour)

    def cause(
        self,
        device: str,
        system: str,
        codes: list[str],
        starts: list[timedelta],
        state: str,
        lasts: timedelta | None,
    ) -> None:
        evidence = []
        for code in codes:
            for start in starts:
                at = self.now + start
                is_last = start == starts[-1]
                ended = None if lasts is None and is_last else at + (lasts or timedelta(minutes=40))
                episode = Episode(
                    at, ended or at, ended, 1, int(ended is not None), 0, at + timedelta(seconds=3)
                )
                self.fault(device, system, code, "raised", at)
                if ended is not None:
                    self.fault(device, system, code, "cleared", ended)
                evidence.append(self.coded(device, system, code, episode))
        self.scenes.reported(self.numbers[device], evidence, state)

    def coded(self, device: str, system: str, code: str, episode: Episode) -> CodedEpisode:
        number = self.episode(device, system, code, episode)
        return CodedEpisode(number, load_catalogue().look_up(system, code), episode)

    def storm(self) -> dict[int, CodedEpisode]:
        """The same fault of the bus on 24 chairs within half an hour."""
        found = {}
        for number in range(24):
            device = f"fk-5{number + 30:04d}"
            at = self.now - timedelta(hours=30) + timedelta(minutes=number)
            ended = None if number % 3 else at + timedelta(hours=2)
            episode = Episode(
                at, ended or at, ended, 1, int(ended is not None), 0, at + timedelta(seconds=5)
            )
            self.fault(device, *STORM, "raised", at)
            if ended is not None:
                self.fault(device, *STORM, "cleared", ended)
            found[self.numbers[device]] = self.coded(device, *STORM, episode)
        return found

    def fault(self, device: str, system: str, code: str, state: str, at: datetime) -> None:
        self.seq += 1
        self.conn.execute(
            "INSERT INTO fault_event VALUES (%s, %s, %s, 0, %s, %s, %s, NULL, %s, %s, %s, %s, %s)",
            (
                self.numbers[device],
                EPOCH,
                self.seq,
                system,
                code,
                state,
                at,
                at + timedelta(seconds=95) if device == APAP else None,
                at + timedelta(seconds=3),
                ClockQuality.CORRECTED if device == APAP else ClockQuality.SYNCED,
                Jsonb({"drive_profile": 2, "note": CANARY}),
            ),
        )

    def episode(self, device: str, system: str, code: str, episode: Episode) -> int:
        row = self.conn.execute(
            "INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at, raised_n,"
            " cleared_n, logged_n, first_received_at) VALUES (%s, %s, %s, %s, %s, %s, 1, %s, 0, %s)"
            " RETURNING episode_no",
            (
                self.numbers[device],
                system,
                code,
                episode.started_at,
                episode.last_at,
                episode.ended_at,
                episode.cleared_n,
                episode.first_received_at,
            ),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def quarantine(self) -> None:
        payloads = [
            ("malformed", f'{{"epoch": "{CANARY}", "seq": '.encode(), "JSON cut short"),
            ("malformed", bytes(range(256)) * 3, "invalid UTF-8"),
            ("out_of_range", b'{"seq": 0, "note": "\0\x1b[31mred\x07"}', "seq 0 is outside 1"),
            ("unknown_device", '{"name": "å\u202egnirts"}'.encode(), "not in the registry"),
            ("malformed", b"", "empty"),
            ("bad_time", b'{"at": 9' + b"9" * 5000 + b"}", CANARY),
        ]
        raw = [("no_decoder", b"raw %d" % number, "channel raw") for number in range(11)]
        payloads = raw + payloads
        for number, (reason, payload, detail) in enumerate(payloads):
            level = CANARY if reason == "malformed" else "raw"
            topic = f"fk/1/00/exempel/{CHAIR}/up/{level}".encode()
            self.conn.execute(
                "INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id,"
                " payload, payload_size, received_at, last_at)"
                " VALUES (%s, %s, %s, %s, 'exempel', %s, %s, %s, %s, %s)",
                (
                    sha256(topic + payload).digest(),
                    reason,
                    detail,
                    topic,
                    CHAIR,
                    payload,
                    len(payload),
                    self.now - timedelta(minutes=30 - number),
                    self.now,
                ),
            )
        self.conn.execute(
            "INSERT INTO quarantine_total SELECT reason, count(*) FROM quarantine GROUP BY reason"
        )
        self.fleet.quarantine_n = len(payloads)

    def backlog(self) -> None:
        self.conn.execute(
            "INSERT INTO dirty_hour SELECT date_trunc('hour', %s), device_no FROM device",
            (self.now,),
        )
        self.conn.execute(
            "INSERT INTO inbox (device_no, epoch, seq, received_at) VALUES (1, %s, 5320, %s)",
            (EPOCH, self.now),
        )


CANARY_SYSTEM = "new.table"
