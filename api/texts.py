"""Every text of the pages, from the catalogues in `locale`. Words of the domain: `fleet.words`.

Each area has one catalogue in each language, and a text is known by its key, which both share.
Swedish is written first; whatever lacks its English counterpart is no text yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from typing import Final

from babel.messages import Catalog
from babel.messages.pofile import read_po

from fleet.words import Lang


class CatalogueError(ValueError):
    """A catalogue cannot be used; the message names the file and the key."""


def catalogues(lang: Lang) -> Iterator[tuple[str, Catalog]]:
    """The catalogues of one language, by name and in the order of their names."""
    folder = files("api").joinpath("locale", lang)
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".po"):
            yield file.name, _read(file, lang)


def _read(file: Traversable, lang: Lang) -> Catalog:
    catalogue = read_po(BytesIO(file.read_bytes()), abort_invalid=True)
    if str(catalogue.locale) != lang:
        raise CatalogueError(f"{file.name}: its Language is {catalogue.locale}, expected {lang}")
    return catalogue


def _texts(lang: Lang) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, catalogue in catalogues(lang):
        for message in catalogue:
            if not message.id:
                continue  # the header
            if message.id in found:
                raise CatalogueError(f"{lang}/{name}: another catalogue has {message.id!r} too")
            found[str(message.id)] = str(message.string)
    return found


def _both(swedish: Mapping[str, str], english: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {key: (words, english[key]) for key, words in swedish.items() if key in english}


TEXTS: Final = _both(_texts("sv"), _texts("en"))
"""key: (Swedish, English)"""


def text(key: str, lang: Lang, **values: object) -> str:
    """The text called `key`, with `values` put in."""
    swedish, english = TEXTS[key]
    found = swedish if lang == "sv" else english
    return found.format(**values) if values else found


def text_or_raw(prefix: str, word: str, lang: Lang) -> str:
    """The text `prefix.word`, or the word itself when there is none yet."""
    key = f"{prefix}.{word}"
    return text(key, lang) if key in TEXTS else word
