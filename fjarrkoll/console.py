"""What every command does the same way: begin, print a result, end with an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Final, NoReturn

import typer

from fjarrkoll.settings import ConfigurationError, Settings, load_settings
from runtime.failpoints import arm
from runtime.logs import configure_logs

USAGE_ERROR: Final = 2
SERVER_ERROR: Final = 3

DryRun = Annotated[bool, typer.Option("--dry-run", help="Check, and change nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def begin() -> Settings:
    """Read the environment and set up the log."""
    settings = load_settings()
    configure_logs(settings.log_level, is_json=settings.log_json)
    try:
        arm(settings.failpoint)
    except ValueError as exc:
        raise ConfigurationError(f"FJARRKOLL_FAILPOINT: {exc}") from exc
    return settings


def fail(message: str, status: int = USAGE_ERROR) -> NoReturn:
    """End with one line on stderr."""
    typer.echo(f"fjarrkoll: {message}", err=True)
    raise typer.Exit(status)


def show(result: dict[str, Any], *, as_json: bool, text: Callable[[], str]) -> None:
    """Print `result` as JSON, or as text for people."""
    typer.echo(json.dumps(result, ensure_ascii=False, default=str) if as_json else text())
