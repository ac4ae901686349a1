"""The words of the domain as enums, with the Swedish and English a reader meets.

Labels are lower case, ready for the middle of a sentence; a page capitalises where it starts one.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeVar

Lang = Literal["sv", "en"]
Word = TypeVar("Word", bound=StrEnum)
Labels = Mapping[Lang, Mapping[Word, str]]


class DeviceClass(StrEnum):
    """What kind of device an individual is."""

    POWERED_WHEELCHAIR = "powered_wheelchair"
    APAP = "apap"
    BLOOD_PRESSURE_MONITOR = "blood_pressure_monitor"
    SCALE = "scale"
    GLUCOSE_METER = "glucose_meter"
    HBA1C_METER = "hba1c_meter"
    PULSE_OXIMETER = "pulse_oximeter"
    ACTIVITY_METER = "activity_meter"
    PERSONAL_ALARM = "personal_alarm"
    MEDICATION_DISPENSER = "medication_dispenser"
    GATEWAY = "gateway"


class Severity(StrEnum):
    """How bad a fault is. ``info`` is no fault at all: it never opens a ticket."""

    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for ``info`` up to 3 for ``critical``; strings would sort by letter."""
        return _SEVERITY_RANK[self]


class Usability(StrEnum):
    """What the device is good for while the fault lasts."""

    USABLE = "usable"
    DEGRADED = "degraded"
    UNUSABLE = "unusable"


class Fixer(StrEnum):
    """Who can put it right, at the least."""

    USER = "user"
    TECHNICIAN = "technician"
    SUPPLIER = "supplier"


class Component(StrEnum):
    """The part a fault points at."""

    ACCESSORY = "accessory"
    ACTUATOR = "actuator"
    ALARM = "alarm"
    BATTERY = "battery"
    BLOWER = "blower"
    BRAKE = "brake"
    BUS = "bus"
    CHARGER = "charger"
    CLOCK = "clock"
    CUFF = "cuff"
    DEVICE = "device"
    DISPENSING_MECHANISM = "dispensing_mechanism"
    FILTER = "filter"
    HUMIDIFIER = "humidifier"
    JOYSTICK = "joystick"
    LEFT_BRAKE = "left_brake"
    LEFT_MOTOR = "left_motor"
    MASK = "mask"
    MASK_LEAK = "mask_leak"
    MEASUREMENT = "measurement"
    MEMORY = "memory"
    MOTOR = "motor"
    POWER_MODULE = "power_module"
    POWER_SUPPLY = "power_supply"
    PRESSURE_SENSOR = "pressure_sensor"
    RADIO = "radio"
    RIGHT_BRAKE = "right_brake"
    RIGHT_MOTOR = "right_motor"
    SENSOR = "sensor"
    SERVICE = "service"
    STRIP = "strip"
    SWITCHBOX = "switchbox"
    TRAY = "tray"
    TUBE = "tube"
    UNKNOWN = "unknown"
    USER_ACTION = "user_action"


_SEVERITY_RANK = {severity: rank for rank, severity in enumerate(Severity)}

DEVICE_CLASS_LABELS: Labels[DeviceClass] = {
    "sv": {
        DeviceClass.POWERED_WHEELCHAIR: "elrullstol",
        DeviceClass.APAP: "APAP",
        DeviceClass.BLOOD_PRESSURE_MONITOR: "blodtrycksmätare",
        DeviceClass.SCALE: "våg",
        DeviceClass.GLUCOSE_METER: "glukosmätare",
        DeviceClass.HBA1C_METER: "HbA1c-mätare",
        DeviceClass.PULSE_OXIMETER: "pulsoximeter",
        DeviceClass.ACTIVITY_METER: "aktivitetsmätare",
        DeviceClass.PERSONAL_ALARM: "mobilt trygghetslarm",
        DeviceClass.MEDICATION_DISPENSER: "läkemedelsautomat",
        DeviceClass.GATEWAY: "gateway",
    },
    "en": {
        DeviceClass.POWERED_WHEELCHAIR: "powered wheelchair",
        DeviceClass.APAP: "APAP unit",
        DeviceClass.BLOOD_PRESSURE_MONITOR: "blood pressure monitor",
        DeviceClass.SCALE: "scale",
        DeviceClass.GLUCOSE_METER: "glucose meter",
        DeviceClass.HBA1C_METER: "HbA1c meter",
        DeviceClass.PULSE_OXIMETER: "pulse oximeter",
        DeviceClass.ACTIVITY_METER: "activity meter",
        DeviceClass.PERSONAL_ALARM: "personal alarm",
        DeviceClass.MEDICATION_DISPENSER: "medication dispenser",
        DeviceClass.GATEWAY: "gateway",
    },
}

