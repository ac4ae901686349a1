"""Each person's main task in a real browser, from signing in to done, in Swedish and English."""

from __future__ import annotations

import csv
import re
import zipfile
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import expect

LANGS = pytest.mark.parametrize("lang", ["sv", "en"])
CHAIR, LATE_CHAIR = "fk-20417", "fk-50054"
BEFORE_THE_LOAN = "3C00"
TOO_EARLY = {"sv": "fk-60001", "en": "fk-60002"}


def state_of(fleet, number):
    with psycopg.connect(fleet.url) as conn:
        return conn.execute(
            "SELECT state, order_kind, outcome, urgent_answer FROM ticket WHERE ticket_no = %s",
            [number],
        ).fetchone()


def proposals(fleet):
    """New tickets that somebody should answer whether they are urgent, the oldest first."""
    with psycopg.connect(fleet.url) as conn:
        rows = conn.execute(
            "SELECT ticket_no FROM ticket WHERE state = 'new' AND urgent_because <> '{}'"
            " AND urgent_answer IS NULL AND order_kind = 'AU' ORDER BY ticket_no"
        ).fetchall()
    return [row[0] for row in rows]


def walk_to(page, number):
    """Step up and down the queue with the keyboard until the ticket is the one that stands out."""
    count = page.locator("tr[data-no]").count()
    for key in "k" * count + "j" * count:
        page.keyboard.press(key)
        if page.locator("tr.at").get_attribute("data-no") == str(number):
            return
    raise AssertionError(f"ticket {number} is not in the queue")


