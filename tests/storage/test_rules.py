"""Rules as stored: one text a version, and nothing is turned on without a fresh backtest."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from fleet.rules.reader import RuleFileError, shipped_rules
from storage import rules
from storage.connection import connect
from storage.rules import (
    BACKTEST_HOLDS,
    NewBacktest,
    RuleRefusedError,
    add_version,
    disable,
    enable,
    enabled,
    listed,
    newest_backtest,
    newest_switch,
    put_backtest,
    stored_rule,
    sync_shipped,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BODY = re.sub(
    r'id = "apap-leak-rising"\nversion = \d+',
    'id = "mine"\nversion = 1',
    shipped_rules()["apap-leak-rising"][1],
)


@pytest.fixture
def conn(plain_database):
    with connect(plain_database) as connection:
        yield connection
        connection.rollback()


def _backtest(conn, rule, at=NOON, share=0.0, version=None):
    found = NewBacktest(rule.id, version or rule.version, NOON, NOON, 1.5, 100, 3, share, {"a": 1})
    return put_backtest(conn, found, at, "eva")


def _on(conn):
    return {(rule.id, rule.version) for rule in enabled(conn)}


def test_the_shipped_rules_are_on_once_and_a_decision_about_one_is_kept(conn):
    sync_shipped(conn, NOON)
    every = {(rule.id, rule.version) for rule, _ in shipped_rules().values()}
    assert _on(conn) == every
    switch_no = newest_switch(conn)
    sync_shipped(conn, NOON)
    assert newest_switch(conn) == switch_no, "the next release changes nothing"
    rule, _ = shipped_rules()["yearly-service"]
    disable(conn, rule, NOON, "eva", "för tidigt")
    sync_shipped(conn, NOON)
    assert _on(conn) == every - {("yearly-service", 1)}
    assert newest_switch(conn) > switch_no


def test_a_rule_reads_back_as_it_was_written(conn):
    rule = add_version(conn, BODY, "mine.toml", NOON, "eva")
    assert stored_rule(conn, "mine") == (rule, BODY)
    assert stored_rule(conn, "mine", 1) == (rule, BODY)
    with pytest.raises(RuleRefusedError, match="rules list"):
        stored_rule(conn, "mine", 2)
    with pytest.raises(RuleRefusedError, match="no rule nobody"):
        stored_rule(conn, "nobody")


def test_one_version_has_one_text(conn):
    add_version(conn, BODY, "mine.toml", NOON, "eva")
    add_version(conn, BODY, "mine.toml", NOON, "eva")
    with pytest.raises(RuleRefusedError, match="version = 2"):
        add_version(conn, BODY.replace("min_days = 14", "min_days = 22"), "x.toml", NOON, "eva")
    assert stored_rule(conn, "mine")[1] == BODY
    second = BODY.replace("version = 1", "version = 2").replace("min_days = 14", "min_days = 22")
    assert add_version(conn, second, "mine.toml", NOON, "eva").version == 2
    assert stored_rule(conn, "mine")[1] == second


def test_what_is_no_rule_is_not_stored(conn):
    with pytest.raises(RuleFileError, match="windo"):
        add_version(conn, BODY.replace("window =", "windo ="), "mine.toml", NOON, "eva")
    assert listed(conn) == []


def test_nothing_is_turned_on_without_a_backtest_of_that_very_version(conn):
    rule = add_version(conn, BODY, "mine.toml", NOON, "eva")
    with pytest.raises(RuleRefusedError, match="rules backtest mine --version 1"):
        enable(conn, rule, NOON, "eva", "prov")
    add_version(conn, BODY.replace("version = 1", "version = 2"), "mine.toml", NOON, "eva")
    _backtest(conn, rule, version=2)
    with pytest.raises(RuleRefusedError, match="has no backtest"):
        enable(conn, rule, NOON, "eva", "prov")
    number = _backtest(conn, rule)
    assert enable(conn, rule, NOON, "eva", "prov") == number
    assert _on(conn) == {("mine", 1)}


def test_a_backtest_holds_for_a_week(conn):
    rule = add_version(conn, BODY, "mine.toml", NOON, "eva")
    _backtest(conn, rule)
    with pytest.raises(RuleRefusedError, match="last 7 days"):
        enable(conn, rule, NOON + BACKTEST_HOLDS + SECOND, "eva", "prov")
    assert enable(conn, rule, NOON + BACKTEST_HOLDS, "eva", "prov")


def test_a_rule_that_would_open_too_many_tickets_stays_off(conn):
    rule = add_version(conn, BODY, "mine.toml", NOON, "eva")
    _backtest(conn, rule, share=rule.max_day_share)
    enable(conn, rule, NOON, "eva", "just enough")
    disable(conn, rule, NOON, "eva", "prov")
    _backtest(conn, rule, NOON + SECOND, share=rule.max_day_share + 0.001)
    with pytest.raises(RuleRefusedError, match="max_day_share"):
        enable(conn, rule, NOON + SECOND, "eva", "prov")
    assert _on(conn) == set(), "the newest backtest counts, not the best"


def test_the_last_switch_counts_and_every_switch_is_kept(conn):
    rule = add_version(conn, BODY, "mine.toml", NOON, "eva")
    number = _backtest(conn, rule)
    enable(conn, rule, NOON, "eva", "prov")
    disable(conn, rule, NOON + SECOND, "per", "för många")
    assert _on(conn) == set()
    enable(conn, rule, NOON + 2 * SECOND, "eva", "rättad")
    assert _on(conn) == {("mine", 1)}
    (row,) = listed(conn)
    assert (row.is_on, row.switched_by, row.switched_why) == (True, "eva", "rättad")
    assert (row.backtest_no, row.backtest_ticket_n) == (number, 3)
    kept = conn.execute("SELECT is_on, who, backtest_no FROM rule_switch ORDER BY switch_no")
    assert kept.fetchall() == [(True, "eva", number), (False, "per", None), (True, "eva", number)]


def test_a_newer_version_takes_the_place_of_the_older(conn):
    rule = add_version(conn, BODY, "mine.toml", NOON, "eva")
    newer = add_version(conn, BODY.replace("version = 1", "version = 2"), "m.toml", NOON, "eva")
    for one in (rule, newer):
        _backtest(conn, one)
        enable(conn, one, NOON, "eva", "prov")
    assert _on(conn) == {("mine", 2)}
    assert [row.is_on for row in listed(conn)] == [False, True]


def test_a_backtest_reads_back(conn):
    rule = add_version(conn, BODY, "mine.toml", NOON, "eva")
    number = _backtest(conn, rule, share=0.25)
    found = newest_backtest(conn, "mine", 1)
    assert found is not None
    assert (found.backtest_no, found.worst_day_share, found.result) == (number, 0.25, {"a": 1})
    assert newest_backtest(conn, "mine", 2) is None
    assert rules.digest(BODY) != rules.digest(BODY + "\n")
