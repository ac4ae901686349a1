from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import episodes
from fleet.episodes import Episode, FaultEvent, Stored, fold, reconcile, reload_from

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def event(
    minute: float,
    state: str,
    count: int | None = None,
    *,
    seq: int = 1,
    epoch: str = "a",
    received: float | None = None,
) -> FaultEvent:
    received_at = at(minute if received is None else received)
    return FaultEvent(at(minute), epoch, seq, 0, state, count, received_at)  # type: ignore[arg-type]


def brief(episode: Episode) -> tuple[float, float | None, int, int, int]:
    """Start and end in minutes from noon, then the counts."""
    start = (episode.started_at - NOON) / timedelta(minutes=1)
    ended_at = episode.ended_at
    end = None if ended_at is None else (ended_at - NOON) / timedelta(minutes=1)
    return (start, end, episode.raised_n, episode.cleared_n, episode.logged_n)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([(0, "raised")], [(0, None, 1, 0, 0)], id="open"),
        pytest.param([(0, "raised"), (5, "cleared")], [(0, 5, 1, 1, 0)], id="over"),
        pytest.param([(0, "cleared")], [], id="a clear alone says nothing"),
        pytest.param(
            [(0, "raised"), (5, "cleared"), (6, "cleared")], [(0, 5, 1, 1, 0)], id="cleared twice"
        ),
        pytest.param(
            [(0, "raised"), (60, "raised")], [(0, None, 2, 0, 0)], id="reported again while open"
        ),
        pytest.param(
            [(0, "raised"), (1, "cleared"), (11, "raised")],
            [(0, None, 2, 1, 0)],
            id="flapping, at the edge of the window",
        ),
        pytest.param(
            [(0, "raised"), (1, "cleared"), (11.1, "raised"), (12, "cleared")],
            [(0, 1, 1, 1, 0), (11.1, 12, 1, 1, 0)],
            id="back after the window",
        ),
        pytest.param([(0, "logged", 3)], [(0, 0, 0, 0, 3)], id="a log alone is over"),
        pytest.param([(0, "logged", 0)], [], id="a total of zero is no fault"),
        pytest.param([(0, "logged")], [(0, 0, 0, 0, 1)], id="a log without a total"),
        pytest.param(
            [(0, "logged", 3), (60, "logged", 3), (120, "logged", 5)],
            [(0, 0, 0, 0, 3), (120, 120, 0, 0, 2)],
            id="only the rise of a total counts",
        ),
        pytest.param(
            [(0, "logged", 3), (60, "logged", 1)],
            [(0, 0, 0, 0, 3), (60, 60, 0, 0, 1)],
            id="a total that fell began again",
        ),
        pytest.param(
            [(0, "raised"), (60, "logged", 2), (90, "cleared")],
            [(0, 90, 1, 1, 2)],
            id="a log inside an open episode belongs to it",
        ),
        pytest.param(
            [(0, "logged", 2), (4, "raised")], [(0, None, 1, 0, 2)], id="a raise soon after a log"
        ),
    ],
)
def test_the_fold(events, expected):
    assert [brief(episode) for episode in fold(event(*item) for item in events)] == expected


def test_a_known_total_from_before_counts_only_the_rise():
    assert [brief(e) for e in fold([event(0, "logged", 5)], prior_total=3)] == [(0, 0, 0, 0, 2)]


def test_device_order_decides_where_estimated_times_tie():
    tied = [event(0, "cleared", seq=2), event(0, "raised", seq=1), event(0, "raised", seq=3)]
    assert [brief(episode) for episode in fold(tied)] == [(0, None, 2, 1, 0)]


def test_known_since_is_the_earliest_receipt():
    (episode,) = fold([event(0, "raised", received=30), event(5, "cleared", received=7)])
    assert episode.first_received_at == at(7)


def test_a_full_episode_is_cut_at_its_next_raise(monkeypatch):
    monkeypatch.setattr(episodes, "MAX_EVENTS", 3)
    raises = [event(minute, "raised", seq=minute) for minute in range(1, 6)]
    assert [brief(episode) for episode in fold(raises)] == [(1, 4, 3, 0, 0), (4, None, 2, 0, 0)]
    logged = [*raises[:3], event(3.5, "logged", 7, seq=9)]
    assert [brief(episode) for episode in fold(logged)] == [(1, None, 3, 0, 7)]


def test_a_full_episode_is_not_cut_between_equal_times(monkeypatch):
    monkeypatch.setattr(episodes, "MAX_EVENTS", 2)
    raises = [event(minute, "raised", seq=seq) for seq, minute in enumerate([1, 2, 2, 3])]
    assert [brief(episode) for episode in fold(raises)] == [(1, 3, 3, 0, 0), (3, None, 1, 0, 0)]