SEVERITY_LABELS: Labels[Severity] = {
    "sv": {
        Severity.INFO: "information",
        Severity.MINOR: "mindre",
        Severity.MAJOR: "allvarligt",
        Severity.CRITICAL: "kritiskt",
    },
    "en": {
        Severity.INFO: "information",
        Severity.MINOR: "minor",
        Severity.MAJOR: "major",
        Severity.CRITICAL: "critical",
    },
}

USABILITY_LABELS: Labels[Usability] = {
    "sv": {
        Usability.USABLE: "går att använda",
        Usability.DEGRADED: "begränsad",
        Usability.UNUSABLE: "går inte att använda",
    },
    "en": {
        Usability.USABLE: "can be used",
        Usability.DEGRADED: "limited",
        Usability.UNUSABLE: "cannot be used",
    },
}

FIXER_LABELS: Labels[Fixer] = {
    "sv": {
        Fixer.USER: "kan åtgärdas av dig",
        Fixer.TECHNICIAN: "tekniker",
        Fixer.SUPPLIER: "leverantör",
    },
    "en": {
        Fixer.USER: "you can fix it yourself",
        Fixer.TECHNICIAN: "technician",
        Fixer.SUPPLIER: "supplier",
    },
}

COMPONENT_LABELS: Labels[Component] = {
    "sv": {
        Component.ACCESSORY: "tillbehör",
        Component.ACTUATOR: "ställdon",
        Component.ALARM: "larmfunktion",
        Component.BATTERY: "batteri",
        Component.BLOWER: "fläkt",
        Component.BRAKE: "broms",
        Component.BUS: "kabel eller buss",
        Component.CHARGER: "laddare",
        Component.CLOCK: "klocka",
        Component.CUFF: "manschett",
        Component.DEVICE: "hela hjälpmedlet",
        Component.DISPENSING_MECHANISM: "utmatning",
        Component.FILTER: "filter",
        Component.HUMIDIFIER: "befuktare",
        Component.JOYSTICK: "styrspak",
        Component.LEFT_BRAKE: "broms vänster",
        Component.LEFT_MOTOR: "drivmotor vänster",
        Component.MASK: "mask",
        Component.MASK_LEAK: "läckage vid mask eller slang",
        Component.MEASUREMENT: "mätresultat",
        Component.MEMORY: "minne eller programvara",
        Component.MOTOR: "drivmotor",
        Component.POWER_MODULE: "kraftmodul",
        Component.POWER_SUPPLY: "strömförsörjning",
        Component.PRESSURE_SENSOR: "trycksensor",
        Component.RADIO: "radio",
        Component.RIGHT_BRAKE: "broms höger",
        Component.RIGHT_MOTOR: "drivmotor höger",
        Component.SENSOR: "sensor",
        Component.SERVICE: "planerad service",
        Component.STRIP: "teststicka",
        Component.SWITCHBOX: "knappanel",
        Component.TRAY: "doseringsbricka",
        Component.TUBE: "slang",
        Component.UNKNOWN: "okänd del",
        Component.USER_ACTION: "handhavande",
    },
    "en": {
        Component.ACCESSORY: "accessory",
        Component.ACTUATOR: "actuator",
        Component.ALARM: "alarm function",
        Component.BATTERY: "battery",
        Component.BLOWER: "blower",
        Component.BRAKE: "brake",
        Component.BUS: "cable or bus",
        Component.CHARGER: "charger",
        Component.CLOCK: "clock",
        Component.CUFF: "cuff",
        Component.DEVICE: "whole unit",
        Component.DISPENSING_MECHANISM: "dispensing mechanism",
        Component.FILTER: "filter",
        Component.HUMIDIFIER: "humidifier",
        Component.JOYSTICK: "joystick",
        Component.LEFT_BRAKE: "left brake",
        Component.LEFT_MOTOR: "left drive motor",
        Component.MASK: "mask",
        Component.MASK_LEAK: "leak at mask or tube",
        Component.MEASUREMENT: "measured result",
        Component.MEMORY: "memory or software",
        Component.MOTOR: "drive motor",
        Component.POWER_MODULE: "power module",
        Component.POWER_SUPPLY: "power supply",
        Component.PRESSURE_SENSOR: "pressure sensor",
        Component.RADIO: "radio",
        Component.RIGHT_BRAKE: "right brake",
        Component.RIGHT_MOTOR: "right drive motor",
        Component.SENSOR: "sensor",
        Component.SERVICE: "planned service",
        Component.STRIP: "test strip",
        Component.SWITCHBOX: "switchbox",
        Component.TRAY: "tray",
        Component.TUBE: "tube",
        Component.UNKNOWN: "unknown part",
        Component.USER_ACTION: "handling",
    },
}

