"""The topic grammar: parsing and formatting are inverses, and nothing else is let in."""

from __future__ import annotations

import contextlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.wire.topics import (
    DownChannel,
    Topic,
    TopicError,
    UpChannel,
    ack_topic,
    checked_id,
    down_topic,
    is_id,
    parse_topic,
    shard_of,
    up_topic,
)

IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
TOPICS = st.builds(
    Topic,
    shard=st.integers(0, 255),
    tenant=IDS,
    device=IDS,
    direction=st.sampled_from(["up", "down"]),
    channel=st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True),
)


@given(TOPICS)
def test_formatting_and_parsing_are_inverses(topic):
    assert parse_topic(str(topic)) == topic


@given(st.text(max_size=80) | TOPICS.map(str).flatmap(lambda t: st.just(t + "\n") | st.just(t)))
def test_any_text_parses_to_itself_or_is_refused(text):
    try:
        topic = parse_topic(text)
    except TopicError:
        return
    assert str(topic) == text


@given(TOPICS, st.data())
def test_one_changed_character_never_parses_to_the_same_topic(topic, data):
    text = str(topic)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters(exclude_characters=text[at])) + text[at + 1 :]
    with contextlib.suppress(TopicError):
        assert parse_topic(changed) != topic


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fk/1",
        "fk/2/aa/r1/chair-1/up/bulk",
        "FK/1/aa/r1/chair-1/up/bulk",
        "/fk/1/aa/r1/chair-1/up/bulk",
        "fk/1/AA/r1/chair-1/up/bulk",
        "fk/1/a/r1/chair-1/up/bulk",
        "fk/1/aaa/r1/chair-1/up/bulk",
        "fk/1/aa//chair-1/up/bulk",
        "fk/1/aa/r1//up/bulk",
        "fk/1/aa/r1/chair-1/up/",
        "fk/1/aa/r1/chair-1/up/bulk/",
        "fk/1/aa/r1/chair-1/up/bulk/more",
        "fk/1/aa/r1/chair-1/up/Bulk",
        "fk/1/aa/r1/chair-1/sideways/bulk",
        "fk/1/aa/r1/chair-1/up/bulk\n",
        "fk/1/aa/r1/chair 1/up/bulk",
        "fk/1/aa/r1/chair.1/up/bulk",
        "fk/1/aa/r1/+/up/bulk",
        "fk/1/aa/r1/#",
        "fk/1/aa/r1/ståle/up/bulk",
        "fk/1/aa/r1/chair\0/up/bulk",
        "fk/1/aa/r1/chair\udc80/up/bulk",
        "fk/1/٠٠/r1/chair-1/up/bulk",
        f"fk/1/aa/r1/{'x' * 65}/up/bulk",
        f"fk/1/aa/{'x' * 65}/chair-1/up/bulk",
    ],
)
def test_a_topic_outside_the_grammar_is_refused(text):
    with pytest.raises(TopicError):
        parse_topic(text)


@pytest.mark.parametrize(
    "text", ["", "a" * 65, "a b", "a/b", "+", "#", "å", "a\n", "a\0", "a.b", "$SYS", "\udc80"]
)
def test_an_id_outside_the_grammar_is_not_issued(text):
    assert not is_id(text)
    for issue in (
        lambda: checked_id(text),
        lambda: up_topic("r1", text, UpChannel.BULK),
        lambda: up_topic(text, "chair-1", UpChannel.BULK),
        lambda: down_topic(text, "chair-1", DownChannel.ACK),
    ):
        with pytest.raises((TopicError, UnicodeEncodeError)):
            issue()


@given(IDS, IDS)
def test_issued_topics_carry_the_shard_of_the_device(tenant, device):
    shard = sha256(device.encode()).digest()[0]
    assert shard_of(device) == shard
    assert parse_topic(up_topic(tenant, device, UpChannel.STATE)) == Topic(
        shard, tenant, device, "up", "state"
    )
    assert ack_topic(shard, tenant, device) == down_topic(tenant, device, DownChannel.ACK)


def test_the_shard_of_a_device_never_changes():
    """Recorded once: devices in the field have it in their firmware."""
    assert [shard_of(name) for name in ("a", "chair-1", "A" * 64)] == [202, 146, 213]
