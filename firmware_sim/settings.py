"""What a simulator process is told. The command line builds one `Config` and passes it on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiomqtt
from pydantic import BaseModel, Field, SecretStr

from firmware_sim.plan import DEFAULT_TENANT
from fleet.wire.topics import is_id
from runtime.broker_url import BrokerAddress


class SettingsError(ValueError):
    """The settings cannot be used together, or with the outbox file that is there."""


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of one simulator process.

    Attributes:
        speed: how many times faster than the wall clock the live part runs until it has caught
            up with the present; records are never dated in the future. See `runner.Simulation`.
        history_days: how much backlog a first start makes up before it goes live.
        live: false ends the process when the backlog is settled.
        run_for_s: end after so many seconds of wall time; None runs until stopped.
        replay: a recording to send instead of a simulated fleet; `rebase` moves its times so
            that it ends now.
        replay_device: send the recording as this device instead of the recorded one.
        inflight: publishes of one device under way at once.
    """

    mqtt_url: SecretStr = SecretStr("mqtt://127.0.0.1:1883")
    outbox_path: Path = Path("outbox.db")
    devices: int = Field(default=30, ge=1, le=5_000)
    seed: int = Field(default=1, ge=0, lt=2**32)
    speed: float = Field(default=1.0, ge=1.0, le=3_600.0)
    scenario: str = "demo"
    history_days: float = Field(default=7.0, ge=0.0, le=60.0)
    tenant: str = DEFAULT_TENANT
    live: bool = True
    run_for_s: float | None = Field(default=None, gt=0)
    truth: Path | None = None
    replay: Path | None = None
    replay_device: str | None = None
    rebase: bool = False
    mqtt_version: Literal["5", "3.1.1"] = "5"
    connects_per_s: float = Field(default=50.0, gt=0, le=1_000)
    window: int = Field(default=128, ge=1, le=1_024)
    inflight: int = Field(default=20, ge=1, le=100)
    resend_after_s: float = Field(default=15.0, ge=0.1, le=600)
    outbox_limit: int = Field(default=20_000, ge=100, le=1_000_000)
    grace: int = Field(default=200, ge=0, le=100_000)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and as whom to connect."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    version: aiomqtt.ProtocolVersion


def broker_address(config: Config) -> Address:
    """Read `mqtt_url`: mqtt://, or mqtts:// with the certificates this machine trusts.

    Raises:
        SettingsError: it is no such URL.
    """
    try:
        url = BrokerAddress.parse(config.mqtt_url.get_secret_value())
    except ValueError as exc:
        raise SettingsError(
            "mqtt_url must look like mqtt://HOST:PORT or mqtts://HOST:PORT"
        ) from exc
    return Address(
        host=url.host,
        port=url.port,
        username=url.user,
        password=url.password,
        tls=ssl.create_default_context() if url.is_tls else None,
        version=aiomqtt.ProtocolVersion.V5
        if config.mqtt_version == "5"
        else aiomqtt.ProtocolVersion.V311,
    )


def check_tenant(config: Config) -> None:
    """Refuse a tenant that may not stand in a topic.

    Raises:
        SettingsError: it may not.
    """
    if not is_id(config.tenant):
        raise SettingsError(f"tenant {config.tenant!r}: use 1 to 64 of A-Z a-z 0-9 _ -")
