"""Pages that answer a refused form: their links are of a page that can be read."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from support.people import bearer

from api.app import create_app
from api.routes import endpoints
from fleet.access.callers import Role

HERE = "http://127.0.0.1:8460"
SEEN = {"action": "disable", "why": "semester", "switch_no": "999999"}


@pytest.fixture(scope="module")
def form_paths(settings):
    """The path of every form on a page; the one form that anyone may send aside."""
    return [
        re.sub(r"\{\w+\}", "7", route.path)
        for route in endpoints(create_app(settings).routes)
        if "POST" in route.methods and not route.path.startswith("/api/")
        and route.path != "/sign-out"
    ]  # fmt: skip


def language_link(text):
    return unescape(re.search(r'class="language" href="([^"]+)"', text)[1])


def sign_in_links(text):
    return {unescape(found) for found in re.findall(r'href="(/sign-in\?[^"]+)"', text)}


def next_of(link):
    return parse_qs(urlsplit(link).query)["next"][0]


def test_a_refused_form_leads_to_a_page_that_can_be_read(nobody, form_paths):
    assert len(form_paths) > 10
    for path in form_paths:
        answer = nobody.post(f"{path}?lang=sv", data={"why": "x"}, headers={"Origin": HERE})
        assert answer.status_code == 401, path
        led = {language_link(answer.text), *map(next_of, sign_in_links(answer.text))}
        assert len(led) == 2, path
        for address in led:
            assert nobody.get(address).status_code in {303, 307}, (path, address)


@pytest.mark.parametrize(
    ("path", "referer", "before"),
    [
        ("/tickets/7/actions", "", "/tickets/7"),
        ("/tickets/actions?due=overdue", "", "/tickets?due=overdue"),
        ("/new-ticket", f"{HERE}/new-ticket?device=fk-1", "/new-ticket?device=fk-1"),
        ("/access-log/7/check", f"{HERE}/access-log?sample=5", "/access-log?sample=5"),
        ("/new-ticket", "https://example.org/new-ticket?device=fk-1", "/new-ticket"),
        ("/tickets/7/actions", f"{HERE}/tickets/7/actions?a=b", "/tickets/7"),
    ],
)
def test_whoever_signs_in_again_comes_back_to_the_page_of_the_form(nobody, path, referer, before):
    answer = nobody.post(path, data={"a": "b"}, headers={"Origin": HERE, "Referer": referer})
    assert set(map(next_of, sign_in_links(answer.text))) == {before}


def test_what_was_typed_is_kept_only_for_a_form_of_ours(nobody):
    typed = {"why": '"><b>bytte</b> sladden', "ticket": ["7:1", "8:1"]}
    kept = nobody.post("/tickets/7/actions?lang=sv", data=typed, headers={"Origin": HERE}).text
    assert '<form method="post" action="/tickets/7/actions?lang=sv">' in kept
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', kept)
    assert [(name, unescape(value)) for name, value in fields] == [
        ("why", '"><b>bytte</b> sladden'), ("ticket", "7:1"), ("ticket", "8:1")
    ]  # fmt: skip
    for headers in ({}, {"Origin": "null"}, {"Origin": "https://example.org"}):
        refused = nobody.post("/tickets/7/actions", data=typed, headers=headers)
        assert refused.status_code in {401, 403}
        assert "sladden" not in refused.text
    endless = nobody.post("/new-ticket", data={"text": "x" * 40_000}, headers={"Origin": HERE})
    assert endless.status_code == 401
    assert "xxx" not in endless.text
    assert "Logga in" in endless.text


@pytest.mark.parametrize(
    ("role", "path", "read_at", "told"),
    [
        (Role.ADMINISTRATOR, "/rules/reported-fault/switch", "/rules/reported-fault", SEEN),
        (Role.PRESCRIBER, "/my-loans/overrides", "/my-loans", {"individual_no": "x", "why": "x"}),
        (Role.SERVICE_DESK, "/tickets/actions", "/", {"action": "triage"}),
    ],
)
def test_a_refusal_takes_the_focus_and_its_other_language_is_a_page(
    client, role, path, read_at, told
):
    answer = client.post(f"{path}?lang=sv", data=told, headers=bearer(role))
    assert answer.status_code == 409
    assert re.search(r'role="alert" id="failed" tabindex="-1"', answer.text)
    assert language_link(answer.text) == f"{read_at}?lang=en"


def test_a_page_that_looks_for_news_by_itself_keeps_no_session_alive(nobody, fleet, sessions):
    cookie = sessions(Role.SERVICE_DESK)
    nobody.cookies.set(cookie["name"], cookie["value"])
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        conn.execute(
            "UPDATE login_session SET created_at = created_at - interval '20 minutes',"
            " last_seen_at = last_seen_at - interval '10 minutes'"
        )

        def used_n():
            return conn.execute(
                "SELECT count(*) FROM login_session"
                " WHERE last_seen_at > now() - interval '1 minute'"
            ).fetchone()[0]

        assert nobody.get("/", headers={"X-Unattended": "1"}).status_code == 200
        assert used_n() == 0
        assert nobody.get("/").status_code == 200
        assert used_n() == 1
