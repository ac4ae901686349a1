"""The technician's page of one device, finding one, and adding the first."""

from __future__ import annotations

import re

import pytest
from support.people import bearer

from fleet.access.callers import Role
from fleet.wire.topics import shard_of

CHAIR, APAP, SILENT, METER, NEVER = "fk-20417", "fk-31102", "fk-20555", "fk-40001", "fk-50055"


def get(client, path, lang="sv", **headers):
    joint = "&" if "?" in path else "?"
    response = client.get(f"{path}{joint}lang={lang}", **headers)
    assert response.status_code == 200, response.text
    return response.text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_page_says_in_one_sentence_how_the_device_is(client):
    page = get(client, f"/devices/{CHAIR}")
    sentence = re.search(r'class="standing (\w+)" id="standing"><strong>(.*?)</strong>', page)
    assert sentence[1] == "bad"
    assert sentence[2].startswith("3B00 · Vänster drivmotor är inte ansluten")
    assert "Användbarhet: går inte att använda." in sentence[2]
    assert "har aldrig hörts av" in get(client, f"/devices/{NEVER}")


def test_faults_are_told_in_words_the_code_first(client):
    page = get(client, f"/devices/{CHAIR}").partition('<ol class="troubles">')[2]
    first = page.partition("</li>")[0]
    assert re.search(r">3B00</a> · <strong>Vänster drivmotor är inte ansluten</strong>", first)
    assert re.search(r"3 gånger sedan .* · sammanlagt \d tim · pågår", first)
    assert "Kontrollera vänster drivmotors kontakt" in first
    english = get(client, f"/devices/{CHAIR}", "en")
    assert re.search(r"3 times since .* · \d h in all · ongoing", english)


def test_the_timeline_is_drawn_on_the_axis_of_the_charts(client):
    page = get(client, f"/devices/{CHAIR}?range=7d")
    ticks = [
        re.findall(r'class="tick x[^"]*" x="([\d.]+)"', part)
        for part in page.split("<svg class=")[1:6]
    ]
    assert len(ticks) == 5
    assert all(one == ticks[0] for one in ticks)
    assert page.count('<rect class="bar') == 4


def test_moving_without_script_leads_from_window_to_window(client):
    page = get(client, f"/devices/{CHAIR}")
    links = dict(re.findall(r'<a href="([^"]+)" data-move="(\w+)"', page))
    moves = {word: address.replace("&amp;", "&") for address, word in links.items()}
    assert set(moves) == {"earlier", "closer", "wider"}
    there = client.get(moves["earlier"]).text
    assert "Visar 24 timmar kring" in there
    assert 'data-move="later"' in there
    assert "range=6h" in moves["closer"]
    assert "range=7d" in moves["wider"]


def test_a_form_without_script_goes_to_a_swedish_time(client, fleet):
    year = fleet.now.year - 1
    page = get(client, f"/devices/{CHAIR}?at={year}-07-15T14:00&range=24h")
    assert f"15 juli {year} 14.00" in page
    assert f"at={year}-07-15T12%3A00Z" in page


def test_the_charts_alone_are_those_of_the_page(client):
    query = "from=2026-01-01T00:00Z&to=2026-01-02T00:00Z"
    part = get(client, f"/devices/{CHAIR}/charts?{query}")
    assert part.lstrip().startswith('<div id="view"')
    assert "<html" not in part
    assert part.count("<figure") == 5
    whole = get(client, f"/devices/{CHAIR}?range=24h")
    assert 'id="view"' in whole
    response = client.get("/devices/nobody/charts")
    assert response.status_code == 404


def test_a_free_window_is_shown_by_its_ends(client):
    page = get(client, f"/devices/{CHAIR}?from=2026-01-01T00:00Z&to=2026-01-03T12:00Z")
    assert "Visar tor 1 jan 01.00 till lör 3 jan 13.00" in page