events_of_a_day = st.lists(
    st.builds(
        event,
        st.integers(0, 120),
        st.sampled_from(["raised", "cleared", "logged"]),
        st.one_of(st.none(), st.integers(0, 6)),
        seq=st.integers(1, 40),
        epoch=st.sampled_from("ab"),
        received=st.integers(120, 300),
    ),
    max_size=30,
    unique_by=lambda item: (item.epoch, item.seq),
)


@given(events_of_a_day, st.randoms(use_true_random=False))
def test_any_permutation_folds_to_the_same_episodes(events, random):
    shuffled = random.sample(events, len(events))
    assert fold(shuffled) == fold(events)


@given(events_of_a_day)
def test_episodes_are_apart_in_order_and_only_the_last_is_open(events):
    folded = fold(events)
    for earlier, later in itertools.pairwise(folded):
        assert earlier.ended_at is not None
        assert earlier.started_at <= earlier.last_at == earlier.ended_at < later.started_at
    state_changes = sum(e.raised_n + e.cleared_n for e in folded)
    assert state_changes <= len(events)


@settings(max_examples=300)
@given(events_of_a_day, st.data(), st.sampled_from([3, 1_000]))
def test_any_partition_into_batches_ends_in_the_same_episodes(events, data, max_events):
    random = data.draw(st.randoms(use_true_random=False))
    before, episodes.MAX_EVENTS = episodes.MAX_EVENTS, max_events  # type: ignore[misc]
    try:
        store = _Store()
        shuffled = random.sample(events, len(events))
        while shuffled:
            size = random.randint(1, len(shuffled))
            store.take(shuffled[:size])
            shuffled = shuffled[size:]
        assert store.in_order() == fold(events)
    finally:
        episodes.MAX_EVENTS = before  # type: ignore[misc]


class _Store:
    """What the database does, in memory: folds again from `reload_from` and keeps numbers."""

    def __init__(self) -> None:
        self.events: list[FaultEvent] = []
        self.stored: list[Stored] = []
        self.number = itertools.count(1)

    def take(self, new: Sequence[FaultEvent]) -> None:
        self.events += new
        kept = [stored.episode for stored in self.stored]
        from_at = reload_from(kept, min(item.at for item in new))
        folded = fold([e for e in self.events if e.at >= from_at], self._total_before(from_at))
        result = reconcile([s for s in self.stored if s.episode.started_at >= from_at], folded)
        touched = {s.episode_no for s in result.kept} | {number for number, _ in result.gone}
        assert all(heir is None or heir in touched for _, heir in result.gone)
        rest = [s for s in self.stored if s.episode_no not in touched]
        added = [Stored(next(self.number), episode) for episode in result.added]
        self.stored = [*rest, *result.kept, *added]

    def _total_before(self, from_at: datetime) -> int | None:
        logged = [e for e in self.events if e.state == "logged" and e.count is not None]
        earlier = sorted((e for e in logged if e.at < from_at), key=lambda e: e.order)
        return earlier[-1].count if earlier else None

    def in_order(self) -> list[Episode]:
        return sorted((s.episode for s in self.stored), key=lambda e: e.started_at)


def stretch(start: float, end: float | None) -> Episode:
    last = at(start if end is None else end)
    return Episode(at(start), last, None if end is None else last, 1, 0, 0, at(0))


def test_an_episode_that_turns_out_to_start_earlier_keeps_its_number():
    result = reconcile([Stored(7, stretch(10, None))], [stretch(5, None)])
    assert (result.kept, result.added, result.gone) == ((Stored(7, stretch(5, None)),), (), ())


def test_merged_episodes_leave_one_heir():
    old = [Stored(1, stretch(0, 5)), Stored(2, stretch(20, 25))]
    result = reconcile(old, [stretch(0, 25)])
    assert result.kept == (Stored(1, stretch(0, 25)),)
    assert result.gone == ((2, 1),)


def test_a_split_episode_keeps_its_number_in_the_first_part():
    result = reconcile([Stored(1, stretch(0, None))], [stretch(0, 5), stretch(30, None)])
    assert result.kept == (Stored(1, stretch(0, 5)),)
    assert result.added == (stretch(30, None),)


def test_an_episode_that_never_was_is_gone_without_heir():
    result = reconcile([Stored(1, stretch(50, 50))], [stretch(0, 0)])
    assert result.gone == ((1, None),)
    assert result.added == (stretch(0, 0),)
