"""`sluice.toml` in and out. The standard library's parser keeps no lines, so they are found afterwards."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sluice.domain.settings.checking import Place, Problem, WrongSettings, check
from sluice.domain.settings.owners import OwnersSettings

MAX_CHARACTERS = 262_144
MAX_LINES = 200  # of one statement, past which no more lines are looked for, because it is parsed after each
KEY, HEADER = re.compile(r"\s*([\w.\"-]+)\s*="), re.compile(r"\s*\[+([\w.\"-]+)\]+")
OPEN_QUOTE = r"Illegal character '\n'"
AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


def parse(text: str, operators: Mapping[str, Any] | None = None) -> OwnersSettings:
    """`operators`: tables for a text that names none of them, as the settings hold them (`OPERATORS`). Errors:
    WrongSettings, with lines."""
    if len(text) > MAX_CHARACTERS:
        raise WrongSettings([Problem((), f"The file is too long. Write {MAX_CHARACTERS:,} characters at most.")])
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        raw = {**(operators or {}), **tomllib.loads(text, parse_float=Decimal)}
    except tomllib.TOMLDecodeError as exc:
        raise WrongSettings([_syntax(str(exc), text)]) from exc
    except (ValueError, RecursionError) as exc:  # a number of thousands of digits, a thousand brackets
        raise WrongSettings([Problem((), "The file holds a number or a list that is too long. Shorten it.")]) from exc
    try:
        return check(raw)
    except WrongSettings as exc:
        lines = dict(_lines(text))
        found = (Problem(one.place, one.message, _line(lines, one.place)) for one in exc.problems)
        raise WrongSettings(sorted(found, key=lambda one: one.line or 0)) from exc


def text_of(settings: OwnersSettings) -> str:
    """The settings as a file, without what has its default value."""
    tables = settings.model_dump(exclude_defaults=True)
    blocks: list[str] = []
    for name, value in tables.items():
        one, many = f"[{name}]", f"[[{name}]]"
        for table in value if isinstance(value, list) else [value]:
            rows = (f"{key} = {_value(one)}" for key, one in table.items() if one is not None)
            blocks.append("\n".join((many if isinstance(value, list) else one, *rows)))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _value(value: Any) -> str:
    """JSON's strings, numbers, truth values and lists are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# --- where a key stands


def _syntax(said: str, text: str) -> Problem:
    place = AT_LINE.search(said)
    line = int(place[1]) if place else text.rstrip().count("\n") + 1
    above = text.split("\n")[:line]
    key = KEY.match(above[-1])
    table = next(filter(None, map(HEADER.match, reversed(above))), None)
    fault = AT_LINE.sub("", said).removesuffix(" (at end of document)").replace(OPEN_QUOTE, "Unterminated string")
    return Problem(tuple(found[1] for found in (table, key) if found), f"{fault}. {_hint(said)}", line)


def _hint(said: str) -> str:
    if "overwrite" in said or "twice" in said or "Cannot mutate" in said or "Cannot declare" in said:
        return (
            "Write each key and each [table] once; a table that may be repeated has two brackets, such as [[models]]."
        )
    return 'Write one key a line, such as rpm = 60 or name = "free", with texts in quotes.'


def _lines(text: str) -> Iterator[tuple[Place, int]]:
    """Each table and key with its line."""
    table: Place = ()
    entries: Counter[Place] = Counter()  # of a list of tables, so far

    def place_of(keys: Sequence[str]) -> Place:
        place: Place = ()
        for key in keys:
            place = (*place, key)
            place = (*place, entries[place] - 1) if place in entries else place
        return place

    for line, statement, content in _statements(text):
        keys = _keys(content)
        if statement.lstrip().startswith("[["):
            every = (*place_of(keys[:-1]), keys[-1])
            entries[every] += 1
            yield every, line
            table = (*every, entries[every] - 1)
            yield table, line
        elif statement.lstrip().startswith("["):
            table = place_of(keys)
            yield table, line
        else:
            yield from (((*table, *keys[:end]), line) for end in range(len(keys), 0, -1))


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The line of each statement, its text, and what it says alone.

    `text` is valid, so a statement ends where it can be parsed: before that it has an open bracket or quote."""
    begun, statement = 1, ""
    for line, more in enumerate(text.split("\n"), 1):
        statement += more
        try:
            content = tomllib.loads(statement)
        except ValueError:
            statement += "\n"
            if line - begun == MAX_LINES:
                return
            continue
        if content:
            yield begun, statement, content
        begun, statement = line + 1, ""


def _keys(content: Any) -> list[str]:
    keys: list[str] = []
    while isinstance(content, dict) and len(content) == 1:
        ((key, content),) = content.items()
        keys.append(key)
    return keys


def _line(lines: Mapping[Place, int], place: Place) -> int | None:
    return next((lines[place[:end]] for end in range(len(place), -1, -1) if place[:end] in lines), None)
