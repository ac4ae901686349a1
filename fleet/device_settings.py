"""The settings catalogue: what a setting that a device reports is called, and whose it is.

Settings are only read. Nothing here, or anywhere, changes one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from fleet.catalogue import Entry, packaged, parse
from fleet.metrics import ENDINGS
from fleet.words import DeviceClass, Lang

SETTING_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
"""What a setting may be called, known or not. Use ``fullmatch``."""


@dataclass(frozen=True, slots=True)
class DeviceSetting:
    """One setting. `care`: it is part of the treatment, and only care sees and changes it.

    `ucum` and `unit` are None for a setting without unit. `words` maps a text that a device sends
    to what it is called, by language.
    """

    name: str
    label_en: str
    label_sv: str
    care: bool
    ucum: str | None
    unit: str | None
    decimals: int
    device_classes: frozenset[DeviceClass]
    words: Mapping[str, Mapping[Lang, str]]

    def label(self, lang: Lang) -> str:
        return self.label_sv if lang == "sv" else self.label_en

    def word(self, value: str, lang: Lang) -> str:
        """The value in words; as it was sent where it has none."""
        return self.words.get(value, {}).get(lang, value)


class DeviceSettings:
    """All known settings. Iterates in file order, which is the order of a page."""

    def __init__(self, settings: Iterable[DeviceSetting]) -> None:
        self._settings = {setting.name: setting for setting in settings}
        self._places = {name: place for place, name in enumerate(self._settings)}
        self._treating = frozenset().union(
            *(setting.device_classes for setting in self if setting.care)
        )

    def get(self, name: str) -> DeviceSetting | None:
        """None for a name we do not know, which a device may well send."""
        return self._settings.get(name)

    def of(self, device_class: DeviceClass) -> tuple[DeviceSetting, ...]:
        """What a device of this class may report."""
        return tuple(setting for setting in self if device_class in setting.device_classes)

    def place(self, name: str) -> tuple[int, str]:
        """Sorts names into the order of a page; unknown ones come last, by name."""
        return self._places.get(name, len(self._places)), name

    def is_care(self, name: str, device_class: str) -> bool:
        """True of a setting of the treatment, and of one that may be.

        Nobody knows what an unknown name of a device that treats somebody means, nor what a
        device of an unknown class does.
        """
        known = self.get(name)
        if known is not None and (known.care or device_class in known.device_classes):
            return known.care
        return device_class in self._treating or device_class not in set(DeviceClass)

    def __iter__(self) -> Iterator[DeviceSetting]:
        return iter(self._settings.values())

    def __len__(self) -> int:
        return len(self._settings)


def is_care(name: str, device_class: str) -> bool:
    """`DeviceSettings.is_care` by the settings that ship with this package."""
    return load_device_settings().is_care(name, device_class)


@cache
def load_device_settings() -> DeviceSettings:
    """The settings that ship with this package, read and checked once.

    Raises:
        CatalogueError: the data file is wrong.
    """
    return parse_device_settings(packaged("settings.toml")["settings.toml"])


def parse_device_settings(text: str, file: str = "settings.toml") -> DeviceSettings:
    """Build the catalogue from TOML text.

    Raises:
        CatalogueError: the first thing that is wrong.
    """
    whole = parse(file, text)
    whole.allow_only({"setting"})
    settings: dict[str, DeviceSetting] = {}
    for entry in whole.tables("setting"):
        name = entry.text("name")
        if name in settings:
            raise entry.named(name).error("the name stands twice", "Keep one of the two entries")
        settings[name] = _setting(entry.named(name))
    return DeviceSettings(settings.values())


_KEYS: Final = {
    "name",
    "label_en",
    "label_sv",
    "care",
    "ucum",
    "unit",
    "decimals",
    "device_classes",
    "words",
}


def _setting(entry: Entry) -> DeviceSetting:
    entry.allow_only(_KEYS)
    ucum, unit = entry.optional_text("ucum"), entry.optional_text("unit")
    _check_name(entry, ucum)
    if (ucum is None) != (unit is None):
        raise entry.error("ucum and unit go together", "Give both or neither")
    classes = frozenset(entry.members("device_classes", DeviceClass))
    if not classes:
        raise entry.error("device_classes is empty", "Name the classes that have the setting")
    return DeviceSetting(
        name=entry.name,
        label_en=entry.text("label_en"),
        label_sv=entry.text("label_sv"),
        care=entry.flag("care"),
        ucum=ucum,
        unit=unit,
        decimals=entry.optional_whole("decimals", 0, 6) or 0,
        device_classes=classes,
        words=_words(entry),
    )


def _check_name(entry: Entry, ucum: str | None) -> None:
    if not SETTING_NAME.fullmatch(entry.name):
        raise entry.error("not a setting's name", f"Match {SETTING_NAME.pattern}")
    if ucum is None:
        return
    ending = ENDINGS.get(ucum)
    if ending is None:
        raise entry.error(f"unit {ucum!r} is unknown", f"Use one of {', '.join(ENDINGS)}")
    if not entry.name.endswith(f"_{ending}"):
        raise entry.error(f"the name does not end in its unit {ucum}", f"End it in _{ending}")


def _words(entry: Entry) -> Mapping[str, Mapping[Lang, str]]:
    if "words" not in entry.fields:
        return {}
    found: dict[str, Mapping[Lang, str]] = {}
    for table in entry.tables("words"):
        table.allow_only({"value", "sv", "en"})
        found[table.text("value")] = {"sv": table.text("sv"), "en": table.text("en")}
    return found
