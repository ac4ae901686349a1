"""The stream of events, against a running server and the real database."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from support.people import access_settings, bearer, claims_of
from support.tenants import new_ticket, seed_two_tenants, serving

from api import hub, stream
from api.limits import Limits
from api.process import ApiSettings
from fleet.access.callers import Role
from storage.connection import connect
from storage.pool import ApiPool
from storage.sessions import end_session, open_session
from storage.stream import Changes, parse_changes

DESK = bearer(Role.SERVICE_DESK)


@pytest.fixture(scope="module")
def two(plain):
    name = "stream"
    yield seed_two_tenants(plain.create_migrated(name))
    plain.drop_database(name)


@pytest.fixture(scope="module")
def served(two):
    limits = Limits(streams=4, streams_per_caller=2)
    with serving(ApiSettings(two.url, access_settings(), port=0, limits=limits)) as url:
        yield url


@pytest.fixture
def admin(two):
    with psycopg.connect(two.url, autocommit=True) as conn:
        yield conn


PATIENCE_S = 20.0


class Reader:
    """Reads events off an open answer. Heartbeats keep an answer open, so it has a deadline."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answered = answer.iter_lines()

    @property
    def _lines(self):
        deadline = time.monotonic() + PATIENCE_S
        for line in self._answered:
            yield line
            assert time.monotonic() < deadline, f"no event within {PATIENCE_S} s, only heartbeats"

    def next(self) -> dict:
        found: dict = {}
        for line in self._lines:
            if not line:
                if "event" in found:
                    return found
                continue
            name, _, value = line.partition(":")
            found[name or "comment"] = value.strip()
        return {}

    def comment(self) -> str:
        for line in self._lines:
            if line.startswith(":"):
                return line[1:].strip()
        return ""

    def until(self, ticket_no: int) -> dict:
        """The event of that ticket; what was changed just before may be told again."""
        while (event := self.next()) and json.loads(event["data"]).get("ticket_no") != ticket_no:
            assert event["event"] == "ticket"
        return event

    def data(self, name: str) -> dict:
        event = self.next()
        assert event["event"] == name, event
        return json.loads(event["data"])


@contextmanager
def listening(url, headers=DESK, last=None, **more):
    headers = {**headers, **({"Last-Event-ID": last} if last else {})}
    with (
        httpx.Client(timeout=10) as client,
        client.stream("GET", f"{url}/api/v1/stream", headers=headers, **more) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer)


def test_a_new_ticket_and_a_device_that_goes_are_told_to_whom_they_concern(served, two, admin):
    other = bearer(Role.SERVICE_DESK, tenant="annan")
    with listening(served) as ours, listening(served, other) as theirs:
        assert "at" in ours.data("ready")
        theirs.data("ready")
        number = new_ticket(admin, two.own.device_id, two.now, "critical")
        told = {"ticket_no": number, "state": "new", "version": 1, "severity": "critical"}
        assert ours.data("ticket") == told
        admin.execute("UPDATE device_state SET is_online = NOT is_online")
        assert ours.data("device")["device_id"] == two.own.device_id
        told = theirs.data("device")
        assert told["device_id"] == two.other.device_id
        assert set(told) == {"device_id", "is_online", "changed_at"}


def test_a_patient_hears_of_the_own_device_only(served, two, admin):
    nobody = bearer(Role.PATIENT, person="p-nobody", subject="nobody")
    own = bearer(Role.PATIENT, person=f"p-{two.own.device_id}")
    with listening(served, own) as hears, listening(served, nobody) as deaf:
        hears.data("ready")
        deaf.data("ready")
        number = new_ticket(admin, two.own.device_id, two.now)
        assert hears.until(number)
        admin.execute("SELECT pg_notify('fjarrkoll_change', 'x'), pg_notify('other', 't1')")
        with pytest.raises(httpx.ReadTimeout):
            deaf_for_a_while(served, nobody)


def test_an_id_that_no_event_can_have_is_as_none(served):
    with listening(served, last="9" * 40) as hears:
        assert "at" in hears.data("ready")


def deaf_for_a_while(url, headers):
    with (
        httpx.Client(timeout=httpx.Timeout(5, read=0.6)) as client,
        client.stream("GET", f"{url}/api/v1/stream", headers=headers) as answer,
    ):
        reader = Reader(answer)
        reader.data("ready")
        reader.next()


def test_whoever_comes_back_misses_no_ticket_whatever_the_order_of_commits(served, two, admin):
    with psycopg.connect(two.url) as slow:
        early = new_ticket(slow, two.own.device_id, two.now)  # has its number, is not committed
        with listening(served) as reader:
            reader.data("ready")
            late = new_ticket(admin, two.own.device_id, two.now)
            event = reader.until(late)
        slow.commit()
    with listening(served, last=event["id"]) as reader:
        reader.data("ready")
        told = [reader.data("ticket")["ticket_no"] for _ in range(2)]
        assert {early, late} <= set(told)


def test_too_much_missed_is_said_as_overflow(served, two, admin, monkeypatch):
    monkeypatch.setattr(stream, "RESUMED_MAX", 1)
    for _ in range(2):
        new_ticket(admin, two.own.device_id, two.now)
    with listening(served, last="1") as reader:
        assert reader.next()["event"] == "overflow"
        number = new_ticket(admin, two.own.device_id, two.now)
        assert reader.until(number)
    with listening(served, last=str(2**62)) as reader:
        assert reader.next()["event"] == "overflow"


def test_a_flood_ends_the_stream_with_overflow(served, two, admin):
    with listening(served) as reader:
        reader.data("ready")
        admin.execute(
            "SELECT pg_notify('fjarrkoll_change', 't' || n) FROM generate_series(1, 900) n"
        )
        assert reader.next()["event"] == "overflow"
        assert reader.next() == {}


