"""A bad batch is found, blamed on what is most specific, and rarely where there is none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evidence import rule_of

from fleet.rules.facts import day_closes_at, day_starts_at
from fleet.rules.kinds import fleet
from fleet.rules.kinds.fleet import KIND, FleetDevice, FleetFacts, can_report, group_findings
from fleet.rules.rule import Rule
from fleet.ticket_states import OrderKind
from fleet.words import DeviceClass

DAY = date(2026, 11, 20).toordinal()
CHAIR, APAP = DeviceClass.POWERED_WHEELCHAIR, DeviceClass.APAP


def a_rule(**when: object) -> Rule:
    return rule_of(KIND, **when)


RULE = a_rule()
MODELS = ("m3", "b400", "q50r", "bora")
FIRMWARE = ("1.9.0", "2.3.7", "2.4.1")


def devices(n: int = 600) -> list[FleetDevice]:
    """150 of each model; of each model 50 of each firmware, and batches of 30."""
    return [
        FleetDevice(
            no,
            "demo",
            MODELS[no % 4],
            FIRMWARE[no // 4 % 3],
            f"b{no // 4 % 5}",
            CHAIR,
        )
        for no in range(n)
    ]


FLEET = devices()


def some(rng: Random, of: Iterable[int], share: float) -> frozenset[int]:
    return frozenset(no for no in of if rng.random() < share)


def found(
    faulted: dict[str, frozenset[int]], rule: Rule = RULE, **known: Any
) -> list[tuple[str, str]]:
    facts = FleetFacts(DAY, FLEET, faulted, **known)
    return [(one.subject, one.finding.about) for one in group_findings(rule, facts)]


def members(**wanted: str) -> list[int]:
    return [d.device_no for d in FLEET if all(getattr(d, k) == v for k, v in wanted.items())]


@pytest.mark.parametrize(
    ("wanted", "share", "subject"),
    [
        ({"model_id": "b400", "firmware": "2.4.1"}, 0.4, "model:b400/firmware:2.4.1"),
        ({"model_id": "b400", "batch": "b3"}, 0.6, "model:b400/batch:b3"),
        ({"model_id": "b400"}, 0.3, "model:b400"),
    ],
)
def test_the_most_specific_explanation_is_the_only_one(
    wanted: dict[str, str], share: float, subject: str
) -> None:
    hits = 0
    for seed in range(20):
        rng = Random(seed)
        faulted = some(rng, range(600), 0.02) | some(rng, members(**wanted), share)
        quiet = {name: some(rng, range(600), 0.03) for name in ("battery", "joystick")}
        hits += found({"brake": faulted} | quiet) == [(subject, "brake")]
    assert hits >= 18


def test_a_bad_model_and_its_worse_batch_are_two() -> None:
    rng = Random(4)
    bad = some(rng, range(600), 0.01) | some(rng, members(model_id="b400"), 0.3)
    worse = some(rng, members(model_id="b400", batch="b3"), 0.95)
    assert found({"brake": bad | worse}) == [
        ("model:b400", "brake"),
        ("model:b400/batch:b3", "brake"),
    ]


def test_a_model_that_only_names_its_faults_differently_is_not_worse() -> None:
    """As many devices of each model fault; one maker's table calls it all the power module."""
    own, others = members(model_id="b400"), [d.device_no for d in FLEET if d.model_id != "b400"]
    blamed = 0
    for seed in range(40):
        rng = Random(seed)
        parts: dict[str, set[int]] = {"power_module": set(), "bus": set(), "joystick": set()}
        parts["power_module"] |= some(rng, own, 0.3)
        for no in sorted(some(rng, others, 0.3)):
            parts[rng.choice(["power_module", "bus", "bus", "joystick", "joystick"])].add(no)
        faulted = {name: frozenset(nos) for name, nos in parts.items()}
        blamed += ("model:b400", "power_module") in found(faulted)
    assert blamed <= 3, "more than the chance of one in a hundred explains"


def test_a_firmware_number_means_nothing_without_a_model() -> None:
    every = members(firmware="2.4.1")
    faulted = frozenset(every[::1]) & some(Random(1), range(600), 0.25)
    assert all("firmware:2.4.1" in subject for subject, _ in found({"brake": faulted}))


def test_the_whole_class_faulting_alike_blames_nobody() -> None:
    assert found({"battery": some(Random(1), range(600), 0.5)}) == []


