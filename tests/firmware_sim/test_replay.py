from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from firmware_sim.replay import RecordingError, read_recording, rebased
from fleet.faults import load_catalogue
from fleet.metrics import load_metrics
from fleet.models import load_models
from fleet.wire.messages import decode_state
from fleet.wire.records import CBOR, EARLIEST_MS, Record, decode_record
from fleet.wire.topics import UpChannel

PAYLOADS = Path(__file__).parents[1] / "fixtures" / "payloads"
RECORDINGS = sorted(PAYLOADS.glob("*.jsonl"))


def test_there_are_recordings_of_many_models_and_one_in_cbor() -> None:
    assert len(RECORDINGS) >= 8
    kinds = {sent.content_type for path in RECORDINGS for sent in read_recording(path).messages}
    assert CBOR in kinds


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_is_what_its_name_says(path: Path) -> None:
    recording = read_recording(path)
    assert recording.head is not None
    model, _, firmware = path.stem.partition("_fw")
    assert (recording.head.model, recording.head.fw) == (model, firmware)
    assert load_models().get(model) is not None
    assert 20 <= len(recording.messages) <= 200
    assert sum(sent.channel is UpChannel.STATE for sent in recording.messages) >= 2


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_keeps_the_contract_and_looks_like_a_capture(path: Path) -> None:
    messages = read_recording(path).messages
    records = []
    for sent in messages:
        if sent.channel is UpChannel.STATE:
            state = decode_state(sent.payload)
            assert state.model is not None
            continue
        record = decode_record(sent.payload, sent.content_type)
        assert isinstance(record, Record)
        assert (sent.channel is UpChannel.URGENT) == any(
            fault.state != "logged" for fault in record.faults
        )
        records.append(record)
    assert all(name in load_metrics() for record in records for name in record.m)
    faults = [fault for record in records for fault in record.faults]
    assert {"raised", "cleared", "logged"} <= {fault.state for fault in faults}
    assert all(load_catalogue().look_up(fault.system, fault.code).known for fault in faults)
    payloads = [sent.payload for sent in messages]
    assert len(set(payloads)) == len(payloads) - 1
    assert records[0].clock == "unset"
    assert records[-1].clock == "synced"
    assert len({sent.after_ms for sent in messages}) > 10


def test_rebasing_moves_set_times_only_and_keeps_identities() -> None:
    recording = read_recording(PAYLOADS / "permobil-m3_fw2.4.1.jsonl")
    assert recording.head is not None
    assert recording.head.ended_ms is not None
    now_ms = recording.head.ended_ms + 1_000_000
    moved = rebased(recording.messages, recording.head.ended_ms, now_ms)
    for before, after in zip(recording.messages, moved, strict=True):
        old, new = msgspec.json.decode(before.payload), msgspec.json.decode(after.payload)
        assert old.get("seq") == new.get("seq")
        assert old.get("cell") == new.get("cell")
        for name in ("at", "clock_ms"):
            if name in old:
                expected = old[name] + (1_000_000 if old[name] >= EARLIEST_MS else 0)
                assert new[name] == expected


def test_rebasing_reads_cbor_too() -> None:
    recording = read_recording(PAYLOADS / "dynamic-rhino2_fw2.3.7.jsonl")
    moved = rebased(recording.messages, 0, 5_000)[-1]
    before = decode_record(recording.messages[-1].payload, CBOR)
    after = decode_record(moved.payload, CBOR)
    assert isinstance(before, Record)
    assert isinstance(after, Record)
    assert (after.seq, after.at) == (before.seq, before.at + 5_000)


def test_json_payloads_are_sent_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"topic_channel": "bulk", "payload": {"b" : 1,  "a":2.50}}\n')
    recording = read_recording(path)
    assert recording.head is None
    assert recording.messages[0].payload == b'{"b" : 1,  "a":2.50}'


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        '{"topic_channel": "bulk"}',
        '{"topic_channel": "nowhere", "payload": {}}',
        '{"topic_channel": "bulk", "payload_b64": "%%%"}',
        '{"topic_channel": "bulk", "payload": {}, "after_ms": -1}',
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(RecordingError, match=r"bad\.jsonl"):
        read_recording(path)
