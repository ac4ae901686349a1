from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.devices.rhythm import DAY, HOUR
from firmware_sim.history.battery import END_CAPACITY, WORN_CAPACITY, PackLife
from firmware_sim.history.chair import EARLIER_DAYS, LOW
from firmware_sim.history.codes import codes_for
from firmware_sim.history.fleet import all_causes, generate, plan_history
from firmware_sim.history.mix import HISTORY_SCENARIOS, SERVICE_EVERY_H
from firmware_sim.history.script import draw_script
from firmware_sim.history.shapes import SILENCES, Cause, DeviceHistory
from firmware_sim.history.timeline import (
    Gap,
    Reach,
    Season,
    after_working_days,
    day_grid,
    local_days,
    to_at,
    to_ms,
)
from firmware_sim.history.world import World, profile_of
from fleet.models import load_models
from fleet.rules.facts import day_of
from fleet.words import Component, DeviceClass

FROM = datetime(2025, 9, 1, tzinfo=UTC)


SCENARIOS = {
    **HISTORY_SCENARIOS,
    "faults": replace(
        HISTORY_SCENARIOS["faults"],
        faults=dict.fromkeys(DeviceClass, 1.5),
        patterns={"lasting": 0.3, "counting": 0.3, "flapping": 0.2, "minor_recurring": 0.2},
    ),
    "silence": replace(
        HISTORY_SCENARIOS["silence"],
        dead_radios=0.2,
        dead_power=0.2,
        hospital_stays=0.3,
        away=0.3,
    ),
}


@cache
def made(scenario: str, devices: int = 80, seed: int = 3) -> tuple[World, list[DeviceHistory]]:
    world, plan = plan_history(devices, seed, SCENARIOS[scenario])
    return world, list(generate(world, plan))


@cache
def stormy() -> tuple[World, list[DeviceHistory], list[Cause]]:
    """A fleet with storms, of which only the devices are made that one trouble or other hits."""
    world, plan = plan_history(300, 3, HISTORY_SCENARIOS["storm"])
    hit = [d for d in plan if any(t.covers(profile_of(world, d)) for t in world.troubles)]
    devices = list(generate(world, hit))
    return world, devices, all_causes(world, [(d.profile, d.truth) for d in devices])


def causes_of(scenario: str) -> list[tuple[DeviceHistory, Cause]]:
    return [(device, cause) for device in made(scenario)[1] for cause in device.truth]


def same(one: DeviceHistory, other: DeviceHistory) -> bool:
    """Equal in everything a backend could see, and in the truth."""
    plain = ("profile", "events", "placements", "truth", "packs")
    if any(getattr(one, name) != getattr(other, name) for name in plain):
        return False
    if one.hours.keys() != other.hours.keys():
        return False
    arrays = ("hour", "sample_n", "low", "high", "total", "last")
    return np.array_equal(one.contacts.receipts_ms, other.contacts.receipts_ms) and all(
        np.array_equal(getattr(series, name), getattr(other.hours[metric], name))
        for metric, series in one.hours.items()
        for name in arrays
    )


def test_the_same_seed_gives_the_same_history() -> None:
    world, plan = plan_history(40, 7)
    again, plan_again = plan_history(40, 7)
    assert all(map(same, generate(world, plan), generate(again, plan_again)))


def test_another_seed_gives_another_history() -> None:
    one, other = (next(generate(*plan_history(1, seed))) for seed in (7, 8))
    assert not same(one, other)


def test_a_device_does_not_depend_on_the_others_made_with_it() -> None:
    world, plan = plan_history(60, 5)
    whole = {device.profile.id: device for device in generate(world, plan)}
    backwards, _ = plan_history(60, 5)
    part = list(generate(backwards, plan[::-3]))
    assert len(part) == 20
    assert all(same(device, whole[device.profile.id]) for device in part)


