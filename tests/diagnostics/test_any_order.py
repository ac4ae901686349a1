"""Faults and values in any order and any batches: the same findings, the same tickets that stand.

Compared at a late end. Left out is when a value was judged (`known_at` of findings that rest on
values, and of their tickets): nobody can know what has not come, so it does depend on the order.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from random import Random

import pytest
from support.world import DAY, HOUR, NOON, by_day, looked_at, sag

from fleet.rules.facts import day_of, day_starts_at

TODAY = day_of(NOON)
FIRST = TODAY - 44
END = looked_at(TODAY) + 2 * DAY
PICTURE = {
    "episodes": "SELECT device_no, system, code, started_at, last_at, ended_at FROM episode",
    "findings": "SELECT device_no, rule_id, about, started_at, last_at, ended_at, need, severity,"
    " occurrence_n, confidence, CASE WHEN detail -> 'points' = '[]' THEN known_at END,"
    " detail - 'episodes' FROM finding",
    "tickets": "SELECT device_no, cause, state, order_kind, severity, usability, is_active,"
    " rule_id, started_at, urgent_because FROM ticket WHERE state <> 'void'",
    "links": "SELECT t.device_no, t.cause, f.rule_id, f.about, f.started_at FROM ticket AS t"
    " JOIN ticket_finding USING (ticket_no) JOIN finding AS f USING (finding_no)"
    " WHERE t.state <> 'void'",
}


def _samples(random, devices):
    """Six weeks of a battery that weakens, one that sags, and one that is well."""
    falling, sagging, well = devices
    for no, slope in ((falling, 0.05), (sagging, 0.0), (well, 0.0)):
        values = [27.4 - slope * n + random.uniform(-0.02, 0.02) for n in range(45)]
        yield from ((no, "battery_voltage_v", at, value) for at, value in by_day(FIRST, values))
    for day in (FIRST + 10, FIRST + 11, FIRST + 30):
        at = day_starts_at(day).astimezone(UTC) + 15 * HOUR
        yield from ((sagging, *point) for point in sag(at))


def _faults(random, report, devices):
    for no in devices:
        for _ in range(25):
            minute = -random.randrange(1440 * 20)
            code = random.choice(["3D00", "7100", "2C00", "7902"])
            late = timedelta(minutes=random.randrange(1, 90))
            yield (
                no,
                report(minute, random.choice(["raised", "raised", "cleared"]), code, late=late),
            )


def _arrive(world, random, part):
    """Store one batch, and let diagnostics do one thing or another, in some order."""
    faults = [item[1] for item in part if item[0] == "fault"]
    samples = [item[1] for item in part if item[0] == "sample"]
    if faults:
        world.store(faults)
    if samples:
        world.store_samples(samples)
    steps = [
        lambda: world.diagnose(END, limit=random.randint(1, 40)),
        lambda: world.roll_up(END, limit=random.randint(5, 200)),
        lambda: world.look(END + HOUR, limit=random.randint(1, 3)),
    ]
    for step in random.sample(steps, random.randrange(4)):
        step()


def _lived(world, random, arrivals):
    world.forget()
    rest = list(arrivals)
    while rest:
        size = random.randint(20, 120)
        _arrive(world, random, rest[:size])
        rest = rest[size:]
    world.diagnose(END)
    world.live(END + HOUR)
    return {name: set(map(repr, world.rows(query))) for name, query in PICTURE.items()}


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_faults_and_values_ends_in_the_same_findings_and_tickets(
    plain_world, report, seed
):
    world, random = plain_world, Random(seed)
    devices = world.devices(["falling", "sagging", "well"])
    arrivals = [("sample", sample) for sample in _samples(random, devices)]
    arrivals += [("fault", world.numbered(no, one)) for no, one in _faults(random, report, devices)]
    expected = _lived(world, random, arrivals)
    rules = {row[0] for row in world.findings("rule_id")}
    assert rules >= {"reported-fault", "pack-voltage-under-load", "resting-voltage-falling"}
    for _ in range(3):
        found = _lived(world, random, random.sample(arrivals, len(arrivals)))
        for name in PICTURE:
            assert found[name] == expected[name], name


def test_values_that_come_backwards_day_by_day_end_the_same(plain_world):
    world = plain_world
    (device_no,) = world.devices(["falling"])
    values = by_day(FIRST, [27.4 - 0.05 * n for n in range(45)])
    pictures = []
    for points in (values, values[::-1]):
        world.forget()
        for nth, (at, value) in enumerate(points):
            world.measure(device_no, "battery_voltage_v", [(at, value)])
            world.live(END + nth * HOUR)
        pictures.append({name: set(map(repr, world.rows(q))) for name, q in PICTURE.items()})
    assert pictures[0] == pictures[1]
    assert len(pictures[0]["tickets"]) == 1
