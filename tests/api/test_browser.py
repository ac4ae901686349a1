"""The pages in a real browser, wide and narrow; pictures are kept to look at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from support.pages import FACES, LEADS_ON, pages_of, seen_by_others

from fleet.access.callers import Role

PICTURES = Path(__file__).parents[2] / "test-artefacts" / "screenshots"
NAMED = {face.name: face for face in FACES}
OTHERS = {face.name: face for face in seen_by_others()}
WIDTHS = (1280, 360)
ODD_STATUS = {"not-found": 404, "not-allowed": 403}
PAGE_MAX_BYTES = 150_000


@pytest.fixture
def opened(browser, server, sessions):
    """A window of somebody who is signed in; its complaints are kept."""
    contexts = []

    def window(role=Role.SERVICE_DESK, width=1280, locale="sv-SE", **more):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, locale=locale, base_url=server, **more
        )
        if role is not None:
            context.add_cookies([{**sessions(role), "url": server}])
        contexts.append(context)
        return context.new_page()

    yield window
    for context in contexts:
        context.close()


def complaints_of(page):
    found = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def barriers_on(page, *without):
    """What keeps somebody out, by the rules of WCAG 2.2 AA that a machine can tell."""
    rules = {rule: {"enabled": False} for rule in without}
    options = {"runOnly": TAGS, "resultTypes": ["violations"], "rules": rules}
    found = Axe().run(page, options=options).response["violations"]
    return [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found]


def look_at(page, address):
    """Open a page and hold it to what every page promises at this width."""
    complaints = complaints_of(page)
    response = page.goto(address)
    assert len(response.body()) < PAGE_MAX_BYTES
    status = str(response.status)
    if response.status in {403, 404}:  # the browser reports the status of the page itself
        complaints[:] = [text for text in complaints if status not in text]
    assert complaints == []
    assert_fits(page)
    return response


def assert_fits(page):
    scroll_width, window_width = page.evaluate(
        "[document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert scroll_width <= window_width, "the page has to be scrolled sideways"


@pytest.mark.parametrize("name", NAMED)
def test_a_page_fits_wide_and_narrow_and_the_browser_has_no_complaint(opened, fleet, name):
    face = NAMED[name]
    page = opened(face.role, width=WIDTHS[0])
    response = look_at(page, face.path.format_map(fleet.tickets))
    assert response.status == ODD_STATUS.get(name, 200)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert_fits(page)
        page.screenshot(path=PICTURES / f"{name}-{width}.png", full_page=True)
        assert barriers_on(page) == []
    if "lang=en" not in face.path:
        look_at_in_english(page, face.path.format_map(fleet.tickets))


def look_at_in_english(page, address):
    """The same page with longer and shorter words, narrow; its colours have been checked."""
    look_at(page, f"{address}{'&' if '?' in address else '?'}lang=en")
    assert page.locator("html").get_attribute("lang") == "en"
    assert barriers_on(page, "color-contrast") == []


@pytest.mark.parametrize("name", OTHERS)
def test_a_page_fits_for_every_other_role_that_may_see_it(opened, name):
    """Colours are the same for all, and take the longest to check."""
    face = OTHERS[name]
    page = opened(face.role)
    assert look_at(page, face.path).status == 200
    page.set_viewport_size({"width": min(WIDTHS), "height": 800})
    assert_fits(page)
    assert barriers_on(page, "color-contrast") == []


def test_every_page_there_is_is_looked_at(settings):
    looked_at = {face.operation for face in FACES} | LEADS_ON.keys()
    assert looked_at == pages_of(settings)


def sent(page, action, values):
    """Send a form by hand, past what the browser itself would refuse; the answer's status."""
    with page.expect_navigation() as answered:
        page.evaluate(
            """([action, values]) => {
                const form = document.createElement("form");
                Object.assign(form, { method: "post" }).setAttribute("action", action);
                for (const [name, value] of Object.entries(values))
                    Object.assign(form.appendChild(document.createElement("input")),
                        { type: "hidden", name, value });
                document.body.append(form);
                form.submit();
            }""",
            [action, values],
        )
    return answered.value.status