def test_a_lasting_fault_is_raised_and_not_cleared_before_its_repair() -> None:
    seen = 0
    for device, cause in causes_of("faults"):
        if cause.kind != "lasting" or cause.detectable_since is None:
            continue
        seen += 1
        told = [r.event for r in device.events if f"{r.system}/{r.code}" in cause.codes]
        before = [e for e in told if e.at >= cause.since and not device.quiet_at(e.at)]
        before = [e for e in before if cause.until is None or e.at < cause.until]
        repaired = timedelta(minutes=11)
        assert before[0].state == "raised"
        assert all(
            e.state == "raised" or (cause.until is not None and cause.until - e.at < repaired)
            for e in before
        ), cause
    assert seen > 8


def test_a_counting_fault_only_grows() -> None:
    seen = 0
    for device, cause in causes_of("faults"):
        if cause.kind == "counting":
            seen += 1
            counts = [
                r.event.count
                for r in device.events
                if f"{r.system}/{r.code}" in cause.codes
                and r.event.state == "logged"
                and _is_during(r.event.at, cause)
            ]
            assert all(a is not None and b is not None and a < b for a, b in pairwise(counts))
    assert seen


def test_a_fault_that_keeps_coming_goes_on_from_where_it_began() -> None:
    scenario = replace(SCENARIOS["faults"], patterns={"minor_recurring": 1.0})
    world, plan = plan_history(200, 2, scenario)
    scripts = [draw_script(world, profile_of(world, d), world.rng("life", d.id)) for d in plan]
    planned = [c for s in scripts for c in s.planned if c.kind == "minor_recurring" and c.changes]
    assert len(planned) > 10
    for cause in planned:
        times = [change.at_ms for change in cause.changes[:-1]]  # the last is its repair
        assert times[0] == cause.since_ms
        assert times == sorted(times), cause


def test_a_controller_has_one_total_of_each_code() -> None:
    scenario = replace(SCENARIOS["faults"], patterns={"counting": 1.0}, stale_counters=1.0)
    world, plan = plan_history(60, 2, scenario)
    stale = 0
    for device in generate(world, plan):
        growing = {code for c in device.truth if c.kind == "counting" for code in c.codes}
        old = [code for c in device.truth if c.kind == "noise" for code in c.codes]
        stale += len(old)
        assert not growing.intersection(old)
    assert stale


def test_what_follows_from_a_low_battery_comes_within_it_and_has_a_parent() -> None:
    seen = 0
    for device, cause in causes_of("batteries"):
        if not cause.children or cause.kind != "low_battery":
            continue
        seen += 1
        during = [e for e in device.events if _is_during(e.event.at, cause)]
        names = [f"{e.system}/{e.code}" for e in during if e.event.state == "raised"]
        children = [n for n, name in enumerate(names) if name in cause.children]
        parents = [n for n, name in enumerate(names) if name in cause.codes]
        assert cause.children.isdisjoint(cause.codes)
        assert not children or (parents and parents[0] < children[0]), cause
    assert seen > 1


def _is_during(at: datetime, cause: Cause) -> bool:
    return cause.since <= at and (cause.until is None or at <= cause.until)


@pytest.mark.parametrize(
    ("kinds", "least", "most"),
    [({"lasting", "flapping"}, 1, 16), ({"counting", "minor_recurring"}, 13, 42)],
    ids=["2 to 12 working days where a user calls", "10 to 30 where none does"],
)
def test_how_long_a_repair_takes(kinds: set[str], least: int, most: int) -> None:
    waits = [
        (cause.until - cause.since).days
        for _, cause in causes_of("faults")
        if cause.kind in kinds and cause.until is not None and cause.repeat_of is None
    ]
    assert len(waits) > 10
    # What a visit is due for anyway is mended at it, and one that would overlap another waits.
    assert min(waits) >= least - 2
    assert max(waits) <= most + 6


