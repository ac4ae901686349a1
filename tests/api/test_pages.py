from __future__ import annotations

import re
from html.parser import HTMLParser

import psycopg
import pytest
from starlette.testclient import TestClient
from support.people import access_settings, bearer

from api.app import create_app
from api.process import ApiSettings
from fleet.access.callers import Role
from storage.migrate import migrate

CHAIR, APAP, METER = "fk-20417", "fk-31102", "fk-40001"
ENGLISH = r"\b(ticket|severity|since|unknown|show|latest|gaps)\b"
PAGES = [
    "/",
    "/?state=ended",
    "/?severity=critical",
    f"/?device={CHAIR}",
    "/tickets/1",
    "/tickets/5",
    "/devices",
    "/devices?q=44",
    f"/devices/{CHAIR}",
    f"/devices/{CHAIR}?range=7d",
    f"/devices/{CHAIR}?range=30d&metric=motor_temp_c",
    f"/devices/{APAP}",
    f"/devices/{METER}",
    "/devices/fk-50055",
    "/data-health",
]


class _Markup(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]


def get(client, path, lang="sv"):
    joint = "&" if "?" in path else "?"
    response = client.get(f"{path}{joint}lang={lang}")
    assert response.status_code == 200, response.text
    return response.text


NAMED = [f"/tickets/{{{name}}}" for name in (
    "forecast", "incident", "single", "replaced", "urgent", "missed"
)]  # fmt: skip


@pytest.mark.parametrize("path", [*PAGES, *NAMED])
@pytest.mark.parametrize("lang", ["sv", "en"])
def test_every_page_is_small_sound_and_without_inline_script_or_style(client, fleet, path, lang):
    text = get(client, path.format_map(fleet.tickets), lang)
    assert len(text.encode()) < 150_000
    page = _Markup(text)
    assert not {"style", "iframe", "object", "noscript"} & set(page.tags)
    assert not re.search(r"<script(?! src=\"/static/\w+\.js\?v=\w+\" defer></script>)", text)
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on")]
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("h1") == page.tags.count("main") == 1
    assert f'<html lang="{lang}">' in text
    assert 'class="skip"' in text
    assert not [
        value
        for name, value in page.attributes
        if name in ("src", "href") and value.startswith("http")
    ]


@pytest.mark.parametrize("path", PAGES)
def test_nothing_a_device_sent_becomes_markup(client, path):
    text = get(client, path)
    assert "<script>" not in text
    assert "<b>X" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_canaries_are_shown_escaped(client):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in get(client, f"/devices/{METER}")
    assert "&lt;b&gt;X&lt;/b&gt;" in get(client, "/tickets/5")
    shown = "&lt;i&gt;x&lt;/i&gt;"
    assert shown in get(client, "/devices?q=%3Ci%3Ex%3C/i%3E")
    assert shown in get(client, "/?device=%3Ci%3Ex%3C/i%3E")


def test_swedish_pages_hold_no_english_and_no_exclamation(client, fleet):
    for path in PAGES[:6] + PAGES[8:10] + [name.format_map(fleet.tickets) for name in NAMED]:
        spoken = re.sub(r"(?s)<pre>.*?</pre>", " ", get(client, path))  # commands are in English
        text = re.sub(r"<[^>]+>", " ", spoken)
        assert not re.search(ENGLISH, text, re.IGNORECASE)
        assert "!" not in text


def test_the_language_comes_from_the_address_then_the_browser_then_swedish(client):
    def title(path, accept):
        text = client.get(path, headers={"Accept-Language": accept}).text
        return re.search(r"<title>(.*?) –", text)[1]

    assert title("/", "") == "Ärenden"
    assert title("/", "de") == "Ärenden"
    assert title("/", "en-GB,en;q=0.9") == "Tickets"
    assert title("/", "en;q=0.5, sv;q=0.8") == "Ärenden"
    assert title("/", "en;q=nonsense") == "Ärenden"
    assert title("/?lang=sv", "en") == "Ärenden"
    assert title("/?lang=xx", "en") == "Tickets"


