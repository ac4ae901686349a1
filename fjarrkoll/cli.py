"""`fjarrkoll`: one command, nouns and verbs. Reads the environment, puts the rooms together.

Exit status: 0 done; 1 done, and the answer is no; 2 wrong use or configuration; 3 a server
could not be used.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
import typer
from pydantic import SecretStr

from fjarrkoll.console import AsJson, DryRun, begin, fail, show
from fjarrkoll.settings import (
    Settings,
    check_broker_url,
    default_data_dir,
)
from runtime.health import Health, serve_health
from runtime.logs import configure_logs
from runtime.shell import end_with_parent, stop_event

log = structlog.get_logger()

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fjärrkoll: from a device's record to a repair ticket.",
)
database = typer.Typer(no_args_is_help=True, help="The database's schema.")
device = typer.Typer(no_args_is_help=True, help="The registry of devices.")
catalogue = typer.Typer(no_args_is_help=True, help="The catalogue of fault codes.")
ledger = typer.Typer(no_args_is_help=True, help="What was received, and what is missing.")
app.add_typer(database, name="db")
app.add_typer(device, name="device")
app.add_typer(catalogue, name="catalog")
app.add_typer(ledger, name="ledger")

PROCESSES: Final = frozenset({"ingest", "diagnose", "api", "sim", "give-way"})
"""Commands that run for long. They start without what only people's commands need."""


@cache
def whole_app() -> typer.Typer:
    """All commands, those of people's work among them."""
    # see PROCESSES
    from fjarrkoll.commands import (  # noqa: PLC0415
        audit,
        centre,
        devices,
        lending,
        person,
        quarantine,
        rules,
        sla,
        ticket,
    )

    app.add_typer(rules.app, name="rules")
    app.add_typer(ticket.app, name="ticket")
    app.add_typer(sla.app, name="sla")
    app.add_typer(lending.loan_app, name="loan")
    app.add_typer(audit.app, name="audit")
    app.add_typer(person.app, name="person")
    app.add_typer(person.hold_app, name="hold")
    app.add_typer(quarantine.app, name="quarantine")
    app.add_typer(centre.app, name="centre")
    device.add_typer(lending.device_app)
    device.add_typer(devices.app)
    return app


def main() -> None:
    """Run the command line; every expected error is one line and an exit status."""
    from fjarrkoll.errors import explain  # noqa: PLC0415 - imports every room

    try:
        is_process = len(sys.argv) > 1 and sys.argv[1] in PROCESSES
        (app if is_process else whole_app())(standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as exc:
        status, message = explain(exc)
        typer.echo(f"fjarrkoll: {message}", err=True)
        sys.exit(status)


def _ready(process: str, **fields: object) -> None:
    log.info("process_ready", process=process, **fields)


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop by itself.")] = None,
    devices: Annotated[int, typer.Option(min=1, max=5000)] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    scenario: Annotated[str, typer.Option(help="See `fjarrkoll sim --help`.")] = "demo",
    data: Annotated[Path | None, typer.Option(help="Keep the data here.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Of the pages.")] = None,
    as_json: AsJson = False,
) -> None:
    """Everything on this machine: servers, 200 devices, a week of history, pages.

    A run with --seconds starts from nothing and leaves nothing, unless --data is given.

    Example: fjarrkoll demo --seconds 60 --devices 200 --json
    """
    from fjarrkoll.demo import DemoSettings, run_demo  # noqa: PLC0415 - loads every room

    settings = begin()
    stop = stop_event()
    if data is None and seconds is None:
        data = settings.data_dir or default_data_dir()
    result = run_demo(
        DemoSettings(
            devices,
            seed,
            scenario,
            seconds,
            data,
            settings.api_port if port is None else port,
            seconds is not None or as_json,
            settings.optional("database_url"),
            settings.optional("mqtt_url"),
        ),
        stop,
        lambda line: typer.echo(line, err=True),
    )
    if result is None:
        return
    is_right = result.pop("is_right")
    show(result, as_json=as_json, text=lambda: _account_text(result))
    if not is_right:
        raise typer.Exit(1)


def _account_text(account: dict[str, Any]) -> str:
    return "\n".join(f"{name:22} {value}" for name, value in account.items())


