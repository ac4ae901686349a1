"""Which errors are news for the reader, and which are our mistakes."""

from __future__ import annotations

import traceback
from typing import Final

import psycopg

from api.access.settings import AccessSettingsError
from api.settings import ApiRefusedError
from firmware_sim.replay import RecordingError
from firmware_sim.settings import SettingsError
from fjarrkoll.console import SERVER_ERROR, USAGE_ERROR
from fjarrkoll.embedded.postgres import EmbeddedServerError
from fjarrkoll.settings import ConfigurationError
from fjarrkoll.stack import ChildError
from fleet.catalogue import CatalogueError
from fleet.wire.topics import TopicError
from runtime.giving_way import GivingWayError
from storage.connection import StorageError, translated
from storage.registry import RegistryError

_WRONG_USE: Final = (
    ConfigurationError, SettingsError, RecordingError, TopicError, RegistryError, CatalogueError,
    AccessSettingsError, ApiRefusedError, GivingWayError,
)  # fmt: skip
_SERVER_TROUBLE: Final = (StorageError, EmbeddedServerError, ChildError)


def explain(exc: Exception) -> tuple[int, str]:
    """Exit status and message of an error that reached the top."""
    if isinstance(exc, _WRONG_USE):
        return USAGE_ERROR, str(exc)
    if isinstance(exc, psycopg.Error):
        exc = translated(exc)
    if isinstance(exc, _SERVER_TROUBLE):
        return SERVER_ERROR, str(exc)
    trace = "".join(traceback.format_exception(exc))
    return 70, f"this is a mistake of ours, please report it:\n{trace}"
