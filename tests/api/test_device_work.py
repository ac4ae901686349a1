"""The device's page on work: what was done before, what is wrong without a ticket, a new one."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from support.people import bearer

from fleet.access.callers import Role

CHAIR, SILENT = "fk-20417", "fk-20555"
FINDING_NO = 999_998


def page_of(client, device, lang="sv", role=Role.ADMINISTRATOR):
    response = client.get(f"/devices/{device}?lang={lang}", headers=bearer(role))
    assert response.status_code == 200, response.text
    return response.text.replace("\N{NO-BREAK SPACE}", " ")


def part(page, section):
    return page.partition(f'id="{section}"')[2].partition("</section>")[0]


def test_earlier_repairs_stand_with_outcome_part_and_minutes(client):
    told = part(page_of(client, SILENT), "ended")
    cells = [re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", told)]
    assert cells[0].endswith("Ärende 4 · avslutat")
    assert cells[2:] == ["Del utbytt", "motorkontakt", "40"]
    assert f'href="/?device={SILENT}&amp;state=ended&amp;lang=sv"' in told
    assert "Inga avslutade ärenden." in part(page_of(client, CHAIR), "ended")


def test_the_link_leads_to_the_ended_tickets_of_the_device(client):
    found = client.get(f"/?device={SILENT}&state=ended&lang=sv").text
    assert "/tickets/4" in found
    assert "/tickets/1?" not in found


def test_the_newest_repairs_stand_first_and_not_all_of_them(client, fleet):
    with psycopg.connect(fleet.url, autocommit=True) as conn, ended_tickets(conn, 11):
        told = part(page_of(client, CHAIR), "ended")
    numbers = [int(number) for number in re.findall(r"/tickets/(\d+)", told)]
    assert len(numbers) == 10
    assert numbers == sorted(numbers, reverse=True)
    assert "De 10 senaste visas." in told
    assert "· makulerat" in told


@contextmanager
def ended_tickets(conn, count):
    """As many void copies of the chair's ticket, each an hour after the other."""
    columns = conn.execute(
        "SELECT string_agg(column_name, ', ') FROM information_schema.columns"
        " WHERE table_name = 'ticket' AND is_generated = 'NEVER'"
        " AND column_name NOT IN ('ticket_no', 'state', 'known_at', 'is_active')"
    ).fetchone()[0]
    conn.execute(
        f"INSERT INTO ticket ({columns}, state, known_at)"
        f" SELECT {columns}, 'void', known_at + n * interval '1 hour'"
        f" FROM ticket, generate_series(1, {count}) n WHERE ticket_no = 1 ORDER BY n"
    )
    try:
        yield
    finally:
        conn.execute(
            "DELETE FROM ticket WHERE ticket_no > 1 AND state = 'void' AND device_no ="
            " (SELECT device_no FROM ticket WHERE ticket_no = 1)"
        )


def test_a_ticket_about_many_stands_with_each_of_them_that_is_still_broken(client, fleet):
    number = fleet.tickets["incident"]
    with psycopg.connect(fleet.url) as conn:
        rows = conn.execute(
            "SELECT DISTINCT ON (f.ended_at IS NULL) d.id, f.ended_at IS NULL FROM device d"
            " JOIN finding f USING (device_no) JOIN ticket_finding USING (finding_no)"
            " WHERE ticket_no = %s AND d.id > 'fk-50045' ORDER BY f.ended_at IS NULL, d.id",
            [number],
        ).fetchall()
    assert len(rows) == 2
    for device, is_broken in rows:
        page = page_of(client, device)
        opened = page.partition("<h2>Öppna ärenden</h2>")[2].partition("</section>")[0]
        assert (f"/tickets/{number}?" in opened) is is_broken
        assert ("gäller 24 hjälpmedel" in opened) is is_broken
        assert 'id="findings"' not in page


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.TECHNICIAN, True), (Role.SERVICE_DESK, True), (Role.CENTRE_MANAGER, True),
        (Role.ADMINISTRATOR, False), (Role.AUDITOR, False), (Role.PRESCRIBER, False),
    ],
)  # fmt: skip
def test_who_may_open_a_ticket_is_led_to_one_about_this_device(client, role, may):
    page = page_of(client, CHAIR, role=role)
    assert (f'href="/new-ticket?device={CHAIR}&amp;lang=sv"' in page) is may
    if may:
        form = client.get(f"/new-ticket?device={CHAIR}", headers=bearer(role)).text
        assert f'value="{CHAIR}"' in form


def test_a_ticket_whose_user_we_know_nothing_of_leads_to_where_it_is_said(client, fleet):
    path = f"/tickets/{fleet.tickets['missed']}?lang=sv"
    link = 'href="/devices/fk-50054?lang=sv#lending">Ange det'
    for role, may in ((Role.SERVICE_DESK, True), (Role.TECHNICIAN, False)):
        assert (link in client.get(path, headers=bearer(role)).text) is may


# Findings that no open ticket is about


