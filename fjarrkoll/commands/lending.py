"""`fjarrkoll loan`, and where a device is and what groups it: `fjarrkoll device place|describe`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from zoneinfo import ZoneInfo

import typer

from fjarrkoll.commands.ticket import Who, in_transaction, spoken, word_in
from fjarrkoll.console import AsJson, DryRun, fail, show
from fjarrkoll.operators import logged

if TYPE_CHECKING:
    from storage.connection import Connection
    from storage.lending import BasicNeed, Fact, Loan, Placement

loan_app = typer.Typer(no_args_is_help=True, help="Loans: who has a device, and needs it for what.")
device_app = typer.Typer(help="Merged into `fjarrkoll device`.")

Device = Annotated[str, typer.Argument(help="The device's id.")]
At = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M%z"],
        help="When; Swedish time unless an offset is given. Now when left out.",
    ),
]
Needs = Annotated[
    list[str] | None,
    typer.Option(
        "--need",
        help="What the person cannot do without it, as the prescriber says. Repeat: sole_mobility,"
        " breathing_support, communication, eating, toilet, transfer, position_change.",
    ),
]

Result = TypeVar("Result")

_SWEDEN: Final = ZoneInfo("Europe/Stockholm")


def _instant(at: datetime | None) -> datetime:
    """When, in UTC; ends the command where it lies ahead."""
    now = datetime.now(UTC)
    if at is None:
        return now
    instant = (at if at.tzinfo is not None else at.replace(tzinfo=_SWEDEN)).astimezone(UTC)
    if instant > now + timedelta(minutes=1):
        fail(f"--at {at:%Y-%m-%d %H:%M} lies ahead: record it when it has happened")
    return instant


def _needs(words: list[str] | None) -> list[BasicNeed]:
    from storage.lending import BasicNeed  # noqa: PLC0415

    return [word_in(BasicNeed, word, "--need") for word in words or ()]


def _in_transaction(work: Callable[[Connection], Result], *, dry_run: bool) -> Result:
    from storage.lending import LendingError  # noqa: PLC0415

    return in_transaction(work, LendingError, dry_run=dry_run)


@loan_app.command("start")
def loan_start(
    device: Device,
    person: Annotated[str | None, typer.Option(help="A pseudonym, never a name.")] = None,
    care_unit: Annotated[
        str | None, typer.Option(help="The unit that prescribed it, such as its HSA-id.")
    ] = None,
    need: Needs = None,
    at: At = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Lend a device.

    Example: fjarrkoll loan start wc-000017 --person p-4711 --need sole_mobility --need toilet
    """
    from storage.lending import start_loan  # noqa: PLC0415

    needs, when = _needs(need), _instant(at)
    loan = _in_transaction(
        logged(
            lambda conn: start_loan(conn, device, person, needs, when, care_unit=care_unit),
            "loan start", "device", device,
        ),
        dry_run=dry_run,
    )  # fmt: skip
    _show_loan(device, loan, dry_run=dry_run, as_json=as_json)


