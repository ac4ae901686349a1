"""What people do to tickets over JSON: versions, keys, rights, and refusals that help."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.by_hand import REPORT
from support.people import bearer

from api.etags import check_version, is_unchanged, tag_of
from api.problems import ProblemError
from fleet.access.callers import Role
from fleet.access.duties import actions_of
from fleet.ticket_actions import Action

DESK, TECH = bearer(Role.SERVICE_DESK), bearer(Role.TECHNICIAN)


def act(client, number, version=1, headers=DESK, **body):
    tag = {} if version is None else {"If-Match": f'"{version}"'}
    return client.post(f"/api/v1/tickets/{number}/actions", json=body, headers={**headers, **tag})


def test_a_ticket_opened_by_hand_says_who_and_gets_deadlines(client, by_hand):
    number = by_hand()
    ticket = client.get(f"/api/v1/tickets/{number}").json()
    assert (ticket["state"], ticket["order_kind"], ticket["version"]) == ("new", "AU", 1)
    assert REPORT["text"] in ticket["body_sv"]
    assert ticket["due"]["finish_by"] is not None
    (event,) = ticket["events"]
    assert (event["kind"], event["who"]) == ("opened", "Karim Kundtjänst")
    assert event["detail"]["by_hand"] is True
    assert ticket["findings"] == []


def test_one_ticket_is_enough_for_one_part_of_a_device(client, by_hand):
    number = by_hand()
    again = client.post("/api/v1/tickets", json=REPORT, headers=DESK)
    assert again.status_code == 409
    assert again.json()["type"].endswith(":already-open")
    assert f"/api/v1/tickets/{number}" in again.json()["next"]
    assert by_hand(component="joystick") != number


def test_by_hand_there_is_no_second_ticket_about_what_a_device_reported(client):
    reported = client.get("/api/v1/tickets/1").json()
    body = {**REPORT, "device": reported["device_id"], "component": reported["component"]}
    refused = client.post("/api/v1/tickets", json=body, headers=DESK)
    assert refused.status_code == 409
    assert "ticket 1 " in refused.json()["detail"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"device": "nobody"}, 404),
        ({"device": "fk\0"}, 404),
        ({"order_kind": "AUU"}, 422),
        ({"title": "  "}, 422),
        ({"title": "a\0b"}, 422),
        ({"text": "x" * 2001}, 422),
        ({"component": "hjul"}, 422),
        ({"colour": "red"}, 422),
    ],
)
def test_a_report_that_cannot_be_used_is_refused(client, change, status):
    response = client.post("/api/v1/tickets", json={**REPORT, **change}, headers=DESK)
    assert response.status_code == status


def test_a_repair_from_the_call_to_the_end(client, by_hand):
    number = by_hand()
    steps = [
        ({"action": "take"}, "assigned"),
        ({"action": "wait", "reason": "part_on_order", "why": "bromsspole"}, "waiting"),
        ({"action": "resume"}, "assigned"),
        ({"action": "solve", "outcome": "part_replaced", "part": "broms", "minutes": 35}, "solved"),
        ({"action": "close", "why": "provkörd"}, "closed"),
    ]
    for version, (body, state) in enumerate(steps, start=1):
        response = act(client, number, version, headers=TECH, **body)
        assert response.status_code == 200, response.text
        assert response.json()["state"] == state
        assert response.headers["etag"] == f'"{version + 1}"'
    ticket = client.get(f"/api/v1/tickets/{number}").json()
    assert (ticket["outcome"], ticket["outcome_part"]) == ("part_replaced", "broms")
    assert {event["who"] for event in ticket["events"][1:]} == {"Tova Tekniker"}


def test_without_a_version_nothing_is_changed(client, by_hand):
    number = by_hand()
    response = act(client, number, None, action="take")
    assert response.status_code == 428
    assert response.json()["type"].endswith(":version-needed")
    assert client.get(f"/api/v1/tickets/{number}").json()["version"] == 1


def test_another_version_is_refused_and_says_which(client, by_hand):
    number = by_hand()
    assert act(client, number, 1, action="take").status_code == 200
    late = act(client, number, 1, action="triage", headers=TECH)
    assert late.status_code == 412
    assert "version 2" in late.json()["detail"]


def test_the_tag_of_a_ticket_that_was_read_is_good_for_a_change(client, by_hand):
    number = by_hand()
    read = client.get(f"/api/v1/tickets/{number}")
    tag = read.headers["etag"]
    same = client.get(f"/api/v1/tickets/{number}", headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    headers = {**DESK, "If-Match": tag}
    url = f"/api/v1/tickets/{number}/actions"
    assert client.post(url, json={"action": "triage"}, headers=headers).status_code == 200
    changed = client.get(f"/api/v1/tickets/{number}", headers={"If-None-Match": tag})
    assert changed.status_code == 200


def test_what_an_action_lacks_is_422_and_what_cannot_be_done_now_is_409(client, by_hand):
    number = by_hand()
    lacking = act(client, number, action="solve")
    assert lacking.status_code == 422
    assert "an outcome" in lacking.json()["detail"]
    assert act(client, number, action="wait", reason="part_on_order").status_code == 409
    assert act(client, number, action="confirm_urgent").status_code == 409
    assert act(client, number, action="void", reason="just because").status_code == 422
    assert client.get(f"/api/v1/tickets/{number}").json()["version"] == 1


def test_a_reason_that_stops_no_clock_is_refused_whole(client, by_hand):
    number = by_hand()
    assert act(client, number, 1, action="take").status_code == 200
    refused = act(client, number, 2, action="wait", reason="tea_break")
    assert refused.status_code == 422
    assert "part_on_order" in refused.json()["detail"]
    ticket = client.get(f"/api/v1/tickets/{number}").json()
    assert (ticket["state"], ticket["version"]) == ("assigned", 2)


def test_a_new_order_kind_leads_to_the_ticket_that_took_its_place(client, by_hand):
    number = by_hand()
    response = act(client, number, action="reorder", new_kind="supplier", why="garanti")
    assert response.json()["state"] == "void"
    new_no = response.json()["replaced_by_no"]
    assert client.get(f"/api/v1/tickets/{new_no}").json()["replaces_no"] == number


@pytest.mark.parametrize(
    "body",
    [
        {"action": "void", "reason": "duplicate"},
        {"action": "reorder", "new_kind": "FU", "why": "x"},
        {"action": "confirm_urgent"},
    ],
)
def test_what_it_costs_is_for_the_service_desk_to_say(client, body):
    refused = act(client, 1, headers=TECH, **body)
    assert refused.status_code == 403
    assert refused.json()["type"].endswith(":not-your-action")


@pytest.mark.parametrize(
    "role", [role for role in Role if role not in (Role.SERVICE_DESK, Role.TECHNICIAN)]
)
def test_roles_without_work_change_nothing(client, fleet, role):
    number = fleet.ticket_nos[0]
    before = client.get(f"/api/v1/tickets/{number}").json()["version"]
    response = act(client, number, before, headers=bearer(role), action="nothing")
    if role is Role.CENTRE_MANAGER:  # stands in for the desk, and comes as far as the body
        assert response.status_code == 422
    else:
        assert response.status_code == 403
        assert actions_of(role) == frozenset()


def test_the_table_of_duties_gives_the_desk_everything():
    assert actions_of(Role.SERVICE_DESK) == frozenset(Action)
    assert Action.VOID not in actions_of(Role.TECHNICIAN)


def test_a_request_sent_twice_with_one_key_is_done_once(client, by_hand):
    number = by_hand()
    keyed = {**DESK, "Idempotency-Key": "k-1"}
    first = act(client, number, headers=keyed, action="take")
    again = act(client, number, headers=keyed, action="take")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert first.headers["etag"] == again.headers["etag"]
    kinds = [event["kind"] for event in client.get(f"/api/v1/tickets/{number}").json()["events"]]
    assert kinds == ["opened", "assigned"]
    other = act(client, number, headers=keyed, action="triage")
    assert other.status_code == 422
    assert other.json()["type"].endswith(":key-reused")
    # Another person's key of the same name is another key.
    theirs = act(client, number, 2, headers={**TECH, "Idempotency-Key": "k-1"}, action="triage")
    assert theirs.status_code == 200


def test_a_refused_request_may_be_sent_again_with_its_key(client, by_hand):
    number = by_hand()
    keyed = {**DESK, "Idempotency-Key": "k-2"}
    assert act(client, number, 9, headers=keyed, action="take").status_code == 412
    assert act(client, number, 1, headers=keyed, action="take").status_code == 200


def test_a_ticket_is_opened_once_by_many_senders_of_one_key(client, by_hand):
    start = threading.Barrier(6)

    def send(_):
        start.wait()
        headers = {**DESK, "Idempotency-Key": "call-4711"}
        return client.post("/api/v1/tickets", json={**REPORT, "component": "tube"}, headers=headers)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert Counter(answer.status_code for answer in answers) == {201: 6}
    assert len({answer.json()["ticket_no"] for answer in answers}) == 1
    assert {answer.headers["location"] for answer in answers} == {
        f"/api/v1/tickets/{answers[0].json()['ticket_no']}"
    }


def test_of_two_who_take_a_ticket_at_once_one_gets_it(client, by_hand):
    number = by_hand()
    start = threading.Barrier(2)

    def take(headers):
        start.wait()
        return act(client, number, 1, headers=headers, action="take").status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take, [DESK, TECH])) == [200, 412]


def test_history_comes_in_pages_of_its_own(client, by_hand):
    number = by_hand()
    act(client, number, 1, action="take")
    act(client, number, 2, action="triage")
    url = f"/api/v1/tickets/{number}/events"
    first = client.get(f"{url}?limit=2", headers=DESK).json()
    rest = client.get(f"{url}?cursor={first['next_cursor']}", headers=DESK).json()
    kinds = [event["kind"] for event in first["items"] + rest["items"]]
    assert kinds == ["opened", "assigned", "triaged"]
    assert rest["next_cursor"] is None
    assert client.get(f"{url}?cursor=bad", headers=DESK).status_code == 422
    assert client.get("/api/v1/tickets/999999/events", headers=DESK).status_code == 404


@pytest.mark.parametrize(
    ("header", "version", "status"),
    [
        (None, 7, 428),
        ('"7"', 7, None),
        ('"7.3f2a9c01b2d4"', 7, None),
        ('"1", "7"', 7, None),
        ("*", 7, None),
        ('"8"', 7, 412),
        ('"70"', 7, 412),
        ('W/"7"', 7, 412),  # If-Match compares strongly
        ("7", 7, 412),
        ("", 7, 412),
    ],
)
def test_if_match_lets_the_right_version_through(header, version, status):
    if status is None:
        check_version(header, version)
        return
    with pytest.raises(ProblemError) as refused:
        check_version(header, version)
    assert refused.value.status == status


def test_a_tag_changes_with_the_version_and_with_what_is_said():
    tags = {tag_of(1, b"a"), tag_of(1, b"b"), tag_of(2, b"a")}
    assert len(tags) == 3
    tag = tag_of(1, b"a")
    assert is_unchanged(tag, tag)
    assert is_unchanged(f'"x", W/{tag}', tag)
    assert is_unchanged("*", tag)
    assert not is_unchanged(None, tag)
    assert not is_unchanged(tag_of(2, b"a"), tag)
