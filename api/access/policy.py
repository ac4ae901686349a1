"""The policy file: which role may use which endpoint, and what the access log keeps. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final

from fleet.access.callers import Role

ANYONE: Final = "anyone"


class Log(StrEnum):
    """What the access log keeps of a request."""

    NOTHING = "nothing"
    SHOWN = "shown"
    READ = "read"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may use one endpoint. `roles` None: anyone, signed in or not."""

    operation: str
    roles: frozenset[Role] | None
    log: Log

    def allows(self, role: Role) -> bool:
        return self.roles is None or role in self.roles


Policy = Mapping[str, Rule]


class PolicyError(ValueError):
    """The policy file is wrong, or does not fit the endpoints; the message says what to mend."""


@cache
def shipped_policy() -> Policy:
    """The policy that ships with this package.

    Raises:
        PolicyError: the file is wrong.
    """
    return parse_policy(files("api").joinpath("policy.toml").read_text("utf-8"))


def parse_policy(text: str) -> Policy:
    """Read a policy.

    Raises:
        PolicyError: the first thing that is wrong.
    """
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise PolicyError(f"policy.toml: {exc}") from exc
    groups = {name: _roles(name, words, {}) for name, words in whole.pop("groups", {}).items()}
    operations = whole.pop("operations", {})
    if whole:
        raise PolicyError(f"policy.toml: unknown table {min(whole)!r}: use groups and operations")
    return {name: _rule(name, said, groups) for name, said in operations.items()}


def _rule(name: str, said: Any, groups: Mapping[str, frozenset[Role]]) -> Rule:
    if not isinstance(said, dict) or set(said) != {"roles", "log"}:
        raise PolicyError(f"policy.toml: {name} needs roles and log, and nothing else")
    if said["log"] not in list(Log):
        raise PolicyError(f"policy.toml: {name}: log is one of {', '.join(Log)}")
    roles = None if said["roles"] == [ANYONE] else _roles(name, said["roles"], groups)
    return Rule(name, roles, Log(said["log"]))


def _roles(
    name: str, words: Iterable[str], groups: Mapping[str, frozenset[Role]]
) -> frozenset[Role]:
    found: set[Role] = set()
    for word in words:
        if word in groups:
            found |= groups[word]
        elif word in list(Role):
            found.add(Role(word))
        else:
            known = ", ".join([*groups, *Role])
            raise PolicyError(f"policy.toml: {name}: no role or group {word!r}; known: {known}")
    return frozenset(found)


def check_fits(policy: Policy, operations: Iterable[str]) -> None:
    """Refuse a policy that leaves out an endpoint, or names one that does not exist.

    Raises:
        PolicyError: which, and what to do.
    """
    served = set(operations)
    if missing := sorted(served - set(policy)):
        raise PolicyError(f"policy.toml: no entry for {', '.join(missing)}: say who may use it")
    if gone := sorted(set(policy) - served):
        raise PolicyError(f"policy.toml: there is no endpoint {', '.join(gone)}: remove the entry")
