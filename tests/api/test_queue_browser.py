"""The queue in a real browser: worked by keyboard, and told what is new."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import psycopg
import pytest
from playwright.sync_api import expect
from support.people import bearer

from api.texts import text
from fleet.access.callers import Role
from storage.connection import connect
from storage.sessions import end_session

HIDE = """is => {
    Object.defineProperty(document, "hidden", { get: () => is, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
MINE = "/?device=fk-50050"


@pytest.fixture
def opened(browser, server, sessions):
    """A window of somebody who is signed in; `page.token` is the session's."""
    contexts = []

    def window(role=Role.SERVICE_DESK, lang="sv", width=1280):
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            locale={"sv": "sv-SE", "en": "en-GB"}[lang],
            base_url=server,
        )
        contexts.append(context)
        cookie = sessions(role)
        context.add_cookies([{**cookie, "url": server}])
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.token = cookie["value"]
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        return page

    yield window
    for context in contexts:
        context.close()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def shown_in(page):
    rows = page.locator("tr[data-no]")
    return [int(no) for no in rows.evaluate_all("rows => rows.map(row => row.dataset.no)")]


def place_of(page):
    return page.evaluate("document.activeElement.closest('tr')?.dataset.no")


def states_of(client, numbers):
    return [client.get(f"/api/v1/tickets/{no}").json()["state"] for no in numbers]


def act(client, number, action, role=Role.TECHNICIAN, version=1, **told):
    headers = {**bearer(role), "If-Match": f'"{version}"'}
    url = f"/api/v1/tickets/{number}/actions"
    answer = client.post(url, json={"action": action, **told}, headers=headers)
    assert answer.status_code == 200, answer.text


def compared(page):
    """Waits for the answer to a comparison that the page makes by itself."""
    return page.expect_response(lambda answer: "x-unattended" in answer.request.headers)


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_the_queue_is_worked_by_keyboard_alone(opened, client, by_hand, lang):
    numbers = [by_hand(component=part) for part in ("tube", "joystick", "charger")]
    page = opened(lang=lang)
    page.goto(MINE)
    shown = shown_in(page)
    assert sorted(shown) == numbers
    press(page, "j", "x", "j", "j", "k", "x")
    assert page.locator("tr.at").get_attribute("data-no") == str(shown[1])
    press(page, "t")
    done = text("bulk.done.many", lang, n="2")
    expect(page.locator("#said")).to_have_text(done)
    assert states_of(client, shown) == ["triaged", "triaged", "new"]
    assert place_of(page) == str(shown[2]), "the keys go on at the next ticket"
    assert "done" not in page.url, "a reload does not say it again"
    press(page, "?")
    expect(page.get_by_role("dialog")).to_be_visible()
    press(page, "Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    press(page, "Enter")
    page.wait_for_url(re.compile(rf"/tickets/{shown[2]}\b"))
    assert page.complaints == []


def test_keys_that_need_a_word_lead_to_its_field_and_back(opened, client, by_hand):
    numbers = [by_hand(component=part) for part in ("tube", "joystick")]
    page = opened()
    page.goto(MINE)
    first, other = shown_in(page)
    press(page, "j", "g")
    expect(page.get_by_label("Till vem")).to_be_focused()
    page.keyboard.type("Bo Lind")
    press(page, "Enter")
    expect(page.locator("#said")).to_have_text("1 ärende är ändrat.")
    assert client.get(f"/api/v1/tickets/{first}").json()["assignee"] == "Bo Lind"
    press(page, "w")
    expect(page.get_by_label("Skäl")).to_be_focused()
    offered = page.get_by_label("Skäl").locator("optgroup:not([hidden]) option")
    expect(offered.first).to_have_text("Användaren går inte att nå")
    assert offered.count() == 3
    press(page, "Escape")
    assert place_of(page) == str(other)
    press(page, "/")
    expect(page.get_by_label("Hjälpmedlets id eller nummer")).to_be_focused()
    press(page, "Escape", "n")
    expect(page.locator("#said")).to_have_text("Det finns ingen sida till.")
    press(page, "r")
    expect(page.locator("#said")).to_have_text("Inget är nytt i listan.")
    assert states_of(client, numbers).count("assigned") == 1
    assert page.complaints == []


def test_a_key_that_is_not_for_the_role_says_so(opened, client, by_hand):
    number = by_hand()
    page = opened(Role.AUDITOR)
    page.goto(MINE)
    press(page, "j", "t")
    expect(page.locator("#said")).to_contain_text("Med din roll går det inte att välja ”bedöm”")
    assert states_of(client, [number]) == ["new"]
    assert page.complaints == []


def test_the_keys_can_be_turned_off(opened, client, by_hand):
    number = by_hand()
    page = opened()
    page.goto(MINE)
    press(page, "?")
    page.get_by_label("Använd tangenterna på den här datorn").uncheck()
    page.get_by_role("button", name="Stäng").click()
    press(page, "j", "a")
    assert page.locator("tr.at").count() == 0
    assert states_of(client, [number]) == ["new"]


def test_a_refusal_is_read_first_and_the_list_can_be_read_anew(opened, client, by_hand):
    number, other = by_hand(), by_hand(component="tube")
    page = opened()
    page.goto(f"{MINE}&done=2&lang=sv")
    act(client, number, "take")
    page.locator(f"tr[data-no='{number}'] input").check()
    page.locator("#bulk select[name=action]").select_option("void")
    page.get_by_label("Skäl").select_option("test")
    page.get_by_role("button", name="Utför").click()
    expect(page.locator("#failed")).to_be_focused()
    expect(page.locator("#failed")).to_contain_text("Ärendet ändrades medan du skrev: tilldelades")
    assert page.url.endswith("/tickets/actions?device=fk-50050&lang=sv")
    act(client, other, "take")
    page.get_by_text("Ändrade: 1").wait_for()
    press(page, "r")
    expect(page.locator("#failed")).to_have_count(0)
    expect(page.locator(f"tr[data-no='{other}']")).to_contain_text("tilldelat")
    assert page.get_by_text("ärenden är ändrade").count() == 0


def test_a_reader_is_told_of_news_and_no_row_moves_until_asked(opened, client, by_hand):
    first, third = by_hand(), by_hand(component="joystick")
    page = opened()
    page.goto(f"{MINE}&assignee=none")
    page.locator(f"tr[data-no='{first}'] input").check()
    second = by_hand(component="tube")
    page.get_by_text("Nya ärenden: 1").wait_for()
    assert sorted(shown_in(page)) == [first, third]
    act(client, third, "take")
    page.get_by_text("Nya ärenden: 1 · Inte längre i listan: 1").wait_for()
    page.locator("#news").click()
    page.locator(f"tr[data-no='{second}']").wait_for()
    assert sorted(shown_in(page)) == [first, second]
    assert page.locator(f"tr[data-no='{first}'] input").is_checked()
    expect(page.locator("#live")).to_be_empty()
    assert page.complaints == []


def test_what_does_not_concern_the_list_is_no_news(opened, client, by_hand):
    page = opened()
    page.goto("/?assignee=mine")
    with compared(page) as answer:
        by_hand()
    assert answer.value.status == 200
    page.evaluate("new Promise(requestAnimationFrame)")
    expect(page.locator("#live")).to_be_empty()


def test_what_was_left_out_makes_the_list_old(opened, fleet, by_hand):
    by_hand()
    page = opened()
    page.route("**/*", lambda route: (
        route.abort() if "x-unattended" in route.request.headers else route.continue_()
    ))  # fmt: skip
    with page.expect_response("**/stream"):
        page.goto(MINE)
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_notify('fjarrkoll_change', 't' || n) FROM generate_series(1, 600) n"
        )
    page.get_by_text("Listan kan vara gammal.").wait_for()
    page.locator("#news").click()
    expect(page.locator("#live")).to_be_empty()


def test_a_page_that_nobody_sees_gives_its_connection_back_and_catches_up(opened, by_hand):
    by_hand()
    page = opened()
    with page.expect_response("**/stream"):
        page.goto(MINE)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/stream")):
        page.evaluate(HIDE, True)
    by_hand(component="tube")
    assert page.locator("#live").inner_text() == ""
    page.evaluate(HIDE, False)
    page.get_by_text("Nya ärenden: 1").wait_for()
    assert page.complaints == []


def test_a_session_that_is_over_is_not_taken_for_a_quiet_queue(opened, fleet, by_hand):
    by_hand()
    page = opened()
    with page.expect_response("**/stream"):
        page.goto(MINE)
    page.evaluate(HIDE, True)
    with connect(fleet.url) as conn:
        end_session(conn, page.token, datetime.now(UTC))
        conn.commit()
    page.evaluate(HIDE, False)
    page.get_by_text("Listan kan vara gammal.").wait_for()
    page.locator("#news").click()
    page.wait_for_url("**/sign-in?next=*device*")


def test_what_was_typed_outlives_the_session(opened, client, server, sessions, by_hand):
    number = by_hand()
    page = opened(Role.TECHNICIAN, width=390)
    page.goto(f"/tickets/{number}")
    page.locator("summary", has_text="Markera som åtgärdat").click()
    page.get_by_label("Utbytt del").fill("motorkontakt höger")
    page.context.clear_cookies()
    page.get_by_role("button", name="Del utbytt", exact=True).click()
    expect(page.get_by_text("inget är ändrat")).to_be_visible()
    assert states_of(client, [number]) == ["new"]
    page.context.add_cookies([{**sessions(Role.TECHNICIAN), "url": server}])
    page.get_by_role("button", name="Skicka igen").click()
    page.wait_for_url(f"**/tickets/{number}")
    ticket = client.get(f"/api/v1/tickets/{number}").json()
    assert (ticket["state"], ticket["outcome_part"]) == ("solved", "motorkontakt höger")


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_a_technician_works_a_ticket_on_a_phone(opened, client, by_hand, lang):
    number = by_hand()
    words = {
        "sv": ("Urval", "Hjälpmedlets id eller nummer", "Visa", "Ta ärendet", "Anteckna",
               "Anteckning", "Åtgärdat på distans", "åtgärdat"),
        "en": ("Filter", "Device id or number", "Show", "Take it", "Add a note", "Note",
               "Solved remotely", "solved"),
    }  # fmt: skip
    choice, mark, show, take, comment, note, remotely, solved = words[lang]
    page = opened(Role.TECHNICIAN, lang, width=390)
    page.goto("/")
    page.locator("summary", has_text=choice).click()
    page.get_by_label(mark).fill("4480 0050")
    page.get_by_role("button", name=show, exact=True).click()
    page.locator(f"tr[data-no='{number}'] .main a").click()
    page.get_by_role("button", name=take, exact=True).click()
    page.locator("summary", has_text=comment).click()
    form = page.locator("form", has=page.locator("input[value=comment]"))
    form.get_by_label(note).fill("ringde, hörs i morgon")
    form.get_by_role("button", name=comment).click()
    expect(page.locator(".history")).to_contain_text("ringde, hörs i morgon")
    page.get_by_role("button", name=remotely, exact=True).click()
    page.get_by_text(solved).first.wait_for()
    assert states_of(client, [number]) == ["solved"]
    narrow = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert narrow
    assert page.complaints == []