@loan_app.command("end")
def loan_end(
    device: Device, at: At = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """End the loan that a device is out on.

    Example: fjarrkoll loan end wc-000017 --at 2026-11-20T14:00
    """
    from storage.lending import end_loan  # noqa: PLC0415

    when = _instant(at)
    work = logged(lambda conn: end_loan(conn, device, when), "loan end", "device", device)
    loan = _in_transaction(work, dry_run=dry_run)
    _show_loan(device, loan, dry_run=dry_run, as_json=as_json)


@loan_app.command("needs")
def loan_needs(
    device: Device, need: Needs = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Set what the person of the current loan cannot do without the device; none without --need.

    Example: fjarrkoll loan needs wc-000017 --need sole_mobility
    """
    from storage.lending import change_needs  # noqa: PLC0415

    needs = _needs(need)
    work = logged(lambda conn: change_needs(conn, device, needs), "loan needs", "device", device)
    loan = _in_transaction(work, dry_run=dry_run)
    _show_loan(device, loan, dry_run=dry_run, as_json=as_json)


@loan_app.command("list")
def loan_list(device: Device, as_json: AsJson = False) -> None:
    """List the loans of a device, the newest first.

    Example: fjarrkoll loan list wc-000017
    """
    from storage.lending import loans  # noqa: PLC0415

    work = logged(lambda conn: loans(conn, device), "loan list", "device", device)
    found = _in_transaction(work, dry_run=False)
    show(
        {"device": device, "loans": [_loan_fields(loan) for loan in found]},
        as_json=as_json,
        text=lambda: "\n".join(_loan_line(loan) for loan in found) or f"{device} has no loans",
    )


def _loan_fields(loan: Loan) -> dict[str, Any]:
    return {**asdict(loan), "basic_needs": [str(need) for need in loan.basic_needs]}


def _loan_line(loan: Loan) -> str:
    from storage.lending import BASIC_NEED_LABELS  # noqa: PLC0415

    needs = ", ".join(BASIC_NEED_LABELS["sv"][need] for need in loan.basic_needs)
    until = spoken(loan.ended_at)
    return f"{loan.person or '-':16} {spoken(loan.started_at)} – {until}  {needs}".rstrip()


def _show_loan(device: str, loan: Loan, *, dry_run: bool, as_json: bool) -> None:
    result = {"device": device, **_loan_fields(loan), "dry_run": dry_run}
    said = f"{device}  {_loan_line(loan)}{'  (not recorded)' if dry_run else ''}"
    show(result, as_json=as_json, text=lambda: said)


@device_app.command("place")
def device_place(
    device: Device,
    place: Annotated[str, typer.Argument(help="in_use, workshop, transport or storage")],
    who: Who,
    why: Annotated[str, typer.Option("--why", help="The reason, in your own words.")] = "",
    at: At = None,
    correct: Annotated[
        bool, typer.Option("--correct", help="Overrule what was said of the time since.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say where a device is. Everywhere but in use it is quiet: it opens no tickets.

    Example: fjarrkoll device place wc-000017 workshop --who "Bo Lind" --why "byte av broms"
    """
    from storage import lending  # noqa: PLC0415

    where, when = word_in(lending.Place, place, "place"), _instant(at)
    placement = _in_transaction(
        logged(
            lambda conn: lending.place(conn, device, where, when, who, why, is_correction=correct),
            "device place", "device", device, who=who, why=why,
        ),
        dry_run=dry_run,
    )  # fmt: skip
    result = {"device": device, **asdict(placement), "place": str(placement.place)}
    said = f"{device}  {_placed(placement)}{'  (not recorded)' if dry_run else ''}"
    show({**result, "dry_run": dry_run}, as_json=as_json, text=lambda: said)


def _placed(placement: Placement) -> str:
    from storage.lending import PLACE_LABELS  # noqa: PLC0415

    return f"{PLACE_LABELS['sv'][placement.place]} {spoken(placement.from_at)}"


@device_app.command("describe")
def device_describe(
    device: Device,
    area: Annotated[str | None, typer.Option(help="A district, never an address.")] = None,
    network: Annotated[str | None, typer.Option(help="Who carries its messages.")] = None,
    batch: Annotated[str | None, typer.Option(help="As its maker numbers them.")] = None,
    in_service_on: Annotated[str | None, typer.Option(help="The first day, YYYY-MM-DD.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Set what groups a device with others when many fail at once; an empty text forgets.

    Example: fjarrkoll device describe wc-000017 --area Hisingen --network "Telia 4G"
    """
    from storage.lending import Fact, describe  # noqa: PLC0415

    given = {
        Fact.AREA: area,
        Fact.NETWORK: network,
        Fact.BATCH: batch,
        Fact.IN_SERVICE_ON: in_service_on,
    }
    facts = {fact: _fact(fact, text) for fact, text in given.items() if text is not None}
    if not facts:
        fail("say what to set: --area, --network, --batch or --in-service-on")
    work = logged(lambda conn: describe(conn, device, facts), "device describe", "device", device)
    known = _in_transaction(work, dry_run=dry_run)
    result = {str(fact): value for fact, value in known.items()}
    show(
        {"device": device, **result, "dry_run": dry_run},
        as_json=as_json,
        text=lambda: "\n".join(f"{name:14} {value or '-'}" for name, value in result.items()),
    )


def _fact(fact: Fact, text: str) -> str | date | None:
    from storage.lending import Fact  # noqa: PLC0415

    if not text or fact is not Fact.IN_SERVICE_ON:
        return text or None
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"--in-service-on {text!r}: write it as 2025-03-01")
