"""JSON: the policies that ship, and which agreement the tenant and its centres work by."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field

from api.access.gate import InErrand
from api.problems import READING, not_found
from api.rooms import InRooms
from api.routes import Router
from api.schemas import Instant, OrderKind, Out
from fleet.sla.policies import Policy, Promise, UnknownPolicyError, load_policies
from storage import agreements

router = Router(prefix="/api/v1", tags=["agreements"], responses=READING)


class PromiseOut(Out):
    """One deadline that a policy sets. `is_ours`: our default; no agreement says it."""

    clock: Literal["start", "finish"]
    within: int
    unit: Literal["working_days", "working_hours"]
    order_kinds: list[OrderKind]
    device_classes: list[str] | None = Field(description="None: all without one of their own.")
    clause: str
    notify_before_h: float
    target_share: float | None = Field(description="The share of orders aimed at; None: all.")
    is_ours: bool


class PauseReasonOut(Out):
    """A reason for waiting that stops the clocks."""

    reason: str
    sv: str
    en: str
    is_ours: bool


class PolicyWholeOut(Out):
    """One version of what an agreement promises, with where it is written."""

    id: str
    version: int
    agreement: str
    source_title: str
    source_url: str
    is_default: bool
    hours: list[str] = Field(description="Monday to Friday.", examples=[["08:00-16:30"]])
    closes_before_red_day: str | None
    hours_source_url: str | None
    hours_are_ours: bool
    promises: list[PromiseOut]
    pauses: list[PauseReasonOut]


class PolicyList(Out):
    items: list[PolicyWholeOut]


class AgreementOut(Out):
    """From `from_at` on the tenant, or one of its centres, works by a policy."""

    centre_id: str | None = Field(description="None: the whole tenant.")
    policy_id: str
    from_at: Instant
    who: str
    is_in_force: bool


class AgreementList(Out):
    items: list[AgreementOut]


@router.get("/policies", operation_id="list_policies")
def list_policies(errand: InErrand) -> PolicyList:  # noqa: ARG001 - the gate has let them in
    """Every policy that ships, in its newest version."""
    return PolicyList(items=[policy_out(policy) for policy in load_policies()])


@router.get("/policies/{policy_name}/versions/{version}", operation_id="get_policy")
def get_policy(
    errand: InErrand,  # noqa: ARG001 - the gate has let them in
    policy_name: Annotated[str, Path(max_length=80)],
    version: Annotated[int, Path(ge=1, lt=2**31)],
) -> PolicyWholeOut:
    """The version that a ticket is counted by."""
    try:
        return policy_out(load_policies().get(policy_name, version))
    except UnknownPolicyError as exc:
        raise not_found("policy of that name and version") from exc


@router.get("/agreements", operation_id="list_agreements")
def list_agreements(rooms: InRooms, errand: InErrand) -> AgreementList:
    """Which policy binds from when, the newest first."""
    with rooms.read(errand) as conn:
        rows = agreements.listed(conn)
    return AgreementList(items=[AgreementOut.model_validate(row) for row in rows])


def policy_out(policy: Policy) -> PolicyWholeOut:
    names = (
        "id", "version", "agreement", "source_title", "source_url", "is_default",
        "hours_source_url", "hours_are_ours",
    )  # fmt: skip
    early = policy.hours.closes_before_red
    return PolicyWholeOut.model_validate(
        {
            **{name: getattr(policy, name) for name in names},
            "hours": [f"{_clock(opens)}-{_clock(closes)}" for opens, closes in policy.hours.week],
            "closes_before_red_day": None if early is None else _clock(early),
            "promises": [_promise(promise) for promise in policy.promises],
            "pauses": [PauseReasonOut.model_validate(pause) for pause in policy.pauses],
        }
    )


def _clock(at: time) -> str:
    return f"{at:%H:%M}"


def _promise(promise: Promise) -> PromiseOut:
    classes = promise.device_classes
    return PromiseOut.model_validate(
        {
            "clock": str(promise.clock),
            "within": promise.within,
            "unit": str(promise.unit),
            "order_kinds": [str(kind) for kind in promise.order_kinds],
            "device_classes": None if classes is None else sorted(map(str, classes)),
            "clause": promise.clause,
            "notify_before_h": promise.notify_before.total_seconds() / 3600,
            "target_share": promise.target_share,
            "is_ours": promise.is_ours,
        }
    )
