"""`fjarrkoll ticket`, `fjarrkoll loan`, `fjarrkoll device place|describe` against a database."""

from __future__ import annotations

import json

import psycopg
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("storage.deadlines", reason="tickets call the clocks, which are not there")

from fjarrkoll.commands import lending, ticket
from fleet.ticket_actions import Action
from fleet.ticket_states import State

RUNNER = CliRunner()
APPS = {"ticket": ticket.app, "loan": lending.loan_app, "device": lending.device_app}


@pytest.fixture
def url(plain_database) -> str:
    with psycopg.connect(plain_database) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R')")
        conn.execute("INSERT INTO model VALUES ('m3', 'powered_wheelchair', 'maker', 'name')")
        conn.execute(
            "INSERT INTO device (id, tenant_no, model_id, shard)"
            " SELECT 'chair-1', tenant_no, 'm3', 7 FROM tenant"
        )
        for cause, because in (("left_brake", ["toilet"]), ("battery", [])):
            conn.execute(
                "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability,"
                " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
                " updated_at, urgent_because) SELECT device_no, tenant_no, %s, 'AU', 'critical',"
                " 'unusable', 'technician', 'brake', 'Bromsen svarar inte', 'The brake is silent',"
                " 'Kör inte.', 'Do not drive.', now(), now(), now(), %s FROM device",
                [cause, because],
            )
    return plain_database


@pytest.fixture
def run(url, monkeypatch):
    monkeypatch.setenv("FJARRKOLL_DATABASE_URL", url)

    def one(line: str, *more: str, status: int = 0) -> str:
        noun, *arguments = line.split()
        done = RUNNER.invoke(APPS[noun], [*arguments, *more])
        assert done.exit_code == status, (line, done.output, done.exception)
        return done.output

    return one


@pytest.fixture
def answer(run):
    return lambda line, *more: json.loads(run(line, *more, "--json"))


def test_every_action_has_a_command_and_every_command_an_example():
    commands = {
        noun: typer.main.get_command(app).commands  # type: ignore[attr-defined]
        for noun, app in APPS.items()
    }
    spelled = {
        Action.TAKE: "assign",
        Action.CONFIRM_URGENT: "urgent",
        Action.DECLINE_URGENT: "urgent",
    }
    assert {spelled.get(action, str(action)) for action in Action} <= set(commands["ticket"])
    for noun, own in commands.items():
        for name, command in own.items():
            assert f"Example: fjarrkoll {noun} {name}" in command.help
            options = {option for parameter in command.params for option in parameter.opts}
            assert "--json" in options
            assert "--dry-run" in options or name in ("list", "show")


def test_a_ticket_is_worked_off(run, answer):
    (first, second) = answer("ticket list")["tickets"]
    no = first["ticket_no"]
    assert answer(f"ticket assign {no}", "--who", "Anna Ek", "--dry-run") == {
        "ticket_no": no, "state": "assigned", "version": 2, "replaced_by_no": None, "dry_run": True,
    }  # fmt: skip
    assert answer(f"ticket show {no}")["state"] == "new"
    assert run(f"ticket triage {no} --who Anna") == f"ticket {no} is triaged\n"
    run(f"ticket assign {no} --who Anna")
    run(f"ticket assign {no} --who Anna --to Bo --why semester")
    run(f"ticket wait {no} --who Bo --reason part_on_order")
    run(f"ticket resume {no} --who Bo")
    assert run(f"ticket comment {no} --who Anna --note ringde") == f"ticket {no} is assigned\n"
    run(f"ticket solve {no} --who Bo --outcome part_replaced --part broms --minutes 40")
    run(f"ticket reopen {no} --who Anna --why skaver")
    run(f"ticket solve {no} --who Bo --outcome real_fault --minutes 5")
    run(f"ticket close {no} --who Anna --why provkörd")
    shown = answer(f"ticket show {no}")
    assert (shown["state"], shown["outcome"], shown["outcome_minutes"]) == (
        "closed", "real_fault", 45,
    )  # fmt: skip
    assert [event["kind"] for event in shown["events"] if event["who"] in ("Anna", "Bo")] == [
        "triaged", "assigned", "assigned", "waiting", "resumed", "commented", "solved", "reopened",
        "solved", "closed",
    ]  # fmt: skip
    assert shown["actions"] == {}
    assert [t["ticket_no"] for t in answer("ticket list")["tickets"]] == [second["ticket_no"]]
    assert [t["ticket_no"] for t in answer("ticket list --state closed")["tickets"]] == [no]


def test_a_ticket_tells_itself_in_both_languages(run):
    swedish = run("ticket show 1")
    for words in ("Bromsen svarar inte", "avhjälpande underhåll · nytt", "Möjligt nu: tilldela"):
        assert words in swedish
    english = run("ticket show 1 --lang en")
    for words in ("The brake is silent", "repair · new", "Possible now: assign"):
        assert words in english
    assert "Bromsen svarar inte" in run("ticket list")
    assert "The brake is silent" in run("ticket list --lang en")
    assert run("ticket list --assignee Nobody") == "no tickets\n"


def test_another_order_kind_is_another_ticket(run, answer):
    done = answer("ticket reorder 2 supplier --who Anna --why garanti")
    heir = answer(f"ticket show {done['replaced_by_no']}")
    assert (heir["order_kind"], heir["replaces_no"], heir["state"]) == ("supplier", 2, "triaged")
    confirmed = answer("ticket urgent 1 --confirm --who Anna")
    assert answer(f"ticket show {confirmed['replaced_by_no']}")["order_kind"] == "akut AU"
    said = run("ticket void 2 --who Anna --reason duplicate", status=1)
    assert "void is not for a ticket that is void" in said


