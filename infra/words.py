"""`python -m infra.words`: finds every text that people read, and updates the catalogues of its translations.

The catalogues (`layers/core/sluice/pages/locales/*/LC_MESSAGES/messages.po`) are edited by hand. Made of them:
`messages.mo`, which pages, mails and errors read, and a file of translations for the pages' scripts. A test compares
all of them with the texts.
"""

import ast
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from sluice.catalogues import LOCALES
from sluice.domain.languages import ENGLISH, LANGUAGES
from sluice.pages.settings import keys

LAYER = LOCALES.parents[1]
STATIC = LAYER / "pages" / "static"
TRANSLATED = [language for language in LANGUAGES if language != ENGLISH]
# The functions whose first argument is a text, and `FieldProblem`, whose second is.
KEYWORDS: dict[str, Any] = {
    **dict.fromkeys(("_", "later", "phrase", "gettext")),
    "ngettext": (1, 2),
    "translated_count": (1, 2),
    "FieldProblem": (2,),
}
TEMPLATE_OPTIONS = {"trimmed": "true", "newstyle_gettext": "true"}
COMMENTS = ("Translators:",)
MADE = datetime(2026, 11, 30, tzinfo=UTC)  # always the same, so that a file changes only with its texts


def files() -> Iterator[tuple[Path, str]]:
    """Every file that may have texts, and Babel's method to read it."""
    yield from ((path, "python") for path in sorted(LAYER.rglob("*.py")))
    yield from ((path, "jinja2.ext.babel_extract") for path in sorted(LAYER.rglob("templates/*.html")))
    yield from ((path, "jinja2.ext.babel_extract") for path in sorted(LAYER.rglob("templates/*.txt")))
    yield from ((path, "javascript") for path in sorted(STATIC.glob("*.js")) if not path.stem.startswith("words"))


def texts() -> Catalog:
    """All texts, each with the files that have it."""
    found = Catalog(project="Sluice", charset="utf-8")
    for path, method in files():
        place = path.relative_to(LAYER).as_posix()
        options = TEMPLATE_OPTIONS if method.startswith("jinja2") else {}
        for line, text, notes, _ in extract_from_file(
            method, path, KEYWORDS, COMMENTS, options, strip_comment_tags=True
        ):
            if text and (isinstance(text, tuple) or text.strip()):
                found.add(text, locations=[(place, line)], auto_comments=notes)
        if method == "python":
            for text in messages_of_errors(path.read_text()):
                found.add(text, locations=[(place, 1)])
    for _table, _name, text in keys():
        found.add(text, locations=[("domain/settings/owners.py", 1)])
    return found


def messages_of_errors(source: str) -> Iterator[str]:
    """What classes of errors say where nothing else is said."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        if node.targets[0].id == "default_message" and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def po_path(language: str) -> Path:
    return LOCALES / language.replace("-", "_") / "LC_MESSAGES" / "messages.po"


def updated(language: str) -> Catalog:
    """The language's catalogue with exactly today's texts; new ones are empty."""
    path, locale = po_path(language), language.replace("-", "_")
    before = read_po(BytesIO(path.read_bytes()), locale=locale) if path.exists() else Catalog(locale)
    now = Catalog(locale, project="Sluice", charset="utf-8", fuzzy=False, creation_date=MADE, revision_date=MADE)
    now.header_comment = f"# {LANGUAGES[language]}. README.md beside these folders has the words to use."  # type: ignore[index]
    for message in texts():
        if not message.id:
            continue
        known = before.get(message.id)
        now.add(
            message.id,
            known.string if known else None,
            locations=[(place, 1) for place in sorted({place for place, _ in message.locations})],
            auto_comments=message.auto_comments,
            user_comments=known.user_comments if known else (),
        )
    return now


def po_bytes(catalog: Catalog) -> bytes:
    written = BytesIO()
    write_po(written, catalog, width=0, sort_output=True, include_lineno=False)
    return written.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    written = BytesIO()
    write_mo(written, catalog)
    return written.getvalue()


def for_scripts(catalog: Catalog) -> str:
    """The translations of the scripts' texts, as a script."""
    wanted: dict[str, str] = {}
    for message in catalog:
        if not any(place.endswith(".js") for place, _ in message.locations):
            continue
        key = message.id[0] if isinstance(message.id, tuple | list) else message.id
        said = message.string[0] if isinstance(message.string, tuple | list) else message.string
        if said:
            wanted[key] = said
    lines = json.dumps(dict(sorted(wanted.items())), ensure_ascii=False, indent=0)
    return f'"use strict";\n// Made by infra/words.py.\nglobalThis.translations = {lines};\n'


def made(language: str) -> dict[Path, bytes]:
    """Every file of a language, as it should be."""
    catalog = updated(language)
    path = po_path(language)
    return {
        path: po_bytes(catalog),
        path.with_suffix(".mo"): mo_bytes(catalog),
        STATIC / f"words_{language}.js": for_scripts(catalog).encode(),
    }


def main() -> None:
    for language in TRANSLATED:
        for path, content in made(language).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        catalog = updated(language)
        missing = sum(
            not all(message.string if isinstance(message.string, tuple) else [message.string]) for message in catalog
        )
        sys.stdout.write(f"{language}: {len(catalog)} texts, {missing} not yet translated\n")


if __name__ == "__main__":
    main()