@contextmanager
def finding(fleet, need, about="vr2/7100", device=CHAIR, episodes=(), tickets=()):
    """An open finding of a device, made of one that a ticket has."""
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        conn.execute(
            "CREATE TEMP TABLE one AS SELECT f.* FROM finding AS f"
            " JOIN ticket_finding USING (finding_no) WHERE ticket_no = 2 LIMIT 1"
        )
        conn.execute(
            "UPDATE one SET finding_no = %s, need = %s, about = %s, ended_at = NULL,"
            " started_at = %s, detail = detail || jsonb_build_object('episodes', %s::bigint[]),"
            " device_no = (SELECT device_no FROM device WHERE id = %s)",
            (FINDING_NO, need, about, fleet.now - timedelta(hours=2), list(episodes), device),
        )
        conn.execute("INSERT INTO finding OVERRIDING SYSTEM VALUE SELECT * FROM one")
        for ticket in tickets:
            conn.execute("INSERT INTO ticket_finding VALUES (%s, %s)", (ticket, FINDING_NO))
        try:
            yield conn
        finally:
            conn.execute("DELETE FROM finding WHERE finding_no = %s", (FINDING_NO,))


@pytest.mark.parametrize(
    ("need", "sv", "en"),
    [
        ("ticket", "Ärendet är på väg.", "The ticket is on its way."),
        ("held", "bedöms på nytt om en stund", "will be judged again in a while"),
        ("quiet", "inte hos användaren", "not with its user"),
        ("explained", "Ett annat fel förklarar det.", "Another fault explains it."),
    ],
)
def test_what_is_wrong_without_a_ticket_says_since_when_and_why(client, fleet, need, sv, en):
    with finding(fleet, need):
        swedish, english = (part(page_of(client, CHAIR, lang), "findings") for lang in ("sv", "en"))
    assert sv in swedish
    assert re.search(r"Sedan \w+ \d+ \w+ .* · känt .* · tillförlitlighet: ", swedish)
    assert en in english
    assert f"/devices/{CHAIR}?range=24h" in swedish
    assert 'id="findings"' not in page_of(client, CHAIR)


def test_a_fault_that_explains_another_is_told_in_words(client, fleet):
    with finding(fleet, "explained") as conn:
        numbers = [
            conn.execute(
                "INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at,"
                " raised_n, cleared_n, logged_n, first_received_at)"
                " SELECT device_no, 'vr2', %s, %s, %s, %s, 1, 1, 0, %s FROM device WHERE id = %s"
                " RETURNING episode_no",
                (code, *[fleet.now - timedelta(hours=3)] * 4, CHAIR),
            ).fetchone()[0]
            for code in ("2C00", "7100")
        ]
        conn.execute(
            "UPDATE finding SET detail = detail || jsonb_build_object('episodes', %s::bigint[])"
            " WHERE finding_no = %s",
            (numbers[1:], FINDING_NO),
        )
        told = part(page_of(client, CHAIR), "findings")
        conn.execute("DELETE FROM episode WHERE episode_no = ANY(%s)", (numbers,))
    assert "Ett annat fel förklarar det: Batterispänningen var för låg." in told


def test_a_finding_whose_ticket_has_ended_names_it(client, fleet):
    with finding(fleet, "ticket", device=SILENT, tickets=[4]):
        told = part(page_of(client, SILENT), "findings")
    assert "Ärendet om det är avslutat, men det kvarstår." in told
    assert 'href="/tickets/4?lang=sv"' in told


@pytest.mark.parametrize(("need", "is_said"), [("held", True), ("quiet", False)])
def test_the_sentence_on_top_does_not_deny_a_finding(client, fleet, need, is_said):
    with finding(fleet, need, device=SILENT):
        page = page_of(client, SILENT)
    sentence = re.search(r'id="standing"><strong>(.*?)</strong>', page)[1]
    assert ("Inget ärende är öppet." in sentence) is is_said
    assert ("Inga kända fel" in sentence) is not is_said


@pytest.mark.parametrize(("need", "tickets"), [("ticket", [1]), ("care", [])])
def test_what_has_a_ticket_or_belongs_to_care_is_not_among_them(client, fleet, need, tickets):
    with finding(fleet, need, tickets=tickets):
        assert 'id="findings"' not in page_of(client, CHAIR)


def test_findings_are_the_staffs_to_see(client, fleet):
    with finding(fleet, "held"):
        assert 'id="findings"' in page_of(client, CHAIR, role=Role.AUDITOR)
        assert 'id="findings"' not in page_of(client, CHAIR, role=Role.PRESCRIBER)


def test_marks_that_are_left_out_are_said(client, fleet):
    assert "felrapporterna i perioden är utmärkta" not in page_of(client, CHAIR)
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO fault_event SELECT device_no, 'e2', n, 0, 'vr2', '7100', 'raised', NULL,"
            " %s - n * interval '1 minute', NULL, %s, 0, NULL FROM device,"
            " generate_series(1, 301) n WHERE id = %s",
            (fleet.now, fleet.now, CHAIR),
        )
        try:
            page = page_of(client, CHAIR)
        finally:
            conn.execute("DELETE FROM fault_event WHERE epoch = 'e2'")
    assert "De 300 senaste felrapporterna i perioden är utmärkta." in page


