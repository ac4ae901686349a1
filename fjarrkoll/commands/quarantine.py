"""`fjarrkoll quarantine`: what could not be used, and its replay once the cause is mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fjarrkoll.console import AsJson, begin, fail, show

if TYPE_CHECKING:
    from storage.connection import Connection
    from storage.reading import QuarantineRow
    from storage.replays import NotReplayed, Replayed

app = typer.Typer(no_args_is_help=True, help="Messages that could not be used, and their replay.")

ROLE: Final = "fjarrkoll_ingest"
AT_ONCE_MAX: Final = 1_000
Reason = Annotated[str | None, typer.Option(help="Only with this reason, such as unknown_device.")]
Device = Annotated[
    str | None, typer.Option(help="Only of this device id, as it stands in the topic.")
]


@app.command("list")
def list_messages(
    reason: Reason = None,
    device: Device = None,
    before: Annotated[int | None, typer.Option(help="The last number of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=AT_ONCE_MAX)] = 50,
    as_json: AsJson = False,
) -> None:
    """List messages in quarantine, the newest first, those that have left it too.

    Example: fjarrkoll quarantine list --reason unknown_device
    """
    rows = _rows(reason, device, limit, before)
    show(
        {"messages": [_fields(row) for row in rows]},
        as_json=as_json,
        text=lambda: "\n".join(map(_line, rows)) or "no such messages in quarantine",
    )


@app.command("show")
def show_message(quarantine_no: int, as_json: AsJson = False) -> None:
    """Show one message with its payload, as text or hex.

    Example: fjarrkoll quarantine show 17
    """
    from storage.reading import quarantined_message  # noqa: PLC0415

    with _connected() as conn:
        row = quarantined_message(conn, quarantine_no)
    if row is None:
        fail(f"there is no message {quarantine_no} in quarantine: `fjarrkoll quarantine list`", 1)
    fields = _fields(row) | {"payload": _payload(row, 4096)}
    show(fields, as_json=as_json, text=lambda: "\n".join(f"{k:14} {v}" for k, v in fields.items()))


@app.command("replay")
def replay_messages(
    numbers: Annotated[list[int] | None, typer.Argument(help="Messages by number.")] = None,
    reason: Reason = None,
    device: Device = None,
    dry_run: Annotated[
        bool, typer.Option(help="Say what would happen, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decide refused messages again from their bytes, by today's registry, each one once.

    Name them by number, or choose up to 1,000 by --reason or --device, the oldest first. A dry run
    does not look at how many metric names the tenant has left.

    Example: fjarrkoll quarantine replay --device wc-000017 --dry-run
    """
    if not numbers and reason is None and device is None:
        fail("name messages by number, or choose them by --reason or --device")
    results = list(_replayed(numbers or _waiting(reason, device), dry_run=dry_run))
    became = Counter(result["became"] for result in results)
    show(
        {"dry_run": dry_run, "became": dict(became), "messages": results},
        as_json=as_json,
        text=lambda: "\n".join(_told(results, became, dry_run=dry_run)),
    )
    if became["not_replayed"]:
        raise typer.Exit(1)


def _replayed(numbers: Sequence[int], *, dry_run: bool) -> Iterator[dict[str, Any]]:
    from fleet.replays import WAY_IN  # noqa: PLC0415
    from storage.intake import Intake  # noqa: PLC0415
    from storage.replays import replay_each  # noqa: PLC0415

    with Intake(begin().required("database_url"), WAY_IN, ROLE) as intake:
        for found in replay_each(intake, numbers, datetime.now(UTC), dry_run=dry_run):
            yield _result(found)


def _result(found: Replayed | NotReplayed) -> dict[str, Any]:
    from storage.replays import NotReplayed  # noqa: PLC0415

    if isinstance(found, NotReplayed):
        return {
            "quarantine_no": found.quarantine_no,
            "became": "not_replayed",
            "detail": found.detail,
        }
    return {
        "quarantine_no": found.quarantine_no,
        "became": str(found.became),
        "message_n": found.message_n,
        "sample_n": found.sample_n,
        "reason": found.reason,
        "detail": found.detail,
    }


def _told(
    results: Sequence[dict[str, Any]], became: Counter[str], *, dry_run: bool
) -> Iterator[str]:
    for result in results:
        why = " ".join(str(result[key]) for key in ("reason", "detail") if result.get(key))
        yield f"{result['quarantine_no']:>8}  {result['became']:12}  {_printable(why)}".rstrip()
    summed = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in became.items())
    yield f"{'would be' if dry_run else 'done'}: {summed or 'nothing to replay'}"


def _waiting(reason: str | None, device: str | None) -> list[int]:
    from storage.reading import QuarantineFilter  # noqa: PLC0415
    from storage.replays import waiting  # noqa: PLC0415

    _check_reason(reason)
    with _connected() as conn:
        return waiting(conn, QuarantineFilter(reason, device), AT_ONCE_MAX)


def _rows(
    reason: str | None, device: str | None, limit: int, before: int | None
) -> list[QuarantineRow]:
    from storage.reading import QuarantineFilter, quarantined  # noqa: PLC0415

    _check_reason(reason)
    with _connected() as conn:
        return quarantined(conn, QuarantineFilter(reason, device), limit, before)


def _check_reason(reason: str | None) -> None:
    from fleet.wire.reasons import Reason as Known  # noqa: PLC0415

    if reason is not None and reason not in list(Known):
        fail(f"no reason {reason!r}: use one of {', '.join(Known)}")


def _connected() -> Connection:
    from storage.connection import connect  # noqa: PLC0415

    return connect(begin().required("database_url"))


def _fields(row: QuarantineRow) -> dict[str, Any]:
    return {
        "quarantine_no": row.quarantine_no,
        "reason": row.reason,
        "detail": _printable(row.detail),
        "topic": _printable(row.topic.decode("utf-8", "backslashreplace")),
        "device": row.device_id,
        "message_n": row.message_n,
        "payload_size": row.payload_size,
        "received_at": row.received_at,
        "last_at": row.last_at,
        "epoch": row.epoch,
        "seq": row.seq,
        "replayed_at": row.replayed_at,
        "replayed_as": row.replayed_as,
        "payload": _payload(row, 80),
    }


def _payload(row: QuarantineRow, limit: int) -> str:
    from api.preview import preview  # noqa: PLC0415

    return preview(row.payload, row.payload_size, limit).text


def _line(row: QuarantineRow) -> str:
    state = row.replayed_as or "waiting"
    return (
        f"{row.quarantine_no:>8}  {row.received_at:%Y-%m-%d %H:%M}Z  {row.reason:20}"
        f" {row.device_id or '-':20} {row.message_n:>6}x  {state:9}  {_printable(row.detail)}"
    )


def _printable(text: str) -> str:
    """Without characters that move the cursor: others chose these words."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
