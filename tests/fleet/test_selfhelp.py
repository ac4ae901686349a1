"""Steps that a user may try, and how a device stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleet.catalogue import CatalogueError
from fleet.faults import load_catalogue
from fleet.selfhelp import STEPS_MAX, catalogue_step, load_steps, parse_steps, step_text, steps_for
from fleet.standing import SILENT_AFTER, Standing, Trouble, standing
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOOD = """
[[step]]
id = "x-try"
device_classes = ["scale"]
components = ["battery"]
text_sv = "Prova."
text_en = "Try."
source_title = "A manual"
source_url = "https://example.org/manual"
"""


def test_the_parts_that_users_ask_about_have_a_step():
    chair = [Component.BATTERY, Component.CHARGER, Component.LEFT_BRAKE, Component.JOYSTICK,
             Component.MOTOR, Component.BUS]  # fmt: skip
    breathing = [Component.MASK_LEAK, Component.FILTER, Component.TUBE, Component.HUMIDIFIER]
    for device_class, parts in (
        (DeviceClass.POWERED_WHEELCHAIR, chair), (DeviceClass.APAP, breathing)
    ):  # fmt: skip
        for part in parts:
            assert 1 <= len(steps_for(device_class, part)) <= STEPS_MAX, part


def test_steps_are_those_of_the_device():
    for device_class in DeviceClass:
        for part in Component:
            for step in steps_for(device_class, part):
                assert device_class in step.device_classes
                assert part in step.components


def test_nothing_asks_a_user_to_open_or_rewire_a_chair():
    chair = [step for step in load_steps().values()
             if DeviceClass.POWERED_WHEELCHAIR in step.device_classes]  # fmt: skip
    own = [step for fault in load_catalogue() if (step := catalogue_step(fault))
           and fault.device_class is DeviceClass.POWERED_WHEELCHAIR]  # fmt: skip
    assert len(own) > 20
    for step in [*chair, *own]:
        words = step.text.sv.lower()
        for forbidden in ("skruv", "säkring", "batteripol", "öppna", "byt ", "multimeter"):
            assert forbidden not in words, step.text.sv


def test_the_faults_own_advice_comes_first_and_only_what_is_meant_for_the_user():
    catalogue = load_catalogue()
    mine = next(fault for fault in catalogue if catalogue_step(fault)
                and fault.component is Component.JOYSTICK)  # fmt: skip
    first, *rest = steps_for(mine.device_class, mine.component, [mine])
    assert first.text.sv.startswith(mine.action_sv.partition(";")[0])
    assert ";" not in first.text.sv
    assert rest
    for fault in catalogue:
        if fault.fixer is not Fixer.USER:
            assert catalogue_step(fault) is None
    assert catalogue_step(catalogue.look_up("vr2", "no-such-code")) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "x-try"', 'id = "X try"', "is not a slug"),
        ('["scale"]', '["toaster"]', "'toaster' is not a DeviceClass"),
        ('["battery"]', '["wheel"]', "'wheel' is not a Component"),
        ('"Try."', '"Prova."', "equals the English"),
        ('"https://example.org/manual"', '"a book"', "is no web address"),
        ('text_sv = "Prova."\n', "", "text_sv is missing"),
        ('id = "x-try"', 'id = "x-try"\nurgent = true', "unknown key 'urgent'"),
    ],
)
def test_a_wrong_step_is_refused(old, new, message):
    assert old in GOOD
    with pytest.raises(CatalogueError, match=message):
        parse_steps({"bad.toml": GOOD.replace(old, new, 1)})


def test_an_id_stands_once():
    with pytest.raises(CatalogueError, match="the id stands twice"):
        parse_steps({"a.toml": GOOD, "b.toml": GOOD})
    assert step_text("wc-charge").sv.startswith("Ladda stolen")
    assert step_text("gone") is None


STOPS = Trouble(Severity.CRITICAL, Usability.UNUSABLE)
LIMITS = Trouble(Severity.MAJOR, Usability.DEGRADED)
LIGHT = Trouble(Severity.MINOR, Usability.USABLE)
RESULT = Trouble(Severity.INFO, Usability.UNUSABLE)


@pytest.mark.parametrize(
    ("troubles", "silent_for", "expected"),
    [
        ([], timedelta(hours=1), Standing.WORKS),
        ([], None, Standing.UNKNOWN),
        ([], SILENT_AFTER + timedelta(minutes=1), Standing.UNKNOWN),
        ([LIGHT], timedelta(hours=1), Standing.WORKS),
        ([RESULT], timedelta(hours=1), Standing.WORKS),
        ([LIGHT, LIMITS], timedelta(hours=1), Standing.LIMITED),
        ([LIMITS, STOPS, LIGHT], timedelta(hours=1), Standing.DO_NOT_USE),
        ([LIMITS], None, Standing.LIMITED),
    ],
)
def test_a_device_stands_as_its_worst_trouble(troubles, silent_for, expected):
    heard = None if silent_for is None else NOW - silent_for
    assert standing(troubles, heard, NOW) is expected
