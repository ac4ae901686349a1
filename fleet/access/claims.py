"""What a sign-in service says about somebody, turned into a caller by a configured map. Pure.

A map never guesses: a claim that is absent, said twice or not in its table refuses the sign-in,
and there is no role for those whom no condition fits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

from fleet.access.callers import Caller, Role
from fleet.catalogue import CatalogueError, Entry, packaged, parse
from fleet.personal_numbers import is_like_personal_number

Claims = Mapping[str, object]

VALUE_MAX: Final = 200
ROLES_MAX: Final = 200
_TENANT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ClaimsRefusedError(Exception):
    """Nobody can be made of these claims. Says which claim and why, never its value."""


class Comparison(StrEnum):
    """How a condition compares: with the one value of a claim, or with a list's members."""

    EQUALS = "equals"
    CONTAINS = "contains"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something a claim must say."""

    claim: str
    comparison: Comparison
    value: str

    def holds(self, claims: Claims) -> bool:
        said = claims.get(self.claim)
        if self.comparison is Comparison.EQUALS:
            return said == self.value
        return isinstance(said, list) and self.value in said


@dataclass(frozen=True, slots=True)
class RoleRule:
    """The role of those for whom all conditions hold, if no earlier rule has fitted."""

    role: Role
    conditions: tuple[Condition, ...]

    def fits(self, claims: Claims) -> bool:
        return all(condition.holds(claims) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Where an id of ours comes from: fixed, or a claim, as it is or by a table."""

    fixed: str | None = None
    claim: str | None = None
    table: Mapping[str, str] | None = None

    def found(self, claims: Claims) -> str | None:
        """The id; None when the claim is absent.

        Raises:
            ClaimsRefusedError: the claim has no usable value, or one that the table lacks.
        """
        if self.claim is None:
            return self.fixed
        said = _one(claims, self.claim)
        if said is None or self.table is None:
            return said
        if said not in self.table:
            raise ClaimsRefusedError(f"the value of claim {self.claim} is not in the table")
        return self.table[said]

    def is_silent(self, claims: Claims) -> bool:
        """Whether the claim is absent, or says something that has no id of ours."""
        said = None if self.claim is None else _one(claims, self.claim)
        return said is None or (self.table is not None and said not in self.table)


@dataclass(frozen=True, slots=True)
class ClaimMap:
    """How one sign-in service's claims are read.

    Attributes:
        subject: the claim that names the caller for good; never a personal number.
        names: claims that together are the caller's name.
        whole_tenant: roles that see all centres when the centre's claim names none of ours.
        service: what holds for programs; empty means that all callers are persons.
        scopes: what a sign-in asks for.
        requested: claims that a sign-in asks for by name, as essential.
        asks_userinfo: the claims are completed from the userinfo endpoint.
    """

    id: str
    subject: str
    names: tuple[str, ...]
    tenant: Lookup
    centre: Lookup
    whole_tenant: frozenset[Role]
    roles: tuple[RoleRule, ...]
    commission: str | None = None
    care_unit: str | None = None
    person: str | None = None
    device: str | None = None
    service: tuple[Condition, ...] = ()
    scopes: tuple[str, ...] = ("openid",)
    requested: tuple[str, ...] = ()
    asks_userinfo: bool = False

    def caller(self, claims: Claims) -> Caller:
        """Whoever the claims speak of.

        Raises:
            ClaimsRefusedError: a claim is absent, ambiguous, unknown, or a personal number.
        """
        role = self._role(claims)
        caller = Caller(
            subject=_needed(claims, self.subject),
            name=" ".join(_needed(claims, name) for name in self.names),
            role=role,
            tenant=self._tenant(claims),
            centre=self._centre(claims, role),
            commission=_optional(claims, self.commission),
            care_unit=_optional(claims, self.care_unit),
            person=_optional(claims, self.person) if role is Role.PATIENT else None,
            device=_optional(claims, self.device) if role is Role.DEVICE else None,
            is_service=bool(self.service) and all(test.holds(claims) for test in self.service),
        )
        self._check(caller)
        return caller

    def _role(self, claims: Claims) -> Role:
        for rule in self.roles:
            if rule.fits(claims):
                return rule.role
        asked = sorted({test.claim for rule in self.roles for test in rule.conditions})
        raise ClaimsRefusedError(f"no role fits what these claims say: {', '.join(asked)}")

    def _tenant(self, claims: Claims) -> str:
        tenant = self.tenant.found(claims)
        if tenant is None:
            raise ClaimsRefusedError(f"claim {self.tenant.claim} is absent, so there is no tenant")
        if not _TENANT.fullmatch(tenant):
            raise ClaimsRefusedError(f"claim {self.tenant.claim} is no tenant's id")
        return tenant

    def _centre(self, claims: Claims, role: Role) -> str | None:
        if role in self.whole_tenant and self.centre.is_silent(claims):
            return None
        centre = self.centre.found(claims)
        if centre is None and self.centre.claim is not None:
            raise ClaimsRefusedError(
                f"claim {self.centre.claim} is absent, and a {role} does not see every centre"
            )
        return centre

    def _check(self, caller: Caller) -> None:
        """A role that sees only what is its own needs to be told what that is."""
        reach = {
            Role.PATIENT: (caller.person, "person", self.person),
            Role.PRESCRIBER: (caller.care_unit, "care unit", self.care_unit),
            Role.DEVICE: (caller.device, "device", self.device),
        }
        value, what, claim = reach.get(caller.role, ("", "", None))
        if value is None:
            where = f"claim {claim} is absent" if claim else "the map names no claim for it"
            raise ClaimsRefusedError(f"a {caller.role} needs a {what}, and {where}")
        for said in (caller.subject, caller.name, caller.person):
            if said is not None and is_like_personal_number(said):
                raise ClaimsRefusedError(
                    f"claim {self.subject}, {', '.join(self.names)} or {self.person} holds what"
                    " looks like a personal number, which must never name a caller"
                )


