"""The published contract says what the code does: every example, reason and limit on the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.people import access_settings

from api.ingest import MAX_RECORDS, messages_of
from api.settings import ApiSettings
from fleet import batch, clock, gaps
from fleet.device_settings import load_device_settings
from fleet.intake import Accepted, DeviceEntry, Message, Refused, StateReport, judge
from fleet.wire import records, settings, topics
from fleet.wire.messages import Ack, decode_ack, decode_state, encode_ack
from fleet.wire.reasons import Reason
from fleet.wire.topics import DownChannel, UpChannel, shard_of
from fleet.words import DeviceClass
from ingest.settings import IngestSettings
from storage import intake, quarantine

PAGE = (Path(__file__).parents[2] / "docs" / "wire.md").read_text("utf-8")
EPOCH = "9f2c61d0a4b7e813"
ENTRY = DeviceEntry(1, "wc-000017", "vgr", "active", shard_of("wc-000017"))

_SETTINGS = IngestSettings("", "mqtt://localhost")
LIMITS = {
    "max_payload_bytes": topics.MAX_PAYLOAD_BYTES,
    "max_samples": records.MAX_SAMPLES,
    "max_faults": records.MAX_FAULTS,
    "max_abs_value": records.MAX_ABS_VALUE,
    "max_seq": records.MAX_SEQ,
    "max_ctx_keys": records.MAX_CTX_KEYS,
    "max_text": records.MAX_TEXT,
    "max_settings": settings.MAX_SETTINGS,
    "max_setting_text": settings.MAX_SETTING_TEXT,
    "earliest_ms": records.EARLIEST_MS,
    "latest_ahead_ms": records.LATEST_AHEAD_MS,
    "skew_tolerated_ms": clock.SKEW_TOLERATED_MS,
    "skew_tolerated_synced_ms": clock.SKEW_TOLERATED_SYNCED_MS,
    "metrics_per_tenant": intake.METRICS_PER_TENANT,
    "max_gaps": batch.MAX_GAPS,
    "max_asked_at_once": gaps.MAX_ASKED_AT_ONCE,
    "ack_interval_s": _SETTINGS.ack_interval_s,
    "gap_age_s": _SETTINGS.gap_age_s,
    "quarantine_kept_per_device": quarantine.KEPT_PER_DEVICE,
    "quarantine_kept_in_all": quarantine.KEPT_IN_ALL,
    "http_max_records": MAX_RECORDS,
    "http_max_body_bytes": ApiSettings("", access_settings()).max_body_bytes,
}


def _blocks() -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"^```(.+)\n((?:.*\n)*?)```$", PAGE, re.MULTILINE):
        yield match[1], match[2]


BLOCKS = list(_blocks())


def _section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n((?:(?!## ).*\n?)*)", PAGE, re.MULTILINE)
    assert found is not None, f"no section {title!r}"
    return found[1]


def _rows(section: str) -> list[list[str]]:
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _check_http(payload: bytes) -> None:
    for message in messages_of(payload, 1795294780000):
        assert isinstance(judge(message, {ENTRY.device_id: ENTRY}.get), Accepted)


CHECKS: dict[str, Callable[[bytes], Any]] = {
    "json record": records.decode_record,
    "json state": decode_state,
    "json ack": decode_ack,
    "json http": _check_http,
    "cbor record": lambda text: records.decode_record(bytes.fromhex(text.decode()), records.CBOR),
}


@pytest.mark.parametrize(
    ("kind", "text"), [block for block in BLOCKS if block[0] not in ("text", "conversation")]
)
def test_every_example_is_decoded(kind: str, text: str) -> None:
    payload = text.strip().encode()
    CHECKS[kind](payload)
    if kind.startswith("json"):
        _has_only_known_fields(kind, json.loads(payload))


def _has_only_known_fields(kind: str, example: dict[str, Any]) -> None:
    """Unknown fields are ignored, so a slip of the pen would pass unseen."""
    known = {
        "json record": {*records.Record.__struct_fields__, "skipped"},
        "json state": {"online", "boot", "epoch", "clock_ms", "clock", "model", "hw", "fw",
                       "outbox", "device", "settings"},
        "json ack": set(Ack.__struct_fields__),
    }.get(kind, set(example))  # fmt: skip
    assert example.keys() <= known


def test_all_of_the_examples_settings_are_kept_and_known() -> None:
    births = [decode_state(text.encode()) for kind, text in BLOCKS if kind == "json state"]
    told = [found for birth in births if (found := settings.sound(birth.settings))]
    assert [one.left_out_n for one in told] == [0]
    known = load_device_settings().of(DeviceClass.POWERED_WHEELCHAIR)
    assert told[0].values.keys() <= {setting.name for setting in known}


def test_there_is_an_example_of_each_kind() -> None:
    assert {kind for kind, _ in BLOCKS} == {*CHECKS, "text", "conversation"}


def test_the_cbor_example_is_the_first_record() -> None:
    by_kind = {kind: text.strip() for kind, text in reversed(BLOCKS)}
    first = json.loads(by_kind["json record"]) | {"seq": 4711}
    decoded = records.decode_record(bytes.fromhex(by_kind["cbor record"]), records.CBOR)
    assert decoded == records.decode_record(json.dumps(first).encode())


def test_every_limit_equals_the_codes() -> None:
    printed = {
        _words(row[0])[0]: float(row[1].replace(",", "")) for row in _rows(_section("Limits"))
    }
    assert printed == {name: float(value) for name, value in LIMITS.items()}


def test_every_quarantine_reason_is_on_the_page() -> None:
    named = {_words(row[0])[0] for row in _rows(_section("When a message is quarantined"))}
    assert named == {reason.value for reason in Reason}


def test_every_channel_is_on_the_page() -> None:
    named = [word for row in _rows(_section("Topics")) for word in _words(row[0])]
    assert sorted(named) == sorted([*map(str, UpChannel), *map(str, DownChannel)])


@pytest.mark.parametrize("row", _rows(_section("Topics")), ids=lambda row: row[0])
def test_what_is_said_to_have_no_decoder_has_none(row: list[str]) -> None:
    if "no_decoder" not in row[2]:
        return
    for channel in _words(row[0]):
        topic = topics.up_topic("vgr", "wc-000017", UpChannel(channel))
        verdict = judge(Message(topic, b"{}", None, 0), {ENTRY.device_id: ENTRY}.get)
        assert isinstance(verdict, Refused)
        assert verdict.reason is Reason.NO_DECODER


def test_the_shard_in_the_text_is_right() -> None:
    assert f"`wc-000017` it is `{shard_of('wc-000017'):02x}`" in PAGE


def _conversation() -> list[tuple[str, str, bytes]]:
    text = next(text for kind, text in BLOCKS if kind == "conversation")
    lines = [line for line in text.splitlines() if not line.startswith("…")]
    spoken = [line.split(" ", 3) if line.startswith("backend") else line.split(None, 3)
              for line in lines]  # fmt: skip
    return [(who, topic, payload.encode()) for who, _, topic, payload in spoken]


def test_the_conversation_is_what_the_code_says() -> None:
    """Plays the device's lines into the judge and the ledger; the answers must be the page's."""
    ledger: dict[batch.LedgerKey, batch.LedgerEntry] = {}
    answers: list[bytes] = []
    received_ms = 1795294714123
    for who, topic, payload in _conversation():
        if who == "backend":
            assert topic == topics.ack_topic(ENTRY.shard, "vgr", "wc-000017")
            entry = ledger[1, EPOCH]
            asked = Ack(EPOCH, entry.received.contiguous_hi(), entry.received.gaps())
            assert payload == (answers.pop() if answers else encode_ack(asked))
            continue
        assert not answers, "an answer is missing on the page"
        received_ms += 1_000
        verdict = judge(Message(topic, payload, None, received_ms), {ENTRY.device_id: ENTRY}.get)
        assert isinstance(verdict, Accepted | StateReport)
        for key in batch.ledger_keys([verdict]):
            ledger.setdefault(key, batch.LedgerEntry())
        plan = batch.plan_batch([verdict], ledger)
        answers = [encode_ack(ack) for ack in plan.acks.values()]
    assert ledger[1, EPOCH].received.contiguous_hi() == 6
