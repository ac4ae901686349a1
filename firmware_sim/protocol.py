"""What one device says next, and what an answer means to it (contract, sections 3 and 4).

Numbers only: no socket, no clock, no payloads. The outbox holds the records; this holds what has
been sent of them and when. `now` is any monotonic time in seconds.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from firmware_sim.outbox import Appended, Snapshot
from fleet.wire.messages import Ack, OutboxSpan, State
from fleet.wire.records import Clock, Skipped
from fleet.wire.settings import NONE_SENT, Setting, encoded

REQUESTS_BEFORE_SKIPPED: Final = 3
"""A device asked this often for one record that is gone says so (contract, section 4)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`window`: records sent and not settled. `resend_after_s` doubles up to `resend_max_s`,
    and is at least three times what the backend usually takes.

    `again_after_s`: a record asked for twice within this time is sent once; at least twice
    what the backend usually takes, for it may be in its queue.
    `asked_max`: records of one acknowledgement's gaps that are looked at.
    """

    window: int = 128
    resend_after_s: float = 15.0
    resend_max_s: float = 300.0
    again_after_s: float = 2.0
    asked_max: int = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """What a birth says of the device beside its outbox."""

    model: str
    hw: str
    fw: str
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Burst:
    """What to send now, in this order: state, records, markers."""

    state: bool = False
    records: tuple[int, ...] = ()
    skips: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return self.state or bool(self.records) or bool(self.skips)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the outbox has to do after an acknowledgement."""

    settle: int | None = None
    rewind: int | None = None


@dataclass(slots=True)
class _Sent:
    at: float
    due: float
    times: int


@dataclass(slots=True)
class _Asked:
    times: int = 0
    answered_at: float = float("-inf")


@dataclass(slots=True)
class _Book:
    """The numbers a device holds: `oldest` up to, not including, `next_seq`, less the holes."""

    oldest: int
    next_seq: int
    holes: list[tuple[int, int]] = field(default_factory=list)

    def holds(self, seq: int) -> bool:
        if not self.oldest <= seq < self.next_seq:
            return False
        return not any(first <= seq <= last for first, last in self.holes)

    def held_from(self, seq: int) -> Iterator[int]:
        """Held numbers from `seq` on, ascending."""
        at = max(seq, self.oldest)
        for first, last in [*self.holes, (self.next_seq, self.next_seq)]:
            if last < at:
                continue
            yield from range(at, first)
            at = last + 1

    def cut(self, oldest: int) -> None:
        self.oldest = max(self.oldest, min(oldest, self.next_seq))
        for first, last in self.holes:
            if first <= self.oldest <= last:
                self.oldest = last + 1
        self.holes = [hole for hole in self.holes if hole[1] >= self.oldest]

    def lose(self, first: int, last: int) -> None:
        insort(self.holes, (first, last))
        merged: list[tuple[int, int]] = []
        for low, high in self.holes:
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        self.holes = merged
        if merged[0][0] <= self.oldest:
            self.cut(merged[0][1] + 1)