PART_LABELS: Labels[Component] = {
    "sv": {
        Component.ACCESSORY: "ett tillbehör",
        Component.ACTUATOR: "motorn som ställer sitsen eller ryggen",
        Component.ALARM: "larmfunktionen",
        Component.BATTERY: "batteriet",
        Component.BLOWER: "fläkten",
        Component.BRAKE: "bromsen",
        Component.BUS: "en kabel",
        Component.CHARGER: "laddaren",
        Component.CLOCK: "klockan",
        Component.CUFF: "manschetten",
        Component.DISPENSING_MECHANISM: "utmatningen",
        Component.FILTER: "filtret",
        Component.HUMIDIFIER: "befuktaren",
        Component.JOYSTICK: "styrspaken",
        Component.LEFT_BRAKE: "vänster broms",
        Component.LEFT_MOTOR: "vänster drivmotor",
        Component.MASK: "masken",
        Component.MASK_LEAK: "läckage vid masken eller slangen",
        Component.MEASUREMENT: "mätningen",
        Component.MEMORY: "minnet eller programvaran",
        Component.MOTOR: "drivmotorn",
        Component.POWER_MODULE: "styrelektroniken",
        Component.POWER_SUPPLY: "strömförsörjningen",
        Component.PRESSURE_SENSOR: "trycksensorn",
        Component.RADIO: "den trådlösa uppkopplingen",
        Component.RIGHT_BRAKE: "höger broms",
        Component.RIGHT_MOTOR: "höger drivmotor",
        Component.SENSOR: "sensorn",
        Component.STRIP: "teststickan",
        Component.SWITCHBOX: "knappanelen",
        Component.TRAY: "doseringsbrickan",
        Component.TUBE: "slangen",
    },
    "en": {
        Component.ACCESSORY: "an accessory",
        Component.ACTUATOR: "the seat or back motor",
        Component.ALARM: "the alarm function",
        Component.BATTERY: "the battery",
        Component.BLOWER: "the blower",
        Component.BRAKE: "the brake",
        Component.BUS: "a cable",
        Component.CHARGER: "the charger",
        Component.CLOCK: "the clock",
        Component.CUFF: "the cuff",
        Component.DISPENSING_MECHANISM: "the dispensing mechanism",
        Component.FILTER: "the filter",
        Component.HUMIDIFIER: "the humidifier",
        Component.JOYSTICK: "the joystick",
        Component.LEFT_BRAKE: "the left brake",
        Component.LEFT_MOTOR: "the left drive motor",
        Component.MASK: "the mask",
        Component.MASK_LEAK: "a leak at the mask or tube",
        Component.MEASUREMENT: "the measurement",
        Component.MEMORY: "the memory or software",
        Component.MOTOR: "the drive motor",
        Component.POWER_MODULE: "the power module",
        Component.POWER_SUPPLY: "the power supply",
        Component.PRESSURE_SENSOR: "the pressure sensor",
        Component.RADIO: "the wireless connection",
        Component.RIGHT_BRAKE: "the right brake",
        Component.RIGHT_MOTOR: "the right drive motor",
        Component.SENSOR: "the sensor",
        Component.STRIP: "the test strip",
        Component.SWITCHBOX: "the switchbox",
        Component.TRAY: "the tray",
        Component.TUBE: "the tube",
    },
}
"""A part as its user hears of it, ready after "a fault that concerns"."""


def part_label(component: Component, lang: Lang) -> str | None:
    """The user's word for a part; None where no part of the device is meant."""
    return PART_LABELS[lang].get(component)


def label(value: DeviceClass | Severity | Usability | Fixer | Component, lang: Lang) -> str:
    """The word a reader meets for `value`. Every member of every enum has one."""
    match value:
        case DeviceClass():
            return DEVICE_CLASS_LABELS[lang][value]
        case Severity():
            return SEVERITY_LABELS[lang][value]
        case Usability():
            return USABILITY_LABELS[lang][value]
        case Fixer():
            return FIXER_LABELS[lang][value]
        case Component():
            return COMPONENT_LABELS[lang][value]
