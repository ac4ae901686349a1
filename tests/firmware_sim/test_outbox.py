from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from firmware_sim.outbox import Draft, Entry, Outbox


def draft(text: str, *, urgent: bool = False) -> Draft:
    return Draft(
        "urgent" if urgent else "bulk", lambda epoch, seq: f"{epoch} {seq} {text}".encode()
    )


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.db", Random(1), limit=10, grace=3)
    box.boot(["a", "b"])
    yield box
    box.close()


def seqs(outbox: Outbox, device: str) -> list[int]:
    return [stored.seq for stored in outbox.fetch(device, range(1, 10_000))]


def test_numbers_run_from_one_per_device_and_are_part_of_the_payload(outbox: Outbox) -> None:
    outbox.append([Entry("a", [draft("x"), draft("y", urgent=True)]), Entry("b", [draft("z")])])
    done = outbox.append([Entry("a", [draft("w", urgent=True)])])["a"]

    assert (done.first_seq, done.next_seq, done.urgent) == (3, 4, (3,))
    epoch = outbox.load("a").epoch
    assert [(s.seq, s.channel, s.payload) for s in outbox.fetch("a", [1, 2, 3])] == [
        (1, "bulk", f"{epoch} 1 x".encode()),
        (2, "urgent", f"{epoch} 2 y".encode()),
        (3, "urgent", f"{epoch} 3 w".encode()),
    ]
    assert outbox.load("b").epoch != epoch


def test_a_failed_append_leaves_nothing_behind(outbox: Outbox) -> None:
    def broken(epoch: str, seq: int) -> bytes:
        raise ValueError(seq)

    with pytest.raises(ValueError, match="2"):
        outbox.append([Entry("a", [draft("x"), Draft("bulk", broken)])], {"time": b"1"})
    assert outbox.load("a").next_seq == 1
    assert outbox.note("time") is None


def test_settling_keeps_the_grace_and_never_goes_back(outbox: Outbox) -> None:
    outbox.append([Entry("a", [draft(str(n)) for n in range(8)])])
    outbox.settle({"a": 6})
    assert seqs(outbox, "a") == [4, 5, 6, 7, 8]
    outbox.settle({"a": 2})
    assert outbox.acked() == {
        ("a", outbox.load("a").epoch): 6,
        ("b", outbox.load("b").epoch): 0,
    }
    assert outbox.unsettled() == 2


def test_more_than_was_numbered_is_never_settled(outbox: Outbox) -> None:
    outbox.append([Entry("a", [draft("x")])])
    outbox.settle({"a": 2})
    assert outbox.load("a").acked_hi == 0


def test_rewinding_counts_kept_records_as_unsettled_again(outbox: Outbox) -> None:
    outbox.append([Entry("a", [draft(str(n)) for n in range(8)])])
    outbox.settle({"a": 8})
    outbox.rewind("a", 3)
    assert outbox.load("a").acked_hi == 2
    assert outbox.unsettled() == 3  # 6, 7 and 8 were kept
    outbox.rewind("a", 5)
    assert outbox.load("a").acked_hi == 2


def test_a_full_outbox_drops_the_oldest_and_says_so(outbox: Outbox) -> None:
    outbox.append([Entry("a", [draft(str(n)) for n in range(9)])])
    done = outbox.append([Entry("a", [draft("x"), draft("y"), draft("z")])])["a"]
    assert (done.dropped, done.oldest_seq) == (2, 3)
    assert seqs(outbox, "a") == list(range(3, 13))
    assert outbox.load("a").lost == 2


def test_settled_records_do_not_count_towards_the_limit(outbox: Outbox) -> None:
    outbox.append([Entry("a", [draft(str(n)) for n in range(9)])])
    outbox.settle({"a": 9})
    assert outbox.append([Entry("a", [draft(str(n)) for n in range(10)])])["a"].dropped == 0


def test_a_lost_range_is_a_hole_in_the_snapshot(outbox: Outbox) -> None:
    outbox.append([Entry("a", [draft(str(n), urgent=n == 4) for n in range(9)])])
    assert outbox.lose("a", 4, 6) == 3
    held = outbox.load("a")
    assert (held.oldest_seq, held.holes, held.urgent, held.lost) == (1, ((4, 6),), (), 3)


def test_a_second_start_keeps_the_epoch_and_counts_the_boot(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "o.db", Random(1))
    first.boot(["a"])
    first.append([Entry("a", [draft("x")], memory=b"m")], {"now": b"7"})
    before = first.load("a")
    first.close()

    second = Outbox(tmp_path / "o.db", Random(2))
    second.boot(["a"])
    after = second.load("a")
    assert (after.epoch, after.next_seq, after.memory) == (before.epoch, 2, b"m")
    assert (before.boot, after.boot) == (1, 2)
    assert second.note("now") == b"7"
    second.close()


_APPENDER = """
import sys
from pathlib import Path
from random import Random
from firmware_sim.outbox import Draft, Entry, Outbox
box = Outbox(Path(sys.argv[1]), Random(1))
box.boot(["a", "b"])
n = 0
while True:
    n += 1
    text = str(n).encode()
    drafts = [Draft("bulk", lambda epoch, seq: b"%d" % seq)] * 3
    box.append([Entry("a", drafts), Entry("b", drafts)])
    print(n, flush=True)
"""


def test_what_append_returned_for_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    process = subprocess.Popen(
        [sys.executable, "-c", _APPENDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(25):
        confirmed = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    confirmed = max([confirmed, *(int(line) for line in process.stdout.read().split())])
    process.wait()
    process.stdout.close()

    box = Outbox(path, Random(2))
    for device in ("a", "b"):
        held = box.load(device)
        assert held.next_seq - 1 in (confirmed * 3, confirmed * 3 + 3)
        assert held.holes == ()
        assert [s.payload for s in box.fetch(device, range(1, held.next_seq))] == [
            b"%d" % seq for seq in range(1, held.next_seq)
        ]
    assert box.load("a").next_seq == box.load("b").next_seq
    box.close()