def test_a_repair_that_does_not_hold_has_the_same_code_back_within_days() -> None:
    scenario = replace(HISTORY_SCENARIOS["faults"], repeats=1.0)
    world, plan = plan_history(80, 2, scenario)
    seen = 0
    for device in generate(world, plan):
        by_id = {cause.id: cause for cause in device.truth}
        for cause in device.truth:
            if cause.repeat_of is not None:
                seen += 1
                first = by_id[cause.repeat_of]
                assert first.until is not None
                assert timedelta(0) < cause.since - first.until < timedelta(days=7)
                assert cause.component is first.component
    assert seen > 3


def test_workshop_codes_are_reported_while_the_device_is_there() -> None:
    scenario = replace(HISTORY_SCENARIOS["quiet"], visits=2.0)
    world, plan = plan_history(60, 4, scenario)
    devices = [d for d in generate(world, plan) if d.placements]
    events = [(d, r) for d in devices for r in d.events if "SERVICE" not in r.code]
    assert len(events) > 10
    outside = [r for d, r in events if not d.quiet_at(r.event.at) and r.system != "rhino2.service"]
    assert [
        r for r in outside if r.event.state == "raised" and not _is_power(r.code, r.system)
    ] == []


def _is_power(code: str, system: str) -> bool:
    return any(
        fault.code == code and fault.system == system
        for model in load_models()
        for fault in codes_for(model.id).low + codes_for(model.id).starved
    )


def test_nothing_is_wrong_in_the_quiet_scenario() -> None:
    kinds = {cause.kind for _, cause in causes_of("quiet")}
    assert kinds <= {"service_due", "low_battery"}


def test_a_storm_is_one_cause_and_its_members_show_it_within_an_hour() -> None:
    _, devices, causes = stormy()
    storms = [cause for cause in causes if cause.kind == "storm"]
    assert len(storms) == 2
    by_id = {device.profile.id: device for device in devices}
    for storm in storms:
        assert storm.device is None
        assert len(storm.members) > 5
        for member in storm.members:
            raised = [
                r.event.at
                for r in by_id[member].events
                if f"{r.system}/{r.code}" in storm.codes and r.event.state == "raised"
            ]
            assert any(timedelta(0) <= at - storm.since < timedelta(hours=1) for at in raised)


def test_a_bad_lot_is_a_cause_beside_its_singles() -> None:
    _, devices, causes = stormy()
    bad = next(cause for cause in causes if cause.kind == "bad_batch")
    singles = [cause for cause in causes if cause.part_of == bad.id]
    assert {cause.device for cause in singles} == bad.members
    assert all(cause.kind == "lasting" and cause.codes == bad.codes for cause in singles)
    lots = {d.profile.batch for d in devices if d.profile.id in bad.members}
    assert len(lots) == 1


def test_a_bad_lot_is_told_by_its_devices_and_not_by_one_that_fails_again() -> None:
    """Twelve faults of four devices prove no more than four faults do."""
    world, devices, _ = stormy()
    lot = next(trouble for trouble in world.troubles if trouble.kind == "bad_batch")
    one = next(d.profile for d in devices if lot.covers(d.profile))
    profiles = [
        replace(one, id=f"d-{no}", batch=lot.batch if no < 20 else "another") for no in range(60)
    ]

    def proven_at(failing: int, times: int) -> datetime | None:
        truths = [(profile, _faults(profile.id, lot.id, times)) for profile in profiles[:failing]]
        truths += [(profile, []) for profile in profiles[failing:]]
        return next(c for c in all_causes(world, truths) if c.id == lot.id).detectable_since

    assert proven_at(failing=4, times=3) is None
    assert proven_at(failing=12, times=1) == proven_at(failing=12, times=3) is not None


def _faults(device: str, part_of: str, times: int) -> list[Cause]:
    """As many faults of one device, a week apart, of which the later are repeats."""
    first = FROM + timedelta(days=int(device.split("-")[1]))
    starts = [first + timedelta(days=7 * n) for n in range(times)]
    return [
        Cause(
            f"{device}/{n}", "lasting", device, Component.BUS, at, None, True, at, part_of=part_of
        )
        for n, at in enumerate(starts)
    ]


