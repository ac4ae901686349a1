"""A small fleet with a week behind it, in a real database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from psycopg.types.json import Jsonb
from support.scenes import Admin, Scenes

from fleet.clock import ClockQuality
from fleet.episodes import Episode
from fleet.faults import load_catalogue
from fleet.rules.facts import (
    CodedEpisode,
)
from fleet.wire.topics import shard_of
from storage.centres import ContactChange, set_contact
from storage.registry import sync_catalogues

CHAIR, APAP, SILENT, METER = "fk-20417", "fk-31102", "fk-20555", "fk-40001"
EPOCH = "9f2c61d0a4b7e813"
STORM = ("vr2.named", "COMMUNICATIONS ERROR")
CANARY = "<script>alert(1)</script>"
CANARY_SYSTEM = "new.table"


@dataclass
class Fleet:
    """What was seeded, for tests to compare with."""

    url: str
    now: datetime
    device_ids: list[str] = field(default_factory=list)
    ticket_nos: list[int] = field(default_factory=list)
    tickets: dict[str, int] = field(default_factory=dict)
    quarantine_n: int = 0


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
        # A number that is kept for fiction (Post- och telestyrelsen: 08-465 004 00 to 99).
        contact = ContactChange("08-465 004 00", "vardagar 8–16", "norr@region.example",
                                "https://www.1177.se/")  # fmt: skip
        set_contact(self.conn, "exempel", "norr", contact)
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
        day = 24 * hour
        self.setting(CHAIR, "forward_speed_max_pct", 70, 80, self.now - 4 * day)
        self.setting(CHAIR, "drive_profile", 2, 2, self.now - 40 * day)
        self.setting(CHAIR, "x_odd_name", CANARY, CANARY, self.now - 40 * day)
        self.setting(APAP, "pressure_max_cmh2o", 13, 14.2, self.now - 9 * day, is_care=True)
        self.setting(APAP, "mask_type", "nasal", "full_face", self.now - 9 * day)
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
                "INSERT INTO intake_total VALUES (%s, %s, %s, %s, %s, 61, %s, 0.3, 4)",
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

    def setting(
        self, device: str, name: str, first: Any, now: Any, at: datetime, *, is_care: bool = False
    ) -> None:
        """A setting that was `first` from the beginning and is `now` since `at`."""
        known = (self.numbers[device], name, Jsonb(now), is_care, at, self.now)
        self.conn.execute("INSERT INTO device_setting VALUES (%s, %s, %s, %s, %s, %s)", known)
        changes = [(first, self.now - timedelta(days=60)), (now, at)]
        for value, changed_at in changes if first != now else changes[1:]:
            self.conn.execute(
                "INSERT INTO device_setting_change (device_no, name, value, is_care, at)"
                " VALUES (%s, %s, %s, %s, %s)",
                (self.numbers[device], name, Jsonb(value), is_care, changed_at),
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
