"""The fault catalogue: what a code in `faults[]` of a record means, and who puts it right.

A code means something only within its `system`, the table the device names beside it: flash
count 5 is a left brake on one controller and a right motor on the next. Classifications are
ours, derived from the effect the source describes; the files say where one was changed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from fleet.catalogue import CatalogueError, Entry, packaged, parse
from fleet.words import Component, DeviceClass, Fixer, Lang, Severity, Usability

__all__ = [
    "CatalogueError",
    "CodeKind",
    "FaultCatalogue",
    "FaultCode",
    "FaultFamily",
    "load_catalogue",
    "parse_catalogue",
]


class CodeKind(StrEnum):
    """How a family writes its codes; decides how a reported code is compared."""

    HEX = "hex"
    FLASH = "flash"
    TEXT = "text"
    NUMBER = "number"
    BITS = "bits"


@dataclass(frozen=True, slots=True)
class FaultFamily:
    """One code table. `aliases` are other system names that mean this table."""

    system: str
    aliases: tuple[str, ...]
    device_class: DeviceClass
    vendor: str
    name: str
    code_kind: CodeKind


@dataclass(frozen=True, slots=True)
class FaultCode:
    """One code of one system. When `known` is false the texts say so and ask for help.

    `device_class` is None and `vendor` and `family` are empty when the system is unknown too;
    an unknown code has no source.
    """

    system: str
    code: str
    device_class: DeviceClass | None
    vendor: str
    family: str
    meaning_en: str
    meaning_sv: str
    component: Component
    severity: Severity
    usability: Usability
    fixer: Fixer
    action_en: str
    action_sv: str
    source_title: str
    source_url: str
    known: bool

    def meaning(self, lang: Lang) -> str:
        return self.meaning_sv if lang == "sv" else self.meaning_en

    def action(self, lang: Lang) -> str:
        return self.action_sv if lang == "sv" else self.action_en


class FaultCatalogue:
    """All known codes. Iterates over them in file order."""

    def __init__(self, families: Iterable[FaultFamily], faults: Iterable[FaultCode]) -> None:
        """`faults` name systems of `families`; `parse_catalogue` has checked both."""
        self._families = {family.system: family for family in families}
        self._named = dict(self._families)
        for family in self._families.values():
            self._named.update(dict.fromkeys(family.aliases, family))
        self._faults = {
            (fault.system, _comparable(self._families[fault.system].code_kind, fault.code)): fault
            for fault in faults
        }

    def look_up(self, system: str, code: str) -> FaultCode:
        """What `code` means in `system`. An unknown code is a fault too, never an error.

        Firmware ships before the catalogue does, and a code we have not met yet must still
        reach a technician.
        """
        family = self._named.get(system)
        if family is None:
            return _unknown(system, code.strip(), None)
        comparable = _comparable(family.code_kind, code)
        known = self._faults.get((family.system, comparable))
        return known or _unknown(family.system, comparable, family)

    def family(self, system: str) -> FaultFamily | None:
        """The table called `system`, by its own name or an alias."""
        return self._named.get(system)

    def systems(self) -> tuple[str, ...]:
        """Every system by its own name, aliases left out."""
        return tuple(self._families)

    def __iter__(self) -> Iterator[FaultCode]:
        return iter(self._faults.values())

    def __len__(self) -> int:
        return len(self._faults)


@cache
def load_catalogue() -> FaultCatalogue:
    """The catalogue that ships with this package, read and checked once.

    Raises:
        CatalogueError: a data file is wrong.
    """
    return parse_catalogue(packaged("faults"))


def parse_catalogue(texts: Mapping[str, str]) -> FaultCatalogue:
    """Build a catalogue from file name -> TOML text.

    Raises:
        CatalogueError: the first thing that is wrong, in file order.
    """
    families: list[FaultFamily] = []
    faults: list[FaultCode] = []
    claimed: dict[str, str] = {}
    for file, text in texts.items():
        whole = parse(file, text)
        whole.allow_only({"family"})
        for entry in whole.tables("family"):
            family = _family(entry, claimed)
            families.append(family)
            faults.extend(_faults(entry.named(family.system), family))
    return FaultCatalogue(families, faults)


_FAMILY_KEYS = {"system", "aliases", "device_class", "vendor", "name", "code_kind", "fault"}
_FAULT_KEYS = {
    "code",
    "meaning_en",
    "meaning_sv",
    "component",
    "severity",
    "usability",
    "fixer",
    "action_en",
    "action_sv",
    "source_title",
    "source_url",
}


def _family(entry: Entry, claimed: dict[str, str]) -> FaultFamily:
    """Read the head of one table; `claimed` maps every system name seen so far to its file."""
    entry.allow_only(_FAMILY_KEYS)
    aliases = entry.texts("aliases") if "aliases" in entry.fields else ()
    family = FaultFamily(
        system=entry.slug("system"),
        aliases=tuple(entry.slug_of("aliases", alias) for alias in aliases),
        device_class=entry.member("device_class", DeviceClass),
        vendor=entry.text("vendor"),
        name=entry.text("name"),
        code_kind=entry.member("code_kind", CodeKind),
    )
    for system in (family.system, *family.aliases):
        if system in claimed:
            problem = f"system {system!r} is taken by {claimed[system]}"
            raise entry.error(problem, "Choose another system name; tables are never shared")
        claimed[system] = entry.file
    return family


def _faults(entry: Entry, family: FaultFamily) -> Iterator[FaultCode]:
    seen: set[str] = set()
    for numbered in entry.tables("fault"):
        code = numbered.text("code")
        row = numbered.named(f"{family.system}, code {code}")
        comparable = _comparable(family.code_kind, code)
        if comparable in seen:
            raise row.error("the code stands twice in this system", "Keep one of the two entries")
        seen.add(comparable)
        yield _fault(row, family)


def _fault(row: Entry, family: FaultFamily) -> FaultCode:
    row.allow_only(_FAULT_KEYS)
    fault = FaultCode(
        system=family.system,
        code=_written(row, family.code_kind),
        device_class=family.device_class,
        vendor=family.vendor,
        family=family.name,
        meaning_en=row.text("meaning_en"),
        meaning_sv=row.text("meaning_sv"),
        component=row.member("component", Component),
        severity=row.member("severity", Severity),
        usability=row.member("usability", Usability),
        fixer=row.member("fixer", Fixer),
        action_en=row.text("action_en"),
        action_sv=row.text("action_sv"),
        source_title=row.text("source_title"),
        source_url=row.source_url("source_url"),
        known=True,
    )
    _check_sense(row, fault)
    return fault


def _check_sense(row: Entry, fault: FaultCode) -> None:
    """What no list of allowed values can say."""
    if fault.component is Component.UNKNOWN:
        raise row.error("a known code has component unknown", "Name the part, or say device")
    if fault.action_sv == fault.action_en or fault.meaning_sv == fault.meaning_en:
        raise row.error("a Swedish text equals the English one", "Translate it")
    if fault.component is Component.MEASUREMENT and not _is_for_care(fault):
        remedy = "Make it severity info, usability usable, fixer user"
        raise row.error("a clinical result is classed as a device fault", remedy)


def _is_for_care(fault: FaultCode) -> bool:
    """A clinical result is no fault: nothing to repair, whatever the patient's value is."""
    classed = (fault.severity, fault.usability, fault.fixer)
    return classed == (Severity.INFO, Usability.USABLE, Fixer.USER)


