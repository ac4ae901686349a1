"""Many browsers in one thread: requests at a steady rate, whose answers nobody looks at.

A browser's share of the processor is not what is measured, so requests are written by hand, and of
an answer only the status and the length are read.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from selectors import EVENT_READ, DefaultSelector
from socket import create_connection, socket
from typing import Final, NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 0.05
_CHUNK: Final = 1 << 18
_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Asked(NamedTuple):
    """One answered request."""

    status: int
    took_s: float


class Browser:
    """One connection to one server, with at most one request under way."""

    def __init__(self, url: str, selector: DefaultSelector) -> None:
        self._at = urlsplit(url)
        self._selector = selector
        self._socket: socket | None = None
        self._asked_n = 0  # on this connection
        self._asked_s: float | None = None
        self._request = b""
        self._answer = bytearray()

    def ask(self, path: str, cookie: str, now_s: float) -> None:
        """Send a request, on a new connection where the last one has ended.

        Raises:
            OSError: nobody listens there.
        """
        head = f"GET {path} HTTP/1.1\r\nHost: {self._at.netloc}\r\nCookie: {cookie}\r\n\r\n"
        self._asked_s, self._request = now_s, head.encode()
        self._send()

    def hear(self, now_s: float) -> Asked | None:
        """Read what has come; None until the whole answer has.

        Raises:
            ConnectionError: it ended before that, or says no length.
        """
        assert self._socket is not None
        came = self._socket.recv(_CHUNK)
        if not came:
            self._ended()
            return None
        self._answer += came
        if self._asked_s is None or not _is_whole(self._answer):
            return None
        asked, self._asked_s = Asked(int(self._answer[9:12]), now_s - self._asked_s), None
        return asked

    def _send(self) -> None:
        self._answer.clear()
        self._asked_n += 1
        self._connected().sendall(self._request)

    def _ended(self) -> None:
        """A server may end a connection between two answers, and meets a request as it does."""
        was_first = self._asked_n == 1
        self.close()
        if self._asked_s is None:
            return
        if self._answer or was_first:
            raise ConnectionError(f"{self._at.netloc} ended a connection within an answer")
        self._send()

    def close(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket, self._asked_n = None, 0

    def _connected(self) -> socket:
        if self._socket is None:
            address = (self._at.hostname or "", self._at.port or 80)
            self._socket = create_connection(address, TIMEOUT_S)
            self._selector.register(self._socket, EVENT_READ, self)
        return self._socket


def _is_whole(answer: bytearray) -> bool:
    head_ends = answer.find(_END_OF_HEAD)
    if head_ends < 0:
        return False
    length = _LENGTH.search(answer, 0, head_ends + 2)
    if length is None:
        raise ConnectionError("an answer without a Content-Length: its end cannot be told")
    return len(answer) >= head_ends + len(_END_OF_HEAD) + int(length[1])


def browse(
    urls: Iterable[str],
    browsers_n: int,
    asked: Iterator[tuple[str, str]],
    per_s: float,
    is_over: Callable[[], bool],
) -> Iterator[Asked]:
    """Ask for one path after another, so many a second, until it is over; yields each answer.

    `asked` gives paths with their cookies; each browser stays with one of `urls`, as a proxy's
    connection would. What could not be asked in time is asked as soon as a browser is free.

    Raises:
        OSError: as `Browser`.
    """
    with DefaultSelector() as selector:
        free = deque(Browser(url, selector) for url in islice(urls, browsers_n))
        everyone = list(free)
        began_s, asked_n = time.monotonic(), 0
        try:
            while not is_over():
                while free and began_s + asked_n / per_s <= time.monotonic():
                    free.popleft().ask(*next(asked), time.monotonic())
                    asked_n += 1
                due_s = began_s + asked_n / per_s - time.monotonic() if free else _LOOK_S
                for key, _ in selector.select(min(_LOOK_S, max(0.0, due_s))):
                    answer = key.data.hear(time.monotonic())
                    if answer is not None:
                        free.append(key.data)
                        yield answer
        finally:
            for browser in everyone:
                browser.close()
