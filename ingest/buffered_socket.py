"""A non-blocking socket with buffers on both sides, for an MQTT client that reads byte by byte.

paho asks the socket for one byte of header at a time and sends each PUBACK with a system call
of its own. Answering from a buffer, handing whole PUBLISH packets out beside paho and sending
acknowledgements together is what makes a drain fast (docs/benchmarks.md).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Final

from ingest.packets import PUBLISH, Publish, frame, parse_publish

READ_BYTES: Final = 256 * 1024
MAX_UNSENT_BYTES: Final = 8 * 1024 * 1024

_NOT_NOW: Final = (
    BlockingIOError,
    InterruptedError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)


class BufferedSocket:
    """Wraps a connected socket; offers what paho uses of one.

    `send` takes a whole packet or, when the peer reads too slowly, nothing
    (`BlockingIOError`), so packets of different writers never mix.
    """

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._unread = b""
        self._position = 0
        self._unsent = bytearray()
        self.is_at_end = False

    def fileno(self) -> int:
        return self._raw.fileno()

    def setblocking(self, flag: bool) -> None:
        self._raw.setblocking(flag)

    def fill(self) -> None:
        """Read once from the system, without waiting."""
        try:
            arrived = self._raw.recv(READ_BYTES)
        except _NOT_NOW:
            return
        self.is_at_end = not arrived
        self._unread = self._unread[self._position :] + arrived
        self._position = 0

    def next_packet(self) -> tuple[int, int] | None:
        """Body start and end of the next whole packet, None when there is none yet.

        Raises:
            PacketError: what stands there is no packet.
        """
        if self._position >= len(self._unread):
            return None
        return frame(self._unread, self._position)

    def next_is_publish(self) -> bool:
        return self._unread[self._position] & 0xF0 == PUBLISH

    def take_publish(self, start: int, end: int) -> Publish:
        """Read the PUBLISH that `next_packet` found, and step behind it."""
        publish = parse_publish(self._unread, self._position, start, end)
        self._position = end
        return publish

    def has_unread(self) -> bool:
        return self._position < len(self._unread)

    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; empty when the peer has closed.

        Raises:
            BlockingIOError: nothing has arrived.
        """
        if self._position >= len(self._unread):
            if self.is_at_end:
                return b""
            self._unread = self._raw.recv(READ_BYTES)
            self._position = 0
        start = self._position
        self._position = start + size
        return self._unread[start : start + size]

    def send(self, packet: bytes | bytearray) -> int:
        """Take one packet to send at the next `flush`; returns its length.

        Raises:
            BlockingIOError: too much is unsent already; nothing was taken.
        """
        if len(self._unsent) > MAX_UNSENT_BYTES:
            raise BlockingIOError
        self._unsent += packet
        return len(packet)

    def flush(self) -> None:
        """Send what the peer takes now; the rest stays for the next call.

        Raises:
            OSError: the connection is gone.
        """
        while self._unsent:
            try:
                sent = self._raw.send(self._unsent)
            except _NOT_NOW:
                return
            del self._unsent[:sent]

    def shut(self) -> None:
        """Make the next `recv` say that the peer has closed; what is unsent is dropped."""
        self._unread, self._position, self.is_at_end = b"", 0, True
        self._unsent.clear()
        with contextlib.suppress(OSError):  # it may not be connected any more
            self._raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the peer may be gone already
            self.flush()
        self._raw.close()
