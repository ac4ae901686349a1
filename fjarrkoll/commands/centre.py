"""`fjarrkoll centre`: how people reach a centre, and what the care units are called."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from fjarrkoll.console import AsJson, begin, fail, show

app = typer.Typer(no_args_is_help=True, help="How a centre is reached; names of care units.")

Tenant = Annotated[str, typer.Option(help="The tenant's id.")]
_EMPTY = "An empty text takes it away."


@app.command("contact")
def centre_contact(
    centre: Annotated[str, typer.Argument(help="The centre's id.")],
    tenant: Tenant,
    phone: Annotated[str | None, typer.Option(help=f"As people dial it. {_EMPTY}")] = None,
    hours: Annotated[str | None, typer.Option(help="When somebody answers, in words.")] = None,
    email: Annotated[str | None, typer.Option()] = None,
    link: Annotated[str | None, typer.Option(help="An https address, as at 1177.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how people reach a centre; without options, show it. Patients see it on their page.

    Example: fjarrkoll centre contact norr --tenant vgr --phone "08-465 004 00" --hours "8-16"
    """
    import psycopg  # noqa: PLC0415

    from storage.centres import ContactChange, set_contact  # noqa: PLC0415
    from storage.connection import connect  # noqa: PLC0415

    change = ContactChange(phone, hours, email, link)
    with connect(begin().required("database_url")) as conn:
        try:
            found = set_contact(conn, tenant, centre, change)
        except psycopg.errors.CheckViolation as exc:
            fail(f"{exc.diag.constraint_name} refuses it: see docs/operations.md for the forms")
    if found is None:
        fail(f"tenant {tenant} has no centre {centre}: it is made with its first device", 1)
    said = [f"{name}: {value}" for name, value in asdict(found).items() if value]
    show(asdict(found), as_json=as_json, text=lambda: "\n".join(said))


@app.command("unit")
def centre_unit(
    unit: Annotated[str, typer.Argument(help="Its id, such as a healthCareUnitHsaId.")],
    name: Annotated[str, typer.Argument(help="What people call it.")],
    tenant: Tenant,
    as_json: AsJson = False,
) -> None:
    """Say what a care unit is called, so that patients need not read its id.

    Example: fjarrkoll centre unit SE2321000016-VE01 "Rehabmottagningen Borås" --tenant vgr
    """
    from storage.centres import name_unit  # noqa: PLC0415
    from storage.connection import connect  # noqa: PLC0415

    if not (1 <= len(unit) <= 80 and 1 <= len(name) <= 120):
        fail("an id has at most 80 characters, and a name 120")
    with connect(begin().required("database_url")) as conn:
        is_done = name_unit(conn, tenant, unit, name)
    if not is_done:
        fail(f"there is no tenant {tenant}", 1)
    show({"unit": unit, "name": name}, as_json=as_json, text=lambda: f"{unit}: {name}")
