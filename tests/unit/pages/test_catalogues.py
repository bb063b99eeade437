"""The catalogues of translations: complete, unbroken, and what is made of them is as fresh as they are."""

import ast
import re
from collections import Counter
from typing import Any

import pytest
from babel.messages.pofile import read_po

from infra.words import LAYER, TRANSLATED, made, po_path

TEMPLATES = LAYER / "pages" / "templates"
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


TEXT = re.compile(r"""_\(\s*(["'])(.*?)\1""")


def text_of(hex_value: str) -> str:
    """The text that a value asks for; empty if it asks for none."""
    found = TEXT.search(bytes.fromhex(hex_value).decode())
    return found[2] if found else ""


def named_elements() -> list[tuple[str, str, str]]:
    """Of each link and button that has both: its template, its name for a screen reader, the text to be seen."""
    found = []
    for path in sorted(TEMPLATES.glob("*.html")):
        source = re.sub(r"\{%.*?%\}", "", path.read_text())
        plain = re.sub(r"\{\{(.*?)\}\}", lambda value: f"\0{value[1].encode().hex()}\0", source)  # no `>` in them
        for _, attributes, inside in re.findall(r"<(a|button)\b([^>]*)>(.*?)</\1>", plain, re.DOTALL):
            label = re.search(r'aria-label="\0(\w+)\0"', attributes)
            seen = [text for value in re.findall(r"\0(\w+)\0", inside) if (text := text_of(value))]
            if label and seen:
                found.append((path.name, text_of(label[1]), seen[0]))
    return found


@pytest.mark.parametrize("language", ["en", *TRANSLATED])
def test_what_is_said_to_a_program_that_hears_is_what_is_seen(language: str) -> None:
    """Who says "click Send again" reaches the button only if its name has these words (WCAG 2.5.3)."""
    said = {} if language == "en" else dict(pairs(language))
    elements = named_elements()
    assert len(elements) >= 9
    others = [one for one in elements if said.get(one[2], one[2]).casefold() not in said.get(one[1], one[1]).casefold()]
    assert others == []


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