def test_a_chosen_language_follows_every_link_and_can_be_changed(client):
    text = get(client, "/tickets/1", "en")
    inside = re.findall(r'href="(/(?!static)[^"]*)"', text)
    assert inside
    assert all("lang=" in address for address in inside)
    assert 'href="/tickets/1?lang=sv" lang="sv"' in text
    assert 'name="lang" value="en"' in get(client, "/", "en")


def test_the_queue_lists_each_ticket_with_what_a_service_desk_needs(client):
    text = get(client, "/")
    assert re.search(r"<strong>3\d öppna ärenden</strong>", text)
    row = next(row for row in text.split("<tr ") if "/tickets/1?" in row)
    for shown in (
        "Kritiskt",
        "3B00 · Vänster drivmotor",
        "4471 0293",
        "Otto Bock B400",
        "Går inte att använda",
        "akut AU föreslås",
        "Påbörjas senast",
        "dygn",
        "nytt",
    ):
        assert shown in row


def row_of(text, number):
    return next(row for row in text.split("<tr ") if f"/tickets/{number}?" in row)


def test_the_queue_shows_which_deadline_binds_and_how_it_stands(client, fleet):
    text = get(client, "/")
    assert '<strong class="late">försenat</strong>' in row_of(text, fleet.tickets["missed"])
    assert "står stilla" in row_of(text, 3)
    urgent = row_of(text, fleet.tickets["urgent"])
    assert "Klart senast" in urgent
    assert "akut AU föreslås" not in urgent


def test_the_queue_shows_an_incident_with_its_count(client, fleet):
    row = row_of(get(client, "/"), fleet.tickets["incident"])
    assert "24 hjälpmedel" in row
    assert "Samlat ärende: samma fel samtidigt" in row
    assert 'href="/devices/' not in row


def test_the_queue_is_sorted_by_deadline_and_keeps_the_filter_in_the_address(
    client, fleet, monkeypatch
):
    monkeypatch.setattr("api.pages.queue.QUEUE_ROWS", 10)
    text = get(client, "/?kind=AU")
    numbers = re.findall(r"<small>Ärende (\d+)", text)
    assert int(numbers[0]) == fleet.tickets["missed"]
    following = re.search(r'href="([^"]+)">Visa fler', text)[1]
    assert "kind=AU" in following
    more = re.findall(r"<small>Ärende (\d+)", client.get(following.replace("&amp;", "&")).text)
    assert len(more) == 10
    assert not set(numbers) & set(more)
    worst = get(client, "/?sort=severity&kind=AU")
    assert '<option value="severity" selected>' in worst
    assert "sort=severity" in re.search(r'href="([^"]+)">Visa fler', worst)[1]


def test_the_filter_offers_what_there_is(client, fleet):
    text = get(client, "/?due=overdue")
    assert re.findall(r"<small>Ärende (\d+)", text) == [str(fleet.tickets["missed"])]
    assert 'aria-current="true">Försenade: 1</a>' in text
    assert '<option value="norr">Hjälpmedelscentralen Norr</option>' in text
    assert '<option value="Bo Lind">Bo Lind</option>' in text
    assert re.search(r'<details class="filters" id="filter" open>', text)
    assert re.search(r'<details class="filters" id="filter">', get(client, "/"))


def test_only_those_who_work_with_tickets_can_tick_them(client):
    def boxes(role):
        return client.get("/", headers=bearer(role)).text.count('name="ticket"')

    assert boxes(Role.SERVICE_DESK) == boxes(Role.TECHNICIAN) > 30
    assert boxes(Role.AUDITOR) == boxes(Role.ADMINISTRATOR) == 0


def test_the_menu_leads_only_where_the_role_may_go(client):
    for role in (Role.TECHNICIAN, Role.SERVICE_DESK, Role.AUDITOR, Role.PRESCRIBER):
        headers = bearer(role)
        start = client.get("/devices?lang=sv", headers=headers).text
        menu = re.search(r"(?s)<nav aria-label=\"Huvudmeny\">.*?</nav>", start)[0]
        addresses = re.findall(r'href="([^"]+)"', menu)
        assert addresses
        for address in addresses:
            assert client.get(address, headers=headers).status_code == 200, (role, address)