def test_a_slow_reader_is_dropped_and_told(two):
    pool = ApiPool(two.url, 2, 2.0)
    place = hub.Place(None, "slow")

    async def scene():
        import asyncio  # noqa: PLC0415 - beside its only use

        place.bind(asyncio.get_running_loop())
        for number in range(hub.QUEUE_MAX + 50):
            place.offer([hub.Event("ticket", {"n": number})])
        await asyncio.sleep(0)
        seen = []
        while (event := await place.next(0.01)) is not None:
            seen.append(event)
        return seen

    import asyncio  # noqa: PLC0415 - beside its only use

    seen = asyncio.run(scene())
    assert seen[0] is hub.LOST
    assert len(seen) < hub.QUEUE_MAX
    pool.close()


def test_streams_are_limited_by_caller_and_in_all(served):
    url = f"{served}/api/v1/stream"
    with listening(served), listening(served):
        refused = httpx.get(url, headers=DESK)
        assert refused.status_code == 429
        assert refused.json()["type"].endswith("limit-streams")
        with listening(served, bearer(Role.AUDITOR)), listening(served, bearer(Role.TECHNICIAN)):
            assert httpx.get(url, headers=bearer(Role.ADMINISTRATOR)).status_code == 429
    with listening(served), listening(served) as reader:
        assert reader.next()["event"] == "ready"


def test_a_stream_ends_when_the_session_does_and_does_not_keep_it_alive(
    served, two, monkeypatch, admin
):
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.1)
    token = secrets.token_urlsafe(32)
    caller = access_settings().claims.caller(claims_of(Role.SERVICE_DESK))
    began = datetime.now(UTC) - timedelta(minutes=10)
    with connect(two.url) as conn:
        open_session(conn, token, caller, began, timedelta(hours=1))
        conn.commit()
        cookies = {"fjarrkoll_session": token}
        with listening(served, headers={"Cookie": f"fjarrkoll_session={token}"}) as reader:
            reader.data("ready")
            admin.execute("UPDATE login_session SET last_seen_at = %s", [began])
            assert reader.comment() == "still here"
            assert reader.comment() == "still here"
            seen = admin.execute("SELECT max(last_seen_at) FROM login_session").fetchone()
            assert seen == (began,)
            end_session(conn, token, datetime.now(UTC))
            conn.commit()
            assert reader.next() == {}
    assert httpx.get(f"{served}/api/v1/stream", cookies=cookies).status_code == 401


def test_an_interrupted_listener_says_so_and_listens_again(served, two, admin):
    with listening(served) as reader:
        reader.data("ready")
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'fjarrkoll-api stream' AND datname = current_database()"
        )
        assert reader.next()["event"] == "overflow"
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while (answer := first_status(served)) != 200 and datetime.now(UTC) < deadline:
        pass
    assert answer == 200
    with listening(served) as reader:
        reader.data("ready")
        assert reader.until(new_ticket(admin, two.own.device_id, two.now))


def test_an_error_nobody_foresaw_ends_the_readers_and_not_the_stream(
    served, two, admin, monkeypatch
):
    told = hub.tickets_now

    def broken(conn, numbers):
        monkeypatch.setattr(hub, "tickets_now", told)
        raise ZeroDivisionError

    with listening(served) as reader:
        reader.data("ready")
        monkeypatch.setattr(hub, "AGAIN_AFTER_S", 0.05)
        monkeypatch.setattr(hub, "tickets_now", broken)
        new_ticket(admin, two.own.device_id, two.now)
        assert reader.next()["event"] == "overflow"
    with listening(served) as reader:
        reader.data("ready")
        assert reader.until(new_ticket(admin, two.own.device_id, two.now))


def first_status(url):
    with httpx.stream("GET", f"{url}/api/v1/stream", headers=DESK, timeout=10) as answer:
        return answer.status_code


def test_a_birth_that_repeats_what_is_known_tells_nobody(two, admin):
    with psycopg.connect(two.url, autocommit=True) as conn:
        conn.execute("LISTEN fjarrkoll_change")
        admin.execute("UPDATE device_state SET boot = boot + 1, changed_at = now()")
        assert list(conn.notifies(timeout=0.1)) == []
        admin.execute("UPDATE device_state SET is_online = NOT is_online")
        assert len(list(conn.notifies(timeout=0.5, stop_after=2))) == 2


def test_payloads_are_read_strictly():
    assert parse_changes(["t12", "d3", "t12", "", "t", "x9", "t-1", "d1.5"]) == Changes(
        frozenset({12}), frozenset({3})
    )


def test_a_server_with_open_streams_stops(two):
    with (
        serving(ApiSettings(two.url, access_settings(), port=0)) as url,
        httpx.Client(timeout=10) as client,
    ):
        answer = client.send(
            client.build_request("GET", f"{url}/api/v1/stream", headers=DESK), stream=True
        )
        reader = Reader(answer)
        reader.data("ready")
        began = datetime.now(UTC)
    assert datetime.now(UTC) - began < timedelta(seconds=4)


def test_a_stream_to_a_prescriber_is_logged_for_each_loan_it_may_name(served, two, admin):
    count = (
        "SELECT count(*) FROM audit WHERE action = 'stream' AND device_id = %s"
        " AND loan_no = %s AND person IS NOT NULL"
    )
    loan = [two.own.device_id, two.own.loan_no]
    (before,) = admin.execute(count, loan).fetchone()
    with listening(served) as desk:
        desk.data("ready")
    assert admin.execute(count, loan).fetchone() == (before,)
    with listening(served, bearer(Role.PRESCRIBER)) as care:
        care.data("ready")
        assert admin.execute(count, loan).fetchone() == (before + 1,)
