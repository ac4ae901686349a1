"""The gate that every request passes: who asks, whether their role may, and what is logged.

A route takes `errand: InErrand` and opens the database through it:

    with rooms.read(errand) as conn:      # only rows within the caller's reach
    with rooms.change(errand) as conn:    # the same, committed together with its log entry
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import uuid4

import structlog
from fastapi import Depends, Request
from starlette.routing import BaseRoute

from api.access.policy import Log, Policy, Rule, check_fits, shipped_policy
from api.access.refusals import sign_in_needed
from api.limits import SIGN_INS
from api.problems import ProblemError
from api.rooms import Rooms
from api.routes import endpoints
from fleet.access.audit import Entry
from fleet.access.callers import Caller
from fleet.access.scopes import NoReachError, Scope, scope_of
from fleet.fhir.ids import named_device
from storage.audit import AuditUnavailableError
from storage.connection import DataRejectedError

log = structlog.get_logger(__name__)

_WHY_HEADER: Final = "x-reason"
_WHY_MAX: Final = 500
_UNATTENDED_HEADER: Final = "x-unattended"
"""A page looks for news by itself, and no person uses the session by that."""
FHIR_PREFIX: Final = "/api/v1/fhir/"
REFUSED: Final = "_refused"
"""Ends the action of an entry about something that was asked for and not done."""
_OBJECT: Final = re.compile(r"(\w+?)_(?:id|no)")


@dataclass(frozen=True, slots=True)
class Errand:
    """One request of a signed-in caller, with what the access log needs to know of it."""

    caller: Caller
    scope: Scope
    operation: str
    log: Log
    request_id: str
    objects: Mapping[str, str]
    why: str
    person: str | None = None

    def entry(self, at: datetime) -> Entry:
        """The access log's entry of this errand."""
        kind, key = next(iter(self.objects.items()), ("list", None))
        return Entry.by(
            self.caller,
            at,
            self.operation,
            kind,
            object_id=key,
            device_id=self.objects.get("device"),
            person=self.person or self.caller.person,
            why=self.why or None,
            request_id=self.request_id,
        )


def gate(request: Request) -> None:
    """Let a request through, or not; what it lets through has an errand, if somebody signed in.

    Raises:
        ProblemError: 401 nobody signed in, 403 not this role, 429 too much at once, 503 the access
            log cannot be written.
    """
    rooms: Rooms = request.app.state.rooms
    rule = _rule_of(request, shipped_policy())
    request.state.errand = None
    if rule.roles is None:
        request.state.caller = None
        if rule.operation in SIGN_INS:
            rooms.guard.check_address(request)
        return
    caller = _caller_of(request, rooms)
    if caller is None:
        raise sign_in_needed()
    request.state.caller = caller
    rooms.guard.check_caller(caller)
    if not rule.allows(caller.role):
        log.info(
            "refused",
            tenant=caller.tenant,
            subject=caller.subject,
            role=str(caller.role),
            operation=rule.operation,
        )
        raise _not_this_role(caller)
    errand = _errand(request, caller, rule)
    if rule.log is Log.READ or _is_of_one_device(rule, errand):
        record_read(rooms, errand)
    request.state.errand = errand


def _is_of_one_device(rule: Rule, errand: Errand) -> bool:
    """A list that names nobody is a read of a device all the same when it is asked for one's rows.

    What a list shows to care is logged row by row, by the route.
    """
    is_list = rule.log is Log.NOTHING or (rule.log is Log.SHOWN and errand.caller.is_staff)
    return is_list and "device" in errand.objects


def _caller_of(request: Request, rooms: Rooms) -> Caller | None:
    try:
        return rooms.access.caller(
            request,
            is_use=_UNATTENDED_HEADER not in request.headers,
            # A token of an unknown key makes us ask the issuer, and a thread wait for it.
            before_asking=lambda: rooms.guard.check_address(request),
        )
    except ProblemError as exc:
        if exc.status == 401:
            rooms.guard.check_address(request)
        raise


