"""Would-be tickets of a storm are held as live ones are: by devices, codes and an hour."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from diagnostics.replay import Storms
from fleet.episodes import Episode, FaultEvent, fold
from fleet.faults import load_catalogue
from fleet.rules.facts import CodedEpisode, DeviceProfile
from fleet.rules.findings import NOTHING, Finding, Need, Said
from fleet.rules.storms import STORM_DEVICES
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CODE = load_catalogue().look_up("rnet.ics", "2C00")


def chair(number: int) -> DeviceProfile:
    kind = DeviceClass.POWERED_WHEELCHAIR
    return DeviceProfile(number, f"wc-{number}", 1, "demo", kind, "permobil-m3", None)


def fault(minute: float) -> Finding:
    at = NOON + timedelta(minutes=minute)
    event = FaultEvent(at, "1", 1, 0, "raised", None, at)
    (episode,) = fold([event])
    assert isinstance(episode, Episode)
    return Finding(
        "reported-fault", 1, f"{CODE.system}/{CODE.code}", "bus", Need.TICKET, Severity.MAJOR,
        Usability.UNUSABLE, Fixer.TECHNICIAN, Component.BUS, at, at, None, at, 1.0,
        Said(NOTHING, NOTHING, NOTHING), episodes=[CodedEpisode(1, CODE, episode)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("devices", "minute", "is_held"),
    [(STORM_DEVICES, 59, True), (STORM_DEVICES - 1, 59, False), (STORM_DEVICES, 300, False)],
)
def test_a_storm_needs_many_devices_near_in_time(devices: int, minute: int, is_held: bool) -> None:
    others = [(chair(n), fault(n / 100)) for n in range(devices - 1)]
    last = chair(900), fault(minute)
    assert Storms([*others, last]).holds(*last) is is_held


def test_one_device_that_reports_often_is_no_storm() -> None:
    often = [(chair(1), fault(n)) for n in range(3 * STORM_DEVICES)]
    assert not Storms(often).holds(*often[0])


def test_what_rests_on_many_reports_is_judged_by_its_code() -> None:
    """A finding about a part is no member: the single faults in it are."""
    others = [(chair(n), fault(0)) for n in range(STORM_DEVICES)]
    part = replace(fault(0), about="bus")
    assert not Storms(others).holds(chair(1), part)