class Conversation:
    """One device's side of the talk, across connections.

    After a restart a device cannot tell which of its stored records it had sent; it counts them
    all as sent, and sends them all again from the oldest on until they are settled.
    """

    def __init__(self, held: Snapshot, rng: Random, limits: Limits | None = None) -> None:
        self.epoch = held.epoch
        self.boot = held.boot
        self.acked_hi = held.acked_hi
        self.sent_distinct = 0
        self._rng = rng
        self._limits = limits or Limits()
        self._book = _Book(held.oldest_seq, held.next_seq, list(held.holes))
        self._sent_before = held.next_seq - 1 if held.boot > 1 else 0
        self._cursor = held.acked_hi + 1
        self._counted_below = 0
        self._ahead: set[int] = set()
        self._urgent = list(held.urgent)
        self._again: list[int] = []
        self._sent: dict[int, _Sent] = {}
        self._asked: dict[int, _Asked] = {}
        self._skips: list[int] = []
        self._state_wanted = False
        self._heard_at = float("-inf")
        self._answer_s = 0.0
        self._skip_holes()

    @property
    def next_seq(self) -> int:
        return self._book.next_seq

    @property
    def sent_through(self) -> int:
        """Every record up to here has been sent, or is gone."""
        return max(self._sent_before, self._cursor - 1)

    @property
    def is_drained(self) -> bool:
        """True if nothing that is still here waits for an acknowledgement."""
        return next(self._book.held_from(self.acked_hi + 1), None) is None

    def state(self, identity: Identity, clock_ms: int, clock: Clock) -> State:
        """The birth."""
        return State(
            online=True,
            boot=self.boot,
            epoch=self.epoch,
            clock_ms=clock_ms,
            clock=clock,
            model=identity.model,
            hw=identity.hw,
            fw=identity.fw,
            outbox=OutboxSpan(self._book.oldest, self._book.next_seq),
            settings=encoded(identity.settings) if identity.settings else NONE_SENT,
        )

    def will(self) -> State:
        """The last will, and the goodbye of a device that is switched off."""
        return State(online=False, boot=self.boot)

    def skipped(self, seq: int) -> Skipped:
        return Skipped(self.epoch, seq)

    def on_connect(self) -> None:
        """A new session: say who is there; what was under way may be lost, so it goes again."""
        self._state_wanted = True
        self._again = sorted({*self._again, *self._sent})
        self._sent.clear()

    def on_append(self, appended: Appended) -> None:
        """Records were stored in the outbox; some old ones may have had to make room."""
        self._book.next_seq = appended.next_seq
        self._urgent.extend(appended.urgent)
        if appended.dropped:
            self._forget_below(appended.oldest_seq)
            self._book.cut(appended.oldest_seq)
            self._cursor = max(self._cursor, self._book.oldest)
            self._state_wanted = True
        self._skip_holes()

    def on_loss(self, first: int, last: int) -> None:
        """A range, ends included, is gone from the outbox, unsettled."""
        first = max(first, self.acked_hi + 1)
        last = min(last, self._book.next_seq - 1)
        if first > last:
            return
        self._book.lose(first, last)
        for seq in [seq for seq in self._sent if first <= seq <= last]:
            del self._sent[seq]
        self._urgent = [seq for seq in self._urgent if not first <= seq <= last]
        self._again = [seq for seq in self._again if not first <= seq <= last]
        self._skip_holes()

    def on_ack(self, ack: Ack, now: float) -> Verdict:
        """Take an acknowledgement.

        Another epoch's is ignored, and so is one that claims more than was sent. An older one
        settles nothing, but its gaps are answered.
        """
        if ack.epoch != self.epoch:
            return Verdict()
        if ack.rewind is not None:
            return self._rewind(ack.rewind)
        if ack.hi is not None and ack.hi > self.sent_through:
            return Verdict()
        self._heard_at = now
        self._take_gaps(ack.gaps, now)
        if ack.hi is None or ack.hi <= self.acked_hi:
            return Verdict()
        self._learn_pace(ack.hi, now)
        self.acked_hi = ack.hi
        self._forget_below(ack.hi + 1)
        self._cursor = max(self._cursor, ack.hi + 1)
        self._skip_holes()
        for sent in self._sent.values():  # it works its way up: the rest is likely on its way
            sent.due = max(sent.due, now + self._wait_s(sent.times))
        return Verdict(settle=ack.hi)

    def on_trimmed(self, oldest_seq: int) -> None:
        """The outbox has let go of settled records below `oldest_seq`."""
        self._book.cut(min(oldest_seq, self.acked_hi + 1))

    def _learn_pace(self, hi: int, now: float) -> None:
        """Follow how long the backend takes; a busy one is not to be sent everything twice.

        Records sent more than once say nothing: the answer may be to any of the sendings.
        """
        once = [sent.at for seq, sent in self._sent.items() if seq <= hi and sent.times == 1]
        if once:
            self._answer_s += (now - min(once) - self._answer_s) / 4

    def _rewind(self, seq: int) -> Verdict:
        if not 1 <= seq <= self.acked_hi:
            return Verdict()
        self._sent_before = self.sent_through
        self.acked_hi = seq - 1
        if seq < self._book.oldest:
            self._state_wanted = True
        self._counted_below = max(self._counted_below, self._cursor)
        self._cursor = min(self._cursor, max(seq, self._book.oldest))
        self._skip_holes()
        return Verdict(rewind=seq)

    def take(self, now: float, limit: int) -> Burst:
        """What to send now, at most `limit` records; it counts as sent from here on.

        Urgent records first, then what was asked for or has waited too long, then new ones,
        each kind oldest first.
        """
        records: list[int] = []
        while self._urgent and len(records) < limit:
            seq = self._urgent.pop(0)
            if seq >= self._cursor and seq not in self._ahead:
                self._ahead.add(seq)
                self.sent_distinct += 1
                self._mark(seq, now, records)
        self._skip_holes()
        self._expire(now)
        while self._again and len(records) < limit:
            seq = self._again.pop(0)
            if self._book.holds(seq) and seq not in records:
                self._mark(seq, now, records)
        room = min(limit - len(records), self._window_left)
        if room > 0:
            self._take_new(room, now, records)
        skips, self._skips = tuple(self._skips[:limit]), self._skips[limit:]
        wanted, self._state_wanted = self._state_wanted, False
        return Burst(wanted, tuple(records), skips)

    def _take_new(self, room: int, now: float, records: list[int]) -> None:
        for seq in self._book.held_from(self._cursor):
            if seq in self._ahead:
                continue
            if room == 0:
                break
            self._mark(seq, now, records)
            self._ahead.add(seq)
            self.sent_distinct += seq >= self._counted_below
            room -= 1
        self._skip_holes()

    def _mark(self, seq: int, now: float, records: list[int]) -> None:
        before = self._sent.get(seq)
        times = 1 if before is None else before.times + 1
        self._sent[seq] = _Sent(now, now + self._wait_s(times), times)
        records.append(seq)

    def _wait_s(self, times: int) -> float:
        """How long to wait for an answer to a record that was sent so many times."""
        patience_s = max(self._limits.resend_after_s, 3 * self._answer_s)
        wait_s = min(patience_s * 2.0 ** min(times - 1, 16), self._limits.resend_max_s)
        return wait_s * self._rng.uniform(0.75, 1.25)

    def _expire(self, now: float) -> None:
        """Queue what has waited too long.

        While nothing is heard only the oldest goes again, as a question: a silent backend is
        not to be flooded. Once something is heard, all that waited since before then. Each
        step forward gives what is still under way the whole time again.
        """
        if not self._sent:
            return
        oldest = min(self._sent)
        late = [
            seq
            for seq, sent in self._sent.items()
            if sent.due <= now and (seq == oldest or sent.at < self._heard_at)
        ]
        if late:
            self._again = sorted({*self._again, *late})

    def next_due(self) -> float | None:
        """When `take` should be asked again if nothing else happens; None: not before something."""
        if not self._sent:
            return None
        oldest = min(self._sent)
        return min(
            sent.due
            for seq, sent in self._sent.items()
            if seq == oldest or sent.at < self._heard_at
        )

    @property
    def has_more(self) -> bool:
        """True if `take` would give something at once."""
        if self._state_wanted or self._urgent or self._again or self._skips:
            return True
        return self._window_left > 0 and self._cursor < self._book.next_seq

    @property
    def _window_left(self) -> int:
        """Room for new records. Those sent ahead of their turn take none: they may have to
        wait for the very records that would find no room.
        """
        return self._limits.window - sum(1 for seq in self._sent if seq < self._cursor)

    def _take_gaps(self, gaps: list[tuple[int, int]], now: float) -> None:
        budget = self._limits.asked_max
        highest = max(self.sent_through, max(self._ahead, default=0))
        for first, last in gaps:
            for seq in range(max(first, 1), min(last, highest, first + budget) + 1):
                budget -= 1
                self._answer(seq, now)
            if budget <= 0:
                break
        self._again.sort()

    def _answer(self, seq: int, now: float) -> None:
        if self._book.holds(seq):
            sent = self._sent.get(seq)
            if sent is None and seq >= self._cursor and seq not in self._ahead:
                return  # it has not been sent yet and comes in its turn
            again_s = max(self._limits.again_after_s, 2 * self._answer_s)
            recent = sent is not None and now - sent.at < again_s
            if not recent and seq not in self._again:
                self._again.append(seq)
            return
        asked = self._asked.setdefault(seq, _Asked())
        asked.times += 1
        if asked.times < REQUESTS_BEFORE_SKIPPED:
            self._state_wanted = True
        elif now - asked.answered_at >= self._limits.again_after_s:
            asked.answered_at = now
            self._skips.append(seq)

    def _forget_below(self, seq: int) -> None:
        for old in [old for old in self._sent if old < seq]:
            del self._sent[old]
        for old in [old for old in self._asked if old < seq]:
            del self._asked[old]
        self._ahead = {old for old in self._ahead if old >= seq}
        self._urgent = [old for old in self._urgent if old >= seq]
        self._again = [old for old in self._again if old >= seq]

    def _skip_holes(self) -> None:
        """Move the cursor over what was sent ahead and over what is gone."""
        while True:
            following = next(self._book.held_from(self._cursor), self._book.next_seq)
            if following in self._ahead:
                self._ahead.discard(following)
                self._cursor = following + 1
                continue
            self._cursor = max(self._cursor, following)
            return
