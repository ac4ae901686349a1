"""The access log's chain: what an entry may hold, and that nothing can be changed unseen."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.audits import NOON, chained, entries, entry_of, head_of

from fleet.access.audit import (
    START,
    TEXT_MAX,
    WHY_MAX,
    Entry,
    EntryError,
    Fault,
    Head,
    canonical,
    check_entry,
    digest,
    verify,
)
from fleet.access.callers import Caller, Role

chains = st.lists(entries(), min_size=2, max_size=6).map(chained)


def pick(data, rows, first=0):
    return data.draw(st.integers(first, len(rows) - 1), "place")


def test_the_canonical_text_is_as_documented():
    at = datetime(2026, 11, 20, 13, 0, 0, 250, tzinfo=timezone(timedelta(hours=1)))
    entry = entry_of(at=at, device_id="wc-1", loan_no=7, why="läser\nfel")
    said = canonical(START, 12, entry)
    assert said == (
        "fjarrkoll-audit-1\n2:r1\n2:12\n27:2026-11-20T12:00:00.000250Z\n17:SE2321000016-1A2B\n"
        "9:Åsa Öst\n10:technician\n-\n-\n4:read\n6:device\n-\n4:wc-1\n1:7\n-\n10:läser\nfel\n-\n"
        f"64:{'00' * 32}\n"
    )
    assert digest(START, 12, entry) == sha256(said.encode()).digest()


def test_the_page_about_the_log_names_every_fault_and_field_and_shows_a_true_text():
    page = (Path(__file__).parents[2] / "docs" / "access-log.md").read_text("utf-8")
    assert [fault for fault in Fault if f"`{fault}`" not in page] == []
    columns = {field.name for field in fields(Entry)} - {"tenant"}
    assert [name for name in sorted(columns) if f"`{name}`" not in page] == []
    at = datetime(2026, 11, 20, 12, 0, 0, 250, tzinfo=UTC)
    entry = entry_of(at=at, device_id="wc-1", loan_no=7, why="ringde")
    assert canonical(START, 12, entry).split("\n-\n64:")[0] in page


@given(entries(), entries())
def test_two_different_entries_have_two_texts(one, other):
    assume(one != other)
    assert canonical(START, 1, one) != canonical(START, 1, other)


def test_nothing_and_an_empty_text_differ():
    assert digest(START, 1, entry_of(why="")) != digest(START, 1, entry_of(why=None))


@given(st.lists(entries(), max_size=6).map(chained), st.data())
def test_a_chain_as_written_is_right_with_every_head_it_ever_had(rows, data):
    exported = [Head("r1", row.no, row.hash) for row in rows]
    verdict = verify("r1", rows, head_of(rows), data.draw(st.permutations(exported)))
    assert verdict.is_right
    assert verdict.checked_n == len(rows)


def test_a_tenant_without_a_log_is_right():
    assert verify("r1", [], None).is_right


@given(chains, entries(), st.data())
def test_an_edit_of_any_field_names_its_row(rows, other, data):
    place = pick(data, rows)
    name = data.draw(st.sampled_from([field.name for field in fields(Entry)][1:]))
    edited = replace(rows[place].entry, **{name: getattr(other, name)})
    assume(edited != rows[place].entry)
    rows[place] = replace(rows[place], entry=edited)
    problem = verify("r1", rows, head_of(rows)).problem
    assert (problem.no, problem.fault) == (place + 1, Fault.EDITED)


@given(
    chains, st.sampled_from(["previous", "hash"]), st.binary(min_size=32, max_size=32), st.data()
)
def test_an_edit_of_the_chain_itself_names_its_row(rows, name, value, data):
    place = pick(data, rows)
    assume(getattr(rows[place], name) != value)
    rows[place] = replace(rows[place], **{name: value})
    verdict = verify("r1", rows, head_of(rows))
    assert (verdict.problem.no, verdict.problem.fault) == (place + 1, Fault.EDITED)
    assert verdict.checked_n == place


@given(chains, st.data())
def test_a_deleted_row_is_named(rows, data):
    head, place = head_of(rows), pick(data, rows)
    del rows[place]
    problem = verify("r1", rows, head).problem
    is_last = place == len(rows)
    assert (problem.no, problem.fault) == (
        place + 1,
        Fault.TRUNCATED if is_last else Fault.MISSING,
    )


@given(chains, st.data())
def test_a_deletion_with_new_numbers_is_found(rows, data):
    head, place = head_of(rows), pick(data, rows)
    del rows[place]
    renumbered = [replace(row, no=no) for no, row in enumerate(rows, 1)]
    verdict = verify("r1", renumbered, replace(head, no=len(renumbered)))
    assert verdict.problem.no == min(place + 1, len(rows))


@given(chains, st.data())
def test_two_rows_that_changed_places_are_found(rows, data):
    head, place = head_of(rows), pick(data, rows, 1)
    other = data.draw(st.integers(0, place - 1), "other")
    one, two = rows[other], rows[place]
    rows[other], rows[place] = replace(two, no=one.no), replace(one, no=two.no)
    problem = verify("r1", rows, head).problem
    assert (problem.no, problem.fault) == (other + 1, Fault.REORDERED)


@given(chains, st.data())
def test_two_entries_that_changed_places_under_their_hashes_are_found(rows, data):
    head, place = head_of(rows), pick(data, rows, 1)
    one, two = rows[place - 1], rows[place]
    assume(one.entry != two.entry)
    rows[place - 1 : place + 1] = [replace(one, entry=two.entry), replace(two, entry=one.entry)]
    problem = verify("r1", rows, head).problem
    assert (problem.no, problem.fault) == (place, Fault.EDITED)


@given(chains, entries(), st.data())
def test_a_row_written_anew_with_its_hash_is_named(rows, other, data):
    head, place = head_of(rows), pick(data, rows)
    assume(other != rows[place].entry)
    rows[place] = chained([other], rows[place].previous, rows[place].no)[0]
    problem = verify("r1", rows, head).problem
    assert (problem.no, problem.fault) == (place + 1, Fault.REWRITTEN)


@given(chains, st.data())
def test_a_chain_written_anew_from_a_row_on_needs_an_exported_head_to_be_found(rows, data):
    place = pick(data, rows)
    exported = [Head("r1", row.no, row.hash) for row in rows]
    known = data.draw(st.sampled_from(exported[place:]))
    said = [row.entry for row in rows]
    said[place] = replace(said[place], subject=f"{said[place].subject}x")
    forged = chained(said)
    assert verify("r1", forged, head_of(forged)).is_right
    problem = verify("r1", forged, head_of(forged), [*exported[:place], known]).problem
    assert (problem.no, problem.fault) == (known.no, Fault.REWRITTEN)
    assert f"a row from {place + 1} to {known.no} was rewritten" in problem.says


@given(chains, st.data())
def test_a_chain_cut_off_below_an_exported_head_is_found(rows, data):
    kept = rows[: pick(data, rows)]
    exported = head_of(rows)
    assert verify("r1", kept, head_of(kept)).is_right
    problem = verify("r1", kept, head_of(kept) if kept else None, [exported]).problem
    assert (problem.no, problem.fault) == (len(kept) + 1, Fault.TRUNCATED)


@given(chains)
def test_a_head_that_is_behind_gone_or_wrong_is_found(rows):
    last = rows[-1]
    for head, expected in (
        (head_of(rows[:-1]), (last.no, Fault.HEAD_BEHIND)),
        (None, (last.no, Fault.HEAD_MISSING)),
        (Head("r1", last.no, START), (last.no, Fault.REWRITTEN)),
    ):
        problem = verify("r1", rows, head).problem
        assert (problem.no, problem.fault) == expected


@given(chains)
def test_another_tenants_chain_is_not_ones_own(rows):
    moved = [replace(row, entry=replace(row.entry, tenant="r2")) for row in rows]
    assert verify("r2", moved, head_of(rows, "r2")).problem.fault is Fault.EDITED
    assert verify("r2", rows, head_of(rows, "r2")).problem.fault is Fault.EDITED


@given(entries())
def test_what_the_strategy_makes_the_log_can_hold(entry):
    check_entry(entry)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"subject": ""}, "subject is empty"),
        ({"action": ""}, "action is empty"),
        ({"why": "x" * (WHY_MAX + 1)}, "why has 1001 characters: use at most 1000"),
        ({"device_id": "x" * (TEXT_MAX + 1)}, "device_id has 201 characters"),
        ({"object_id": "a\0b"}, "object_id 'a.x00b': leave out NUL"),
        ({"name": "\ud800"}, "name .* surrogate"),
        ({"at": NOON.replace(tzinfo=None)}, "give an aware time"),
        ({"at": datetime(1999, 12, 31, tzinfo=UTC)}, "from 2000 to 2999"),
    ],
)
def test_an_entry_that_the_log_cannot_hold_is_refused(wrong, says):
    with pytest.raises(EntryError, match=says):
        check_entry(entry_of(**wrong))


def test_an_entry_of_another_tenant_is_refused():
    with pytest.raises(EntryError, match="the entry is of tenant r1, and the log of tenant r2"):
        check_entry(entry_of(), "r2")


def test_a_callers_entry_carries_the_caller():
    caller = Caller(
        "SE-1", "Åsa", Role.PRESCRIBER, "r1", commission="SE-uppdrag", care_unit="SE-enhet"
    )
    entry = Entry.by(caller, NOON, "read_device", "device", device_id="wc-1", why="ringde")
    assert (entry.tenant, entry.subject, entry.name, entry.role) == (
        "r1", "SE-1", "Åsa", "prescriber",
    )  # fmt: skip
    assert (entry.commission, entry.care_unit, entry.why) == ("SE-uppdrag", "SE-enhet", "ringde")


@given(st.text(max_size=1200), st.text(max_size=1200))
def test_whatever_a_caller_asks_for_can_be_logged(asked, why):
    caller = Caller("SE-1", asked, Role.TECHNICIAN, "r1")
    entry = Entry.by(caller, NOON, "read", "device", object_id=asked, why=why)
    check_entry(entry)
    assert entry.object_id is None or len(entry.object_id) == min(len(asked), TEXT_MAX)
