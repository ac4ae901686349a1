"""The patient's main task in a real browser, on a phone, without JavaScript."""

from __future__ import annotations

import pytest

from fleet.access.callers import Role

PAGES = [
    (Role.PATIENT, "/my-device"),
    (Role.PATIENT, "/my-device/fk-20417/sharing"),
    (Role.PATIENT, "/my-device/who-looked"),
    (Role.PRESCRIBER, "/my-loans"),
    (Role.AUDITOR, "/access-log"),
    (Role.AUDITOR, "/access-log?sample=5&seed=1"),
]


@pytest.fixture
def opened(browser, server, sessions):
    contexts = []

    def window(role, width=360, locale="sv-SE"):
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            locale=locale,
            base_url=server,
            java_script_enabled=False,
        )
        context.add_cookies([{**sessions(role), "url": server}])
        contexts.append(context)
        return context.new_page()

    yield window
    for context in contexts:
        context.close()


@pytest.mark.parametrize("locale", ["sv-SE", "en-GB"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize(("role", "path"), PAGES)
def test_a_page_is_small_fits_and_has_one_heading(opened, role, path, width, locale):
    page = opened(role, width, locale)
    answer = page.goto(path)
    assert answer.status == 200
    assert len(answer.body()) < 150_000
    assert page.locator("h1").count() == 1
    assert page.get_by_role("link", name="Fjärrkoll").first.is_visible()
    box = page.locator("main").bounding_box()
    assert box["width"] <= width


def test_a_patient_asks_before_anything_changes_and_may_leave_it(opened):
    page = opened(Role.PATIENT)
    page.goto("/")
    page.get_by_role("link", name="Fjärrkoll").first.click()
    assert page.url.endswith("/my-device")
    page.get_by_role("link", name="Sluta dela det som inte behövs för säkerheten").first.click()
    assert page.get_by_role("heading", level=1).inner_text().startswith("Vill du sluta dela")
    page.get_by_role("link", name="Avbryt").click()
    assert page.url.endswith("/my-device")
    assert page.get_by_role("link", name="Sluta dela").first.is_visible()