def _one(claims: Claims, name: str) -> str | None:
    """The one value of a claim; None when it is absent.

    Raises:
        ClaimsRefusedError: several values, or something that is no short line of text.
    """
    said = claims.get(name)
    if isinstance(said, list):
        if len(said) > 1:
            raise ClaimsRefusedError(f"claim {name} has {len(said)} values: choose one at sign-in")
        said = said[0] if said else None
    if said is None or said == "":
        return None
    if not isinstance(said, str) or len(said) > VALUE_MAX or not said.isprintable():
        raise ClaimsRefusedError(f"claim {name} is no line of at most {VALUE_MAX} characters")
    return said.strip() or None


def _needed(claims: Claims, name: str) -> str:
    said = _one(claims, name)
    if said is None:
        raise ClaimsRefusedError(f"claim {name} is absent")
    return said


def _optional(claims: Claims, name: str | None) -> str | None:
    return None if name is None else _one(claims, name)


_KEYS: Final = (
    "id", "subject", "name", "commission", "care_unit", "person", "device", "scopes", "requested",
    "userinfo", "tenant", "centre", "role", "service",
)  # fmt: skip


def shipped_claim_map(name: str) -> ClaimMap:
    """One of the maps in this package.

    Raises:
        CatalogueError: there is none of that name.
    """
    shipped = packaged("claims")
    if f"{name}.toml" not in shipped:
        names = ", ".join(file.removesuffix(".toml") for file in shipped)
        raise CatalogueError(name, "claim map", "is not shipped", f"Use {names}, or a file's path")
    return parse_claim_map(shipped[f"{name}.toml"], f"{name}.toml")


def parse_claim_map(text: str, file: str) -> ClaimMap:
    """Read one map from TOML.

    Raises:
        CatalogueError: the first thing that is wrong, with the line where there is one.
    """
    whole = parse(file, text)
    _allow_only(whole, _KEYS, text)
    entry = whole.named(whole.slug("id"))
    centre, tenant = _table(entry, "centre"), _table(entry, "tenant")
    return ClaimMap(
        id=entry.name,
        subject=entry.text("subject"),
        names=_names(entry),
        tenant=_tenant_lookup(tenant, text),
        centre=_centre_lookup(centre, text),
        whole_tenant=_whole_tenant(centre),
        roles=_roles(entry, text),
        commission=entry.optional_text("commission"),
        care_unit=entry.optional_text("care_unit"),
        person=entry.optional_text("person"),
        device=entry.optional_text("device"),
        service=_conditions(entry, "service", text) if "service" in entry.fields else (),
        scopes=_scopes(entry),
        requested=entry.texts("requested") if "requested" in entry.fields else (),
        asks_userinfo=entry.flag("userinfo") if "userinfo" in entry.fields else False,
    )