@app.command()
def ingest() -> None:
    """Run an ingest worker: MQTT to rows. Start several to share the shards.

    Example: FJARRKOLL_DATABASE_URL=… FJARRKOLL_MQTT_URL=… fjarrkoll ingest
    """
    from ingest.settings import IngestSettings  # noqa: PLC0415 - only this process needs paho
    from ingest.worker import Worker  # noqa: PLC0415

    settings = begin()
    database_url, mqtt_url = settings.required("database_url"), settings.required("mqtt_url")
    check_broker_url(mqtt_url)
    health = Health("ingest")
    worker = Worker(
        IngestSettings(
            database_url,
            mqtt_url,
            client_prefix=settings.ingest_client_prefix,
            is_throwaway=settings.database_throwaway,
            bulk_writers=settings.ingest_bulk_writers,
            lease_s=settings.ingest_lease_s,
            gap_age_s=settings.ingest_gap_age_s,
        ),
        health,
    )
    _serve(settings, health)
    worker.run(stop_event(), lambda: _ready("ingest"))


def _serve(settings: Settings, health: Health) -> None:
    if settings.health_port is not None:
        server = serve_health(health, settings.health_port)
        log.info("health_served", port=server.server_port)


def _refuse_forgetful(settings: Settings) -> str:
    """The database's URL, unless the server would forget what it has committed.

    A server that does not answer yet is waited for later.
    """
    from storage.connection import (  # noqa: PLC0415
        DatabaseDownError,
        check_durability,
        connect,
    )

    url = settings.required("database_url")
    with suppress(DatabaseDownError), connect(url, name="fjarrkoll check") as conn:
        check_durability(conn, is_throwaway=settings.database_throwaway)
    return url


@app.command()
def diagnose() -> None:
    """Run diagnostics: reported faults to episodes and tickets, and the hourly rollups.

    Example: FJARRKOLL_DATABASE_URL=… fjarrkoll diagnose
    """
    from diagnostics.process import DiagnoseSettings, run  # noqa: PLC0415

    settings = begin()
    health = Health("diagnose")
    _serve(settings, health)
    diagnose_settings = DiagnoseSettings(
        _refuse_forgetful(settings), person_link_days=settings.person_link_days
    )
    run(diagnose_settings, stop_event(), lambda: _ready("diagnose"), health)


@app.command()
def api(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    host: Annotated[str, typer.Option(help="A loopback address; nothing else.")] = "127.0.0.1",
    demo_issuer: Annotated[
        bool, typer.Option("--demo-issuer", help="Sign in without passwords: demo and test only.")
    ] = False,
    demo_tenant: Annotated[str, typer.Option(help="With --demo-issuer: whose people.")] = "demo",
) -> None:
    """Run the API and the pages, on loopback, with a sign-in service before them.

    Example: FJARRKOLL_DATABASE_URL=… FJARRKOLL_OIDC_ISSUER_URL=… FJARRKOLL_OIDC_CLAIMS=siths.toml
    fjarrkoll api --port 8460

    Example: FJARRKOLL_DATABASE_URL=… fjarrkoll api --demo-issuer
    """
    from api.limits import Limits  # noqa: PLC0415 - only this process needs FastAPI
    from api.process import run  # noqa: PLC0415
    from api.settings import ApiSettings  # noqa: PLC0415
    from fjarrkoll.access import configured_access, demo_access  # noqa: PLC0415
    from runtime.giving_way import give_way as give_way_to_others  # noqa: PLC0415
    from runtime.giving_way import has_own_share  # noqa: PLC0415

    settings = begin()
    port = settings.api_port if port is None else port
    database_url = settings.required("database_url")
    with ExitStack() as stack:
        if demo_issuer:
            access = stack.enter_context(demo_access(settings, demo_tenant, host))
            log.warning("demo_issuer", issuer=access.issuer_url, means="no passwords")
        else:
            access = configured_access(settings)
        api_settings = ApiSettings(
            database_url,
            access,
            host=host,
            port=port,
            pool_size=settings.api_connections,
            # What reads many rows leaves one connection to everybody else.
            limits=Limits(heavy=settings.api_connections - 1),
            baseline_minutes=settings.baseline_minutes,
        )
        _refuse_forgetful(settings)
        if has_own_share(os.getpid()):
            give_way_to_others(os.getpid())  # threads begin with what their process has
        run(api_settings, stop_event(), lambda url: _ready("api", address=url))


