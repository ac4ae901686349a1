from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evidence import DEVICE, episode
from support.findings import finding, reported

from fleet.rules.storms import Member, StormKey, may_storm, most_common, span_of

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def test_only_a_reported_fault_by_its_own_code_may_storm():
    (fault,) = reported([("vr2/3D00", episode(NOON))])
    assert may_storm(fault)
    assert not may_storm(finding(NOON)), "values have their own grouping"
    assert not may_storm(replace(fault, about="left_motor")), "a recurrence is the device's own"


def test_a_storm_is_named_by_what_its_devices_share():
    assert StormKey(1, "vr2/3D00").subject == "storm:vr2/3D00"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], None),
        ([None, ""], None),
        (["a", None, "a", "b"], ("a", 0.5)),
        (["b", "a"], ("a", 0.5)),
    ],
)
def test_what_most_have_in_common(words, expected):
    assert most_common(words) == expected


@given(st.lists(st.none() | st.sampled_from("abc"), max_size=9), st.randoms())
def test_what_is_common_does_not_depend_on_the_order(words, random):
    shuffled = list(words)
    random.shuffle(shuffled)
    assert most_common(shuffled) == most_common(words)


def test_a_storm_lasts_from_its_first_device_to_its_last():
    starts = [NOON + timedelta(minutes=n) for n in (5, 0, 9)]
    members = [Member(DEVICE, finding(start), frozenset()) for start in starts]
    assert span_of(members) == (NOON, starts[2])
