"""Two tenants side by side, each with one of everything, to see that neither sees the other."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from support.people import UNIT

from api.process import ApiSettings, run
from storage.lending import start_loan
from storage.registry import sync_catalogues

NAMES = ("exempel", "annan")
EPOCH = "00000000000000aa"


@dataclass(frozen=True)
class Things:
    """What one tenant has, by the names that paths and queries give it."""

    tenant: str
    device_id: str
    ticket_no: int
    loan_no: int
    quarantine_no: int
    metric_no: int
    finding_no: int
    sample_us: int
    subject: str


def filled(path: str, things: Things) -> str:
    """An address whose parameters name what one tenant has."""
    metric = f"{things.device_id}.{things.metric_no}"
    values = {
        "device_id": things.device_id, "ticket_no": things.ticket_no, "loan_no": things.loan_no,
        "quarantine_no": things.quarantine_no, "finding_no": things.finding_no,
        "device_metric_id": metric, "observation_id": f"{metric}.{things.sample_us}",
        "user_id": things.subject, "rule_id": "reported-fault", "version": 1,
        "name": "fjarrkoll.css", "policy_name": "vgr", "block_no": 1, "hold_no": 1, "entry_no": 1,
        "backtest_no": 1,
    }  # fmt: skip
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: str(values[found[1]]), path)


@dataclass(frozen=True)
class TwoTenants:
    url: str
    now: datetime
    own: Things
    other: Things


def seed_two_tenants(url: str) -> TwoTenants:
    now = datetime.now(UTC).replace(microsecond=0)
    with psycopg.connect(url) as conn:
        sync_catalogues(conn, now - timedelta(days=30))
        conn.execute("SELECT ensure_sample_partition(%s)", [(now - timedelta(hours=1)).date()])
        own, other = (_seed(conn, name, now) for name in NAMES)
    return TwoTenants(url, now, own, other)


def _seed(conn: psycopg.Connection, tenant: str, now: datetime) -> Things:
    at = now - timedelta(hours=1)
    device_id = "fk-20417" if tenant == NAMES[0] else "fk-90001"
    known = {"tenant": tenant, "device": device_id, "at": at, "epoch": EPOCH}

    def one(statement: str) -> int:
        row = conn.execute(statement, known).fetchone()
        assert row is not None
        return int(row[0])

    known["tenant_no"] = one(
        "INSERT INTO tenant (id, name) VALUES (%(tenant)s, %(tenant)s) RETURNING tenant_no"
    )
    known["centre_no"] = one(
        "INSERT INTO centre (tenant_no, id, name) VALUES (%(tenant_no)s, 'norr', 'Norr')"
        " RETURNING centre_no"
    )
    known["no"] = one(
        "INSERT INTO device (id, tenant_no, centre_no, model_id, shard, individual_no, created_at)"
        " VALUES (%(device)s, %(tenant_no)s, %(centre_no)s, 'otto-bock-b400', 1,"
        " 'i-' || %(tenant)s, %(at)s - interval '90 days') RETURNING device_no"
    )
    start_loan(conn, device_id, f"p-{device_id}", [], now - timedelta(days=9), care_unit=UNIT)
    loan_no = one("SELECT loan_no FROM loan WHERE device_no = %(no)s")
    known["metric"] = one("SELECT metric_no FROM metric WHERE name = 'battery_voltage_v'")
    for statement in _HISTORY:
        conn.execute(statement, known)
    known["episode"] = one(
        "INSERT INTO episode (device_no, system, code, started_at, last_at, raised_n, cleared_n,"
        " logged_n, first_received_at) VALUES (%(no)s, 'vr2', '3B00', %(at)s, %(at)s, 1, 0, 0,"
        " %(at)s) RETURNING episode_no"
    )
    finding_no = one(
        "INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about, cause,"
        " need, severity, usability, fixer, component, started_at, last_at, known_at, confidence)"
        " SELECT %(tenant_no)s, %(no)s, 'device', rule_id, version, 'x', 'brake', 'ticket',"
        " 'major', 'degraded', 'technician', 'brake', %(at)s, %(at)s, %(at)s, 1"
        " FROM rule_version LIMIT 1 RETURNING finding_no"
    )
    quarantine_no = one(
        "INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, payload,"
        " payload_size, received_at, last_at) VALUES (sha256(convert_to(%(device)s, 'UTF8')),"
        " 'malformed', 'x', 'fk/1', %(tenant)s, %(device)s, '{', 1, %(at)s, %(at)s)"
        " RETURNING quarantine_no"
    )
    return Things(
        tenant, device_id, new_ticket(conn, device_id, at), loan_no, quarantine_no,
        known["metric"], finding_no, int(at.timestamp()) * 1_000_000, f"{tenant}-administrator",
    )  # fmt: skip


_HISTORY = (
    "INSERT INTO sample VALUES (%(at)s, %(at)s, 24.6, %(no)s, %(metric)s, 0, NULL)",
    "INSERT INTO rollup_hour VALUES (%(no)s, %(metric)s, date_trunc('hour', %(at)s), 1, 24.6,"
    " 24.6, 24.6, 24.6, %(at)s)",
    "INSERT INTO latest VALUES (%(no)s, %(metric)s, %(at)s, 24.6)",
    "INSERT INTO ledger (device_no, epoch, received, received_n, stored_n, first_at, last_at)"
    " VALUES (%(no)s, %(epoch)s, '{[1,2)}', 1, 1, %(at)s, %(at)s)",
    "INSERT INTO gap (device_no, epoch, low, high, opened_at)"
    " VALUES (%(no)s, %(epoch)s, 3, 4, %(at)s)",
    "INSERT INTO device_state (device_no, is_online, boot, fw, changed_at)"
    " VALUES (%(no)s, true, 1, '2.4.1', %(at)s)",
    "INSERT INTO fault_event (device_no, epoch, seq, idx, system, code, state, at, received_at,"
    " clock) VALUES (%(no)s, %(epoch)s, 1, 0, 'vr2', '3B00', 'raised', %(at)s, %(at)s, 0)",
)


def new_ticket(
    conn: psycopg.Connection, device_id: str, at: datetime, severity: str = "major"
) -> int:
    """An open ticket about a device."""
    row = conn.execute(
        "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability, fixer,"
        " component, title_sv, title_en, body_sv, body_en, started_at, known_at, updated_at)"
        " SELECT device_no, tenant_no, 'cause-' || gen_random_uuid(), 'AU', %s, 'degraded',"
        " 'technician', 'brake', 'Bromsen', 'The brake', '', '', %s, %s, %s"
        " FROM device WHERE id = %s RETURNING ticket_no",
        [severity, at, at, at, device_id],
    ).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def serving(settings: ApiSettings) -> Iterator[str]:
    """The address of a server that runs as long as the block lasts."""
    stop, ready, found = threading.Event(), threading.Event(), []

    def on_ready(url: str) -> None:
        found.append(url)
        ready.set()

    thread = threading.Thread(target=run, args=(settings, stop, on_ready), daemon=True)
    thread.start()
    try:
        assert ready.wait(20), "the server did not say that it is ready"
        yield found[0]
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"
