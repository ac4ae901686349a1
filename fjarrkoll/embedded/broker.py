"""The embedded MQTT broker (rumqttd), MQTT 5 on loopback. For demo and tests only.

It has no topic ACL, so every client may say anything in any device's name.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

import iotcore

MAX_CONNECTIONS: Final = 6_000

_CONFIG: Final = """\
id = 0
[router]
id = 0
max_connections = {connections}
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {payload}
max_inflight_count = 100
dynamic_filters = true
"""


class EmbeddedBroker:
    """One broker on a free loopback port, or on the port it is given."""

    def __init__(self, directory: Path, port: int = 0, max_payload_bytes: int = 262_144) -> None:
        self.port = port or free_port()
        self._config = directory / "broker.toml"
        self._config.write_text(
            _CONFIG.format(port=self.port, connections=MAX_CONNECTIONS, payload=max_payload_bytes)
        )
        self._broker = iotcore.Broker(config_path=str(self._config))

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._broker.start()

    def stop(self) -> None:
        self._broker.stop()


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
