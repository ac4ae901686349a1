from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.devices import KINDS
from firmware_sim.devices.rhythm import DAY, HOUR, MINUTE, at_hour, local_day, local_hour
from firmware_sim.life import Life, Start
from firmware_sim.outbox import Draft
from firmware_sim.plan import PlannedDevice, fleet_plan
from firmware_sim.scenarios import CLOCK_TROUBLES, SCENARIOS, Quirks, Span, draw_faults, draw_quirks
from firmware_sim.truth import Change, HiddenFault, codes_of, draw_fault, is_repair
from fleet.clock import check_times
from fleet.faults import load_catalogue
from fleet.metrics import load_metrics
from fleet.models import load_models
from fleet.wire.reasons import PayloadError
from fleet.wire.records import CBOR, JSON, Record, decode_record, salvage_identity
from fleet.wire.topics import UpChannel, is_id, up_topic
from fleet.words import DeviceClass

EPOCH = "9f2c61d0a4b7e813"
NOW = 1_795_294_714_000
WEEK = Span(NOW - 7 * DAY, NOW, 1.0)


def live(
    plan: PlannedDevice,
    *,
    quirks: Quirks | None = None,
    faults: Sequence[HiddenFault] = (),
    days: int = 7,
    boot: int = 1,
    kept: bytes | None = None,
) -> Life:
    return Life(plan, quirks or Quirks(), faults, Start(1, boot, NOW - days * DAY, kept))


def encoded(drafts: Sequence[Draft]) -> list[bytes]:
    return [draft.encode(EPOCH, seq) for seq, draft in enumerate(drafts, 1)]


def decoded(plan: PlannedDevice, drafts: Sequence[Draft]) -> Iterator[Record]:
    for payload in encoded(drafts):
        record = decode_record(payload, CBOR if plan.cbor else JSON)
        assert isinstance(record, Record)
        yield record


def one_of_each() -> list[PlannedDevice]:
    """One individual of every model."""
    found: dict[str, PlannedDevice] = {}
    for device in fleet_plan(400, 3):
        found.setdefault(device.model, device)
    return list(found.values())


@cache
def week_of(device: PlannedDevice) -> list[Record]:
    return list(decoded(device, live(device).advance(NOW)))


def test_a_plan_is_the_same_every_time_and_grows_at_the_end() -> None:
    assert fleet_plan(60, 7) == fleet_plan(200, 7)[:60]
    assert fleet_plan(60, 7) != fleet_plan(60, 8)
    assert len({device.id for device in fleet_plan(300, 7)}) == 300
    assert len({device.individual_no for device in fleet_plan(300, 7)}) == 300


def test_a_plan_holds_every_class_and_every_model() -> None:
    assert {device.device_class for device in fleet_plan(50, 1)} == set(DeviceClass)
    assert {device.model for device in fleet_plan(400, 1)} == {model.id for model in load_models()}


def test_planned_devices_have_ids_and_models_that_exist() -> None:
    for device in fleet_plan(300, 5, tenant="vgr"):
        assert is_id(device.id)
        assert device.tenant == "vgr"
        model = load_models().get(device.model)
        assert model is not None
        assert model.device_class is device.device_class
        assert up_topic(device.tenant, device.id, UpChannel.BULK)


def test_every_class_has_a_behaviour() -> None:
    assert KINDS.keys() == set(DeviceClass)


@pytest.mark.parametrize("device", one_of_each(), ids=lambda device: device.model)
def test_every_metric_is_in_the_catalogue_and_of_the_model(device: PlannedDevice) -> None:
    model = load_models().get(device.model)
    assert model is not None
    records = week_of(device)
    assert records
    for record in records:
        check_times(record, NOW)
        names = set(record.m).union(*(item.m for item in record.series))
        assert names
        assert names <= set(model.metrics)
        assert all(name in load_metrics() for name in names)


@pytest.mark.parametrize("device", one_of_each(), ids=lambda device: device.model)
def test_counters_only_grow_and_time_only_passes(device: PlannedDevice) -> None:
    counters = {metric.name for metric in load_metrics() if metric.kind.value == "counter"}
    counters -= {"mask_event_count"}  # counted per night
    last: dict[str, float] = {}
    last_ms = 0
    for record in week_of(device):
        assert record.at >= last_ms
        last_ms = record.at
        for name in counters & record.m.keys():
            assert record.m[name] >= last.get(name, 0), name
            last[name] = record.m[name]


_BELIEVABLE = {
    "battery_voltage_v": (1.5, 29.5),
    "state_of_charge_pct": (0, 100),
    "motor_left_current_a": (0, 60),
    "motor_temp_c": (10, 110),
    "speed_m_s": (0, 3),
    "pressure_cmh2o": (4, 20),
    "mask_leak_l_min": (0, 70),
    "bp_systolic_mmhg": (80, 200),
    "bp_diastolic_mmhg": (40, 120),
    "glucose_mmol_l": (2, 20),
    "spo2_pct": (85, 100),
    "body_weight_kg": (40, 140),
    "signal_strength_dbm": (-125, -50),
}