def test_contact_clock_and_versions_say_what_is_known(client):
    page = get(client, f"/devices/{CHAIR}").partition('id="quality"')[2].partition("</section>")[0]
    assert re.search(r"\d+ %</strong><br><small>hördes av i \d+ av 28 perioder om 12 tim", page)
    assert "2.4.1" in page
    assert re.search(r"enligt hjälpmedlet \w+", page)
    meter = get(client, f"/devices/{METER}").partition('id="quality"')[2]
    assert "kan inte bedömas" in meter


def test_values_about_the_person_are_the_prescribers_to_see(client):
    staff = get(client, f"/devices/{APAP}")
    assert "Värden om personen eller behandlingen (1 st.) visas inte här" in staff
    assert "AHI" not in staff
    prescriber = get(client, f"/devices/{APAP}", headers=bearer(Role.PRESCRIBER))
    assert "visas inte här. De hör till vården" not in prescriber
    assert "3,1" in prescriber


def settings_on(client, device, lang="sv", **headers):
    page = get(client, f"/devices/{device}", lang, **headers)
    return page.partition('id="settings"')[2].partition("</section>")[0]


def test_the_settings_of_a_chair_are_told_with_since_when_and_what_was_before(client):
    told = settings_on(client, CHAIR)
    assert re.search(r"Högsta fart framåt</dt><dd><strong>80 %</strong><br><small>sedan \w", told)
    assert "Högsta fart framåt: 70 % → 80 %" in told
    assert told.index("Körprofil") < told.index("Högsta fart framåt") < told.index("x_odd_name")
    assert "Körprofil:" not in told, "it has never changed"
    assert "<script>" not in told
    assert "Behandlingsinställningar" not in told
    english = settings_on(client, CHAIR, "en")
    assert "Top speed forward: 70% → 80%" in english


def test_settings_of_the_treatment_are_the_prescribers_to_see(client):
    staff = settings_on(client, APAP)
    assert "Behandlingsinställningar (1 st.) visas inte här" in staff
    assert "näsmask → helmask" in staff
    assert "tryck" not in staff
    assert "14,2" not in staff
    prescriber = settings_on(client, APAP, headers=bearer(Role.PRESCRIBER))
    assert "Högsta tryck</dt><dd><strong>14,2 cmH₂O</strong>" in prescriber
    assert "Högsta tryck: 13,0 → 14,2" in prescriber.replace(" cmH₂O", "")
    assert "Behandlingsinställningar" not in prescriber


def test_a_device_that_says_nothing_of_settings_has_none(client):
    assert "Hjälpmedlet rapporterar inga inställningar." in settings_on(client, METER)


def test_a_metric_about_the_person_is_not_drawn_for_staff(client):
    drawn = get(client, f"/devices/{APAP}?metric=ahi_per_h&range=7d")
    assert "ahi_per_h" not in re.sub(r'(href|action|value|data-address)="[^"]*"', "", drawn)
    path = f"/devices/{APAP}/charts?metric=ahi_per_h&range=7d"
    assert drawn.count("<figure") == get(client, path).count("<figure")
    mine = get(client, path, headers=bearer(Role.PRESCRIBER))
    assert mine.count("<figure") == 2


@pytest.mark.parametrize("path", [f"/devices/{CHAIR}", f"/devices/{CHAIR}/charts"])
def test_another_units_prescriber_finds_nothing(client, path):
    stranger = bearer(Role.PRESCRIBER, care_unit="SE2321000016-VE99")
    assert client.get(path, headers=stranger).status_code == 404
    centre = bearer(Role.TECHNICIAN, centre="syd")
    assert client.get(path, headers=centre).status_code == 404


# Find --------------------------------------------------------------------------------------------


def find(client, typed, **headers):
    return client.get("/find", params={"q": typed, "lang": "sv"}, follow_redirects=False, **headers)


