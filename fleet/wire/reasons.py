"""Why a message is quarantined (contract, section 5)."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One cause of quarantine. The words are part of the contract and of the database."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    OUT_OF_RANGE = "out_of_range"
    BAD_TIME = "bad_time"
    WRONG_SHARD = "wrong_shard"
    WRONG_TENANT = "wrong_tenant"
    IDENTITY_MISMATCH = "identity_mismatch"
    UNKNOWN_DEVICE = "unknown_device"
    PENDING_DEVICE = "pending_device"
    REVOKED_DEVICE = "revoked_device"
    UNKNOWN_CHANNEL = "unknown_channel"
    NO_DECODER = "no_decoder"
    TOO_MANY_METRICS = "too_many_metrics"
    REJECTED_BY_DATABASE = "rejected_by_database"


class PayloadError(ValueError):
    """What the world sent breaks the contract: quarantine it and carry on."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail[:200]}")
        self.reason = reason
        self.detail = detail[:200]