def press_on(page, locator):
    """Press a button by keyboard: Tab until it has the focus, then Enter."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if locator.evaluate("it => it === document.activeElement"):
            page.keyboard.press("Enter")
            return
    raise AssertionError("the button is not reached by Tab")


@pytest.mark.parametrize(
    ("lang", "key", "answer"),
    [("sv", "confirm_urgent", "confirmed"), ("en", "decline_urgent", "declined")],
)
def test_the_desk_works_the_queue_by_keyboard_and_answers_what_is_urgent(
    sign_in, own_fleet, lang, key, answer
):
    number = proposals(own_fleet)[0]
    visit = sign_in("Karim Kundtjänst", lang, "/")
    page = visit.page
    walk_to(page, number)
    page.keyboard.press("t")
    expect(page.get_by_text(visit.says("bulk.done.one"))).to_be_visible()
    assert state_of(own_fleet, number)[0] == "triaged"
    walk_to(page, number)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/tickets/{number}\b"))
    visit.keep("desk-ticket")
    if key == "decline_urgent":
        page.locator("section.urgent textarea").focus()
        page.keyboard.type("the user has a spare chair")
    press_on(page, page.get_by_role("button", name=visit.action(key), exact=True))
    expect(page.locator("section.urgent form")).to_have_count(0)
    assert state_of(own_fleet, number)[3] == answer
    assert number not in proposals(own_fleet)
    visit.sign_out()


@LANGS
def test_a_technician_takes_a_ticket_reads_the_device_and_solves_it(sign_in, own_fleet, lang):
    visit = sign_in("Tova Tekniker", lang, "/")
    page = visit.page
    page.get_by_role("link", name=re.compile(f"^{visit.says('queue.unassigned', n='')}")).click()
    of_a_device = page.locator("tr[data-no]").filter(has=page.locator("a[href^='/devices/']"))
    row = of_a_device.filter(has_not_text=re.compile("3B00|3D00")).last  # those are for others
    number = row.get_attribute("data-no")
    row.locator("a[href^='/tickets/']").click()
    page.get_by_role("button", name=visit.action("take"), exact=True).click()
    expect(page.get_by_role("button", name=visit.action("take"), exact=True)).to_have_count(0)
    page.locator("dl.facts a[href^='/devices/']").first.click()
    expect(page.locator("#standing")).to_be_visible()
    page.go_back()
    page.get_by_label(visit.says("act.part")).fill("kontakt")
    page.get_by_label(visit.says("act.minutes")).fill("35")
    page.get_by_role("button", name=visit.capital(visit.outcome("part_replaced"))).click()
    expect(page.get_by_text(visit.says("state.solved")).first).to_be_visible()
    assert state_of(own_fleet, number)[::2] == ("solved", "part_replaced")
    visit.sign_out()


@LANGS
def test_a_prescriber_sees_what_is_late_and_only_their_own_time_with_the_device(sign_in, lang):
    visit = sign_in("Frida Förskrivare", lang, "/my-loans")
    page = visit.page
    late = page.locator("section.urgent")
    expect(late).to_contain_text(visit.says("prescriber.late"))
    visit.keep("prescriber")
    late.get_by_role("link").filter(has_text="3D00").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("3D00")
    expect(page.locator("section.urgent form")).to_have_count(0)
    page.locator(f"a[href^='/devices/{LATE_CHAIR}']").first.click()
    expect(page.locator("#standing")).to_be_visible()
    assert "3D00" in page.content()
    assert BEFORE_THE_LOAN not in page.content()
    visit.sign_out()
    technician = sign_in("Tova Tekniker", lang, f"/devices/{LATE_CHAIR}")
    assert BEFORE_THE_LOAN in technician.page.content()


@LANGS
def test_a_patient_tries_a_step_sees_who_looked_and_stops_sharing_and_shares_again(sign_in, lang):
    sign_in("Tova Tekniker", lang, f"/devices/{CHAIR}").sign_out()
    visit = sign_in("Astrid Användare", lang, "/my-device")
    page = visit.page
    page.locator(".steps form").first.get_by_role("button", name=visit.says("mine.yes")).click()
    expect(page.get_by_role("status")).to_have_text(visit.says("mine.thanks.yes"))
    expect(page.locator(".answered").first).to_have_text(visit.says("mine.helped.yes"))
    visit.keep("patient")
    visit.link("mine.looked.all").click()
    looks = page.locator("table.cards")
    expect(looks).to_contain_text(visit.capital(visit.says("role.technician")))
    assert "Tova" not in looks.inner_text()
    page.go_back()
    visit.link("mine.stop").click()
    visit.button("mine.stop.do").click()
    expect(page.locator(".stopped")).to_contain_text(
        visit.says("mine.unshared", at="|").split("|")[1]
    )
    visit.link("mine.share").click()
    visit.button("mine.share.do").click()
    expect(visit.link("mine.stop")).to_be_visible()
    visit.sign_out()


@LANGS
def test_a_centre_manager_chooses_a_period_and_takes_the_figures_along(sign_in, lang):
    visit = sign_in("Cilla Chef", lang, "/key-figures")
    page = visit.page
    periods = page.get_by_label(visit.says("figures.period"))
    chosen = periods.locator("optgroup").nth(1).locator("option").first
    value, name = chosen.get_attribute("value"), chosen.inner_text()
    periods.select_option(value)
    visit.button("figures.show").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    with page.expect_download() as taken:
        visit.link("figures.csv").click()
    file = Path(taken.value.path())
    assert value in taken.value.suggested_filename
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.reader(lines, delimiter=";"))
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])} != {1}
    visit.sign_out()


@LANGS
def test_an_administrator_replays_what_came_too_early(sign_in, lang):
    device = TOO_EARLY[lang]
    visit = sign_in("Adam Administratör", lang, "/data-health")
    page = visit.page
    visit.link("health.quarantine.open").click()
    page.get_by_label(visit.says("quarantine.device")).fill(device)
    visit.button("quarantine.show").click()
    page.locator("main a[href^='/data-health/quarantine/']").first.click()
    expect(page.locator("main")).to_contain_text(device)
    visit.button("quarantine.replay.do").click()
    expect(page.locator("section.equation.good")).to_contain_text(visit.says("became.stored"))
    visit.link("app.health").click()
    expect(page.locator(".equation .check")).to_contain_text(visit.says("health.holds"))
    visit.sign_out()


@LANGS
def test_an_administrator_turns_a_rule_off_and_not_on_again_untested(sign_in, lang):
    rule = {"sv": "reported-fault", "en": "battery-end-of-life"}[lang]
    visit = sign_in("Adam Administratör", lang, "/rules")
    page = visit.page
    page.locator(f"a[href^='/rules/{rule}']").first.click()
    reason = page.get_by_label(visit.says("rules.switch.why"))
    reason.fill("provdrift slut")
    visit.button("rules.disable").click()
    expect(page.locator("dl.facts")).to_contain_text(visit.says("rules.off"))
    expect(page.get_by_role("cell", name="provdrift slut")).to_be_visible()
    reason.fill("otåliga")
    visit.button("rules.enable").click()
    expect(page.get_by_role("alert")).to_contain_text(f"fjarrkoll rules backtest {rule}")
    expect(reason).to_have_value("otåliga")
    visit.keep("rule-refused")
    visit.refusals = 1
    visit.sign_out()


@LANGS
def test_an_administrator_finds_a_device_by_its_individual_number(sign_in, lang):
    visit = sign_in("Adam Administratör", lang, "/find")
    visit.page.keyboard.type("4471 0293")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url(f"**/devices/{CHAIR}")
    expect(visit.page.get_by_role("heading", level=1)).to_contain_text("4471 0293")
    visit.sign_out()


@LANGS
def test_an_auditor_reads_the_log_of_one_device_and_notes_a_spot_check(sign_in, lang):
    sign_in("Tova Tekniker", lang, f"/devices/{CHAIR}").sign_out()
    visit = sign_in("Greta Granskare", lang, "/access-log")
    page = visit.page
    page.get_by_label(visit.says("log.device"), exact=True).fill(CHAIR)
    visit.button("log.show").first.click()
    rows = page.locator("tbody tr")
    expect(rows.filter(has_text="Tova Tekniker").first).to_be_visible()
    assert rows.count() == rows.filter(has_text=CHAIR).count() > 0
    page.get_by_text(visit.says("log.sample"), exact=True).click()
    page.get_by_label(visit.says("log.sample.n")).fill("3")
    visit.button("log.sample.do").click()
    unchecked = rows.filter(has=page.locator("form")).first
    entry = unchecked.get_attribute("id")
    unchecked.get_by_label(visit.says("log.note")).fill("rätt uppdrag")
    unchecked.get_by_role("button").click()
    checked = page.locator(f"#{entry}")
    expect(checked.locator(".check.good")).to_have_text("✓ Greta Granskare")
    expect(checked).to_contain_text("rätt uppdrag")
    visit.keep("auditor")
    visit.sign_out()


@LANGS
def test_an_administrator_keeps_a_device_after_an_incident_and_lets_it_go(sign_in, lang):
    device = {"sv": "fk-50003", "en": "fk-50004"}[lang]
    visit = sign_in("Adam Administratör", lang, "/holds")
    page = visit.page
    page.get_by_label(visit.says("holds.device"), exact=True).fill(device)
    page.get_by_label(visit.says("holds.why"), exact=True).fill("välte i en backe")
    visit.button("holds.place.do").click()
    row = page.locator("tbody tr").filter(has_text=device)
    expect(row).to_contain_text("välte i en backe")
    row.locator("summary").click()
    row.get_by_label(visit.says("holds.release.why")).fill("utredningen är klar")
    visit.keep("holds")
    row.get_by_role("button", name=visit.says("holds.release.do")).click()
    expect(row).to_contain_text("Adam Administratör: utredningen är klar")
    visit.sign_out()


@LANGS
def test_an_administrator_exports_a_person_and_reads_what_could_be_erased(sign_in, lang):
    visit = sign_in("Adam Administratör", lang, "/persons")
    page = visit.page
    page.get_by_label(visit.says("persons.person"), exact=True).fill("p-fk-20417")
    page.get_by_label(visit.says("persons.why"), exact=True).fill("2026-117")
    with page.expect_download() as taken:
        visit.button("persons.export.do").click()
    assert "loans.json" in zipfile.ZipFile(taken.value.path()).namelist()
    visit.button("persons.try.do").click()
    expect(page.locator("main")).to_contain_text(visit.says("kept.loan_runs"))
    expect(page.get_by_role("checkbox")).to_have_count(0)
    assert "p-fk-20417" not in page.url
    visit.keep("erasure")
    visit.sign_out()


@LANGS
def test_an_administrator_signs_somebody_out(sign_in, lang):
    other = sign_in("Tova Tekniker", lang, "/devices")
    visit = sign_in("Adam Administratör", lang, "/users")
    row = visit.page.locator("tbody tr").filter(has_text="Tova Tekniker")
    row.get_by_role("button").click()
    expect(row).to_contain_text(visit.says("users.open.none"))
    other.page.goto("/devices")
    other.page.wait_for_url("**/sign-in?*")
    visit.sign_out()


@LANGS
def test_an_auditor_searches_the_log_for_a_person(sign_in, lang):
    sign_in("Tova Tekniker", lang, f"/devices/{CHAIR}").sign_out()
    visit = sign_in("Greta Granskare", lang, "/access-log")
    page = visit.page
    page.get_by_text(visit.says("log.person"), exact=True).click()
    page.get_by_label(visit.says("log.person.pseudonym")).fill("p-fk-20417")
    visit.button("log.person.do").click()
    rows = page.locator("tbody tr")
    expect(rows.filter(has_text="Tova Tekniker").first).to_be_visible()
    assert rows.count() == rows.filter(has_text="p-fk-20417").count()
    assert "p-fk-20417" not in page.url
    expect(page.get_by_role("heading", name=visit.says("log.chain"))).to_be_visible()
    visit.sign_out()