@pytest.mark.parametrize("device", one_of_each(), ids=lambda device: device.model)
def test_values_are_believable(device: PlannedDevice) -> None:
    for record in week_of(device):
        for m in (record.m, *(item.m for item in record.series)):
            for name, value in m.items():
                low, high = _BELIEVABLE.get(name, (-273, 1e12))
                assert low <= value <= high, name


def test_a_wheelchair_drives_by_day_and_charges_by_night() -> None:
    chair = next(device for device in one_of_each() if device.model == "permobil-m3")
    records = week_of(chair)
    assert 350 <= len(records) <= 900
    driving = [record for record in records if record.m.get("drive_state") == 1]
    assert all(6 < local_hour(record.at) < 22.5 for record in driving)
    assert any(len(record.series) == 4 for record in driving)
    charging = [record for record in records if record.m.get("mains_state") == 1]
    assert {round(local_hour(record.at)) for record in charging} & {22, 23, 24, 0, 1, 2}
    charge = [record.m["state_of_charge_pct"] for record in records]
    assert min(charge) < 90 < max(charge)


def test_a_worn_battery_shows_in_the_voltage() -> None:
    chair = next(device for device in one_of_each() if device.model == "otto-bock-b400")
    wear = HiddenFault(chair.id, "battery", "wear", 0, None, True, None, None, None)

    def lowest(faults: Sequence[HiddenFault]) -> float:
        records = decoded(chair, live(chair, faults=faults).advance(NOW))
        return min(record.m.get("battery_voltage_v", 99) for record in records)

    assert lowest([wear]) < lowest([]) - 0.3


def test_an_apap_reports_nights_and_one_summary_each() -> None:
    apap = next(device for device in one_of_each() if device.model == "resmed-airsense-11")
    records = week_of(apap)
    summaries = [record for record in records if "ahi_per_h" in record.m]
    assert 5 <= len(summaries) <= 7
    assert all(not 12 < local_hour(record.at) < 20 for record in records)


def test_a_fleet_of_200_stays_within_the_planned_number_of_records() -> None:
    total = sum(len(live(device).advance(NOW)) for device in fleet_plan(200, 1))
    assert 20_000 < total <= 60_000


@given(stops=st.lists(st.integers(1, 7 * DAY - 1), max_size=4), index=st.integers(0, 25))
@settings(max_examples=15, deadline=None)
def test_a_life_in_pieces_is_the_same_life(stops: list[int], index: int) -> None:
    device = one_of_each()[index % len(one_of_each())]
    whole = encoded(live(device).advance(NOW))
    life = live(device)
    drafts: list[Draft] = []
    for stop in sorted(stops):
        drafts += life.advance(WEEK.from_ms + stop)
    drafts += life.advance(NOW)
    assert encoded(drafts) == whole


def test_a_second_start_goes_on_where_the_first_ended() -> None:
    device = fleet_plan(1, 1)[0]
    first = live(device)
    half = NOW - 3 * DAY
    drafts = first.advance(half)
    second = live(device, boot=2, kept=first.kept())
    later = list(decoded(device, second.advance(NOW)))
    assert [r.m for r in decoded(device, drafts)] + [r.m for r in later] == [
        r.m for r in week_of(device)
    ]
    assert {record.boot for record in later} == {2}
    assert all(record.up is not None and 0 <= record.up <= 3 * DAY for record in later)


def test_faults_are_told_at_their_moment_and_urgently() -> None:
    device = fleet_plan(1, 1)[0]
    at = NOW - DAY + 1_234
    changes = (
        Change(at, "raised"),
        Change(at + MINUTE, "cleared"),
        Change(at + HOUR, "logged", 4),
    )
    fault = HiddenFault(
        device.id, "bus", "passing", at, at + MINUTE, False, "rnet.ics", "2015", "major", changes
    )
    life = live(device, faults=[fault])
    drafts = life.advance(NOW)
    told = [
        (draft.channel, record.at, record.faults[0].state, record.faults[0].count)
        for draft, record in zip(drafts, decoded(device, drafts), strict=True)
        if record.faults
    ]
    assert told == [
        ("urgent", at, "raised", None),
        ("urgent", at + MINUTE, "cleared", None),
        ("bulk", at + HOUR, "logged", 4),
    ]
    assert life.advance(NOW + DAY)
    assert live(device, faults=[fault]).wake_ms <= at


