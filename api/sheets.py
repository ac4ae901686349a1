"""Tables to take along, as Swedish spreadsheets read CSV: semicolons, a BOM, and no formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from math import isfinite

from fastapi import Response

from fleet.spreadsheets import harmless
from fleet.words import Lang


def sheet(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The text of a table. Pure."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerow(headings)
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return "\ufeff" + text.getvalue()


def answer(name: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Response:
    """The table as a file called `name`, which is ASCII."""
    return Response(
        sheet(headings, rows),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def decimal(value: float | None, lang: Lang, decimals: int = 1) -> str:
    """Without a separator of thousands, which spreadsheets take for text; empty for no number."""
    if value is None or not isfinite(value):
        return ""
    text = f"{value:.{decimals}f}"
    return text.replace(".", ",") if lang == "sv" else text
