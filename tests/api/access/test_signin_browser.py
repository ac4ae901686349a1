"""Signing in and out in a real browser, which holds forms and redirects to the pages' policy."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import psycopg
import pytest

from api.process import ApiSettings, run
from fjarrkoll.embedded.cast import demo_cast
from fjarrkoll.embedded.issuer import EmbeddedIssuer

PICTURES = Path(__file__).parents[3] / "test-artefacts" / "screenshots"


@pytest.fixture
def address(plain):
    """The address of an API with the built-in issuer before it."""
    name = f"t{uuid.uuid4().hex[:12]}"
    url = plain.create_migrated(name)
    with psycopg.connect(url) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('demo', 'Demo')")
    issuer = EmbeddedIssuer(demo_cast("demo"))
    issuer.start()
    stop, ready, found = threading.Event(), threading.Event(), []
    settings = ApiSettings(url, issuer.access_settings(), port=0)

    def on_ready(at):
        found.append(at)
        ready.set()

    thread = threading.Thread(target=run, args=(settings, stop, on_ready), daemon=True)
    thread.start()
    assert ready.wait(20)
    yield found[0]
    stop.set()
    thread.join(20)
    issuer.stop()
    plain.drop_database(name)


@pytest.fixture
def window(browser):
    page = browser.new_page(viewport={"width": 390, "height": 800}, locale="sv-SE")
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    yield page
    page.close()


def test_from_a_page_through_the_sign_in_and_out_again_by_keyboard(window, address):
    window.goto(f"{address}/devices?q=wc")
    assert window.get_by_role("heading", level=1).inner_text() == "Logga in"
    PICTURES.mkdir(parents=True, exist_ok=True)
    window.screenshot(path=PICTURES / "sign-in.png", full_page=True)
    window.locator("a.button").focus()
    window.keyboard.press("Enter")
    window.wait_for_url("**/authorize?**")
    window.screenshot(path=PICTURES / "sign-in-built-in.png", full_page=True)
    window.get_by_role("button", name="Tova Tekniker").focus()
    window.keyboard.press("Enter")
    window.wait_for_url(f"{address}/devices?q=wc")
    assert window.get_by_text("Tova Tekniker").count() > 0
    window.get_by_role("button", name="Logga ut").click()
    window.wait_for_url(f"{address}/sign-in?left=1")
    assert window.get_by_role("heading", level=1).inner_text() == "Du är utloggad"
    window.screenshot(path=PICTURES / "signed-out.png", full_page=True)
    window.goto(f"{address}/devices")
    assert window.get_by_role("heading", level=1).inner_text() == "Logga in"
    assert window.complaints == []
