"""`fjarrkoll ticket`: what people do with tickets, one command an action."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fjarrkoll.console import AsJson, DryRun, begin, fail, show
from fjarrkoll.operators import logged
from fleet.ticket_actions import (
    ACTION_LABELS,
    ORDER_KIND_LABELS,
    OUTCOME_LABELS,
    STATE_LABELS,
    SYSTEM_REASONS,
    Action,
    ActionRefusedError,
    Outcome,
    Request,
    VoidReason,
    offered,
    required,
)
from fleet.ticket_states import OrderKind, State
from fleet.words import Lang

if TYPE_CHECKING:
    from storage.connection import Connection
    from storage.tickets import Changed, Happened, SimilarCases, TicketRow

app = typer.Typer(no_args_is_help=True, help="Tickets: read them, and work them off.")

Number = Annotated[int, typer.Argument(min=1, help="The ticket's number.")]
Who = Annotated[str, typer.Option("--who", help="The name of the person who does it.")]
Why = Annotated[str, typer.Option("--why", help="The reason, in your own words.")]
InLang = Annotated[str, typer.Option("--lang", help="sv or en, for titles and words.")]

Word = TypeVar("Word", bound=StrEnum)
Result = TypeVar("Result")


def words_of(words: Iterable[str]) -> str:
    return ", ".join(words)


def word_in(words: type[Word], text: str, what: str) -> Word:
    """`text` as one of `words`; ends the command with the list of them where it is none."""
    try:
        return words(text)
    except ValueError:
        fail(f"{what} {text!r}: use one of {words_of(words)}")


def _lang(text: str) -> Lang:
    if text not in ("sv", "en"):
        fail(f"--lang {text!r}: use sv or en")
    return "sv" if text == "sv" else "en"


@app.command("list")
def list_tickets(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    state: Annotated[str | None, typer.Option(help=f"One of {words_of(State)}.")] = None,
    assignee: Annotated[str | None, typer.Option(help="Only what this person has.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    lang: InLang = "sv",
    as_json: AsJson = False,
) -> None:
    """List open tickets, the deadline that binds first; with --state also those that are over.

    Example: fjarrkoll ticket list --tenant vgr --state new
    """
    from storage.connection import connect  # noqa: PLC0415
    from storage.tickets import listed  # noqa: PLC0415

    in_lang = _lang(lang)
    wanted = word_in(State, state, "--state") if state is not None else None
    with connect(begin().required("database_url")) as conn:
        rows = listed(conn, tenant=tenant, state=wanted, assignee=assignee, limit=limit)
    show(
        {"tickets": [_brief(row) for row in rows]},
        as_json=as_json,
        text=lambda: "\n".join(_line(row, in_lang) for row in rows) or "no tickets",
    )


_BRIEF = (
    "ticket_no", "tenant_id", "device_id", "subject", "cause", "order_kind", "severity", "state",
    "assignee", "waiting_reason", "known_at", "due_at", "title_sv", "title_en", "version",
)  # fmt: skip


def _brief(row: TicketRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _BRIEF}


def _line(row: TicketRow, lang: Lang) -> str:
    due = spoken(row.due_at, lang) or "-"
    state = STATE_LABELS[lang][State(row.state)]
    held = f"{state} {row.assignee}" if row.assignee else state
    about = row.device_id or row.subject
    title = row.title_sv if lang == "sv" else row.title_en
    return f"{row.ticket_no:>7}  {row.order_kind:8} {due:18} {held:22} {about:16} {title}"


def spoken(at: datetime | None, lang: Lang = "sv") -> str:
    """A time as people in Sweden say it, with the year if it is another; nothing for None."""
    from fleet.ticket_text import spoken_time  # noqa: PLC0415

    return "" if at is None else spoken_time(at, lang, datetime.now(UTC).year)


@app.command("show")
def show_ticket(number: Number, lang: InLang = "sv", as_json: AsJson = False) -> None:
    """Show one ticket: what it says, what happened to it, what can be done, what helped before.

    Example: fjarrkoll ticket show 17 --json
    """
    from storage.connection import connect  # noqa: PLC0415
    from storage.tickets import find, history, similar_cases  # noqa: PLC0415

    in_lang = _lang(lang)
    with connect(begin().required("database_url")) as conn:
        ticket = find(conn, number)
        if ticket is None:
            fail(f"there is no ticket {number}: see `fjarrkoll ticket list`", 1)
        events, similar = history(conn, number), similar_cases(conn, number)
    result = {
        **asdict(ticket),
        "events": [event._asdict() for event in events],
        "actions": _actions(ticket),
        "similar": asdict(similar),
    }
    text = "\n".join(_told(ticket, events, similar, in_lang))
    show(result, as_json=as_json, text=lambda: text)


def _actions(ticket: TicketRow) -> dict[str, list[str]]:
    """What can be done now, each with what it has to be told."""
    state = ticket.work.state
    return {str(a): sorted(required(a, state)) for a in sorted(offered(ticket.work))}


def _told(
    ticket: TicketRow, events: Iterable[Happened], similar: SimilarCases, lang: Lang
) -> Iterable[str]:
    title, body = (
        (ticket.title_sv, ticket.body_sv) if lang == "sv" else (ticket.title_en, ticket.body_en)
    )
    kind = ORDER_KIND_LABELS[lang][OrderKind(ticket.order_kind)]
    yield f"{ticket.ticket_no} · {title}"
    yield f"{ticket.device_id or ticket.subject} · {kind} · {_held(ticket, lang)}"
    if ticket.due_at is not None:
        yield f"{'Klart senast' if lang == 'sv' else 'Due'} {spoken(ticket.due_at, lang)}"
    yield from ("", body, "")
    yield from (f"{spoken(e.at, lang)}  {e.kind:16} {e.who}{_why(e)}" for e in events)
    yield from _similar_lines(similar, lang)
    actions = ", ".join(ACTION_LABELS[lang][action] for action in sorted(offered(ticket.work)))
    yield f"{'Möjligt nu' if lang == 'sv' else 'Possible now'}: {actions or '-'}"


def _held(ticket: TicketRow, lang: Lang) -> str:
    state = STATE_LABELS[lang][State(ticket.state)]
    extra = ticket.waiting_reason or ticket.assignee
    if ticket.outcome is not None:
        extra = OUTCOME_LABELS[lang][Outcome(ticket.outcome)]
    return f"{state} ({extra})" if extra else state


def _why(event: Happened) -> str:
    return f": {event.detail['why']}" if event.detail.get("why") else ""


def _similar_lines(similar: SimilarCases, lang: Lang) -> Iterable[str]:
    if not similar.cases:
        return
    counts = (f"{OUTCOME_LABELS[lang][Outcome(o)]} {n}" for o, n in similar.by_outcome.items())
    yield f"{'Liknande fall' if lang == 'sv' else 'Similar cases'}: {', '.join(counts)}"
    for case in similar.cases:
        outcome = OUTCOME_LABELS[lang][Outcome(case.outcome)]
        told = (outcome, case.part, case.said)
        yield f"  {case.ticket_no:>7}  {case.model_id or '-':16} {': '.join(filter(None, told))}"


def in_transaction(
    work: Callable[[Connection], Result], refusal: type[Exception], *, dry_run: bool
) -> Result:
    """Do `work` in a transaction of its own; take it back where it is refused or only tried."""
    from psycopg import Error  # noqa: PLC0415

    from storage.connection import connect, translated  # noqa: PLC0415

    try:
        with connect(begin().required("database_url")) as conn:
            result = work(conn)
            if dry_run:
                conn.rollback()
    except refusal as exc:
        fail(str(exc), 1)
    except Error as exc:
        raise translated(exc) from exc
    return result


def _do(number: int, request: Request, *, dry_run: bool, as_json: bool) -> None:
    from storage.tickets import change  # noqa: PLC0415

    now = datetime.now(UTC)
    work = logged(
        lambda conn: change(conn, number, request, now),
        f"ticket {request.action}", "ticket", number, who=request.who, why=request.why,
    )  # fmt: skip
    done = in_transaction(work, ActionRefusedError, dry_run=dry_run)
    result = {**done._asdict(), "state": str(done.state), "dry_run": dry_run}
    show(result, as_json=as_json, text=lambda: _done(done, dry_run=dry_run))


def _done(done: Changed, *, dry_run: bool) -> str:
    verb = "would be" if dry_run else "is"
    heir = f"; ticket {done.replaced_by_no} takes its place" if done.replaced_by_no else ""
    return f"ticket {done.ticket_no} {verb} {done.state}{heir}"


@app.command()
def triage(
    number: Number, who: Who, why: Why = "", dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Say that somebody has looked; an assigned ticket is given back to whoever is free.

    Example: fjarrkoll ticket triage 17 --who "Anna Ek"
    """
    _do(number, Request(Action.TRIAGE, who, why), dry_run=dry_run, as_json=as_json)


