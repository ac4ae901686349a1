"""Sets of sequence numbers as sorted, disjoint, non-adjacent closed ranges. Pure.

This is `int8multirange` in Python: the ledger's arithmetic, with both ends included.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class SeqSet:
    """A mutable set of positive integers, kept as ranges; cheap when there are few gaps."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for low, high in ranges:
            self.add_range(low, high)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._starts, seq) - 1
        return at >= 0 and seq <= self._ends[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        """The number of ranges, not of members."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SeqSet):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"SeqSet({list(self)})"

    def add(self, seq: int) -> bool:
        """Add one number; tell if it was new."""
        if self._ends and seq == self._ends[-1] + 1:
            self._ends[-1] = seq
            return True
        if seq in self:
            return False
        self.add_range(seq, seq)
        return True

    def add_range(self, low: int, high: int) -> None:
        """Add `low` to `high`, ends included, joining what touches.

        Raises:
            ValueError: the range is empty or not positive.
        """
        if not 1 <= low <= high:
            raise ValueError(f"not a range of positive numbers: {low} to {high}")
        first = bisect_left(self._ends, low - 1)
        last = bisect_right(self._starts, high + 1)
        if first < last:
            low = min(low, self._starts[first])
            high = max(high, self._ends[last - 1])
        self._starts[first:last] = [low]
        self._ends[first:last] = [high]

    def discard(self, seq: int) -> bool:
        """Take one number out; tell if it was there."""
        at = bisect_right(self._starts, seq) - 1
        if at < 0 or seq > self._ends[at]:
            return False
        low, high = self._starts[at], self._ends[at]
        kept = [part for part in ((low, seq - 1), (seq + 1, high)) if part[0] <= part[1]]
        self._starts[at : at + 1] = [part[0] for part in kept]
        self._ends[at : at + 1] = [part[1] for part in kept]
        return True

    def missing_below(self, limit: int) -> list[tuple[int, int]]:
        """The ranges of 1 to `limit` - 1 that are not in the set."""
        found = []
        after = 1
        for low, high in self:
            if after >= limit:
                break
            if low > after:
                found.append((after, min(low, limit) - 1))
            after = high + 1
        if after < limit:
            found.append((after, limit - 1))
        return found

    def contiguous_hi(self) -> int:
        """The largest n with 1..n all present, 0 when 1 is missing."""
        return self._ends[0] if self._starts and self._starts[0] == 1 else 0

    def highest(self) -> int:
        return self._ends[-1] if self._ends else 0

    def size(self) -> int:
        return sum(self._ends) - sum(self._starts) + len(self._starts)

    def gaps(self) -> list[tuple[int, int]]:
        """The missing ranges below the highest member."""
        edges = [0, *self._ends]
        return [
            (before + 1, start - 1)
            for before, start in zip(edges, self._starts, strict=False)
            if start - before > 1
        ]

    def to_sql(self) -> str:
        """Format as an `int8multirange` literal."""
        ranges = zip(self._starts, self._ends, strict=True)
        return "{" + ",".join([f"[{low},{high}]" for low, high in ranges]) + "}"

    @classmethod
    def from_sql(cls, text: str) -> SeqSet:
        """Parse what PostgreSQL prints for an `int8multirange`: `{[1,5),[7,9)}`."""
        found = cls()
        if text == "{}":
            return found
        body = text[2:-2]
        for part in body.split("),["):
            low, _, high = part.partition(",")
            found._starts.append(int(low))
            found._ends.append(int(high) - 1)
        return found