def _written(row: Entry, kind: CodeKind) -> str:
    """The code as written, which for hexadecimal must be how it is compared: upper case."""
    code = row.text("code")
    if kind is CodeKind.HEX and code != _comparable(kind, code):
        raise row.error("a hex code is not in upper case", f"Write {_comparable(kind, code)}")
    return code


def _comparable(kind: CodeKind, code: str) -> str:
    """One spelling for all spellings of a code: hex case, and the width of a bit mask."""
    code = code.strip()
    match kind:
        case CodeKind.HEX:
            return code.upper().removeprefix("0X")
        case CodeKind.BITS:
            return _bit_mask(code)
        case _:
            return code


def _bit_mask(code: str) -> str:
    try:
        return f"{int(code, 16):#06x}"
    except ValueError:
        return code


def _unknown(system: str, code: str, family: FaultFamily | None) -> FaultCode:
    """A fault nobody has described yet; a technician has to look, so it is not ``info``."""
    what_en = "The code" if family else "The system, and so the code,"
    what_sv = "Koden" if family else "Systemet, och därmed koden,"
    return FaultCode(
        system=system,
        code=code,
        device_class=family.device_class if family else None,
        vendor=family.vendor if family else "",
        family=family.name if family else "",
        meaning_en=f"{what_en} is not in the catalogue: {code} of system {system}",
        meaning_sv=f"{what_sv} finns inte i katalogen: {code} i systemet {system}",
        component=Component.UNKNOWN,
        severity=Severity.MAJOR,
        usability=Usability.DEGRADED,
        fixer=Fixer.TECHNICIAN,
        action_en=f"Contact the supplier with code {code} of system {system}",
        action_sv=f"Kontakta leverantören och uppge kod {code} i systemet {system}",
        source_title="",
        source_url="",
        known=False,
    )
