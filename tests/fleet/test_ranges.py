"""Sets of sequence numbers against a slow oracle, and against PostgreSQL's own ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fleet.ranges import SeqSet

SMALL = st.integers(1, 40)
RANGES = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 5)).map(lambda p: (p[0], p[0] + p[1])), max_size=12
)


def as_ranges(members):
    """The oracle: sort, and join neighbours."""
    found = []
    for seq in sorted(members):
        if found and found[-1][1] == seq - 1:
            found[-1][1] = seq
        else:
            found.append([seq, seq])
    return [tuple(pair) for pair in found]


def members_of(ranges):
    return {seq for low, high in ranges for seq in range(low, high + 1)}


class AgainstASet(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.seqs = SeqSet()
        self.oracle = set()

    @rule(seq=SMALL)
    def add(self, seq):
        assert self.seqs.add(seq) is (seq not in self.oracle)
        self.oracle.add(seq)

    @rule(low=SMALL, more=st.integers(0, 10))
    def add_range(self, low, more):
        self.seqs.add_range(low, low + more)
        self.oracle.update(range(low, low + more + 1))

    @rule(seq=SMALL)
    def discard(self, seq):
        assert self.seqs.discard(seq) is (seq in self.oracle)
        self.oracle.discard(seq)

    @rule(limit=st.integers(-1, 60))
    def missing_below(self, limit):
        expected = as_ranges(set(range(1, limit)) - self.oracle)
        assert self.seqs.missing_below(limit) == expected

    @rule(seq=st.integers(-1, 60))
    def contains(self, seq):
        assert (seq in self.seqs) is (seq in self.oracle)

    @invariant()
    def same(self):
        assert list(self.seqs) == as_ranges(self.oracle)
        assert len(self.seqs) == len(as_ranges(self.oracle))
        assert self.seqs.size() == len(self.oracle)
        highest = max(self.oracle, default=0)
        assert self.seqs.highest() == highest
        missing = set(range(1, highest)) - self.oracle
        assert self.seqs.gaps() == as_ranges(missing)
        assert self.seqs.contiguous_hi() == min(missing, default=highest + 1) - 1
        assert self.seqs == SeqSet(as_ranges(self.oracle))


TestAgainstASet = AgainstASet.TestCase


@given(RANGES)
def test_the_order_of_adding_does_not_matter(ranges):
    assert SeqSet(ranges) == SeqSet(reversed(ranges))
    assert list(SeqSet(ranges)) == as_ranges(members_of(ranges))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 5), (5, 4)])
def test_an_empty_or_not_positive_range_is_an_error(low, high):
    with pytest.raises(ValueError, match="not a range"):
        SeqSet([(low, high)])


def test_a_set_is_not_equal_to_other_things_and_not_hashable():
    assert SeqSet() != []
    with pytest.raises(TypeError):
        hash(SeqSet())


@given(RANGES)
def test_both_sql_texts_read_back(ranges):
    seqs = SeqSet(ranges)
    printed = "{" + ",".join(f"[{low},{high + 1})" for low, high in seqs) + "}"
    assert SeqSet.from_sql(printed) == seqs
    assert seqs.to_sql().count("[") == len(seqs)


def test_postgresql_agrees(admin):
    """What we write is what it reads, and what it prints is what we read."""

    @given(RANGES | st.just([(2**53 - 1, 2**53)]))
    def agrees(ranges):
        seqs = SeqSet(ranges)
        row = admin.execute(
            "SELECT r::text, r = coalesce((SELECT range_agg(int8range(low, high, '[]'))"
            "   FROM unnest(%s::bigint[], %s::bigint[]) AS t (low, high)), '{}')"
            " FROM (SELECT %s::text::int8multirange AS r) AS given",
            [[low for low, _ in ranges], [high for _, high in ranges], seqs.to_sql()],
        ).fetchone()
        assert row is not None
        assert row[1], "the union by PostgreSQL is another"
        assert SeqSet.from_sql(row[0]) == seqs

    agrees()