@pytest.mark.parametrize("habit", ["in_storage", "weekend_users"])
def test_what_fails_while_it_is_switched_off_shows_when_it_would_have_spoken(habit: str) -> None:
    """A scooter put away for the winter shows nothing in this season, a weekend's one on Friday."""
    scenario = replace(HISTORY_SCENARIOS["quiet"], dead_radios=1.0, **{habit: 1.0})
    world, plan = plan_history(60, 1, scenario)
    late = 0
    for device in generate(world, plan):
        off = [c for c in device.truth if c.kind in ("in_storage", "weekend_user")]
        for dead in (c for c in device.truth if c.kind == "dead_radio" and off):
            model = load_models().get(device.profile.model)
            assert model is not None
            assert model.longest_silence_s is not None
            shows_at = dead.since + timedelta(seconds=model.longest_silence_s)
            if habit == "in_storage" and off[0].since < dead.since:
                assert dead.detectable_since is None
                late += 1
            elif habit == "weekend_users" and dead.detectable_since is not None:
                assert dead.detectable_since >= shows_at
                late += dead.detectable_since > shows_at
    assert late


def test_nothing_comes_from_a_device_without_power_and_all_later_from_one_without_radio() -> None:
    seen = set()
    for device, cause in causes_of("silence"):
        if cause.kind not in ("dead_power", "dead_radio"):
            continue
        seen.add(cause.kind)
        until_ms = 2**62 if cause.until is None else to_ms(cause.until)
        received = device.contacts.receipts_ms
        inside = (received > to_ms(cause.since) + HOUR) & (received < until_ms)
        assert not inside.any()
        measured = device.contacts.hour * HOUR
        during = ((measured > to_ms(cause.since) + HOUR) & (measured < until_ms - HOUR)).any()
        assert not (during and cause.kind == "dead_power")
    assert seen == {"dead_power", "dead_radio"}


def test_only_dead_devices_need_a_person_among_the_silent() -> None:
    silent = [cause for _, cause in causes_of("silence") if cause.kind in SILENCES]
    assert len({cause.kind for cause in silent}) >= 4
    dead = {"dead_radio", "dead_power"}
    assert all(cause.needs_person == (cause.kind in dead) for cause in silent)


def test_a_meter_is_silent_while_its_gateway_is() -> None:
    scenario = replace(HISTORY_SCENARIOS["quiet"], dead_radios=1.0)
    world, plan = plan_history(60, 1, scenario)
    devices = {d.profile.id: d for d in generate(world, plan)}
    children = [d for d in devices.values() if d.profile.gateway in devices]
    assert children
    for child in children:
        dead = {c.since for c in devices[child.profile.gateway or ""].truth if c.needs_person}
        assert dead == {c.since for c in child.truth if c.kind == "behind_gateway"}


def test_only_what_the_model_reports_is_reported() -> None:
    for device in made("all")[1]:
        model = load_models().get(device.profile.model)
        assert model is not None
        assert set(device.hours) <= set(model.metrics)
        assert {r.system for r in device.events} <= set(model.fault_systems)


def test_every_hour_is_whole() -> None:
    for device in made("all")[1]:
        for metric, series in device.hours.items():
            assert (np.diff(series.hour) > 0).all(), metric
            assert (series.sample_n > 0).all(), metric
            mean = series.total / series.sample_n
            assert (series.low <= mean + 1e-6).all(), (device.profile.id, metric)
            assert (mean <= series.high + 1e-6).all(), (device.profile.id, metric)


@pytest.mark.parametrize("metric", ["drive_time_s", "odometer_m", "charge_count", "blower_time_s"])
def test_counters_never_fall(metric: str) -> None:
    counted = [d.hours[metric] for d in made("all")[1] if metric in d.hours]
    assert counted
    assert all((np.diff(series.last) >= 0).all() for series in counted)