def test_who_is_signed_in_stands_on_the_page_with_the_way_out(client):
    text = get(client, "/")
    assert "Adam Administratör" in text
    assert "<small>Administratör</small>" in text
    assert re.search(r'<form method="post" action="/sign-out\?lang=sv">', text)


def test_files_are_kept_for_good_by_the_address_of_their_version(client):
    address = re.search(r'src="(/static/fjarrkoll\.js\?v=\w+)"', get(client, "/"))[1]
    kept = client.get(address)
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.headers["content-type"].startswith("text/javascript")
    assert "immutable" not in client.get("/static/fjarrkoll.js").headers["cache-control"]
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/texts.py").status_code == 404


def test_the_queue_says_what_to_do_when_nothing_matches(client):
    text = get(client, "/?severity=info")
    assert "Inga ärenden stämmer med urvalet" in text
    assert "Det finns inget hjälpmedel, eller mer än ett, som är märkt nobody" in get(
        client, "/?device=nobody"
    )
    assert get(client, "/?state=bad&severity=worse")  # cannot be used: counts as not said


def test_a_ticket_says_why_it_exists_and_shows_the_evidence(client):
    text = get(client, "/tickets/1")
    for heading in (
        "Vad som har hänt",
        "Att göra",
        "Varför det här ärendet finns",
        "Underlag",
        "Händelser",
    ):
        assert f"<h2>{heading}</h2>" in text
    assert "Ström i vänster drivmotor" in text
    assert text.count('class="mark critical"') >= 2
    assert "Ärendet skapades" in text
    english = get(client, "/tickets/1", "en")
    assert "<h2>Why this ticket exists</h2>" in english
    assert "Left motor disconnected" in english


def test_a_ticket_names_the_rule_and_what_it_saw(client, fleet):
    text = get(client, "/tickets/1")
    assert text.count("<h2>Varför det här ärendet finns</h2>") == 1
    assert "Regel: Hjälpmedlet har rapporterat ett fel" in text
    assert '<span class="code">reported-fault</span>, version 1' in text
    assert "tillförlitlighet: hög (80\N{NO-BREAK SPACE}%)" in text
    forecast = get(client, f"/tickets/{fleet.tickets['forecast']}")
    assert "Räckvidd på en laddning" in forecast
    assert re.search(r"<dd>1\d,\d\N{NO-BREAK SPACE}km</dd>", forecast)
    assert "Uteslutet:</strong> Kyla" in forecast
    assert '<svg class="chart"' in forecast


def test_evidence_leads_to_the_device_at_that_time(client):
    text = get(client, "/tickets/1")
    address = re.search(r'href="(/devices/fk-20417\?at=[^"#]+)', text)[1].replace("&amp;", "&")
    there = client.get(address).text
    assert re.search(r"Visar 24 timmar kring \w+ \d+", there)
    assert "Visa nuläget" in there
    for wrong in ("2026-13-01", "2026-11-20T25:00", "9999-01-01T00:00Z", "%00"):
        assert "Visa nuläget" not in get(client, f"/devices/{CHAIR}?at={wrong}")


def test_a_ticket_says_why_its_deadline_is_that_date(client, fleet):
    text = get(client, "/tickets/1")
    assert "Avhjälpande underhåll: påbörjas inom 3 arbetsdagar" in text
    assert text.count("<summary>Varför just den tiden</summary>") == 2
    assert "dagen då felet blev känt är dag 0" in text or "helg" in text
    assert "Västra Götaland, version 1" in text
    assert "Avtalet lovar ingen tid" in get(client, f"/tickets/{fleet.tickets['forecast']}")
    missed = get(client, f"/tickets/{fleet.tickets['missed']}")
    assert missed.count('<span class="late">försenat</span>') == 2
    assert "Tidsgräns missades: påbörjas senast" in missed
    assert "Meddelande till förskrivaren skrevs" in missed