@pytest.mark.parametrize("trouble", CLOCK_TROUBLES)
def test_a_wrong_clock_is_wrong_as_it_says(trouble: str) -> None:
    device = fleet_plan(1, 1)[0]
    life = live(device, quirks=Quirks(clock=trouble))  # type: ignore[arg-type]
    records = list(decoded(device, life.advance(NOW)))
    for record in records:
        check_times(record, NOW)
    clocks = {record.clock for record in records}
    off_ms = life.moment(NOW).at_ms - NOW
    match trouble:
        case "unset":
            assert clocks == {"unset"}
            assert records[0].at < DAY
        case "slow":
            assert (clocks, off_ms) == ({"synced"}, -5 * HOUR)
        case "fast":
            assert (clocks, off_ms) == ({"synced"}, 3 * HOUR)
        case "drifting":
            assert clocks == {"drifting"}
            assert 10 * MINUTE < off_ms < HOUR
        case _:
            assert [record.clock for record in records if record.boot == 0]
            assert {record.clock for record in records if record.boot == 1} == {"synced"}
            assert off_ms == 0


def test_broken_records_are_refused_but_keep_their_identity() -> None:
    for device in one_of_each():
        life = live(device, quirks=Quirks(malformed_share=0.5))
        refused = 0
        for seq, payload in enumerate(encoded(life.advance(NOW)), 1):
            content_type = CBOR if device.cbor else JSON
            assert salvage_identity(payload, content_type) == (EPOCH, seq)
            try:
                record = decode_record(payload, content_type)
                assert isinstance(record, Record)
                check_times(record, NOW)
            except PayloadError:
                refused += 1
        assert refused == life.broken


def test_every_code_that_can_be_drawn_is_in_the_catalogue() -> None:
    catalogue = load_catalogue()
    for model in load_models():
        for code in codes_of(model.id):
            assert catalogue.look_up(code.system, code.code).known


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_draw_the_same_and_what_they_name(name: str) -> None:
    plan = fleet_plan(40, 2)
    scenario = SCENARIOS[name]
    faults = draw_faults(scenario, plan, WEEK, 2)
    quirks = draw_quirks(scenario, plan, WEEK, 2)
    assert faults == draw_faults(scenario, plan, WEEK, 2)
    assert quirks == draw_quirks(scenario, plan, WEEK, 2)
    assert bool(faults) == (scenario.faults > 0)
    assert any(q.outages for q in quirks.values()) == (scenario.outages > 0)
    assert any(q.clock != "right" for q in quirks.values()) == (scenario.wrong_clocks > 0)
    assert any(q.duplicate_share for q in quirks.values()) == (scenario.duplicates > 0)
    assert any(q.malformed_share for q in quirks.values()) == (scenario.malformed > 0)
    assert any(q.loses_records for q in quirks.values()) == (scenario.lossy > 0)
    upcoming = [fault for fault in faults if fault.since_ms > NOW]
    assert len(upcoming) == scenario.live_faults
    assert all(fault.needs_person and fault.since_ms < NOW + MINUTE * 2 for fault in upcoming)
    assert max(Counter(fault.device for fault in faults).values(), default=0) <= 1


def test_a_large_fleet_shows_every_pattern_and_severity() -> None:
    faults = draw_faults(SCENARIOS["faults"], fleet_plan(300, 4), WEEK, 4)
    assert {fault.pattern for fault in faults} == {
        "lasting",
        "flapping",
        "passing",
        "mended",
        "counting",
        "handling",
        "wear",
    }
    assert {fault.severity for fault in faults} == {"info", "minor", "major", "critical", None}
    assert {fault.needs_person for fault in faults} == {True, False}


@given(seed=st.integers(0, 10_000), position=st.integers(0, 7), index=st.integers(0, 25))
def test_a_drawn_fault_hangs_together(seed: int, position: int, index: int) -> None:
    device = one_of_each()[index % len(one_of_each())]
    fault = draw_fault(device, position, (WEEK.from_ms, NOW), Random(seed))
    if fault is None:
        return
    times = [change.at_ms for change in fault.changes]
    assert times == sorted(set(times))
    assert all(WEEK.from_ms <= at <= NOW + HOUR for at in times)
    if fault.code is None:
        assert fault.pattern == "wear"
        return
    assert fault.system is not None
    code = load_catalogue().look_up(fault.system, fault.code)
    assert code.component.value == fault.component
    if fault.needs_person:
        assert is_repair(code)
        assert fault.changes[-1].state != "cleared"
    if fault.cleared_ms is not None:
        assert fault.changes[-1] == Change(fault.cleared_ms, "cleared")


@pytest.mark.parametrize(("day", "hour"), [(20_000, 7.5), (20_120, 23.9), (20_300, 24.5)])
def test_local_hours_survive_the_way_there_and_back(day: int, hour: float) -> None:
    at = at_hour(day, hour)
    assert local_hour(at) == pytest.approx(hour % 24, abs=0.01)
    assert local_day(at) == day + (hour >= 24)
