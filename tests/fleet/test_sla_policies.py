"""The policies that ship, and how a wrong file is refused."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import pytest

from fleet.catalogue import CatalogueError, packaged
from fleet.sla.policies import (
    Clock,
    Unit,
    UnknownPolicyError,
    load_policies,
    parse_policies,
    parse_policy,
)
from fleet.ticket_states import OrderKind
from fleet.words import DeviceClass

CHAIR = DeviceClass.POWERED_WHEELCHAIR


def promised(policy_id: str, kind: OrderKind) -> list[tuple[str, int, str]]:
    promises = load_policies().newest(policy_id).promises_for(kind, CHAIR)
    return [(str(p.clock), p.within, str(p.unit)) for p in promises]


@pytest.mark.parametrize(
    ("policy", "kind", "expected"),
    [
        ("vgr", "AU", [("start", 3, "working_days"), ("finish", 10, "working_days")]),
        ("vgr", "akut AU", [("finish", 8, "working_hours")]),
        ("vgr", "FU", []),
        ("vgr", "support", []),
        ("vastmanland", "AU", [("finish", 5, "working_days")]),
        ("vastmanland", "akut AU", [("finish", 5, "working_days")]),
        ("dalarna", "AU", [("start", 5, "working_days")]),
        ("dalarna", "akut AU", [("start", 2, "working_days")]),
        ("dalarna", "supplier", []),
        ("house", "support", [("finish", 5, "working_days")]),
        ("house", "FU", [("finish", 20, "working_days")]),
    ],
)
def test_what_is_promised(policy, kind, expected):
    assert promised(policy, OrderKind(kind)) == expected


def test_the_default_is_ours_in_every_line_and_covers_every_kind():
    default = load_policies().default
    assert default.id == "house"
    assert default.hours_are_ours
    assert all(promise.is_ours for promise in default.promises)
    assert all(default.promises_for(kind, None) for kind in OrderKind)


def test_no_agreement_has_a_promise_of_ours():
    for policy in load_policies():
        if not policy.is_default:
            assert not any(promise.is_ours for promise in policy.promises), policy.id


def test_opening_hours_as_published():
    hours = {policy.id: policy.hours for policy in load_policies()}
    assert hours["dalarna"].week == ((time(8), time(16, 30)),) * 5
    assert hours["dalarna"].closes_before_red == time(16)
    assert hours["vastmanland"].week[3:] == ((time(8), time(16, 30)), (time(8), time(16)))


def test_the_share_vastmanland_aims_at():
    (promise,) = load_policies().newest("vastmanland").promises
    assert promise.target_share == 0.88


def test_every_shipped_version_is_found_by_what_a_ticket_keeps():
    policies = load_policies()
    for policy in policies:
        assert policies.get(policy.id, policy.version) is policy


def test_an_unknown_policy_lists_the_known_ones():
    with pytest.raises(UnknownPolicyError, match="dalarna, house, vastmanland, vgr"):
        load_policies().newest("skane")
    with pytest.raises(UnknownPolicyError, match="version 99 is not in this release"):
        load_policies().get("vgr", 99)


GOOD = """
id = "test"
version = 2
agreement = "An agreement"
source_title = "A page"
source_url = "https://example.org/page"
is_default = true
notify_before_working_hours = 8

[hours]
monday = "08:00-16:30"
tuesday = "08:00-16:30"
wednesday = "08:00-16:30"
thursday = "08:00-16:30"
friday = "08:00-15:00"
closes_before_red_day = "12:00"
ours = true

[[promise]]
order_kinds = ["AU"]
clock = "finish"
within = 5
unit = "working_days"
clause = "clause 1"

[[promise]]
order_kinds = ["AU", "support"]
device_classes = ["scale"]
clock = "finish"
within = 6
unit = "working_hours"
clause = "clause 2"
target_share = 0.9
notify_before_working_hours = 2