def test_urgency_can_be_declined(run, answer):
    assert "needs why" in run("ticket urgent 1 --decline --who Anna", status=1)
    run("ticket urgent 1 --decline --who Anna --why reservstol")
    assert answer("ticket show 1")["urgent_answer"] == "declined"
    assert "say --confirm or --decline" in run("ticket urgent 1 --who Anna", status=2)


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("ticket show 99", 1, "there is no ticket 99"),
        ("ticket triage 99 --who Anna", 1, "there is no ticket 99: see `fjarrkoll ticket list`"),
        ("ticket close 1 --who Anna", 1, "close is not for a ticket that is new"),
        ("ticket triage 1", 2, "--who"),
        ("ticket triage 1 --who diagnostics", 1, "give a person's"),
        ("ticket assign 1 --who Anna --to diagnostics", 1, "give a person's"),
        ("ticket solve 1 --who Anna --outcome fine", 2, "use one of real_fault, no_fault_found"),
        ("ticket solve 1 --who Anna --outcome part_replaced", 1, "which part was replaced"),
        ("ticket void 1 --who Anna --reason no", 1, "use one of duplicate"),
        ("ticket reorder 1 akut --who Anna --why x", 2, "use one of AU, akut AU"),
        ("ticket list --state open", 2, "use one of new, triaged"),
        ("ticket show 1 --lang fi", 2, "use sv or en"),
        ("loan start chair-9", 1, "chair-9 is not registered"),
        ("loan start chair-1 --need walking", 2, "use one of sole_mobility"),
        ("loan end chair-1", 1, "is not on loan"),
        ("loan end chair-1 --at 2999-01-01", 2, "lies ahead"),
        ("device place chair-1 moon --who Bo", 2, "use one of in_use, workshop"),
        ("device describe chair-1", 2, "say what to set"),
        ("device describe chair-1 --in-service-on tomorrow", 2, "write it as 2025-03-01"),
    ],
)
def test_wrong_use_is_explained_and_changes_nothing(run, url, line, status, words):
    assert words in run(line, status=status)
    with psycopg.connect(url) as conn:
        tables = ["ticket_event", "loan", "placement", "outbox"]
        counts = [conn.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
    assert counts == [(0,)] * len(tables)


def test_a_reason_that_the_agreement_does_not_allow_is_refused_with_the_list(run, answer):
    run("ticket triage 1 --who Anna")
    said = run("ticket wait 1 --who Anna --reason lunch", status=1)
    assert "part_on_order" in said
    shown = answer("ticket show 1")
    assert (shown["state"], len(shown["events"])) == ("triaged", 1)


def test_a_device_is_lent_moved_and_described(run, answer):
    run("loan start chair-1 --person p-1 --need toilet --need sole_mobility --at 2026-01-05")
    assert answer("loan needs chair-1 --need toilet")["basic_needs"] == ["toilet"]
    assert answer("loan end chair-1 --at 2026-02-01T10:30 --dry-run")["ended_at"] is not None
    (loan,) = answer("loan list chair-1")["loans"]
    assert (loan["person"], loan["ended_at"]) == ("p-1", None)
    assert loan["started_at"] == "2026-01-04 23:00:00+00:00", "midnight in Sweden"
    assert "att gå på toaletten" in run("loan list chair-1")
    run("loan end chair-1 --at 2026-02-01T10:30")
    run("loan start chair-1 --at 2026-02-01T10:30")
    assert len(answer("loan list chair-1")["loans"]) == 2
    place = "device place chair-1"
    run(f"{place} workshop --who Bo --why broms --at 2026-02-03T09:00")
    assert "to change the past" in run(f"{place} storage --who Bo --at 2026-02-01", status=1)
    fixed = answer(f"{place} storage --who Bo --at 2026-02-01 --correct")
    assert (fixed["place"], fixed["until_at"]) == ("storage", None)
    assert "(not recorded)" in run(f"{place} in_use --who Bo --dry-run")
    run("device describe chair-1 --area Hisingen --in-service-on 2025-03-01")
    facts = answer("device describe chair-1 --batch B7")
    assert (facts["area"], facts["batch"], facts["network"]) == ("Hisingen", "B7", None)
    assert answer("device describe chair-1", "--area", "")["area"] is None


def test_what_is_done_and_looked_at_stands_in_the_access_log(run, url):
    run("loan start chair-1 --person p-17 --care-unit VE01 --need eating")
    run("loan list chair-1")
    run("device place chair-1 workshop", "--who", "Bo Lind", "--why", "broms", "--dry-run")
    run("device place chair-1 workshop", "--who", "Bo Lind", "--why", "broms")
    run("ticket triage 1", "--who", "Anna Ek")
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "SELECT action, name, role, device_id, person, why FROM audit ORDER BY audit_no"
        ).fetchall()
    account = rows[0][1]
    assert rows == [
        ("loan start", account, "operator", "chair-1", "p-17", None),
        ("loan list", account, "operator", "chair-1", "p-17", None),
        ("device place", "Bo Lind", "operator", "chair-1", "p-17", "broms"),
        ("ticket triage", "Anna Ek", "operator", "chair-1", None, None),
    ]


def test_the_states_of_the_help_are_those_of_the_table():
    done = RUNNER.invoke(ticket.app, ["list", "--help"], env={"COLUMNS": "300"})
    assert ", ".join(State) in done.output
