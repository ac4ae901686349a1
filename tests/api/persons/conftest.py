"""A fleet of its own behind a running server and the built-in issuer, and people who sign in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Locator, Page
from support.people import UNIT
from support.records import message, record
from support.serving import running

from api.process import ApiSettings
from api.texts import text
from fjarrkoll.embedded.cast import demo_cast
from fjarrkoll.embedded.issuer import EmbeddedIssuer
from fleet.ticket_actions import ACTION_LABELS, OUTCOME_LABELS, Action, Outcome
from fleet.words import Lang
from storage.intake import Intake
from storage.lending import end_loan, start_loan
from storage.registry import NewDevice, add_devices

PICTURES = Path(__file__).parents[3] / "test-artefacts" / "screenshots"
LATE_CHAIR = "fk-50054"
TOO_EARLY = ("fk-60001", "fk-60002")
"""Chairs that reported before they were registered: one for each language."""


@dataclass
class Visit:
    """Somebody at a page of ours, in one language."""

    page: Page
    lang: Lang
    refusals: int = 0
    """Answers with status 409 that the test is about; the browser reports each of them."""

    def says(self, key: str, **values: object) -> str:
        return text(key, self.lang, **values)

    def action(self, action: str) -> str:
        """What the button of an action says."""
        return self.capital(ACTION_LABELS[self.lang][Action(action)])

    def outcome(self, outcome: str) -> str:
        return OUTCOME_LABELS[self.lang][Outcome(outcome)]

    def capital(self, words: str) -> str:
        return words[:1].upper() + words[1:]

    def button(self, key: str) -> Locator:
        return self.page.get_by_role("button", name=self.says(key), exact=True)

    def link(self, key: str, **values: object) -> Locator:
        return self.page.get_by_role("link", name=self.says(key, **values), exact=True)

    def sign_out(self) -> None:
        self.button("app.sign_out").click()
        self.page.wait_for_url("**/sign-in?*")
        assert self.page.get_by_role("heading", level=1).inner_text() == self.says("signin.left")

    def keep(self, name: str) -> None:
        """Keep a picture to look at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"person-{name}-{self.lang}.png"
        self.page.screenshot(path=path, full_page=True)


@pytest.fixture(scope="module")
def address(own_fleet: Any) -> Iterator[str]:
    with psycopg.connect(own_fleet.url) as conn:
        _lend(conn, own_fleet.now)
    _report_too_early(own_fleet.url)
    issuer = EmbeddedIssuer(demo_cast("exempel", person="p-fk-20417", care_unit=UNIT))
    issuer.start()
    try:
        with running(ApiSettings(own_fleet.url, issuer.access_settings(), port=0)) as url:
            yield url
    finally:
        issuer.stop()


def _lend(conn: psycopg.Connection[Any], now: datetime) -> None:
    """Two loans of one chair; a fault in the time of the first one is not for the second one."""
    start_loan(conn, LATE_CHAIR, "p-before", [], now - timedelta(days=300), care_unit="another")
    end_loan(conn, LATE_CHAIR, now - timedelta(days=60))
    start_loan(conn, LATE_CHAIR, "p-late", [], now - timedelta(days=40), care_unit=UNIT)
    conn.execute(
        "INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at, raised_n,"
        " cleared_n, logged_n, first_received_at)"
        " SELECT device_no, 'vr2', '3C00', %(at)s, %(at)s, %(at)s, 1, 1, 0, %(at)s"
        " FROM device WHERE id = %(id)s",
        {"at": now - timedelta(days=100), "id": LATE_CHAIR},
    )


def _report_too_early(url: str) -> None:
    with Intake(url, "test") as intake:
        for device in TOO_EARLY:
            intake.store([message(record(1), device, tenant="exempel")])
    new = [NewDevice(device, "permobil-m3") for device in TOO_EARLY]
    with psycopg.connect(url) as conn:
        add_devices(conn, new, tenant="exempel")


@pytest.fixture
def sign_in(browser: Browser, address: str) -> Iterator[Callable[..., Visit]]:
    """Signs somebody in through the issuer's own page; no page may complain meanwhile."""
    contexts, complaints, visits = [], [], []

    def enter(name: str, lang: Lang, start: str) -> Visit:
        locale = "sv-SE" if lang == "sv" else "en-GB"
        context = browser.new_context(
            locale=locale, base_url=address, viewport={"width": 1280, "height": 900}
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(start)
        visit = Visit(page, lang)
        visits.append(visit)
        visit.link("signin.start").click()
        page.get_by_role("button", name=name).click()
        page.wait_for_url(f"{address}{start}")
        assert page.get_by_text(name).first.is_visible()
        return visit

    yield enter
    for context in contexts:
        context.close()
    refusals = [said for said in complaints if "409" in said]
    assert len(refusals) == sum(visit.refusals for visit in visits)
    assert complaints == refusals