REFUSALS = {
    "rule": (Role.ADMINISTRATOR, "/rules/reported-fault/switch", {"action": "enable", "why": " "}),
    "emergency": (Role.PRESCRIBER, "/my-loans/overrides",
                  {"individual_no": "9999", "why": "akut i hemmet"}),
    "new ticket": (Role.SERVICE_DESK, "/new-ticket", {"device": "fk-none", "title": "x"}),
}  # fmt: skip


def assert_open_to_all(page):
    """A state between two pages: told aloud, within the window, and without barriers."""
    page.set_viewport_size({"width": min(WIDTHS), "height": 800})
    assert_fits(page)
    assert barriers_on(page) == []


@pytest.mark.parametrize("lang", ["sv", "en"])
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_form_says_so_to_everybody(opened, name, lang):
    role, action, values = REFUSALS[name]
    page = opened(role)
    page.goto(f"/find?lang={lang}")
    assert sent(page, f"{action}?lang={lang}", values) == 409
    assert page.locator("html").get_attribute("lang") == lang
    assert page.locator("[role=alert]").first.is_visible()
    assert_open_to_all(page)


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_a_refused_action_and_what_became_of_many_are_open_to_all(opened, by_hand, lang):
    numbers = [by_hand(component=part) for part in ("tube", "joystick")]
    page = opened()
    page.goto(f"/?lang={lang}")
    solved = {"action": "solve", "version": "1"}
    assert sent(page, f"/tickets/{numbers[0]}/actions?lang={lang}", solved) == 409
    assert page.locator("#failed").is_visible()
    assert_open_to_all(page)
    for told in (".notice.good", ".alert"):  # triaged once, and then again
        page.set_viewport_size({"width": max(WIDTHS), "height": 800})
        page.goto(f"/?device=fk-50050&lang={lang}")
        for number in numbers:
            page.locator(f"tr[data-no='{number}'] input").check()
        page.locator(".bulk select[name=action]").select_option("triage")
        page.locator(".bulk button[type=submit]").click()
        page.locator(told).wait_for()
        assert_open_to_all(page)


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_the_dialog_of_the_keys_is_open_to_all(opened, lang):
    page = opened()
    page.goto(f"/?lang={lang}")
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    assert_open_to_all(page)


def test_the_keyboard_reaches_the_content_first(opened):
    page = opened()
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_a_ticket_prints(opened):
    page = opened()
    page.goto("/tickets/1?lang=sv")
    page.emulate_media(media="print")
    assert page.locator("nav").first.is_hidden()
    for kept in ("Att göra", "Varför det här ärendet finns", "Underlag", "Tidsgränser"):
        assert page.get_by_role("heading", name=kept, exact=True).is_visible()
    for left_out in ("Till användaren", "Liknande fall tidigare", "Händelser", "Felrapporter"):
        assert page.get_by_text(left_out, exact=True).is_hidden()


@pytest.mark.parametrize("name", ["/tickets/1", "/tickets/2", "/tickets/{forecast}"])
def test_a_work_order_is_one_sheet_with_room_for_notes(opened, fleet, name):
    page = opened()
    page.goto(name.format_map(fleet.tickets))
    page.emulate_media(media="print")
    assert page.get_by_text("Anteckningar", exact=True).is_visible()
    assert page.locator(".paper.order strong").inner_text().startswith("44")
    sheet = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type /Page\b", sheet)) == 1


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("locale", ["sv-SE", "en-GB"])
def test_a_technician_takes_and_solves_a_ticket(opened, client, by_hand, locale, has_script):
    number = by_hand()
    words = {
        "sv-SE": ("Ta ärendet", "Utbytt del", "Del utbytt", "åtgärdat"),
        "en-GB": ("Take it", "Part replaced", "Part replaced", "solved"),
    }
    take, part, outcome, state = words[locale]
    page = opened(Role.TECHNICIAN, locale=locale, java_script_enabled=has_script)
    page.set_default_timeout(10_000)
    page.goto(f"/tickets/{number}")
    page.get_by_role("button", name=take, exact=True).click()
    page.get_by_label(part).fill("broms")
    page.get_by_role("button", name=outcome, exact=True).click()
    page.get_by_text(state).first.wait_for()
    ticket = client.get(f"/api/v1/tickets/{number}").json()
    assert (ticket["state"], ticket["outcome_part"]) == ("solved", "broms")
    assert ticket["assignee"] == "Tova Tekniker"