def test_2000_null_fleets_raise_no_more_false_alarms_than_promised() -> None:
    """No fault differs by group: three components, so some hundred comparisons a fleet and day."""
    condition = a_rule(chance=0.05, min_ratio=1.0, min_faulted=2).condition
    assert isinstance(condition, fleet.Fleet)
    rng = np.random.default_rng(17)
    small = FLEET[:240]
    census = fleet.Census(small)
    least = np.ones(2000)
    for run in range(len(least)):
        faulted = {
            name: frozenset(np.flatnonzero(rng.random(240) < share).tolist())
            for name, share in (("brake", 0.02), ("battery", 0.06), ("joystick", 0.04))
        }
        suspects = condition.suspects(FleetFacts(DAY, small, faulted), census)
        least[run] = min((one.chance for one in suspects), default=1.0)
    for chance in (0.05, 0.01, 0.001):
        spread = 3 * (chance * (1 - chance) / len(least)) ** 0.5
        assert np.mean(least <= chance) <= chance + spread


@pytest.mark.parametrize(("share", "power"), [(0.25, 0.5), (0.4, 0.9)])
def test_a_planted_bad_batch_is_found(share: float, power: float) -> None:
    planted = members(model_id="bora", batch="b1")
    hits = 0
    for seed in range(60):
        rng = Random(seed)
        faulted = some(rng, range(600), 0.01) | some(rng, planted, share)
        hits += ("model:bora/batch:b1", "brake") in found({"brake": faulted})
    assert hits / 60 >= power


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 50))
def test_the_order_of_devices_and_components_changes_nothing(rng: Random, seed: int) -> None:
    own = Random(seed)
    faulted = {
        "brake": some(own, range(600), 0.02) | some(own, members(model_id="m3", batch="b1"), 0.5),
        "battery": some(own, range(600), 0.05) | some(own, members(model_id="bora"), 0.2),
    }
    shuffled = list(FLEET)
    rng.shuffle(shuffled)
    turned = dict(reversed(faulted.items()))
    assert group_findings(RULE, FleetFacts(DAY, shuffled, turned)) == group_findings(
        RULE, FleetFacts(DAY, FLEET, faulted)
    )


def test_the_finding_links_the_singles_and_shows_both_rates() -> None:
    planted = frozenset(members(model_id="b400", batch="b3")[:20])
    others = frozenset(members(model_id="m3")[:10])
    (one,) = group_findings(RULE, FleetFacts(DAY, FLEET, {"left_brake": planted | others}))
    finding = one.finding
    assert one.subject == "model:b400/batch:b3"
    assert set(one.device_nos) == planted
    assert finding.order is OrderKind.SUPPLIER
    assert (finding.about, finding.cause) == ("left_brake", "left_brake")
    assert finding.said.title.sv == (
        "b400, tillverkningsserie b3: fler fel än väntat, broms vänster"
    )
    assert "20 av 30 har haft felet: 66,7\u00a0%" in finding.said.happened.sv
    assert finding.measures["rate_low"] > finding.measures["peer_rate_high"]
    assert finding.started_at == day_starts_at(DAY)
    assert finding.known_at == day_closes_at(DAY)


def test_what_was_found_before_begins_when_it_began_and_is_kept_by_a_milder_limit() -> None:
    planted = frozenset(members(model_id="b400", batch="b3")[:5])
    faulted = {"brake": planted | frozenset(members(model_id="m3")[:5])}
    key = ("model:b400/batch:b3", "brake")
    fresh, kept = a_rule(chance=0.0005), {key: datetime(2026, 11, 1, tzinfo=UTC)}
    assert found(faulted, fresh) == []
    facts = FleetFacts(DAY, FLEET, faulted, held=kept)
    (one,) = group_findings(fresh, facts)
    assert one.finding.started_at == kept[key]


def test_models_that_cannot_report_a_part_are_no_peers_there() -> None:
    """A scooter has one motor, most chairs a left and a right one: nothing is wrong with it."""
    chairs = ("permobil-m3", "dynamic-rhino2")
    devices = [FleetDevice(n, "demo", chairs[n % 2], None, None, CHAIR) for n in range(600)]
    scooters = [d.device_no for d in devices if d.model_id == "dynamic-rhino2"]
    assert not can_report("permobil-m3", "motor")
    assert can_report("dynamic-rhino2", "motor")
    facts = FleetFacts(DAY, devices, {"motor": frozenset(scooters[:80])})
    assert group_findings(RULE, facts) == []
    facts = FleetFacts(DAY, devices, {"power_module": frozenset(scooters[:80])})
    assert [one.subject for one in group_findings(RULE, facts)] == ["model:dynamic-rhino2"]


def test_classes_are_never_each_other_s_peers() -> None:
    """A breathing device with a worn mask is not bad because wheelchairs have no mask."""
    apaps = [FleetDevice(1000 + n, "demo", "as11", None, None, APAP) for n in range(60)]
    faulted = frozenset(range(1000, 1030))
    assert group_findings(RULE, FleetFacts(DAY, FLEET + apaps, {"mask": faulted})) == []


def test_one_device_alone_is_never_judged() -> None:
    assert RULE.condition.needs.fleet
    assert RULE.condition.evaluate(RULE, None, None) == []  # type: ignore[arg-type]
