"""What a simulator process did, counted per device."""

from __future__ import annotations

import msgspec


class DeviceStats(msgspec.Struct):
    """One device in this run.

    `sent` are distinct records published at least once, `publishes` all record publishes,
    `malformed` all broken payloads: `malformed_records` of them are numbered records that the
    ledger counts, the rest is noise without an identity. `acked` were settled in this run;
    `acked_hi` is the number up to which everything of `epoch` is settled, in this run or before.
    """

    epoch: str = ""
    created: int = 0
    sent: int = 0
    publishes: int = 0
    acked: int = 0
    acked_hi: int = 0
    skipped: int = 0
    duplicates: int = 0
    malformed: int = 0
    malformed_records: int = 0
    lost: int = 0
    births: int = 0
    connects: int = 0
    connect_failures: int = 0


_TOTALLED = tuple(
    field for field in DeviceStats.__struct_fields__ if field not in ("epoch", "acked_hi")
)


class Stats(msgspec.Struct):
    """The whole process."""

    scenario: str
    seed: int
    speed: float
    devices: dict[str, DeviceStats] = {}
    wall_s: float = 0.0
    first_start: bool = True
    is_drained: bool = False

    def of(self, device: str) -> DeviceStats:
        return self.devices.setdefault(device, DeviceStats())

    def totals(self) -> dict[str, int]:
        return {
            name: sum(getattr(device, name) for device in self.devices.values())
            for name in _TOTALLED
        }

    def to_json(self) -> str:
        """One line: the totals, then every device."""
        whole = {
            "scenario": self.scenario,
            "seed": self.seed,
            "speed": self.speed,
            "wall_s": round(self.wall_s, 3),
            "first_start": self.first_start,
            "is_drained": self.is_drained,
            **self.totals(),
            "devices": self.devices,
        }
        return msgspec.json.encode(whole).decode()
