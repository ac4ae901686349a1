"""Signs of abnormal use: who stands far from the peers of the model, and who is not judged."""

from __future__ import annotations

import pytest

from fleet.wear import DRIVEN, Counter, signs

DEEP = "deep_discharge_count"


def chair(name, hours, deep, model="m3"):
    return [
        Counter(name, model, 1, None, DRIVEN, hours * 3600.0),
        Counter(name, model, 1, None, DEEP, float(deep)),
    ]


def peers(n, model="m3"):
    """Two to five deep discharges for each 100 hours."""
    return [row for i in range(n) for row in chair(f"{model}-{i}", 200, 4 + 2 * (i % 4), model)]


def test_a_chair_far_beyond_its_peers_is_a_sign():
    found = signs([*peers(30), *chair("odd", 100, 40)])
    assert [sign.device_id for sign in found] == ["odd"]
    sign = found[0]
    assert (sign.metric, sign.value, sign.peer_n) == (DEEP, 40.0, 31)
    assert sign.median == pytest.approx(3.0)
    assert 2 * sign.median <= sign.limit < 40


@pytest.mark.parametrize(
    "odd",
    [
        chair("new", 20, 40),  # has not driven enough to be compared
        chair("twice", 200, 11),  # less than twice the usual
        chair("rare", 50, 4),  # too few to say anything
        chair("alone", 100, 400, "other"),  # nobody of its model to compare with
        [Counter("no-hours", "m3", 1, None, DEEP, 400.0)],
    ],
)
def test_others_are_none(odd):
    assert signs([*peers(30), *odd]) == []


def test_too_few_peers_judge_nobody():
    assert signs([*peers(15), *chair("odd", 100, 400)]) == []


def test_the_farthest_come_first():
    found = signs([*peers(60), *chair("far", 100, 90), *chair("near", 100, 30)])
    assert [sign.device_id for sign in found] == ["far", "near"]


def test_where_the_peers_have_none_at_all_a_device_with_some_comes_first():
    none = [row for i in range(30) for row in chair(f"none-{i}", 200, 0, "m4")]
    odd = [*chair("odd", 100, 9, "m4"), *chair("far", 100, 90)]
    found = signs([*peers(60), *none, *odd])
    assert next((sign.device_id, sign.times) for sign in found) == ("odd", float("inf"))
    assert [sign.device_id for sign in found] == ["odd", "far"]
