"""`/livez`, `/readyz` and `/metrics` for a process that serves nothing else."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class Health:
    """Is this process doing its work? Ready unless a part of it failed when it tried last."""

    def __init__(self, process: str) -> None:
        self.process = process
        self._problems: dict[str, str] = {}
        self._lock = threading.Lock()

    def succeeded(self, part: str = "") -> None:
        with self._lock:
            self._problems.pop(part, None)

    def failed(self, problem: str, part: str = "") -> None:
        with self._lock:
            self._problems[part] = problem

    @property
    def problem(self) -> str | None:
        """What is wrong, None when nothing is."""
        with self._lock:
            told = [f"{part}: {said}" if part else said for part, said in self._problems.items()]
        return "; ".join(told) or None


def serve_health(health: Health, port: int) -> ThreadingHTTPServer:
    """Serve on loopback in a thread of its own; `shutdown()` ends it. Port 0 picks a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = _answer(health, self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Probes are no news."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _answer(health: Health, path: str) -> tuple[int, str, bytes]:
    if path == "/livez":
        return 200, "text/plain", b"alive\n"
    if path == "/readyz":
        problem = health.problem
        if problem is None:
            return 200, "text/plain", b"ready\n"
        return 503, "text/plain", f"not ready: {problem}\n".encode()
    if path == "/metrics":
        return 200, CONTENT_TYPE_LATEST, generate_latest()
    return 404, "text/plain", b"try /livez, /readyz or /metrics\n"