[[pause]]
reason = "part_on_order"
sv = "Reservdel är beställd"
en = "A spare part is on order"
"""
FILE = "test-v2.toml"


def test_a_good_file_is_read():
    policy = parse_policy(GOOD, FILE)
    assert (policy.id, policy.version, policy.is_default) == ("test", 2, True)
    assert policy.hours.week[4] == (time(8), time(15))
    general, own = policy.promises
    assert (general.notify_before, own.notify_before) == (timedelta(hours=8), timedelta(hours=2))
    assert own.unit is Unit.WORKING_HOURS
    assert policy.pause("part_on_order").label("sv") == "Reservdel är beställd"
    assert policy.pause("lunch") is None


def test_a_promise_for_the_class_goes_before_one_for_all():
    policy = parse_policy(GOOD, FILE)
    general, own = policy.promises
    assert policy.promises_for(OrderKind.REPAIR, CHAIR) == (general,)
    assert policy.promises_for(OrderKind.REPAIR, None) == (general,)
    assert policy.promises_for(OrderKind.REPAIR, DeviceClass.SCALE) == (own,)
    assert policy.promises_for(OrderKind.SUPPORT, CHAIR) == ()
    assert policy.promises[0].clock is Clock.FINISH


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 2", "versoin = 2", "unknown key 'versoin'"),
        ("version = 2", "version = 3", "Name it test-v3.toml"),
        ("version = 2", "version = true", "version is not a whole number"),
        ('id = "test"', 'id = "Test"', "is not a slug"),
        ('agreement = "An agreement"\n', "", "agreement is missing"),
        ('"https://example.org/page"', '"a drawer"', "is no web address"),
        ("[hours]", "[hour]", "unknown key 'hour'"),
        ('friday = "08:00-15:00"', "", "friday is missing"),
        ('"08:00-15:00"', '"8-15"', "'8' is no time"),
        ('"08:00-15:00"', '"15:00-08:00"', "closes before it opens"),
        ('"08:00-15:00"', '"08:00-15:00"\nsaturday = "09:00-12:00"', "unknown key 'saturday'"),
        ('"12:00"', '"07:00"', "before opening"),
        ("ours = true", "", "no source"),
        ("ours = true", 'ours = true\nsource_url = "https://x.se"', "both a source and ours"),
        ("within = 5", "within = 0", "within is not a whole number"),
        ("within = 5", "within_days = 5", "unknown key 'within_days'"),
        ('unit = "working_days"', 'unit = "days"', "'days' is not a Unit"),
        ('clock = "finish"', 'clock = "end"', "'end' is not a Clock"),
        ('["AU"]', '["UA"]', "'UA' is not a OrderKind"),
        ('["AU"]', "[]", "order_kinds is empty"),
        ('["scale"]', '["toaster"]', "'toaster' is not a DeviceClass"),
        ('["scale"]', "[]", "device_classes is empty"),
        ('device_classes = ["scale"]\n', "", "another promise sets the same deadline"),
        ('clause = "clause 1"\n', "", "clause is missing"),
        ("target_share = 0.9", "target_share = 88", "target_share is above 1"),
        ("target_share = 0.9", "target_share = 0", "not above zero"),
        ('reason = "part_on_order"', 'reason = "solved"', "reserved"),
        ('sv = "Reservdel är beställd"\n', "", "sv is missing"),
        ("[[pause]]", "[[pauses]]", "unknown key 'pauses'"),
    ],
)
def test_a_wrong_file_is_refused(old, new, message):
    assert old in GOOD
    with pytest.raises(CatalogueError) as caught:
        parse_policy(GOOD.replace(old, new, 1), FILE)
    assert message in str(caught.value)
    assert "test-v2.toml" in str(caught.value)


def test_a_pause_reason_stands_once():
    twice = GOOD + GOOD[GOOD.index("[[pause]]") :]
    with pytest.raises(CatalogueError, match="a pause reason stands twice"):
        parse_policy(twice, FILE)


@pytest.mark.parametrize("count", [0, 2])
def test_one_policy_is_the_default(count):
    other = GOOD.replace('id = "test"', 'id = "other"').replace("version = 2", "version = 1")
    files = {FILE: GOOD, "other-v1.toml": other}
    if count == 0:
        files = {name: text.replace("is_default = true\n", "") for name, text in files.items()}
    with pytest.raises(CatalogueError, match=f"{count} policies are the default"):
        parse_policies(files)


def test_new_tickets_get_the_newest_version_and_old_ones_keep_theirs():
    older = GOOD.replace("version = 2", "version = 1").replace("within = 5", "within = 4")
    policies = parse_policies({"test-v1.toml": older, FILE: GOOD})
    assert policies.newest("test").promises[0].within == 5
    assert policies.get("test", 1).promises[0].within == 4


def test_the_packaged_files_are_all_read():
    assert len(packaged("policies")) == len(list(load_policies())) == 4


def test_the_page_about_deadlines_names_every_policy_and_its_sources():
    page = (Path(__file__).parents[2] / "docs" / "deadlines.md").read_text("utf-8")
    for policy in load_policies():
        assert f"`{policy.id}`" in page
        assert policy.source_url in page
        assert policy.hours_source_url is None or policy.hours_source_url in page
