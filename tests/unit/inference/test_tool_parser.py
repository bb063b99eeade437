import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.inference.tools.parser import ToolCallParser
from functions.inference.tools.parts import CallArguments, CallStart, Part, PlainText

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": [1, {"b": "}]\\"<"}], "c": "x"}}\n</tool_call>'
ARGUMENTS = '{"a": [1, {"b": "}]\\"<"}], "c": "x"}'


def parse(pieces: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """All text, and each call's name and arguments."""
    parser = ToolCallParser()
    parts: list[Part] = []
    for piece in pieces:
        parts += parser.feed(piece)
    parts += parser.finish()
    calls: list[tuple[str, str]] = []
    for part in parts:
        if isinstance(part, CallStart):
            assert part.index == len(calls)
            calls.append((part.name, ""))
        elif isinstance(part, CallArguments):
            calls[part.index] = (calls[part.index][0], calls[part.index][1] + part.text)
    return "".join(part.text for part in parts if isinstance(part, PlainText)), calls


def test_a_call_is_taken_out_of_the_text() -> None:
    assert parse(["I will add. " + CALL]) == ("I will add.", [("add", ARGUMENTS)])


def test_two_calls_in_a_row() -> None:
    assert parse([CALL + "\n" + CALL]) == ("", [("add", ARGUMENTS), ("add", ARGUMENTS)])


def test_the_keys_of_a_call_may_have_another_order() -> None:
    assert parse(['<tool_call>{"arguments": {"x": 1}, "name": "f"}</tool_call>']) == ("", [("f", '{"x": 1}')])


def test_half_a_character_in_a_call_can_be_sent() -> None:
    text, calls = parse(['<tool_call>{"arguments": {"a": "\\ud800"}, "name": "f"}</tool_call>'])
    assert (text, calls) == ("", [("f", '{"a": "\\ud800"}')])
    text, calls = parse(['<tool_call>{"arguments": {}, "name": "\\ud800"}</tool_call>'])
    assert not calls and text.encode()


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert parse(['<tool_call>{"name": "now"}</tool_call>']) == ("", [("now", "{}")])


@pytest.mark.parametrize(
    "text",
    [
        "plain text",
        "a < b and <tool_c is no tag",
        "<tool_call>no json</tool_call>",
        "<tool_call>[]</tool_call>",
        '<tool_call>{"name": 5}</tool_call>',
        "<tool_call>never closed",
        "",
    ],
)
def test_text_that_is_not_a_call_stays_text(text: str) -> None:
    assert parse([text]) == (text, [])


def test_a_call_that_was_cut_off_keeps_its_received_part() -> None:
    assert parse(['<tool_call>{"name": "f", "arguments": {"x": ']) == ("", [("f", '{"x": ')])


def test_arguments_are_streamed_in_pieces() -> None:
    parser = ToolCallParser()
    assert parser.feed('<tool_call>{"name": "f", "arguments": {"x"') == [CallStart(0, "f"), CallArguments(0, '{"x"')]
    assert parser.feed(": 1}") == [CallArguments(0, ": 1}")]


@given(st.data())
def test_any_split_gives_the_same(data: st.DataObject) -> None:
    text = "before " + CALL + "\n" + CALL + " after"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    said, calls = parse(pieces)
    assert said == "before after"
    assert calls == [("add", ARGUMENTS)] * 2


LEAF = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(LEAF, lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids)))
def test_any_arguments_are_parsed_unchanged(value: object) -> None:
    raw = json.dumps({"value": value})
    _said, calls = parse([f'<tool_call>\n{{"name": "f", "arguments": {raw}}}\n</tool_call>'])
    assert calls == [("f", raw)]
