"""Configuration from the environment. Built here only; the rooms get values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.broker_url import BrokerAddress

PREFIX: Final = "FJARRKOLL_"
_SECRET_FILES: Final = ("DATABASE_URL", "MQTT_URL", "OIDC_CLIENT_SECRET", "SEAL_KEY")


class ConfigurationError(ValueError):
    """A setting is missing or wrong; the message names it and says what to do."""


class Settings(BaseSettings):
    """Every setting, with its environment variable `FJARRKOLL_<NAME>`.

    `FJARRKOLL_DATABASE_URL_FILE`, `FJARRKOLL_MQTT_URL_FILE`, `FJARRKOLL_OIDC_CLIENT_SECRET_FILE`
    and `FJARRKOLL_SEAL_KEY_FILE` name files that hold the value.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, env_ignore_empty=True
    )

    database_url: SecretStr | None = Field(None, description="PostgreSQL; unset means embedded")
    mqtt_url: SecretStr | None = Field(None, description="MQTT broker; unset means embedded")
    database_throwaway: bool = Field(False, description="losing this database is fine")
    data_dir: Path | None = Field(None, description="where the embedded servers keep their data")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = False
    ingest_client_prefix: str = Field(
        "fjarrkoll.ingest", pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+$", max_length=40
    )
    ingest_lease_s: float = Field(5.0, ge=1, le=300)
    ingest_bulk_writers: int = Field(2, ge=1, le=16)
    ingest_gap_age_s: float = Field(30.0, ge=0.1, le=3600)
    api_port: int = Field(8460, ge=0, le=65535)
    api_connections: int = Field(
        2, ge=2, le=64, description="database connections that serve requests"
    )
    public_url: str | None = Field(None, description="where people reach the pages")
    oidc_issuer_url: str | None = Field(None, description="the sign-in service")
    oidc_client_id: str = Field("fjarrkoll-pages", min_length=1, max_length=200)
    oidc_client_secret: SecretStr | None = Field(None, description="unset: a public client")
    oidc_audience: str = Field("fjarrkoll-api", min_length=1, max_length=200)
    oidc_claims: str | None = Field(None, description="claim map: a shipped one, or a file")
    seal_key: SecretStr | None = Field(
        None, min_length=32, max_length=1000, description="shared by API processes side by side"
    )
    session_hours: float = Field(12.0, ge=0.1, le=24)
    session_idle_minutes: float = Field(60.0, ge=1, le=480)
    baseline_minutes: float | None = Field(
        None, ge=1, le=10_000, description="minutes a ticket took before, for the key figures"
    )
    person_link_days: int = Field(
        30, ge=0, le=3650, description="days after a loan until who had it is forgotten"
    )
    health_port: int | None = Field(None, ge=0, le=65535)
    failpoint: str | None = Field(None, description="tests only: where to die")

    def optional(self, name: Literal["database_url", "mqtt_url"]) -> str | None:
        """A server's URL, None when the embedded one is meant."""
        value: SecretStr | None = getattr(self, name)
        return None if value is None else value.get_secret_value()

    def required(self, name: Literal["database_url", "mqtt_url"]) -> str:
        """A server's URL for a command that runs against servers of one's own.

        Raises:
            ConfigurationError: it is not set.
        """
        value = self.optional(name)
        if value is None:
            variable = PREFIX + name.upper()
            raise ConfigurationError(
                f"{variable} is not set. Set it (or {variable}_FILE), or use `fjarrkoll demo`,"
                " which starts servers of its own."
            )
        return value


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigurationError: a value is out of bounds, or a `_FILE` cannot be read.
    """
    try:
        return Settings(**_from_files())  # type: ignore[arg-type]  # strings, validated there
    except ValidationError as exc:
        lines = [f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in exc.errors()]
        raise ConfigurationError("; ".join(lines)) from exc


def check_broker_url(url: str) -> None:
    """Refuse a broker URL that no part of ours understands, before anything is started.

    Raises:
        ConfigurationError: it is no `mqtt://` or `mqtts://` URL.
    """
    try:
        BrokerAddress.parse(url)
    except ValueError as exc:
        raise ConfigurationError(f"{PREFIX}MQTT_URL: {exc}") from exc


def _from_files() -> dict[str, str]:
    found = {}
    for name in _SECRET_FILES:
        path = os.environ.get(f"{PREFIX}{name}_FILE")
        if path is None:
            continue
        try:
            found[name.lower()] = Path(path).read_text("utf-8").strip()
        except OSError as exc:
            raise ConfigurationError(f"{PREFIX}{name}_FILE: {exc.strerror}: {path}") from exc
    return found


def default_data_dir() -> Path:
    """Where the embedded servers keep their data unless told otherwise.

    Root's own folder is closed to the user that PostgreSQL must run as, so root gets a place
    that is made for services.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/fjarrkoll")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "fjarrkoll"
