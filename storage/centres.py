"""How people reach a centre, and what care units are called. Functions never commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from storage.connection import Connection
from storage.queries import load_queries
from storage.rows import one_row

_SQL: Final = load_queries("centres.sql")


@dataclass(frozen=True, slots=True)
class Contact:
    """How people reach a centre; None where nobody has said. `hours` as people read them."""

    name: str
    phone: str | None = None
    hours: str | None = None
    email: str | None = None
    link: str | None = None

    @property
    def dialled(self) -> str:
        """The number as a telephone dials it."""
        return "".join(char for char in self.phone or "" if char in "+0123456789")

    @property
    def is_known(self) -> bool:
        return any((self.phone, self.email, self.link))


@dataclass(frozen=True, slots=True)
class ContactChange:
    """None leaves a field as it is, an empty text takes it away."""

    phone: str | None = None
    hours: str | None = None
    email: str | None = None
    link: str | None = None


def set_contact(
    conn: Connection, tenant: str, centre: str, change: ContactChange
) -> Contact | None:
    """The contact as it is then; None where there is no such centre.

    Raises:
        psycopg.errors.CheckViolation: a field has not the form that it should have.
    """
    values = {
        "tenant": tenant, "centre": centre, "phone": change.phone, "hours": change.hours,
        "email": change.email, "link": change.link,
    }  # fmt: skip
    return one_row(conn, Contact, _SQL["set_contact"], values)


def contact_of(conn: Connection, device_no: int) -> Contact | None:
    """The centre that services a device; None where it has none."""
    return one_row(conn, Contact, _SQL["contact_of"], {"device_no": device_no})


def name_unit(conn: Connection, tenant: str, unit: str, name: str) -> bool:
    """Say what a care unit is called; False where there is no such tenant."""
    values = {"tenant": tenant, "unit": unit, "name": name}
    return conn.execute(_SQL["put_unit"], values).fetchone() is not None


def unit_names(conn: Connection, units: Iterable[str | None]) -> Mapping[str, str]:
    """What units are called, by id; those that nobody has named are left out."""
    wanted = sorted({unit for unit in units if unit})
    return dict(conn.execute(_SQL["unit_names"], {"units": wanted}).fetchall())
