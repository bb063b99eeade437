"""The catalogues of translations: complete, unbroken, and what is made of them is as fresh as they are."""

import ast
import re
from collections import Counter
from typing import Any

import pytest
from babel.messages.pofile import read_po

from infra.words import LAYER, TRANSLATED, made, po_path

# What a translation keeps: placeholders, Jinja's of mails, tags with their attributes, percent signs.
KEPT = re.compile(r"%\(\w+\)s|%%|\{\{.*?\}\}|\{%.*?%\}|<[^>]+>|`[^`]*`")


def kept(text: str) -> Counter[str]:
    """What stands where a value is missing is a word, which is translated."""
    return Counter(KEPT.findall(re.sub(r"default\('[^']*'\)", "default", text)))


def messages(language: str) -> list[Any]:
    with po_path(language).open("rb") as file:
        return [message for message in read_po(file) if message.id]


def pairs(language: str) -> list[tuple[str, str]]:
    """Each text with its translation."""
    found = []
    for message in messages(language):
        key = message.id[-1] if isinstance(message.id, tuple) else message.id
        said = message.string[0] if isinstance(message.string, tuple) else message.string
        found.append((key, said))
    return found


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_in_the_catalogue_and_every_file_is_made_of_it(language: str) -> None:
    for path, content in made(language).items():
        assert path.read_bytes() == content, f"{path.name} is stale: run `python -m infra.words`"


@pytest.mark.parametrize("language", TRANSLATED)
def test_nothing_is_left_untranslated(language: str) -> None:
    assert [key for key, said in pairs(language) if not said] == []
    assert [message.id for message in messages(language) if message.fuzzy] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_keeps_placeholders_and_markup(language: str) -> None:
    assert [key for key, said in pairs(language) if said and kept(key) != kept(said)] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_can_stand_in_an_attribute(language: str) -> None:
    """And brings no space of its own to where it stands."""
    outside = [(key, KEPT.sub("", said)) for key, said in pairs(language) if said]
    assert [key for key, said in outside if '"' in said or "<" in said or "&" in said.replace("&amp;", "")] == []
    assert [key for key, said in pairs(language) if said != said.strip() and key == key.strip()] == []


def test_no_text_is_asked_for_inside_an_f_string() -> None:
    """Babel finds such texts from Python 3.12 on only."""
    inside = [
        f"{path.name}:{call.lineno}"
        for path in LAYER.rglob("*.py")
        for joined in ast.walk(ast.parse(path.read_text()))
        if isinstance(joined, ast.JoinedStr)
        for call in ast.walk(joined)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("_", "later", "phrase", "ngettext")
    ]
    assert inside == []
