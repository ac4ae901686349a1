"""The pages in a real browser, wide and narrow; pictures are kept to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from fleet.access.callers import Role

PICTURES = Path(__file__).parents[2] / "test-artefacts" / "screenshots"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PAGES = {
    "queue": "/",
    "queue-empty": "/?severity=info",
    "queue-by-severity": "/?sort=severity",
    "queue-overdue": "/?due=overdue",
    "ticket": "/tickets/1",
    "ticket-similar": "/tickets/2",
    "ticket-missed": "/tickets/{missed}",
    "ticket-waiting": "/tickets/3",
    "ticket-forecast": "/tickets/{forecast}",
    "ticket-incident": "/tickets/{incident}",
    "ticket-urgent": "/tickets/{urgent}?lang=en",
    "devices": "/devices",
    "device-24h": "/devices/fk-20417",
    "device-7d": "/devices/fk-20417?range=7d",
    "device-30d": "/devices/fk-20417?range=30d",
    "device-english": "/devices/fk-31102?lang=en",
    "data-health": "/data-health",
    "not-found": "/nothing",
}


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    path = _chromium()
    if path is None:
        print("no Chromium on this machine: the pages are not opened in a browser")
        pytest.skip("no Chromium on this machine (apt install chromium)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def opened(browser, server, sessions):
    """A window of somebody who is signed in; its complaints are kept."""
    contexts = []

    def window(role=Role.SERVICE_DESK, width=1280, locale="sv-SE", **more):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, locale=locale, base_url=server, **more
        )
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


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_the_browser_has_no_complaint(opened, fleet, name, width):
    page = opened(width=width)
    complaints = complaints_of(page)
    response = page.goto(PAGES[name].format_map(fleet.tickets))
    scroll_width, window_width = page.evaluate(
        "[document.documentElement.scrollWidth, window.innerWidth]"
    )
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}-{width}.png", full_page=True)
    if response.status == 404:  # the browser reports the status of the page itself
        complaints = [text for text in complaints if "404" not in text]
    assert complaints == []
    assert scroll_width <= window_width


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
    for kept in ("Att göra", "Varför det här ärendet finns", "Underlag", "Deadlines"):
        assert page.get_by_role("heading", name=kept, exact=True).is_visible()
    for left_out in ("Till användaren", "Liknande fall tidigare", "Händelser", "Felrapporter"):
        assert page.get_by_text(left_out, exact=True).is_hidden()