def test_days_are_those_the_rules_read() -> None:
    for device in made("all", 40)[1][:12]:
        for series in device.hours.values():
            days = series.by_day()
            assert days.total.sum() == pytest.approx(series.total.sum())
            assert days.low.min() == series.low.min()
            assert days.last[-1] == series.last[-1]


def test_samples_agree_with_their_hour() -> None:
    seen = 0
    for device in made("batteries")[1]:
        if "battery_voltage_v" not in device.samples:
            continue
        seen += 1
        voltage, hours = device.samples["battery_voltage_v"], device.hours["battery_voltage_v"]
        lows = dict(zip(hours.hour.tolist(), hours.low.tolist(), strict=True))
        for hour in np.unique(voltage.at_ms // HOUR):
            low = voltage.value[voltage.at_ms // HOUR == hour].min()
            assert low == pytest.approx(lows[int(hour)], abs=0.011)
        charge = device.samples["state_of_charge_pct"]
        assert set(voltage.at_ms.tolist()) <= set(charge.at_ms.tolist())
        beside = ~np.isin(charge.at_ms, voltage.at_ms)
        assert (charge.value[beside] < 100 * LOW).all()
        others = (s for name, s in device.samples.items() if name != "state_of_charge_pct")
        assert len({len(series.at_ms) for series in others}) == 1
    assert seen > 5


def test_a_chair_has_told_of_its_pack_for_a_year_and_of_nothing_else_before_the_season() -> None:
    world, devices = made("batteries")
    chairs = [d for d in devices if d.earlier]
    assert len(chairs) > 5
    first_day = int(local_days(np.array([world.season.from_ms // HOUR]))[0])
    for chair in chairs:
        for days in chair.earlier.values():
            assert days.day[-1] <= first_day
            assert days.day[0] <= first_day - EARLIER_DAYS + 30
        assert all(s.hour[0] * HOUR >= world.season.from_ms for s in chair.hours.values())


def test_an_event_is_received_after_it_happened() -> None:
    for device in made("all")[1]:
        for reported in device.events:
            assert reported.event.received_at >= reported.event.at
        orders = [reported.event.order for reported in device.events]
        assert orders == sorted(orders)


def test_hours_become_known_as_they_are_received() -> None:
    device = made("silence")[1][0]
    world = made("silence")[0]
    counts = [
        len(device.contacts.hours_known(world.season.from_ms + day * DAY)) for day in range(91)
    ]
    assert counts == sorted(counts)
    assert counts[-1] == len(device.contacts.hour)


def test_service_falls_due_by_the_meter_by_date_or_a_year_after_the_last() -> None:
    every_s = SERVICE_EVERY_H[DeviceClass.POWERED_WHEELCHAIR] * 3600
    seen = {"meter": 0, "date": 0, "before": 0}
    for device, cause in causes_of("quiet"):
        if cause.kind != "service_due" or cause.detectable_since is None:
            continue
        due_at = cause.detectable_since
        assert cause.since == due_at - timedelta(days=45)
        past = [c.until for c in device.truth if c.kind == "service_due" and not c.needs_person]
        begun_on = (past[0] or due_at).date() if past else device.profile.in_service_on
        if (due_at.month, due_at.day) == (begun_on.month, begun_on.day):
            seen["before" if past else "date"] += 1
        elif device.profile.device_class is DeviceClass.POWERED_WHEELCHAIR and not past:
            seen["meter"] += 1
            series = device.hours["drive_time_s"]
            after = series.last[series.hour * HOUR > to_ms(due_at)]
            assert not len(after) or after[0] // every_s > series.last[0] // every_s
    assert seen["meter"] > 1
    assert seen["date"] + seen["before"] > 0


def test_a_worn_pack_sags_more_than_a_fresh_one() -> None:
    """Under the same use; the truth of wear must show in what is reported, or no rule could."""
    worn, fresh = [], []
    for device in made("batteries")[1]:
        if device.packs:
            low = float(np.percentile(device.hours["battery_voltage_v"].low, 2))
            ended = device.packs[0].end_at < to_at(made("batteries")[0].season.until_ms)
            (worn if ended else fresh).append(low)
    assert len(worn) > 3
    assert np.median(worn) < np.median(fresh) - 0.5


packs = st.builds(
    lambda fitted, life: PackLife(fitted * DAY, (fitted + life) * DAY, None, 60.0, 0.03),
    st.integers(18_000, 20_000),
    st.integers(600, 1_400),
)


@given(packs)
def test_capacity_only_falls_and_ends_where_it_is_said_to(pack: PackLife) -> None:
    at_ms = np.linspace(pack.fitted_ms, pack.end_ms + 100 * DAY, 60)
    assert (np.diff(pack.capacity(at_ms)) <= 1e-12).all()
    assert float(pack.capacity(np.array([float(pack.end_ms)]))[0]) == pytest.approx(END_CAPACITY)
    worn = float(pack.capacity(np.array([float(pack.worn_ms())]))[0])
    assert worn == pytest.approx(WORN_CAPACITY, abs=0.002)
    assert (np.diff(pack.resistance(at_ms, np.full(60, 20.0))) >= -1e-12).all()


def test_about_as_many_chairs_need_a_repair_as_in_the_field() -> None:
    """63.8 % in six months is 40 % in 90 days; what has no sensor is not here."""
    world, plan = plan_history(250, 1)
    chairs = generate(world, [d for d in plan if d.device_class is DeviceClass.POWERED_WHEELCHAIR])
    repaired = {"service_due", "storm", "low_battery"}
    share = np.mean(
        [any(c.needs_person and c.kind not in repaired for c in d.truth) for d in chairs]
    )
    assert 0.2 < share < 0.45


@settings(max_examples=60)
@given(st.integers(480_000, 520_000))
def test_local_days_are_those_of_the_calendar(hour: int) -> None:
    assert local_days(np.array([hour]))[0] == day_of(datetime.fromtimestamp(hour * 3600, UTC))


@pytest.mark.parametrize("first_hour", [0, 5, 12])
def test_the_grid_has_each_hour_once(first_hour: int) -> None:
    season = Season(to_ms(FROM), 90)
    grid = day_grid(season, first_hour)
    hours = grid.hour[grid.inside]
    assert len(np.unique(hours)) == len(hours)
    # The clocks go back once: that night's last hour is left out.
    assert len(hours) == 90 * 24 - 1


def test_working_days_leave_out_the_weekend() -> None:
    friday = to_ms(datetime(2025, 9, 5, 20, tzinfo=UTC))
    assert to_at(after_working_days(friday, 1, 9.0)) == datetime(2025, 9, 8, 7, tzinfo=UTC)
    assert to_at(after_working_days(friday, 6, 9.0)) == datetime(2025, 9, 15, 7, tzinfo=UTC)


gaps = st.lists(
    st.builds(
        lambda start, hours, keeps: Gap(start * HOUR, (start + hours) * HOUR, keeps),
        st.integers(0, 200),
        st.integers(1, 60),
        st.booleans(),
    ),
    max_size=5,
)


@given(gaps, st.integers(0, 250))
def test_nothing_is_received_within_a_gap(gaps: list[Gap], hour: int) -> None:
    reach = Reach(tuple(gaps), Season(0, 90))
    got_ms = reach.received(hour * HOUR, np.random.default_rng(1))
    off = any(not g.keeps and g.from_ms <= hour * HOUR < g.until_ms for g in gaps)
    assert (got_ms is None) == off
    if got_ms is not None:
        assert got_ms > hour * HOUR
        within = [g for g in gaps if g.from_ms < got_ms - 40_000 and got_ms < g.until_ms]
        assert within == []
