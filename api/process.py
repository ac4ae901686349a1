"""The API process: one server in the calling thread, until it is told to stop."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.settings import ApiRefusedError, ApiSettings
from runtime.garbage import quiet_collector

__all__ = ["ApiRefusedError", "ApiSettings", "run"]

log = structlog.get_logger(__name__)
SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread computes while others wait. Each answer of the database is such a wait: with
the interpreter's 5 ms a connection is held for several of them."""
_BACKLOG: Final = 128


def run(
    settings: ApiSettings,
    stop: threading.Event,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until `stop` is set; blocks. Signals are the caller's business.

    Args:
        settings: where to listen; port 0 takes a free one.
        stop: set it from any thread to finish open requests and return.
        on_ready: called with the address, such as `http://127.0.0.1:8460`, when it answers.

    Raises:
        ApiRefusedError: the port is taken.
    """
    with _bound(settings) as listener:
        url = _url_of(listener)
        app = create_app(settings)
        quiet_collector()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        server = _Server(_config(settings, app), stop, lambda: _say_ready(url, on_ready))
        server.run(sockets=[listener])
    log.info("api_stopped", url=url)


def _say_ready(url: str, on_ready: Callable[[str], None] | None) -> None:
    log.info("api_ready", url=url)
    if on_ready is not None:
        on_ready(url)


class _Server(uvicorn.Server):
    """uvicorn, stopped by an event instead of by signals."""

    def __init__(
        self, config: uvicorn.Config, stop: threading.Event, on_started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._stop = stop
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.rooms.streams.close()  # type: ignore[union-attr]  # our own app
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        return self._stop.is_set() or await super().on_tick(counter)


def _config(settings: ApiSettings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing before us may say who is asking
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        ws="none",
    )


def _bound(settings: ApiSettings) -> socket.socket:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as exc:
        raise ApiRefusedError(
            f"cannot listen on {settings.host}:{settings.port}: {exc.strerror}. Choose another"
            " port, or 0 for a free one."
        ) from exc
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