@app.command()
def assign(
    number: Number,
    who: Who,
    to: Annotated[str | None, typer.Option("--to", help="Whom; without it you take it.")] = None,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take a ticket that nobody has, or give it to somebody. To hand over, say why.

    Example: fjarrkoll ticket assign 17 --who "Anna Ek" --to "Bo Lind"
    """
    action = Action.TAKE if to is None else Action.ASSIGN
    _do(number, Request(action, who, why, assignee=to), dry_run=dry_run, as_json=as_json)


@app.command()
def wait(
    number: Number,
    who: Who,
    reason: Annotated[str, typer.Option(help="One that the agreement allows: `fjarrkoll sla`.")],
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put a ticket on hold for a reason that the agreement allows; its clocks stand still.

    Example: fjarrkoll ticket wait 17 --who "Bo Lind" --reason part_on_order
    """
    _do(number, Request(Action.WAIT, who, why, reason=reason), dry_run=dry_run, as_json=as_json)


@app.command()
def resume(
    number: Number, who: Who, why: Why = "", dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Go on with a ticket that waited.

    Example: fjarrkoll ticket resume 17 --who "Bo Lind"
    """
    _do(number, Request(Action.RESUME, who, why), dry_run=dry_run, as_json=as_json)


@app.command()
def comment(
    number: Number,
    who: Who,
    note: Annotated[str, typer.Option(help="What to note, such as after a phone call.")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Note something on a ticket that is not over; its state stays.

    Example: fjarrkoll ticket comment 17 --who "Anna Ek" --note "användaren ringde, felet är kvar"
    """
    _do(number, Request(Action.COMMENT, who, note), dry_run=dry_run, as_json=as_json)


@app.command()
def solve(
    number: Number,
    who: Who,
    outcome: Annotated[str, typer.Option(help=f"One of {words_of(Outcome)}.")],
    part: Annotated[str | None, typer.Option(help="What was replaced.")] = None,
    minutes: Annotated[
        int | None, typer.Option(help="Troubleshooting and repair, no travel.")
    ] = None,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say that the work is done, and what it came to.

    Example: fjarrkoll ticket solve 17 --who "Bo Lind" --outcome part_replaced --part broms
    """
    request = Request(
        Action.SOLVE,
        who,
        why,
        outcome=word_in(Outcome, outcome, "--outcome"),
        part=part,
        minutes=minutes,
    )
    _do(number, request, dry_run=dry_run, as_json=as_json)


@app.command()
def close(
    number: Number, who: Who, why: Why = "", dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Close a ticket that is verified, or one that is solved and say why that is enough.

    Example: fjarrkoll ticket close 17 --who "Anna Ek" --why "provkörd hos användaren"
    """
    _do(number, Request(Action.CLOSE, who, why), dry_run=dry_run, as_json=as_json)


@app.command()
def reopen(
    number: Number, who: Who, why: Why = "", dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Say that a repair did not hold.

    Example: fjarrkoll ticket reopen 17 --who "Anna Ek" --why "samma fel igen"
    """
    _do(number, Request(Action.REOPEN, who, why), dry_run=dry_run, as_json=as_json)


_REASONS = words_of(reason for reason in VoidReason if reason not in SYSTEM_REASONS)


@app.command()
def void(
    number: Number,
    who: Who,
    reason: Annotated[str, typer.Option(help=f"One of {_REASONS}.")],
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a ticket void: it is not carried out.

    Example: fjarrkoll ticket void 17 --who "Anna Ek" --reason duplicate --why "se 16"
    """
    _do(number, Request(Action.VOID, who, why, reason=reason), dry_run=dry_run, as_json=as_json)


@app.command()
def reorder(
    number: Number,
    kind: Annotated[str, typer.Argument(help=f"One of {words_of(OrderKind)}.")],
    who: Who,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a ticket void and open a linked one of another order kind: the kind never changes.

    Example: fjarrkoll ticket reorder 17 supplier --who "Anna Ek" --why "garantin gäller"
    """
    new_kind = word_in(OrderKind, kind, "order kind")
    request = Request(Action.REORDER, who, why, new_kind=new_kind)
    _do(number, request, dry_run=dry_run, as_json=as_json)


@app.command()
def urgent(
    number: Number,
    who: Who,
    confirm: Annotated[
        bool | None, typer.Option("--confirm/--decline", help="Your answer.", show_default=False)
    ] = None,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Answer the proposal that an AU is urgent: once, and by name. To decline, say why.

    Example: fjarrkoll ticket urgent 17 --confirm --who "Anna Ek"
    """
    if confirm is None:
        fail("say --confirm or --decline")
    action = Action.CONFIRM_URGENT if confirm else Action.DECLINE_URGENT
    _do(number, Request(action, who, why), dry_run=dry_run, as_json=as_json)
