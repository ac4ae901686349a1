"""What stored findings become: numbers are kept, and what is known is never known later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from support.evidence import episode
from support.findings import finding, reported

from fleet.rules.reconcile import StoredFinding, reconcile_findings

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hours: float) -> datetime:
    return NOON + hours * HOUR


def stored(number, *args, **fields):
    return StoredFinding(number, finding(*args, **fields))


def test_the_same_finding_keeps_its_number_and_says_what_is_new():
    later = finding(NOON, at(3), occurrence_n=4)
    result = reconcile_findings([stored(7, NOON)], [later])
    assert result.kept == (StoredFinding(7, later),)
    assert (result.added, result.gone) == ((), ())


def test_what_begins_earlier_than_it_seemed_is_the_same_finding():
    result = reconcile_findings([stored(7, at(2), at(5))], [finding(at(1), at(5))])
    assert [item.finding_no for item in result.kept] == [7]
    assert result.kept[0].finding.started_at == at(1)
    assert result.gone == ()


def test_what_has_nothing_to_do_with_it_is_new_and_the_old_one_goes():
    other = finding(at(9), at(10))
    result = reconcile_findings([stored(7, at(2), at(5))], [other])
    assert (result.added, result.gone) == ((other,), ((7, None),))
    for unlike in ({"about": "contact"}, {"rule_id": "other"}):
        result = reconcile_findings([stored(7, at(2), at(5))], [finding(at(2), at(5), **unlike)])
        assert result.gone == ((7, None),)


def test_two_that_turn_out_to_be_one_are_one_and_the_second_has_an_heir():
    both = [stored(7, at(1), at(2)), stored(8, at(4), at(5))]
    result = reconcile_findings(both, [finding(at(1), at(5))])
    assert [item.finding_no for item in result.kept] == [7]
    assert result.gone == ((8, 7),)


def test_values_are_known_since_they_were_first_judged_and_faults_since_they_were_received():
    old = stored(7, NOON, known_at=at(1))
    again = reconcile_findings([old], [finding(NOON, known_at=at(5))])
    assert again.kept[0].finding.known_at == at(1)
    (heard,) = reported([("vr2/3D00", episode(NOON, received=at(4)))])
    (earlier,) = reported([("vr2/3D00", episode(NOON, received=at(2)))])
    found = reconcile_findings([StoredFinding(7, heard)], [earlier])
    assert found.kept[0].finding.known_at == at(2), "an earlier receipt came to light"


SPANS = st.lists(
    st.tuples(st.integers(0, 20), st.none() | st.integers(0, 8), st.sampled_from("ab")),
    max_size=6,
    unique_by=lambda span: (span[0], span[2]),
)


def made(spans):
    return [
        finding(at(start), None if length is None else at(start + length), about=about)
        for start, length, about in spans
    ]


@given(SPANS, SPANS)
def test_the_result_is_what_was_concluded_with_no_number_lost_or_twice(before, after):
    old = [StoredFinding(number, item) for number, item in enumerate(made(before))]
    new = made(after)
    result = reconcile_findings(old, new)
    says = [item.finding for item in result.kept] + list(result.added)
    key = lambda f: (f.about, f.started_at, f.ended_at)  # noqa: E731 - once
    assert sorted(map(key, says), key=repr) == sorted(map(key, new), key=repr)
    numbers = [item.finding_no for item in result.kept] + [no for no, _ in result.gone]
    assert sorted(numbers) == [item.finding_no for item in old]
    kept = {item.finding_no for item in result.kept}
    assert all(heir is None or heir in kept for _, heir in result.gone)


@given(SPANS)
def test_concluding_the_same_again_changes_nothing(spans):
    old = [StoredFinding(number, item) for number, item in enumerate(made(spans))]
    result = reconcile_findings(old, made(spans))
    assert list(result.kept) == old
    assert (result.added, result.gone) == ((), ())