def test_a_time_that_was_not_shared_is_shaded_and_said_in_the_key(client, fleet):
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO sharing_choice (loan_no, from_at, until_at) SELECT loan_no, %s, %s"
            " FROM loan JOIN device USING (device_no) WHERE id = %s",
            (fleet.now - timedelta(days=3), fleet.now - timedelta(days=2), CHAIR),
        )
        try:
            page = client.get(f"/devices/{CHAIR}?range=7d&lang=sv").text
        finally:
            conn.execute("DELETE FROM sharing_choice")
    assert page.count('<rect class="unshared"') == 3, "two currents, and the key"
    assert "</svg> Användaren delade bara det som säkerheten behöver" in page
    whole = client.get(f"/devices/{CHAIR}?range=7d&lang=sv").text
    assert "</svg> Användaren delade bara" not in whole


@contextmanager
def starts(fleet, *told):
    """Starts of the chair: (days ago or None, firmware, hardware), the oldest first."""
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        for boot, (ago, fw, hw) in enumerate(told, 1):
            at = None if ago is None else fleet.now - timedelta(days=ago)
            conn.execute(
                "INSERT INTO device_boot (device_no, boot, born_at, fw, hw, told_at)"
                " SELECT device_no, %s, %s, %s, %s, %s FROM device WHERE id = %s",
                (boot, fleet.now - timedelta(hours=1), fw, hw, at, CHAIR),
            )
        try:
            yield
        finally:
            conn.execute("DELETE FROM device_boot")


def test_versions_stand_with_when_they_changed(client, fleet):
    told = (60, "2.3", "A"), (50, "2.3", "A"), (3, "2.4", "A"), (None, "2.4.1", "B")
    with starts(fleet, *told):
        swedish, english = (part(page_of(client, CHAIR, lang), "quality") for lang in ("sv", "en"))
        drawn = client.get(f"/devices/{CHAIR}?range=7d&lang=sv").text
        found = client.get(f"/api/v1/devices/{CHAIR}").json()["versions"]
    lines = [re.sub(r"<.*?>", "", line) for line in re.findall(r"<li>(.*?)</li>", swedish)]
    assert [line.partition(" · ")[2] for line in lines] == [
        "programversion 2.4 → 2.4.1, hårdvaruversion A → B",
        "programversion 2.3 → 2.4",
        "programversion 2.3, hårdvaruversion A (det första som är känt)",
    ]
    assert lines[0].startswith("okänt när, känt ")
    assert "firmware 2.3 → 2.4</li>" in english
    assert drawn.count('class="mark version"') == 5, "in four charts and in their key"
    assert [(one["boot"], one["fw"], one["since"] is None) for one in found] == [
        (4, "2.4.1", True), (3, "2.4", False), (1, "2.3", False)
    ]  # fmt: skip


def test_a_version_that_never_changed_has_no_list(client, fleet):
    with starts(fleet, (3, "2.4", "A"), (2, "2.4", "A")):
        assert "Versioner över tid" not in page_of(client, CHAIR)


# What people registered


def test_area_network_batch_and_age_stand_where_they_are_known(client, fleet):
    assert "Tillverkningsparti" not in page_of(client, CHAIR)
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        conn.execute(
            "UPDATE device SET area = 'Norr', batch = '2207', in_service_on = '2019-03-01'"
            " WHERE id = %s",
            [CHAIR],
        )
        try:
            swedish, english = page_of(client, CHAIR), page_of(client, CHAIR, "en")
            care = page_of(client, CHAIR, role=Role.PRESCRIBER)
        finally:
            conn.execute(
                "UPDATE device SET area = NULL, batch = NULL, in_service_on = NULL WHERE id = %s",
                [CHAIR],
            )
    for name, value in (
        ("Område", "Norr"), ("Tillverkningsparti", "2207"), ("I bruk sedan", "1 mars 2019")
    ):  # fmt: skip
        assert f"<dt>{name}</dt><dd>{value}</dd>" in swedish
    assert "<dt>Nätverk</dt>" not in swedish
    assert "<dt>In service since</dt>" in english
    assert "<dt>Område</dt>" not in care


def test_a_hold_is_told_to_those_who_may_list_holds(client, fleet):
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO incident_hold (tenant_no, device_no, why, who, from_at)"
            " SELECT 1, device_no, 'tillbud <b>', 'Anna Ek', now() FROM device WHERE id = %s",
            [CHAIR],
        )
        try:
            told = {role: page_of(client, CHAIR, role=role) for role in (
                Role.ADMINISTRATOR, Role.AUDITOR, Role.TECHNICIAN, Role.CENTRE_MANAGER,
                Role.PRESCRIBER)}  # fmt: skip
            elsewhere = page_of(client, SILENT)
        finally:
            conn.execute("UPDATE incident_hold SET released_at = now(), released_by = 'Anna Ek'")
    seen = {role for role, page in told.items() if "tillbud" in page}
    assert seen == {Role.ADMINISTRATOR, Role.AUDITOR}
    assert "av Anna Ek: <q>tillbud &lt;b&gt;</q>" in told[Role.AUDITOR]
    assert "tillbud" not in elsewhere + page_of(client, CHAIR)
