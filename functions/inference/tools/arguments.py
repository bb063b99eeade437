"""The arguments of a call as a model writes them, to the JSON that callers get, while they stream."""

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

NAME_CHARACTERS = 256
"""The longest name of a parameter that is read in XML."""
QUOTE = '<|"|>'
"""Gemma 4 writes it around strings."""
ANNOTATIONS = frozenset({"description", "title", "default", "examples"})
SPOKEN = {"True": "true", "False": "false", "None": "null"}


class Arguments(Protocol):
    def read(self, held: str) -> tuple[str, str, bool]:
        """The arguments' next piece of JSON, the text that is left over, and whether the arguments are complete."""
        ...


def possible_start(text: str, *names: str) -> int:
    """Length of the longest end of `text` that begins one of `names`, but is not all of it."""
    return max(
        (n for name in names for n in range(min(len(name) - 1, len(text)), 0, -1) if text.endswith(name[:n])), default=0
    )


class JsonArguments:
    """A JSON value, passed on as it is."""

    def __init__(self, _schema: Mapping[str, Any]) -> None:
        self._depth = 0
        self._in_string = self._escaped = False

    def read(self, held: str) -> tuple[str, str, bool]:
        """See Arguments."""
        for at, char in enumerate(held):
            if self._in_string:
                self._in_string = self._escaped or char != '"'
                self._escaped = char == "\\" and not self._escaped
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
            if self._depth <= 0 and not self._in_string:
                return held[: at + 1], held[at + 1 :], True
        return held, "", False


class XmlArguments:
    """`<parameter=name>`, a line end, the value, a line end and `</parameter>`, up to `</function>`. The tool's schema
    says whether a value is text or JSON."""

    PARAMETER = re.compile(rf"<parameter=([^>\n]{{1,{NAME_CHARACTERS}}})>(?:\n|(?=[^\n]))")
    CLOSE = "</parameter>"
    JSON = re.compile(r'\s*[{\["]')
    QUOTES = re.compile(r'\\.|"')
    END = "</function>"

    def __init__(self, schema: Mapping[str, Any]) -> None:
        properties = schema.get("properties")
        self._properties = properties if isinstance(properties, dict) else {}
        self._separator = "{"
        self._in_value = self._in_text = False
        self._schema: Any = None
        self._looked, self._quotes = 0, 0
        """Characters of a JSON value that hold no closing tag, and the quotation marks among them."""

    def read(self, held: str) -> tuple[str, str, bool]:
        """See Arguments."""
        pieces = ""
        while True:
            if self._in_value:
                piece, held = self._read_value(held)
                pieces += piece
                if self._in_value:
                    return pieces, held, False
            held = held.lstrip()
            if found := self.PARAMETER.match(held):
                pieces += f"{self._separator}{_quoted(found[1])}: "
                self._in_value, self._separator, self._looked, self._quotes = True, ", ", 0, 0
                self._schema, held = self._properties.get(found[1]), held[found.end() :]
            elif held.startswith(self.END):
                return pieces + ("{}" if self._separator == "{" else "}"), held[len(self.END) :], True
            else:
                return pieces, held, False

    def _read_value(self, held: str) -> tuple[str, str]:
        types, free = types_of(self._schema), is_free_text(self._schema)
        at = held.find(self.CLOSE) if free else self._end_of_json(held)
        text, closed, rest = (held, "", "") if at < 0 else (held[:at], self.CLOSE, held[at + len(self.CLOSE) :])
        self._in_value = not closed
        if free and "null" not in types:
            cut = len(text) - (0 if closed else possible_start(text, "\n" + self.CLOSE, self.CLOSE))
            piece = _quoted(text.removesuffix("\n") if closed else text[:cut])
            piece, self._in_text = piece[self._in_text :], not closed
            return piece if closed else piece[:-1], rest if closed else text[cut:]
        if not closed:
            return "", held
        text = text.removesuffix("\n")
        found = as_json(text)
        as_text = text != "null" if free else types == {"string"} and text.strip()[:1] != '"'
        return _quoted(text) if as_text else found, rest

    def _end_of_json(self, held: str) -> int:
        """Where the closing tag begins, -1 so far. One within a JSON string is part of it: such a string holds no line
        end, so a tag beside a line end is in none, whatever the model wrote before it."""
        while (at := held.find(self.CLOSE, self._looked)) >= 0:
            end = at + len(self.CLOSE)
            quotes = self._quotes + self.QUOTES.findall(held, self._looked, at).count('"')
            if quotes % 2 == 0 or "\n" in (held[at - 1 : at], held[end : end + 1]) or not self.JSON.match(held):
                return at
            if len(held) == end:
                return -1
            self._looked, self._quotes = end, quotes
        return -1


class GemmaArguments:
    """JSON without quotes around keys, and with `<|"|>` around strings."""

    MARK = re.compile(r"[{}\[\],:]")

    def __init__(self, _schema: Mapping[str, Any]) -> None:
        self._depth = 0
        self._in_string = False
        self._looked = 0
        """Characters of a bare value, which no mark has ended yet."""

    def read(self, held: str) -> tuple[str, str, bool]:
        """See Arguments."""
        pieces = ""
        while held := held if self._in_string else held.lstrip():
            if self._in_string:
                text, closed, rest = held.partition(QUOTE)
                cut = len(text) - (0 if closed else possible_start(text, QUOTE))
                pieces += _quoted(text[:cut])[1:-1] + ('"' if closed else "")
                if not closed:
                    return pieces, held[cut:], False
                held, self._in_string = rest, False
            elif held.startswith(QUOTE):
                pieces, held, self._in_string, self._looked = pieces + '"', held[len(QUOTE) :], True, 0
            elif held[0] in "{}[],:":
                self._depth += (held[0] in "{[") - (held[0] in "}]")
                pieces, held = pieces + held[0] + (" " if held[0] in ",:" else ""), held[1:]
                if self._depth <= 0:
                    return pieces, held, True
            elif not QUOTE.startswith(held) and (found := self.MARK.search(held, self._looked)):
                bare, held, self._looked = held[: found.start()], held[found.start() :], 0
                pieces += _quoted(bare.strip()) if held[0] == ":" else as_json(bare)
            else:
                self._looked = len(held)
                break
        return pieces, held, False


def types_of(schema: Any) -> set[str]:
    """The JSON types that a schema names, itself or in its alternatives."""
    if not isinstance(schema, dict):
        return set()
    given = schema.get("type", [])
    types = {given} if isinstance(given, str) else {one for one in given if isinstance(one, str)}
    types |= {"string" for one in schema.get("enum") or () if isinstance(one, str)}
    return types.union(*(types_of(one) for one in _alternatives(schema)))


def is_free_text(schema: Any) -> bool:
    """Whether the schema, or one of its alternatives, takes any text."""
    if not isinstance(schema, dict):
        return False
    own = schema.keys() - ANNOTATIONS == {"type"}
    return (own and "string" in types_of(schema)) or any(map(is_free_text, _alternatives(schema)))


def stays_text(choice: Any) -> bool:
    """Whether a value of an `enum` is read as what it is when it is written in XML as it is."""
    return isinstance(choice, str) and XmlArguments.CLOSE not in choice and choice.lstrip()[:1] != '"'


def _alternatives(schema: dict[str, Any]) -> list[Any]:
    return [one for key in ("anyOf", "oneOf") if isinstance(schema.get(key), list) for one in schema[key]]


def as_json(text: str) -> str:
    """The JSON that a bare value means; text for what is no JSON."""
    text = SPOKEN.get(text.strip(), text.strip())
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _quoted(text)
    return text


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
