"""The technician's task in a real browser: find a device and look along its time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from fleet.access.callers import Role

PICTURES = Path(__file__).parents[2] / "test-artefacts" / "screenshots"
CHAIR = "/devices/fk-20417"
HOUR_MS = 3600e3


@pytest.fixture
def opened(browser, server, sessions):
    """Opens a page as somebody; a complaint of the browser fails the test."""
    contexts, complaints = [], []

    def open_as(role=Role.TECHNICIAN, width=1280, script=True, touch=False):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            locale="sv-SE",
            base_url=server,
            java_script_enabled=script,
            has_touch=touch,
        )
        contexts.append(context)
        context.add_cookies([{**sessions(role), "url": server}])
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []


def span(page):
    """From when to when the drawings are, in hours before the page was made."""
    return page.evaluate(
        "(() => { const d = document.getElementById('view').dataset;"
        f" return [d.low, d.high].map((ms) => (d.now - ms) / {HOUR_MS}); }})()"
    )


def drawn(page, act):
    """Do something, wait until the server has drawn anew, and say what is shown."""
    with page.expect_response(lambda answer: "/charts?" in answer.url) as answer:
        act()
    assert answer.value.status == 200
    expect(page.locator("#view.live:not([data-busy])")).to_be_visible()
    return span(page)


def test_keys_move_and_zoom_and_keep_the_focus(opened):
    page = opened()
    page.goto(f"{CHAIR}?range=7d")
    page.focus("#plots")
    low, high = drawn(page, lambda: page.keyboard.press("ArrowLeft"))
    assert (low, high) == (pytest.approx(210, abs=0.1), pytest.approx(42, abs=0.1))
    low, high = drawn(page, lambda: page.keyboard.press("+"))
    assert (low - high, low) == (pytest.approx(84, abs=0.1), pytest.approx(168, abs=0.1))
    low, high = drawn(page, lambda: page.keyboard.press("-"))
    assert low - high == pytest.approx(168, abs=0.1)
    assert page.evaluate("document.activeElement.id") == "plots"
    low, high = drawn(page, lambda: page.keyboard.press("ArrowRight"))
    assert high == pytest.approx(0, abs=0.1)


def test_dragging_moves_in_time_and_the_address_follows(opened):
    page = opened()
    page.goto(f"{CHAIR}?range=7d")
    chart = page.locator("figure:not(.timeline) svg.chart").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag():
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + box["width"] * 456 / 520 / 4, y, steps=4)
        page.mouse.up()

    low, high = drawn(page, drag)
    assert high == pytest.approx(42, abs=1)
    assert low - high == pytest.approx(168, abs=0.1)
    page.reload()
    assert span(page)[1] == pytest.approx(high, abs=0.1)


def test_the_wheel_zooms_only_with_control_so_that_the_page_still_scrolls(opened):
    page = opened()
    page.goto(f"{CHAIR}?range=7d")
    page.locator("figure:not(.timeline) svg.chart").first.hover()

    def wheel():
        page.keyboard.down("Control")
        page.mouse.wheel(0, -120)
        page.keyboard.up("Control")

    low, high = drawn(page, wheel)
    assert low - high == pytest.approx(134.4, abs=0.2)
    page.evaluate(
        "void (window.scrolled = new Promise((done) =>"
        " addEventListener('scroll', () => done(true), { once: true })))"
    )
    page.mouse.wheel(0, 200)
    assert page.evaluate("window.scrolled")
    assert span(page) == [low, high]


def test_the_same_moves_are_links_without_script(opened):
    page = opened(script=False)
    page.goto(f"{CHAIR}?range=7d")
    expect(page.locator("#keys")).to_be_hidden()
    expect(page.locator(".reader")).to_have_count(0)
    page.click("[data-move=earlier]")
    expect(page.locator("#shown")).to_contain_text("Visar 7 dygn kring")
    page.click("[data-move=closer]")
    expect(page.locator("#shown")).to_contain_text("Visar 24 timmar kring")
    page.fill("input[name=at]", "2026-01-15T14:00")
    page.click("form.at button")
    expect(page.locator("#shown")).to_contain_text("15 jan")


def chart_of(page, name):
    return page.locator("figure[data-points]", has=page.get_by_role("heading", name=name))


def last_in_words(figure):
    """Value and time of the last point, as the server says them below the drawing."""
    text = figure.locator("figcaption > p").inner_text()
    return re.search(r"(?:senast|latest) (\S+\sV) (.*)$", text).groups()


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_pointing_reads_when_and_how_much(opened, lang):
    page = opened()
    page.goto(f"{CHAIR}?range=7d&lang={lang}")
    figure = chart_of(page, {"sv": "Batterispänning", "en": "Battery voltage"}[lang])
    svg = figure.locator("svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 507 / 520, box["y"] + box["height"] / 2)
    value, at = last_in_words(figure)
    expect(figure.locator(".read")).to_contain_text(f"{at} · {value} (")
    expect(figure.locator(".cursor")).to_have_count(1)
    page.mouse.move(box["x"] + box["width"] * 60 / 520, box["y"] + box["height"] / 2)
    expect(figure.locator(".read")).not_to_contain_text(at)


def test_keys_read_a_chart_and_lead_to_its_faults(opened):
    page = opened()
    page.goto(f"{CHAIR}?range=7d")
    figure = chart_of(page, "Batterispänning")
    slider = page.get_by_label("Läs av Batterispänning")
    value, at = last_in_words(figure)
    expect(slider).to_have_attribute("aria-valuetext", re.compile(f"^{re.escape(at)} · {value} "))
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(figure.locator(".read")).not_to_contain_text(at)
    page.keyboard.press("PageDown")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("3B00 · Vänster drivmotor"))
    page.keyboard.press("Shift+Tab")
    expect(figure.get_by_role("link", name="Visa felet i listan")).to_be_focused()
    page.keyboard.press("Enter")
    target = page.locator(".troubles li:target")
    expect(target).to_contain_text("3B00")
    page.goto(f"{CHAIR}?range=7d")
    page.focus("#plots")
    drawn(page, lambda: page.keyboard.press("ArrowLeft"))
    expect(page.get_by_label("Läs av Batterispänning")).to_have_count(1)


def test_a_fault_that_is_tapped_says_what_it_is(opened):
    page = opened(width=360, touch=True)
    page.goto(f"{CHAIR}?range=7d")
    for figure, mark in (
        (chart_of(page, "Batterispänning"), ".mark.major .sign"),
        (page.locator("figure.timeline"), ".lane.major .bar"),
    ):
        sign = figure.locator(mark).last
        sign.scroll_into_view_if_needed()
        box = sign.bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] / 2 + 8, box["y"] + box["height"] / 2)
        expect(figure.locator(".read")).to_contain_text("7100 · ")
        expect(figure.locator(".read")).to_have_attribute("aria-live", "polite")
        code = figure.locator(".read a").evaluate(
            "(link) => document.querySelector(link.hash).dataset.code"
        )
        assert code == "vr2/7100"


@pytest.mark.parametrize(("lang", "words"), [("sv", "pågår"), ("en", "ongoing")])
def test_a_technician_finds_a_device_and_reads_what_is_wrong(opened, lang, words):
    page = opened()
    page.goto(f"/find?lang={lang}")
    expect(page.locator("#mark")).to_be_focused()
    page.keyboard.type("44710293")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{CHAIR}?lang={lang}")
    expect(page.locator("#standing")).to_contain_text("3B00")
    expect(page.locator(".troubles li").first).to_contain_text(words)


def test_scanning_is_offered_where_the_browser_can_and_fills_the_field(opened):
    page = opened()
    page.add_init_script(_SCANNER)
    page.goto("/find")
    page.click("#scan")
    page.wait_for_url(f"**{CHAIR}")
    plain = opened()
    plain.add_init_script("delete window.BarcodeDetector")
    plain.goto("/find")
    expect(plain.locator("#scan")).to_be_hidden()


# Chromium without a desktop reads no codes and has no camera: both are stood in for, at the edge.
_SCANNER = """
window.BarcodeDetector = class {
  static async getSupportedFormats() { return ["data_matrix"]; }
  async detect() { return [{ rawValue: "]d2010731234567890921OB-88213-A" }]; }
};
navigator.mediaDevices.getUserMedia = async () =>
  document.createElement("canvas").captureStream(1);
HTMLMediaElement.prototype.play = async () => {};
"""


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize(
    ("name", "path", "role"),
    [
        ("device-technician", f"{CHAIR}?range=7d", Role.TECHNICIAN),
        ("device-desk", CHAIR, Role.SERVICE_DESK),
        ("device-never", "/devices/fk-50055", Role.TECHNICIAN),
        ("find-many", "/find?q=4471", Role.TECHNICIAN),
        ("find-none", "/find?q=100%25", Role.TECHNICIAN),
        ("first-run", "/first-run?device=fk-20417", Role.ADMINISTRATOR),
    ],
)
def test_a_page_fits_wide_and_narrow(opened, name, path, role, width):
    page = opened(role, width)
    page.goto(path)
    for summary in page.locator("#lending summary").all():
        summary.click()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}-{width}.png", full_page=True)
    scroll, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert scroll <= window