def test_an_urgent_proposal_says_why_and_that_a_person_answers(client, fleet):
    text = get(client, "/tickets/1")
    assert "Förslag: akut avhjälpande underhåll" in text
    assert "<li>att förflytta sig (det enda sättet)</li>" in text
    assert "Kundtjänst bekräftar eller avböjer." in text
    assert "Bekräfta som akut" not in text
    desk = client.get("/tickets/1?lang=sv", headers=bearer(Role.SERVICE_DESK)).text
    assert "Bekräfta som akut</button>" in desk
    assert "Inte akut</button>" in desk
    confirmed = get(client, f"/tickets/{fleet.tickets['urgent']}")
    assert "Bekräftat som akut." in confirmed
    assert "Bekräfta som akut" not in confirmed
    assert "vi vet inte vad användaren behöver det till" in get(
        client, f"/tickets/{fleet.tickets['missed']}"
    )


def test_linked_tickets_are_links(client, fleet):
    old, new, incident = (fleet.tickets[name] for name in ("replaced", "urgent", "incident"))
    assert f'href="/tickets/{new}?lang=sv">Ersatt av ärende {new}<' in get(
        client, f"/tickets/{old}"
    )
    assert f'href="/tickets/{old}?lang=sv">Ersätter ärende {old}' in get(client, f"/tickets/{new}")
    assert f"Ingår i det samlade ärendet {incident}" in get(
        client, f"/tickets/{fleet.tickets['single']}"
    )


def test_similar_cases_and_the_text_for_the_user_are_on_the_page(client):
    text = get(client, "/tickets/2")
    assert "<h2>Liknande fall tidigare</h2>" in text
    assert "Del utbytt: motorkontakt" in text
    assert "Kontakten i motorkabeln var ärgad." in text
    assert "<h2>Till användaren</h2>" in text
    assert "En tekniker får veta det." in text


def test_an_incident_lists_its_devices_those_to_contact_first_on_top(client, fleet):
    text = get(client, f"/tickets/{fleet.tickets['incident']}")
    assert "Minst 20 hjälpmedel visade samma kod inom en timme." in text
    table = text.partition("Hjälpmedel i det samlade ärendet</h2>")[2].partition("</table>")[0]
    members = table.split("<tr>")[2:]
    assert len(members) == 24
    assert ["kontakta först" in member for member in members[:3]] == [True, True, False]


@pytest.mark.parametrize("subject", ["model:permobil-m3/batch:2207", "area:Norr", "what"])
def test_a_group_ticket_without_evidence_has_a_page(client, fleet, subject):
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        row = conn.execute(
            "INSERT INTO ticket (tenant_no, subject, cause, order_kind, severity, usability,"
            " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
            " updated_at) VALUES (1, %s, 'x', 'supplier', 'info', 'usable', 'supplier', 'battery',"
            " 'Fler', 'More', '', '', now(), now(), now()) RETURNING ticket_no",
            (subject,),
        ).fetchone()
        try:
            for lang in ("sv", "en"):
                assert get(client, f"/tickets/{row[0]}", lang)
                assert get(client, "/?severity=info", lang)
            assert client.get(f"/api/v1/tickets/{row[0]}").json()["members"] == []
            assert client.get(f"/api/v1/tickets/{row[0]}/deadlines").json()["clocks"] == []
        finally:
            conn.execute("DELETE FROM ticket WHERE ticket_no = %s", row)


def test_a_device_page_shows_state_values_charts_faults_and_ledger(client):
    text = get(client, f"/devices/{CHAIR}")
    assert "Anslutet" in text
    assert re.search(r"\d\d,\d\N{NO-BREAK SPACE}V", text)
    assert text.count('<svg class="chart"') == 4
    assert "3B00 · Vänster drivmotor är inte ansluten · inträffade</title>" in text
    assert "4702–4704" in text
    assert "upphörde" in text


def test_hourly_charts_have_a_band_and_broken_lines(client):
    text = get(client, f"/devices/{CHAIR}?range=7d")
    assert text.count('class="band"') > 4 * 6
    line = re.search(r'class="line" d="(M[^"]+)"', text)[1]
    assert line.count("M") >= 7