def log_shown(
    rooms: Rooms, errand: Errand, devices: Iterable[str] = (), tickets: Iterable[int] = ()
) -> None:
    """Log each device and ticket of a list before it is shown to care; staff's lists name nobody.

    At most as many as a page of a list has, which is fewer than one append takes.

    Raises:
        ProblemError: 503, the access log cannot be written.
    """
    if errand.caller.is_staff:
        return
    named = [{"device": key} for key in devices] + [{"ticket": str(key)} for key in tickets]
    if named:
        record_read(rooms, *(replace(errand, objects=one) for one in named))


def record_refused(rooms: Rooms, *errands: Errand) -> None:
    """Write that something was asked for and not done, before whatever says so is read.

    A change has an entry only when it is done; a page that comes again shows data all the same.

    Raises:
        ProblemError: 503.
    """
    record_read(
        rooms, *(replace(errand, operation=errand.operation + REFUSED) for errand in errands)
    )


def record_read(rooms: Rooms, *errands: Errand) -> None:
    """Write the entries of a read before anything is read: no log, no data.

    Raises:
        ProblemError: 503, 403 the caller's tenant is not registered.
    """
    now = datetime.now(UTC)
    try:
        rooms.log.record_all([errand.entry(now) for errand in errands])
    except AuditUnavailableError as exc:
        raise ProblemError(
            503,
            "access-log-down",
            "The access log cannot be written, so nothing about a person is shown.",
            "Try again after the time in Retry-After.",
            headers={"Retry-After": "5"},
        ) from exc
    except DataRejectedError as exc:
        raise _no_tenant() from exc


def _no_tenant() -> ProblemError:
    return ProblemError(
        403,
        "no-tenant",
        "The sign-in names an organisation that is not registered here.",
        "It is registered with its first device, by `fjarrkoll device add --tenant`; otherwise the"
        " claim map is wrong.",
    )


async def errand_of(request: Request) -> Errand:
    errand: Errand | None = request.state.errand
    assert errand is not None, "the policy lets anyone in here, and the route wants a caller"
    return errand


InErrand = Annotated[Errand, Depends(errand_of)]


def _rule_of(request: Request, policy: Policy) -> Rule:
    return policy[operation_of(request.scope["route"])]


def operation_of(route: BaseRoute) -> str:
    """The name by which the policy knows a route."""
    return getattr(route, "operation_id", None) or str(getattr(route, "name", ""))


def _errand(request: Request, caller: Caller, rule: Rule) -> Errand:
    try:
        scope = scope_of(caller)
    except NoReachError as exc:
        raise ProblemError(
            403, "no-reach", "The sign-in does not say whose devices you may see.", str(exc)
        ) from exc
    objects = {
        found[1]: str(value)[:200]
        for name, value in request.path_params.items()
        if (found := _OBJECT.fullmatch(name))
    }
    objects |= _device_named(request)
    why = request.headers.get(_WHY_HEADER, "")[:_WHY_MAX]
    return Errand(caller, scope, rule.operation, rule.log, uuid4().hex, objects, why)


def _device_named(request: Request) -> dict[str, str]:
    """The device that an address names otherwise than as what it is about: the log knows it too.

    FHIR names it inside other ids and in references. Lists have it as a filter; where the path says
    what is asked for, a parameter that nobody reads must not say whom it concerns.
    """
    query = request.query_params
    if request.url.path.startswith(FHIR_PREFIX):
        found = named_device(request.path_params, query.values())
    else:
        found = None if request.path_params else query.get("device", "")[:200]
    return {"device": found} if found else {}


def _not_this_role(caller: Caller) -> ProblemError:
    return ProblemError(
        403,
        "not-your-role",
        f"The role {caller.role} has no access to this address.",
        "Sign in with a commission whose role has it, or ask an administrator.",
    )


def check_policy(routes: Iterable[BaseRoute]) -> None:
    """Refuse to start where an endpoint and the policy do not fit.

    Raises:
        PolicyError: which, and what to do.
    """
    check_fits(shipped_policy(), map(operation_of, endpoints(routes)))