@pytest.mark.parametrize(
    "typed",
    [
        CHAIR, "FK-20417", "fk20417", "4471 0293", "44710293", "4471-0293", " 4471 0293 ",
        "OB-88213-A", "ob88213a", "(01)07312345678909(21)OB-88213-A",
        "]d2010731234567890921OB-88213-A", "(8004)44710293", "4471 02",
        "https://id.gs1.org/01/07312345678909/21/OB-88213-A",
    ],
)  # fmt: skip
def test_what_is_printed_on_a_device_leads_straight_to_it(client, typed):
    response = find(client, typed)
    assert response.status_code == 303
    assert response.headers["location"] == f"/devices/{CHAIR}?lang=sv"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "Skriv det som står på hjälpmedlet"),
        ("(01)07312345678909", "vilken produkt det är"),
        ("07312345678909", "vilken produkt det är"),
        ("(01)07312345678901(21)A", "Koden lästes fel"),
        ("<i>x</i>", "Inget hjälpmedel med märkningen &lt;i&gt;x&lt;/i&gt;"),
        ("100%", "Inget hjälpmedel med märkningen"),
        ("fk_", "Inget hjälpmedel med märkningen"),
        ("\0", "Inget hjälpmedel med märkningen"),
        ("- -", "Inget hjälpmedel med märkningen"),
        ("4471", "3 hjälpmedel stämmer"),
        ("4480", "De 50 första visas"),
    ],
)
def test_finding_says_what_it_found(client, typed, says):
    response = find(client, typed)
    assert response.status_code == 200
    assert says in response.text


def test_a_whole_mark_wins_over_those_that_begin_so(client):
    assert find(client, "fk-50001").headers["location"] == "/devices/fk-50001?lang=sv"


def test_finding_keeps_within_reach_and_shows_no_person(client):
    centre = bearer(Role.TECHNICIAN, centre="syd")
    assert find(client, "4471 0293", headers=centre).status_code == 200
    assert find(client, "4471 1145", headers=centre).status_code == 303
    assert find(client, "4471 0293", headers=bearer(Role.PATIENT)).status_code == 403
    assert "p-fk" not in find(client, "4471").text


# The first device --------------------------------------------------------------------------------


def ticks(page):
    return re.findall(r'<span class="tick-off (\w+)">', page)


def test_the_steps_tick_themselves_off(client):
    assert ticks(get(client, "/first-run")) == []
    assert ticks(get(client, "/first-run?device=wc-new")) == ["open", "open", "open"]
    assert ticks(get(client, f"/first-run?device={NEVER}")) == ["done", "open", "open"]
    done = get(client, f"/first-run?device={CHAIR}")
    assert ticks(done) == ["done", "done", "done"]
    assert "dess värden kommer in" in done


def test_the_steps_have_what_the_device_needs(client):
    page = get(client, "/first-run?device=wc-new&model=resmed-airsense-11")
    assert f"fk/1/{shard_of('wc-new'):02x}/exempel/wc-new/up/bulk" in page
    assert "fjarrkoll device add wc-new --tenant exempel --model resmed-airsense-11" in page
    assert "-subj /CN=wc-new" in page


def test_what_was_refused_is_shown_with_its_reason(client):
    page = get(client, f"/first-run?device={CHAIR}").partition('id="refused"')[2]
    assert page.count("<li>") == 3
    assert "orimlig tid" in page
    assert "<script>alert" not in page
    assert "Inget från det här id:t" in get(client, "/first-run?device=wc-new")


@pytest.mark.parametrize("device", ["a b", "å", "x/y", "%00", "a" * 70])
def test_an_id_that_can_be_none_is_said_so(client, device):
    page = get(client, f"/first-run?device={device}&model=nonsense")
    assert "Ett id har 1 till 64 tecken" in page
    assert ticks(page) == []


def test_the_first_device_is_the_administrators(client):
    assert client.get("/first-run", headers=bearer(Role.TECHNICIAN)).status_code == 403
    assert "/first-run" in get(client, "/devices")
    assert "/first-run" not in get(client, "/devices", headers=bearer(Role.TECHNICIAN))
