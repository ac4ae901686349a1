"""Limits: the buckets by themselves, and what a caller is told when one trips."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.testclient import TestClient
from support.people import bearer

from api.access.policy import shipped_policy
from api.app import create_app
from api.limits import HEAVY, SIGN_INS, SUMS, WAITING_MAX, Buckets, Limits, Slots, client_address
from fleet.access.callers import Role


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200),
)
def test_no_more_pass_than_the_burst_and_the_rate_allow(per_s, burst, gaps):
    buckets, now, granted = Buckets(per_s, burst), 1000.0, 0
    for gap in gaps:
        now += gap
        granted += buckets.take("a", now) == 0
    assert granted <= burst + sum(gaps[1:]) * per_s + 1e-6 * len(gaps)


@given(st.floats(0.1, 1000), st.integers(1, 50))
def test_whoever_waits_as_long_as_told_is_let_through(per_s, burst):
    buckets = Buckets(per_s, burst)
    while not (wait_s := buckets.take("a", 5.0)):
        pass
    assert buckets.take("a", 5.0 + wait_s * 1.000001) == 0


def test_one_does_not_pay_for_another_and_a_clock_that_goes_back_gives_nothing():
    buckets = Buckets(1, 1)
    assert buckets.take("a", 10) == 0
    assert buckets.take("b", 10) == 0
    assert buckets.take("a", 10) == pytest.approx(1)
    assert buckets.take("a", 3) == pytest.approx(1)
    assert buckets.take("a", 11) == 0


def test_memory_is_bounded_however_many_ask():
    buckets = Buckets(1, 1, keys_max=100)
    for number in range(5_000):
        buckets.take(number, number / 1000)
    assert len(buckets) == 100


def test_slots_are_held_given_back_and_refused():
    async def scene():
        slots = Slots(2, 1, wait_s=0.05)
        async with slots.held("a"), slots.held("b"):
            with pytest.raises(TimeoutError):
                await slots.held("c").__aenter__()
        async with slots.held("a"):
            with pytest.raises(TimeoutError):
                await slots.held("a").__aenter__()
            async with slots.held("c"):
                pass

    asyncio.run(scene())


def test_a_waiting_request_takes_the_slot_that_becomes_free():
    async def scene():
        slots, order = Slots(1, 1, wait_s=5), []

        async def use(who):
            async with slots.held(who):
                order.append(who)
                await asyncio.sleep(0)

        await asyncio.gather(*(use(number) for number in range(WAITING_MAX)))
        assert sorted(order) == list(range(WAITING_MAX))

    asyncio.run(scene())


def test_too_many_waiting_are_refused_at_once():
    async def scene():
        slots = Slots(1, 1, wait_s=5)
        async with slots.held("a"):
            waiting = [
                asyncio.ensure_future(slots.held(n).__aenter__()) for n in range(WAITING_MAX)
            ]
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await slots.held("late").__aenter__()
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("header", "is_behind_proxy", "expected"),
    [
        (None, True, "10.0.0.9"),
        ("1.1.1.1, 2.2.2.2", True, "2.2.2.2"),
        ("1.1.1.1, 2.2.2.2", False, "10.0.0.9"),
        ("", True, "10.0.0.9"),
    ],
)
def test_only_our_own_proxy_says_where_a_request_comes_from(header, is_behind_proxy, expected):
    headers = [] if header is None else [(b"x-forwarded-for", header.encode())]
    request = Request({"type": "http", "headers": headers, "client": ("10.0.0.9", 1)})
    assert client_address(request, is_behind_proxy=is_behind_proxy) == expected


def test_limited_operations_exist():
    assert set(shipped_policy()) >= HEAVY | SUMS | SIGN_INS


def limited(settings, **limits):
    app = create_app(replace(settings, limits=Limits(**limits)))
    return TestClient(app, base_url="http://127.0.0.1:8460", follow_redirects=False)


def told(answer, name):
    assert answer.status_code == 429, answer.text
    assert answer.json()["type"] == f"urn:fjarrkoll:problem:limit-{name}"
    assert name in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) >= 1


def test_a_caller_in_too_much_haste_is_told_which_limit_and_others_are_not(settings):
    desk, tech = bearer(Role.SERVICE_DESK), bearer(Role.TECHNICIAN)
    with limited(settings, requests_per_s=0.1, request_burst=3) as client:
        codes = [client.get("/api/v1/me", headers=desk).status_code for _ in range(3)]
        assert codes == [200] * 3
        told(client.get("/api/v1/me", headers=desk), "caller-requests")
        assert client.get("/api/v1/me", headers=tech).status_code == 200


def test_guesses_and_sign_ins_of_one_address_are_counted(settings):
    with limited(settings, sign_ins_per_s=0.01, sign_in_burst=3) as client:
        forged = {"Authorization": "Bearer abc"}
        assert [client.get("/api/v1/me", headers=forged).status_code for _ in range(3)] == [401] * 3
        told(client.get("/api/v1/me", headers=forged), "address-sign-ins")
        assert client.get("/api/v1/me").status_code == 401
        assert client.get("/api/v1/me", headers=bearer(Role.AUDITOR)).status_code == 200


def test_who_reloads_the_sign_in_page_is_not_locked_out_but_endless_reloads_are(settings):
    with limited(settings) as client:
        assert {client.get("/sign-in").status_code for _ in range(50)} == {200}
    with limited(settings, sign_ins_per_s=0.01, sign_in_burst=2) as client:
        codes = [client.get("/sign-in?left=1").status_code for _ in range(3)]
        assert codes == [200, 200, 429]


def test_a_token_of_an_unknown_key_counts_before_the_issuer_is_asked(settings):
    access = replace(settings.access, issuer_url="http://127.0.0.1:1", key_set=None)
    refused = replace(settings, access=access)
    with limited(refused, sign_ins_per_s=0.01, sign_in_burst=2) as client:
        unknown = bearer(Role.AUDITOR)
        codes = [client.get("/api/v1/me", headers=unknown).status_code for _ in range(3)]
    assert codes == [503, 503, 429]


def test_large_answers_take_turns_and_small_ones_do_not(settings):
    url = "/api/v1/devices/fk-20417/samples?metric=battery_voltage_v"
    with limited(settings, heavy=0, heavy_wait_s=0.05) as client:
        told(client.get(url, headers=bearer(Role.TECHNICIAN)), "heavy-requests")
        assert client.get("/api/v1/devices", headers=bearer(Role.TECHNICIAN)).status_code == 200
    with limited(settings) as client:
        codes = {client.get(url, headers=bearer(Role.TECHNICIAN)).status_code for _ in range(6)}
        assert codes == {200}