def test_values_about_the_person_are_not_shown_to_those_who_repair(client):
    text = get(client, f"/devices/{METER}")
    assert "mmHg" not in text
    assert "Värden om personen eller behandlingen (1 st.) visas inte här" in text
    assert "mmHg" not in get(client, f"/devices/{METER}?metric=bp_systolic_mmhg")


def test_a_device_that_was_never_heard_of_has_a_page(client):
    text = get(client, "/devices/fk-50055")
    assert "Har aldrig hörts av" in text or "har aldrig hörts av" in text
    assert "Inga numrerade poster har kommit in." in text


def test_data_health_shows_the_equation_with_its_numbers(client):
    text = get(client, "/data-health")
    assert "✓ Stämmer" in text
    assert "Stämmer inte" not in text
    assert "mqtt-0" in text
    assert "8\N{NO-BREAK SPACE}412" in text
    assert "förlorad på hjälpmedlet" in text


def test_data_health_says_it_plainly_when_the_equation_fails(client, fleet):
    change = "UPDATE intake_total SET stored_n = stored_n + %s WHERE source = 'mqtt-0'"
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        conn.execute(change, (-5,))
        try:
            text = get(client, "/data-health")
            assert client.get("/api/v1/ledger").json()["total"]["holds"] is False
        finally:
            conn.execute(change, (5,))
    assert "✕ Stämmer inte" in text
    assert "Skillnaden är 5." in text


def test_pages_of_an_empty_installation_say_what_comes_next(plain_database):
    migrate(plain_database)
    with psycopg.connect(plain_database) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('exempel', 'Region Exempel')")
    app = create_app(ApiSettings(plain_database, access_settings()))
    headers = bearer(Role.TECHNICIAN)
    with TestClient(app, base_url="http://127.0.0.1", headers=headers) as empty:
        assert "Inga öppna ärenden" in get(empty, "/")
        assert "fjarrkoll device add" in get(empty, "/devices").replace("\n", " ")
        assert "Inga meddelanden har kommit in ännu." in get(empty, "/data-health")


def test_errors_are_pages_for_people(client):
    for path in ("/nothing", "/tickets/999999", "/devices/nobody", "/devices/x%00y"):
        response = client.get(path, headers={"Accept-Language": "sv"})
        assert response.status_code == 404
        assert "Sidan finns inte" in response.text
    assert "Adressen går inte att förstå" in client.get("/tickets/x").text
    assert client.get("/devices?cursor=bad").status_code == 422
    assert client.post("/").status_code == 405


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example/x", "///evil.example"])
def test_no_address_makes_the_other_language_lead_away(client, path):
    answer = client.get(f"http://127.0.0.1:8460{path}")
    assert answer.status_code == 404
    links = re.findall(r'href="([^"]*lang=en)"', answer.text)
    assert links
    assert [link for link in links if not re.match(r"/[^/\\]", link)] == []


@pytest.mark.parametrize("name", ["path", "self", "query", "kept"])
def test_a_parameter_of_any_name_is_kept_in_the_address(client, name):
    answer = client.get(f"/tickets?{name}=x", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, f"/?{name}=x")


def test_the_old_address_of_the_queue_leads_there(client):
    response = client.get("/tickets?severity=major&lang=en", follow_redirects=False)
    assert response.status_code == 307
    assert response.headers["location"] == "/?severity=major&lang=en"


def test_the_queue_pages_on(client, monkeypatch):
    monkeypatch.setattr("api.pages.queue.QUEUE_ROWS", 10)
    path, seen = "/?lang=sv", []
    for _ in range(10):
        text = client.get(path).text
        seen += re.findall(r"<small>Ärende (\d+)", text)
        following = re.search(r'href="([^"]+)">Visa fler', text)
        if following is None:
            break
        path = following[1].replace("&amp;", "&")
    open_n = sum(client.get("/api/v1/tickets").json()["open_n"].values())
    assert len(seen) == len(set(seen)) == open_n
