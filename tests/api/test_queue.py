"""The queue over JSON: each filter against a plain reading of everything, and the order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.people import NAMES, bearer

from fleet.access.callers import Role

DESK = bearer(Role.SERVICE_DESK)


def listed(client, query="", headers=DESK):
    response = client.get(f"/api/v1/tickets?limit=500{query}", headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def numbers(answer):
    return [ticket["ticket_no"] for ticket in answer["items"]]


def running(ticket):
    """The deadlines that run: neither met nor standing still."""
    clocks = (ticket["due"]["start_by"], ticket["due"]["finish_by"])
    return [c for c in clocks if c and not c["stopped_at"] and not c["is_paused"]]


def test_the_deadline_that_binds_comes_first_then_the_worst(client):
    tickets = listed(client)["items"]
    ranks = ["critical", "major", "minor", "info"]

    def place(ticket):
        due = min((clock["due_at"] for clock in running(ticket)), default=None)
        stands_still = due is None and ticket["state"] == "waiting"
        first = due or ("9000" if stands_still else "9999")
        return (first, ranks.index(ticket["severity"]), ticket["known_at"], ticket["ticket_no"])

    assert [place(ticket) for ticket in tickets] == sorted(place(ticket) for ticket in tickets)
    assert len({place(ticket)[0] for ticket in tickets}) > 4


@pytest.mark.parametrize("sort", ["due", "severity"])
def test_pages_of_the_queue_hold_each_ticket_once(client, sort):
    whole = numbers(listed(client, f"&sort={sort}"))
    seen, cursor = [], ""
    while cursor is not None:
        answer = client.get(
            f"/api/v1/tickets?sort={sort}&limit=7{f'&cursor={cursor}' if cursor else ''}"
        ).json()
        seen += numbers(answer)
        cursor = answer["next_cursor"]
    assert seen == whole
    assert len(set(seen)) == len(seen) > 20


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("&kind=FU", lambda t: t["order_kind"] == "FU"),
        ("&kind=akut%20AU", lambda t: t["order_kind"] == "akut AU"),
        ("&severity=major&kind=AU", lambda t: (t["severity"], t["order_kind"]) == ("major", "AU")),
        ("&assignee=none", lambda t: t["assignee"] is None),
        ("&assignee=Bo%20Lind", lambda t: t["assignee"] == "Bo Lind"),
        ("&component=battery", lambda t: t["component"] == "battery"),
        ("&state=waiting", lambda t: t["state"] == "waiting"),
        ("&due=overdue", lambda t: any(clock["is_breached"] for clock in running(t))),
    ],
)
def test_a_filter_lets_through_what_it_says(client, query, holds):
    everything = listed(client)["items"]
    expected = [ticket["ticket_no"] for ticket in everything if holds(ticket)]
    assert expected, "the fleet has nothing to tell the filter by"
    assert len(expected) < len(everything)
    assert numbers(listed(client, query)) == expected


@pytest.mark.parametrize(("centre", "name"), [("norr", "Norr"), ("syd", "Syd")])
def test_a_centre_has_its_devices_and_the_groups_that_one_of_them_is_in(client, centre, name):
    def is_there(ticket):
        if ticket["device_id"] is not None:
            return ticket["centre_name"].endswith(name)
        members = client.get(f"/api/v1/tickets/{ticket['ticket_no']}").json()["members"]
        return any(member["centre_name"].endswith(name) for member in members)

    for state in ("open", "ended"):
        everything = listed(client, f"&state={state}")["items"]
        expected = [ticket["ticket_no"] for ticket in everything if is_there(ticket)]
        assert numbers(listed(client, f"&state={state}&centre={centre}")) == expected


def test_a_group_is_not_at_a_centre_that_has_no_device_in_it(client, fleet):
    incident = fleet.tickets["incident"]
    assert incident in numbers(listed(client, "&centre=norr"))
    assert incident not in numbers(listed(client, "&centre=vast"))


@pytest.mark.parametrize("mark", ["fk-20417", "4471 0293", "44710293", "ob-88213-a"])
def test_a_device_is_named_by_any_mark_on_it(client, mark):
    of_id = numbers(listed(client, "&state=ended&device=fk-20417"))
    assert of_id + numbers(listed(client, "&device=fk-20417"))
    for state in ("open", "ended"):
        found = numbers(listed(client, f"&state={state}&device={mark}"))
        assert found == numbers(listed(client, f"&state={state}&device=fk-20417"))


@pytest.mark.parametrize("mark", ["nobody", "4480", "%20", "a%00b"])
def test_no_device_or_several_are_no_device(client, mark):
    answer = client.get(f"/api/v1/tickets?device={mark}", headers=DESK)
    assert answer.status_code == 404
    assert "or more than one" in answer.json()["detail"]


def test_mine_is_the_callers(client, by_hand):
    number = by_hand()
    url = f"/api/v1/tickets/{number}/actions"
    client.post(url, json={"action": "take"}, headers={**DESK, "If-Match": '"1"'})
    assert numbers(listed(client, "&assignee=mine")) == [number]
    theirs = listed(client, "&assignee=mine", bearer(Role.TECHNICIAN))
    assert number not in numbers(theirs)
    named = NAMES[Role.SERVICE_DESK].replace(" ", "%20")
    assert numbers(listed(client, f"&assignee={named}")) == [number]


def test_at_risk_is_what_the_notice_is_about(client, fleet):
    now = datetime.now(UTC)

    def is_at_risk(ticket):
        found = client.get(f"/api/v1/tickets/{ticket['ticket_no']}/deadlines").json()["clocks"]
        live = [c for c in found if not c["stopped_at"] and not c["is_paused"]]
        near = any(datetime.fromisoformat(c["notify_at"]) <= now for c in live)
        return near and not any(c["is_breached"] for c in live)

    expected = [t["ticket_no"] for t in listed(client)["items"] if is_at_risk(t)]
    assert numbers(listed(client, "&due=at_risk")) == expected


def test_counts_are_of_all_that_is_open_whatever_the_filter(client):
    answer = listed(client)
    tickets = answer["items"]
    assert sum(answer["open_n"].values()) == len(tickets)
    assert answer["unassigned_n"] == sum(t["assignee"] is None for t in tickets)
    assert answer["overdue_n"] == len(numbers(listed(client, "&due=overdue")))
    assert answer["at_risk_n"] == len(numbers(listed(client, "&due=at_risk")))
    for name in ("open_n", "unassigned_n", "overdue_n", "at_risk_n"):
        assert listed(client, "&severity=minor")[name] == answer[name]


@pytest.mark.parametrize(
    "query",
    [
        "&kind=XX",
        "&due=soon",
        "&sort=name",
        "&assignee=a%00b",
        "&centre=a%00b",
        f"&assignee={'x' * 81}",
        "&colour=red",
    ],
)
def test_what_no_filter_knows_is_refused(client, query):
    assert client.get(f"/api/v1/tickets?limit=5{query}", headers=DESK).status_code == 422


def test_of_ended_tickets_overdue_means_missed(client):
    ended = listed(client, "&state=ended")["items"]
    missed = [
        t["ticket_no"]
        for t in ended
        if any(
            clock and clock["is_breached"]
            for clock in (t["due"]["start_by"], t["due"]["finish_by"])
        )
    ]
    assert set(numbers(listed(client, "&state=ended&due=overdue"))) <= set(missed)
    assert numbers(listed(client, "&state=ended&due=at_risk")) == []
