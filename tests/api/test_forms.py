"""Forms: what is posted is read with a limit, and a refusal keeps what was typed."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.people import bearer

from api.forms import BODY_MAX_BYTES, FIELDS_MAX, VALUE_MAX, read_form
from api.pages.queue import AT_ONCE_MAX, selected_in
from api.problems import ProblemError
from fleet.access.callers import Role

DESK, TECH = bearer(Role.SERVICE_DESK), bearer(Role.TECHNICIAN)


def page(client, number, headers=DESK, lang="sv"):
    response = client.get(f"/tickets/{number}?lang={lang}", headers=headers)
    assert response.status_code == 200, response.text
    return response.text


def post(client, number, headers=DESK, lang="sv", **fields):
    return client.post(
        f"/tickets/{number}/actions?lang={lang}",
        data={"version": "1", **fields},
        headers=headers,
        follow_redirects=False,
    )


def bulk(client, rows, query="lang=sv", headers=DESK, **fields):
    data = {"ticket": [f"{number}:{seen}" for number, seen in rows], **fields}
    return client.post(
        f"/tickets/actions?{query}", data=data, headers=headers, follow_redirects=False
    )


def buttons(text):
    return {unescape(words).strip() for words in re.findall(r"<button[^>]*>([^<]*)</button>", text)}


def state_of(client, number):
    ticket = client.get(f"/api/v1/tickets/{number}").json()
    return ticket["state"], ticket["assignee"]


def test_the_page_offers_what_is_open_to_the_role_now(client, by_hand):
    number = by_hand()
    desk, technician = page(client, number), page(client, number, TECH)
    assert {"Ta ärendet", "Bedöm", "Tilldela", "Makulera", "Byt ordertyp"} <= buttons(desk)
    assert {"Ta ärendet", "Bedöm", "Tilldela", "Verkligt fel"} <= buttons(technician)
    assert not {"Makulera", "Byt ordertyp", "Återuppta", "Avsluta"} & buttons(technician)
    auditor = page(client, number, bearer(Role.AUDITOR))
    assert 'action="/tickets/' not in auditor
    assert "Det finns inget för din roll att göra" in auditor


def test_a_form_is_answered_with_the_way_back(client, by_hand):
    number = by_hand()
    done = post(client, number, action="take")
    assert done.status_code == 303
    assert done.headers["location"] == f"/tickets/{number}?lang=sv"
    assert state_of(client, number) == ("assigned", "Karim Kundtjänst")


def test_an_outcome_is_one_click(client, by_hand):
    number = by_hand()
    assert post(client, number, TECH, action="solve", outcome="user_error").status_code == 303
    assert state_of(client, number)[0] == "solved"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"action": "assign"}, "Skriv vem som ska ha ärendet."),
        ({"action": "solve"}, "Välj ett utfall."),
        ({"action": "solve", "outcome": "part_replaced"}, "Skriv vilken del som byttes."),
        (
            {"action": "solve", "outcome": "real_fault", "minutes": "1_0"},
            "Ange minuter som ett helt tal från 0 till 6 000.",
        ),
        ({"action": "void", "reason": "hittat på"}, "Välj ett skäl i listan."),
        ({"action": "reorder", "why": "x"}, "Välj en ny ordertyp."),
        (
            {"action": "reorder", "why": "x", "new_kind": "AU"},
            "redan ordertypen avhjälpande underhåll",
        ),
        ({"action": "resume"}, "Det går inte att välja ”återuppta” när ärendets status är ”nytt”."),
        ({"action": "assign", "assignee": "diagnostics"}, "Skriv en persons namn"),
        ({"action": "assign", "assignee": "x" * 81}, "med högst 80 tecken"),
    ],
)
def test_a_refusal_says_in_plain_words_what_to_do(client, by_hand, fields, said):
    number = by_hand()
    refused = post(client, number, **fields)
    assert refused.status_code == 409
    alert = re.search(r'(?s)<div class="alert".*?</div>', refused.text)[0]
    assert said in unescape(alert).replace("\N{NO-BREAK SPACE}", " ")
    assert "!" not in re.sub(r"<[^>]+>", "", alert)
    assert state_of(client, number)[0] == "new"


def test_what_was_typed_stands_there_still(client, by_hand):
    number = by_hand()
    refused = post(
        client, number, action="solve", outcome="part_replaced", minutes="40",
        why="<i>bytte</i> sladden",
    )  # fmt: skip
    assert "&lt;i&gt;bytte&lt;/i&gt; sladden</textarea>" in refused.text
    assert 'name="minutes" inputmode="numeric" maxlength="4" size="5" value="40"' in refused.text
    assert re.search(r'<details name="act" open>\s*<summary>Markera som åtgärdat', refused.text)
    # The other language is of the page, not of the form.
    assert f'href="/tickets/{number}?lang=en" lang="en"' in refused.text


def test_whoever_comes_second_is_told_who_was_first(client, by_hand):
    number = by_hand()
    assert post(client, number, TECH, action="take").status_code == 303
    late = post(client, number, action="assign", assignee="Bo Lind", why="min")
    assert late.status_code == 409
    assert "Ärendet ändrades medan du skrev: tilldelades" in late.text
    assert "(Tova Tekniker). Status är nu ”tilldelat”." in late.text
    assert 'value="Bo Lind"' in late.text
    english = post(client, number, lang="en", action="assign", assignee="Bo Lind", why="mine")
    assert "The ticket changed while you were writing: assigned" in english.text
    assert "(Tova Tekniker). It is now assigned." in english.text


def test_a_phone_call_is_noted_whoever_was_first(client, by_hand):
    number = by_hand()
    post(client, number, TECH, action="take")
    empty = post(client, number, action="comment", why=" ")
    assert empty.status_code == 409
    assert "Skriv en anteckning." in empty.text
    assert post(client, number, action="comment", why="Ringde: felet är kvar").status_code == 303
    text = page(client, number, TECH)
    assert "Anteckning gjordes" in text
    assert "Ringde: felet är kvar" in text
    assert state_of(client, number) == ("assigned", "Tova Tekniker")
    late = post(client, number, TECH, version="2", action="solve", outcome="user_error")
    assert "Ärendet ändrades medan du skrev: anteckning gjordes" in late.text
    assert "(Karim Kundtjänst)." in late.text
    auditor = post(client, number, bearer(Role.AUDITOR), action="comment", why="x")
    assert auditor.status_code == 403


def test_a_reason_to_wait_is_one_of_the_agreements(client, by_hand):
    number = by_hand()
    post(client, number, action="take")
    text = page(client, number)
    assert '<option value="part_on_order">Reservdel är beställd</option>' in text
    refused = post(client, number, version="2", action="wait", reason="tea_break")
    assert "Välj ett skäl i listan." in refused.text
    assert post(
        client, number, version="2", action="wait", reason="part_on_order"
    ).status_code == 303  # fmt: skip


def test_a_new_order_kind_leads_to_the_new_ticket(client, by_hand):
    number = by_hand()
    done = post(client, number, action="reorder", new_kind="supplier", why="garanti")
    new_no = client.get(f"/api/v1/tickets/{number}").json()["replaced_by_no"]
    assert done.headers["location"] == f"/tickets/{new_no}?lang=sv"


def test_nobody_posts_what_their_role_does_not_do(client, by_hand):
    number = by_hand()
    refused = post(client, number, TECH, action="void", reason="duplicate")
    assert refused.status_code == 403
    assert "Din roll ger inte tillgång hit" in refused.text
    assert post(client, number, bearer(Role.AUDITOR), action="take").status_code == 403
    assert post(client, 999_999, action="take").status_code == 404
    assert post(client, number, action="destroy").status_code == 422


def test_only_a_form_of_ours_is_read(client, by_hand):
    number = by_hand()
    url = f"/tickets/{number}/actions"
    assert client.post(url, json={"action": "take"}, headers=DESK).status_code == 415
    foreign = {**DESK, "Origin": "https://example.org"}
    assert client.post(url, data={"action": "take"}, headers=foreign).status_code == 403
    endless = {"action": "take", "why": "x" * BODY_MAX_BYTES}
    assert client.post(url, data=endless, headers=DESK).status_code == 413
    assert state_of(client, number)[0] == "new"


def test_several_tickets_are_triaged_at_once(client, by_hand):
    rows = [(by_hand(), 1), (by_hand(component="tube"), 1)]
    done = bulk(client, rows, "severity=major&lang=sv", action="triage")
    assert done.status_code == 303
    assert done.headers["location"] == "/?severity=major&done=2&lang=sv"
    assert [state_of(client, number)[0] for number, _ in rows] == ["triaged", "triaged"]
    back = client.get(done.headers["location"], headers=DESK)
    assert "2 ärenden är ändrade." in back.text


def test_each_of_several_stands_or_falls_by_itself(client, by_hand):
    mine, taken = by_hand(), by_hand(component="tube")
    post(client, taken, TECH, action="take")
    answer = bulk(client, [(mine, 1), (taken, 1), (999_999, 1)], action="void", reason="test")
    assert answer.status_code == 200
    assert "1 ärende är ändrat." in answer.text
    assert "2 ärenden gick inte att ändra:" in answer.text
    assert "Ärendet ändrades medan du skrev: tilldelades" in answer.text
    assert "Ärendet finns inte." in answer.text
    assert state_of(client, mine)[0] == "void"
    assert state_of(client, taken)[0] == "assigned"
    assert re.search(rf'value="{taken}:2" checked', answer.text)


def test_nothing_chosen_is_said_and_nothing_is_done(client):
    answer = bulk(client, [], action="triage")
    assert answer.status_code == 409
    assert "Du har inte valt något ärende." in answer.text


def test_void_without_a_reason_is_refused_for_all(client, by_hand):
    number = by_hand()
    answer = bulk(client, [(number, 1)], action="void")
    assert answer.status_code == 409
    assert "Välj ett skäl i listan." in answer.text
    assert state_of(client, number)[0] == "new"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_too_much(body):
    form = read_form(body)
    for values in form.values.values():
        for value in values:
            assert "\0" not in value
            assert len(value) <= VALUE_MAX
            value.encode()  # fits the database


def test_a_form_with_too_many_fields_is_refused():
    body = "&".join(f"a{number}=1" for number in range(FIELDS_MAX + 1)).encode()
    with pytest.raises(ProblemError) as refused:
        read_form(body)
    assert refused.value.status == 413


@given(st.lists(st.text(max_size=12), max_size=200))
def test_ticked_rows_are_read_strictly(values):
    form = read_form(b"ticket=7:2&ticket=7:3&ticket=x:1&ticket=1:&ticket=-4:1&ticket=%C2%B2:1")
    assert [(row.ticket_no, row.seen) for row in selected_in(form)] == [(7, 3)]
    many = type(form)({"ticket": [f"{number}:1" for number in range(1, 200)] + values})
    assert len(selected_in(many)) == AT_ONCE_MAX


def report(client, headers=DESK, lang="sv", **fields):
    return client.post(
        f"/new-ticket?lang={lang}", data=fields, headers=headers, follow_redirects=False
    )


TOLD = {"order_kind": "AU", "component": "tube", "severity": "major", "usability": "degraded",
        "title": "Sladden glappar", "text": "Vid ratten"}  # fmt: skip


@pytest.mark.parametrize("mark", ["fk-50050", "4480 0050", "SN000050"])
def test_a_call_becomes_a_ticket_by_any_mark_on_the_device(client, by_hand, mark):
    done = report(client, device=mark, **TOLD)
    assert done.status_code == 303, done.text
    ticket = client.get("/api/v1" + done.headers["location"].partition("?")[0]).json()
    assert (ticket["device_id"], ticket["title_sv"]) == ("fk-50050", "Sladden glappar")
    assert ticket["events"][0]["who"] == "Karim Kundtjänst"


def test_a_call_that_is_not_a_ticket_yet_keeps_what_was_typed(client, by_hand):
    number = by_hand(component="tube")
    already = report(client, device="fk-50050", **TOLD)
    assert already.status_code == 409
    assert "Det finns redan ett öppet ärende om samma del." in already.text
    assert f'href="/tickets/{number}?lang=sv"' in already.text
    assert "Vid ratten</textarea>" in already.text
    unknown = report(client, device="nobody", **TOLD)
    assert "Det finns inget hjälpmedel, eller mer än ett" in unknown.text
    many = report(client, device="4480", **TOLD)
    assert "Det finns inget hjälpmedel, eller mer än ett" in many.text
    empty = report(client, device="fk-50050", title=" ", order_kind="AU")
    assert "Skriv vad som är fel" in empty.text
    assert report(client, bearer(Role.AUDITOR), device="fk-50050", **TOLD).status_code == 403
