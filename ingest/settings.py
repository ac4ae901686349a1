"""What an ingest worker needs to know. Values only: the command line reads the environment."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """A batch closes at whichever comes first."""

    rows_max: int = 2_000
    bytes_max: int = 4 * 1024 * 1024
    age_max_s: float = 0.01


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """One worker process.

    Attributes:
        mqtt_url: `mqtt://[user[:password]@]host:port`, or `mqtts://…`.
        client_prefix: fixed, since the broker keeps the sessions under names made of it. Its dot
            keeps devices from taking a session over: no device id has one.
        lease_s: a worker that is silent this long loses its slots.
        queue_rows_max: per writer; a session whose queue is full is not read.
        gap_age_s: how long a gap stands before the device is asked (contract, section 4).
    """

    database_url: str
    mqtt_url: str
    client_prefix: str = "fjarrkoll.ingest"
    worker: uuid.UUID = field(default_factory=uuid.uuid4)
    is_throwaway: bool = False
    bulk_writers: int = 2
    limits: BatchLimits = BatchLimits()
    queue_rows_max: int = 6_000
    queue_bytes_max: int = 16 * 1024 * 1024
    lease_s: float = 5.0
    session_expiry_s: int = 7 * 24 * 3600
    receive_maximum: int = 4_000
    keepalive_s: int = 30
    ack_interval_s: float = 1.0
    gap_age_s: float = 30.0
    gap_sweep_s: float = 5.0
    backoff_max_s: float = 5.0
    health_port: int | None = None