@app.command("give-way")
def give_way(
    user: Annotated[str, typer.Option(help="The database user of those who read.")],
) -> None:
    """Let a database user's sessions make room on a processor for all others. Linux only.

    Run it as the operating-system user of a PostgreSQL on the same machine, for as long as the API
    runs. It needs no access to the database.

    Example: sudo -u postgres fjarrkoll give-way --user fjarrkoll_api_login
    """
    from runtime.giving_way import keep_passing_over  # noqa: PLC0415 - only this process

    begin()
    stop = stop_event()
    _ready("give-way", user=user)
    keep_passing_over(user, stop)


@app.command()
def sim(
    devices: Annotated[int, typer.Option(min=1, max=5000)] = 30,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    speed: Annotated[float, typer.Option(min=1, max=3600)] = 1.0,
    scenario: Annotated[str, typer.Option(help="What goes wrong: see `--scenario list`.")] = "demo",
    truth: Annotated[Path | None, typer.Option(help="Write the hidden truth here.")] = None,
    replay: Annotated[Path | None, typer.Option(help="Send a recording instead.")] = None,
    device_id: Annotated[
        str | None, typer.Option("--device", help="Replay as this device.")
    ] = None,
    rebase: Annotated[bool, typer.Option(help="Move a recording's times to now.")] = False,
    outbox: Annotated[Path, typer.Option(help="The devices' outbox file.")] = Path("outbox.db"),
    history_days: Annotated[float, typer.Option(min=0, max=60)] = 7.0,
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop by itself.")] = None,
    tenant: Annotated[str, typer.Option()] = "demo",
    score: Annotated[
        bool, typer.Option("--score", help="Score the diagnostics on labelled fleets instead.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, max=50, help="With --score: how many fleets.")] = 5,
    page: Annotated[Path | None, typer.Option(help="With --score: write the page here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run simulated devices against FJARRKOLL_MQTT_URL; they must be registered.

    With --score nothing is sent and no server is needed: fleets whose true faults are known are
    diagnosed by the live engine, 90 days each, and the tickets compared with the truth.

    Example: fjarrkoll sim --devices 50 --seed 7 --scenario outage --truth truth.jsonl
    Example: fjarrkoll sim --score --devices 2000 --seeds 5 --page quality.md
    """
    if score:
        from fjarrkoll.score_run import run_scores  # noqa: PLC0415 - needs the engine

        begin()
        run_scores(devices, range(seed, seed + seeds), page, as_json=as_json)
        return
    from firmware_sim.runner import main as run  # noqa: PLC0415
    from firmware_sim.scenarios import SCENARIOS  # noqa: PLC0415
    from firmware_sim.settings import Config  # noqa: PLC0415

    if scenario == "list":
        for name, found in SCENARIOS.items():
            typer.echo(f"{name:14} {found.description}")
        return
    settings = begin()
    end_with_parent()
    config = Config(
        mqtt_url=SecretStr(settings.required("mqtt_url")),
        outbox_path=outbox,
        devices=devices,
        seed=seed,
        speed=speed,
        scenario=scenario,
        history_days=history_days,
        tenant=tenant,
        run_for_s=seconds,
        truth=truth,
        replay=replay,
        replay_device=device_id,
        rebase=rebase,
    )
    stats = run(config)
    totals = stats.totals()
    lines = "\n".join(f"{name:20} {value:,}" for name, value in totals.items())
    typer.echo(stats.to_json() if as_json else lines)


@database.command("migrate")
def db_migrate(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Bring the database to this release's schema, and the catalogues into it.

    Example: FJARRKOLL_DATABASE_URL=… fjarrkoll db migrate --dry-run
    """
    from storage.connection import connect  # noqa: PLC0415
    from storage.migrate import HEAD, migrate, pending  # noqa: PLC0415
    from storage.registry import sync_catalogues  # noqa: PLC0415

    url = begin().required("database_url")
    steps = pending(url)
    if not dry_run:
        migrate(url)
        with connect(url) as conn:
            sync_catalogues(conn, datetime.now(UTC))
    result = {"revision": HEAD, "steps": steps, "dry_run": dry_run}
    would = f"would run {', '.join(steps)}" if steps else f"is at revision {HEAD} already"
    show(result, as_json=as_json, text=lambda: would if dry_run else f"at revision {HEAD}")


@device.command("add")
def device_add(
    id: Annotated[str, typer.Argument(help="1 to 64 of A-Z a-z 0-9 _ -")],  # noqa: A002
    tenant: Annotated[str, typer.Option(help="Made at first mention.")],
    model: Annotated[str, typer.Option(help="See `fjarrkoll catalog models`.")],
    centre: Annotated[str | None, typer.Option()] = None,
    serial: Annotated[str | None, typer.Option()] = None,
    individual_no: Annotated[str | None, typer.Option(help="The mark on the device.")] = None,
    pending: Annotated[bool, typer.Option(help="Not to be believed until claimed.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Register a device.

    Example: fjarrkoll device add wc-000017 --tenant vgr --model permobil-m3
    """
    from fleet.wire.topics import UpChannel, up_topic  # noqa: PLC0415
    from storage.connection import connect  # noqa: PLC0415
    from storage.registry import NewDevice, add_devices, find_device  # noqa: PLC0415

    url = begin().required("database_url")
    status = "pending" if pending else "active"
    with connect(url) as conn:
        new = [NewDevice(id, model, serial, individual_no)]
        added = add_devices(conn, new, tenant=tenant, centre=centre, status=status)
        if not added:
            known = find_device(conn, id)
            owner = known.tenant if known is not None else "another tenant"
            fail(f"{id} is registered already, with tenant {owner}", 1)
        if dry_run:
            conn.rollback()
    topic = up_topic(tenant, id, UpChannel.BULK)
    result = {"id": id, "tenant": tenant, "status": status, "topic": topic, "dry_run": dry_run}
    verb = "would be registered" if dry_run else "registered"
    show(result, as_json=as_json, text=lambda: f"{id} {verb}; it publishes to {topic}")


@device.command("show")
def device_show(
    id: Annotated[str, typer.Argument()],  # noqa: A002
    as_json: AsJson = False,
) -> None:
    """Show a registered device.

    Example: fjarrkoll device show wc-000017 --json
    """
    from dataclasses import asdict  # noqa: PLC0415

    from storage.connection import connect  # noqa: PLC0415
    from storage.registry import find_device  # noqa: PLC0415

    with connect(begin().required("database_url")) as conn:
        found = find_device(conn, id)
    if found is None:
        fail(f"{id} is not registered: fjarrkoll device add {id} --tenant T --model M", 1)
    fields = asdict(found)
    show(
        fields,
        as_json=as_json,
        text=lambda: "\n".join(f"{name:14} {value}" for name, value in fields.items()),
    )


@device.command("status")
def device_status(
    id: Annotated[str, typer.Argument()],  # noqa: A002
    status: Annotated[str, typer.Argument(help="active, pending or revoked")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Claim or revoke a device; ingest obeys from its next batch on.

    Example: fjarrkoll device status wc-000017 revoked --dry-run
    """
    from storage.connection import connect  # noqa: PLC0415
    from storage.registry import set_status  # noqa: PLC0415

    if status not in ("active", "pending", "revoked"):
        fail(f"status {status!r}: use active, pending or revoked")
    with connect(begin().required("database_url")) as conn:
        if not set_status(conn, id, status):
            fail(f"{id} is not registered", 1)
        if dry_run:
            conn.rollback()
    verb = "would be" if dry_run else "is"
    result = {"id": id, "status": status, "dry_run": dry_run}
    show(result, as_json=as_json, text=lambda: f"{id} {verb} {status}")


@catalogue.command("show")
def catalog_show(
    system: Annotated[str, typer.Argument(help="The code table, such as vr2.")],
    code: Annotated[str, typer.Argument(help="The code, such as 2C00.")],
    as_json: AsJson = False,
) -> None:
    """Say what a fault code means. An unknown code has an answer too.

    Example: fjarrkoll catalog show vr2 2C00
    """
    from dataclasses import asdict  # noqa: PLC0415

    from fleet.faults import load_catalogue  # noqa: PLC0415

    fault = load_catalogue().look_up(system, code)
    fields = {
        name: str(value) if value is not None else None for name, value in asdict(fault).items()
    }
    show(
        fields,
        as_json=as_json,
        text=lambda: "\n".join(f"{name:14} {value}" for name, value in fields.items()),
    )
    if not fault.known:
        raise typer.Exit(1)


@catalogue.command("models")
def catalog_models(as_json: AsJson = False) -> None:
    """List the device models.

    Example: fjarrkoll catalog models
    """
    from fleet.models import load_models  # noqa: PLC0415

    models = {m.id: f"{m.device_class:24} {m.maker} {m.name}" for m in load_models()}
    show(
        {"models": list(models)},
        as_json=as_json,
        text=lambda: "\n".join(f"{key:24} {value}" for key, value in models.items()),
    )


@ledger.command("check")
def ledger_check(as_json: AsJson = False) -> None:
    """Check the loss equation: received = stored + duplicate + quarantined.

    Example: fjarrkoll ledger check --json
    """
    from fjarrkoll.balance import draw_up  # noqa: PLC0415
    from storage.connection import connect  # noqa: PLC0415

    with connect(begin().required("database_url")) as conn:
        balance = draw_up(conn, {})
    account = balance.as_dict()
    show(account, as_json=as_json, text=lambda: _account_text(account))
    if not balance.is_right:
        raise typer.Exit(1)


@app.command()
def bench(
    parts: Annotated[
        list[str] | None,
        typer.Argument(help="drain, live, rules, backtest, people; all when none."),
    ] = None,
    records: Annotated[int, typer.Option(min=1_000)] = 60_000,
    devices: Annotated[int, typer.Option(min=100, max=100_000)] = 20_000,
    live_seconds: Annotated[float, typer.Option(min=2)] = 20.0,
    backlog: Annotated[int, typer.Option(min=5_000)] = 500_000,
    fleet: Annotated[
        list[int] | None, typer.Option(min=1_000, help="rules: sizes of fleet, rising.")
    ] = None,
    backtest_devices: Annotated[int, typer.Option(min=100)] = 10_000,
    backtest_days: Annotated[int, typer.Option(min=10, max=365)] = 180,
    county_devices: Annotated[int, typer.Option(min=3_000, max=1_000_000)] = 100_000,
    samples: Annotated[
        int, typer.Option(min=1_000_000, help="people: rows of samples.")
    ] = 50_000_000,
    reads_per_s: Annotated[
        int, typer.Option(min=1, max=10_000, help="people: requests a second beside ingest.")
    ] = 200,
    postgres_bin: Annotated[
        Path | None, typer.Option(help="Programs of a PostgreSQL with TimescaleDB.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure with servers on this machine: the ingest path takes about three minutes, the rules
    five, the backtest of half a year ten, the pages over a county twenty.

    Example: fjarrkoll bench drain --json
    """
    from fjarrkoll.bench.county import CountySettings  # noqa: PLC0415
    from fjarrkoll.bench.rules import FLEETS  # noqa: PLC0415
    from fjarrkoll.bench.run import PARTS, BenchSettings, run_bench  # noqa: PLC0415

    chosen = tuple(parts or PARTS)
    for part in chosen:
        if part not in PARTS:
            fail(f"there is no benchmark {part!r}: use {', '.join(PARTS)}")
    settings = begin()
    configure_logs("warning")
    url = settings.optional("database_url")
    result = run_bench(
        BenchSettings(
            chosen,
            records,
            devices,
            live_seconds,
            backlog,
            tuple(fleet or FLEETS),
            backtest_devices,
            backtest_days,
            CountySettings(county_devices, samples=samples),
            reads_per_s,
            url,
            postgres_bin,
        ),
        lambda line: typer.echo(line, err=True),
    )
    text = json.dumps(result, indent=2, ensure_ascii=False)
    show(result, as_json=as_json, text=lambda: text)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Show the effective configuration, without secrets, and what is wrong with it.

    Example: fjarrkoll doctor
    """
    from fjarrkoll.doctor import examine  # noqa: PLC0415 - imports every room

    report = examine(begin())
    show(report.as_dict(), as_json=as_json, text=report.as_text)
    if report.problems:
        raise typer.Exit(1)