def _allow_only(entry: Entry, keys: Collection[str], text: str) -> None:
    """Refuse a key that nobody reads, with its line and the word that was probably meant."""
    for key in entry.fields:
        if key not in keys:
            close = get_close_matches(key, keys, n=1)
            remedy = f"Did you mean {close[0]}" if close else f"Use one of {', '.join(keys)}"
            raise entry.error(f"unknown key {key!r}{_line_of(key, text)}", remedy)


def _line_of(key: str, text: str) -> str:
    """Where a key first stands in the file; nothing when it is written in an unusual way."""
    found = re.compile(rf"(?:^\s*\[*|[{{,]\s*)\"?{re.escape(key)}\"?\s*[=\]]")
    numbers = (number for number, line in enumerate(text.splitlines(), 1) if found.search(line))
    number = next(numbers, None)
    return "" if number is None else f" on line {number}"


def _names(entry: Entry) -> tuple[str, ...]:
    """One claim, or several that are put together, such as given and family name."""
    if isinstance(entry.fields.get("name"), str):
        return (entry.text("name"),)
    names = entry.texts("name")
    if not names:
        raise entry.error("name is an empty list", 'Write name = "name"')
    return names


def _scopes(entry: Entry) -> tuple[str, ...]:
    scopes = entry.texts("scopes") if "scopes" in entry.fields else ("openid",)
    if "openid" not in scopes:
        raise entry.error("scopes lack openid", 'Write scopes = ["openid", …]')
    return scopes


def _table(entry: Entry, key: str) -> Entry | None:
    value = entry.fields.get(key)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise entry.error(f"{key} is not a table", f"Write [{key}]")
    return Entry(entry.file, f"{entry.name}, {key}", value)


def _tenant_lookup(entry: Entry | None, text: str) -> Lookup:
    if entry is None:
        raise CatalogueError("claim map", "tenant", "there is no [tenant]", "Write [tenant]")
    _allow_only(entry, ("fixed", "claim", "table", "as_is"), text)
    if "fixed" in entry.fields:
        if len(entry.fields) > 1:
            raise entry.error("fixed stands beside other keys", "Keep fixed, or remove it")
        return Lookup(fixed=entry.text("fixed"))
    return _claim_lookup(entry)


def _centre_lookup(entry: Entry | None, text: str) -> Lookup:
    """Without [centre] everybody sees all centres of the tenant."""
    if entry is None:
        return Lookup()
    _allow_only(entry, ("claim", "table", "as_is", "whole_tenant"), text)
    return _claim_lookup(entry)


def _whole_tenant(entry: Entry | None) -> frozenset[Role]:
    if entry is None or "whole_tenant" not in entry.fields:
        return frozenset()
    return frozenset(entry.members("whole_tenant", Role))


def _claim_lookup(entry: Entry) -> Lookup:
    claim = entry.text("claim")
    is_plain = "as_is" in entry.fields and entry.flag("as_is")
    table = entry.fields.get("table")
    if is_plain == (table is not None):
        raise entry.error("neither a table nor as_is, or both", "Give table = { … }, or as_is=true")
    if table is None:
        return Lookup(claim=claim)
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise entry.error("table is not text to text", 'Write table = { "said" = "our-id" }')
    return Lookup(claim=claim, table=table)


def _roles(entry: Entry, text: str) -> tuple[RoleRule, ...]:
    tables = entry.tables("role")
    if len(tables) > ROLES_MAX:
        raise entry.error(f"{len(tables)} roles", f"Keep to {ROLES_MAX}")
    return tuple(_role_rule(table, text) for table in tables)


def _role_rule(entry: Entry, text: str) -> RoleRule:
    _allow_only(entry, ("role", "where"), text)
    return RoleRule(entry.member("role", Role), _conditions(entry, "where", text))


def _conditions(entry: Entry, key: str, text: str) -> tuple[Condition, ...]:
    return tuple(_condition(table, text) for table in entry.tables(key))


def _condition(entry: Entry, text: str) -> Condition:
    _allow_only(entry, ("claim", *Comparison), text)
    tests = [test for test in Comparison if test in entry.fields]
    if len(tests) != 1:
        raise entry.error("not one of equals and contains", 'Write equals = "…"')
    return Condition(entry.text("claim"), tests[0], entry.text(tests[0]))
