"""Arguments that models write as XML or in Gemma's form, as the JSON that callers get and the schema asks for."""

import json
from typing import Any

import jsonschema_rs
import pytest

from functions.inference.errors import UnsupportedSchema
from functions.inference.llama.grammar import GrammarCompiler
from functions.inference.llama.vocab import LlamaVocab
from functions.inference.openai.requests import Tool
from functions.inference.tools.arguments import GemmaArguments, XmlArguments
from functions.inference.tools.families import XML
from functions.inference.tools.grammar import Form, call_grammar

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "where"},
        "lines": {"type": "array", "items": {"type": "string"}},
        "count": {"type": "integer", "minimum": 1},
        "mode": {"type": "string", "enum": ["r", "1"]},
        "code": {"type": "string", "pattern": "^[0-9]+$"},
        "odd": {"enum": ["</parameter>", '"a"']},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "deep": {"$ref": "#/$defs/Deep"},
    },
    "required": ["path"],
    "$defs": {"Deep": {"type": "object", "properties": {"ok": {"type": "boolean"}}}},
}
CLOSES = '\\"</parameter></function>'
CASES = [
    ({"path": "3"}, {"path": "3"}),
    ({"path": 'a "b"\n\n<c>\\ é😀'}, {"path": 'a "b"\n\n<c>\\ é😀'}),
    ({"path": ""}, {"path": ""}),
    ({"path": "null", "note": "null"}, {"path": "null", "note": None}),
    ({"path": "p", "note": "12"}, {"path": "p", "note": "12"}),
    ({"path": "p", "lines": '["a", "<b"]', "count": "3"}, {"path": "p", "lines": ["a", "<b"], "count": 3}),
    ({"path": "p", "mode": "1", "deep": '{"ok": true}'}, {"path": "p", "mode": "1", "deep": {"ok": True}}),
    ({"path": "p", "code": '"42"'}, {"path": "p", "code": "42"}),
    ({"path": "p", "lines": '["</parameter>", "\\\\\\"</parameter></function>"]'}, {"lines": ["</parameter>", CLOSES]}),
    ({"path": "p", "odd": '"</parameter>"'}, {"odd": "</parameter>"}),
]
LOOSE = [
    ({"deep": "True", "other": "x y", "code": "42", "count": "NaN"}, {"deep": True, "other": "x y", "code": "42"}),
    ({"lines": '["a', "count": "2"}, {"lines": '["a', "count": 2}),
    ({"mode": " r"}, {"mode": " r"}),
    ({"lines": "[" * 5000}, {"lines": "[" * 5000}),
    ({"lines": '["\\ud800"]', "count": "9" * 5000}, {"lines": ["\ud800"], "count": "9" * 5000}),
]


WRITTEN = [{"a": "x"}, {"c": "7"}, {"z": "7"}, {"a": "x", "b": "y", "z": "w"}, {}]
SAID = [{"a": "x"}, {"c": 7}, {"z": 7}, {"a": "x", "b": "y", "z": "w"}, {}]


def xml(values: dict[str, str]) -> str:
    return "".join(f"<parameter={name}>\n{value}\n</parameter>\n" for name, value in values.items()) + "</function>"


def pieces(reader: Any, text: str, size: int) -> tuple[str, str, bool]:
    held, written, complete = "", "", False
    for at in range(0, len(text), size):
        held += text[at : at + size]
        if not complete:
            piece, held, complete = reader.read(held)
            written += piece
    return written, held, complete


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize(("values", "wanted"), [*CASES, *LOOSE, ({}, {})])
def test_xml_becomes_what_the_schema_says(values: dict[str, str], wanted: dict[str, Any], size: int) -> None:
    written, rest, complete = pieces(XmlArguments(SCHEMA), xml(values) + "\n</tool_call>", size)
    found = json.loads(written)
    assert complete and rest == "\n</tool_call>" and {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize("text", ['["a</parameter>\n', '5" a</parameter>'])
def test_a_broken_value_does_not_hide_the_next(text: str) -> None:
    written, _rest, complete = pieces(XmlArguments(SCHEMA), f"<parameter=lines>{text}{xml({'path': 'p'})}", 1)
    assert complete and json.loads(written) == {"lines": text.partition("<")[0], "path": "p"}


def test_text_is_streamed_while_it_is_written() -> None:
    reader = XmlArguments(SCHEMA)
    assert reader.read("<parameter=path>\nprint(") == ('{"path": "print(', "", False)
    assert reader.read("1)\n</para") == ("1)", "\n</para", False)
    assert reader.read("\n</parade>") == ("\n</parade>".replace("\n", "\\n"), "", False)


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{}", {}),
        ('{a:<|"|>x"y\n{<|"|>,b:-1.5,c:true,d:null}', {"a": 'x"y\n{', "b": -1.5, "c": True, "d": None}),
        ('{a:[1,[],{b:<|"|><|"|>}],c:{d:[<|"|>,<|"|>]}}', {"a": [1, [], {"b": ""}], "c": {"d": [","]}}),
        ('{ a b: bare <word> , <|"|>q<|"|>:1}', {"a b": "bare <word>", "q": 1}),
    ],
)
def test_gemmas_form_becomes_json(text: str, wanted: dict[str, Any], size: int) -> None:
    written, rest, complete = pieces(GemmaArguments({}), text + "<tool_call|>", size)
    assert (json.loads(written), rest, complete) == (wanted, "<tool_call|>", True)


def tools_of(schema: dict[str, Any]) -> list[Tool]:
    return [Tool.model_validate({"type": "function", "function": {"name": "f", "parameters": schema}})]


def forced(vocab: LlamaVocab, text: str, schema: dict[str, Any] = SCHEMA) -> bool:
    tools = tools_of(schema)
    matcher = GrammarCompiler(vocab).matcher(call_grammar(tools, tools, Form(XML)))
    for token in vocab.tokenize(f"<tool_call>\n<function=f>\n{text}\n</tool_call>"):
        if not matcher.allows(token):
            return False
        matcher.accept(token)
    return True


@pytest.mark.parametrize("values", [values for values, _wanted in CASES])
def test_forced_xml_may_say_what_the_schema_allows(values: dict[str, str], vocab: LlamaVocab) -> None:
    assert forced(vocab, xml(values))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"path": "p", "count": "0"},
        {"path": "p", "mode": "w"},
        {"path": "p", "code": '"x"'},
        {"path": "p", "z": "1"},
    ],
)
def test_forced_xml_may_say_nothing_else(values: dict[str, str], vocab: LlamaVocab) -> None:
    assert not forced(vocab, xml(values))


@pytest.mark.parametrize(
    "more",
    [
        {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"allOf": [{"properties": {"c": {"type": "integer"}}}]},
        {"additionalProperties": {"type": "integer"}, "properties": {}},
        {"required": ["z"]},
        {"maxProperties": 1},
    ],
)
def test_arguments_that_xml_cannot_force_are_checked(more: dict[str, Any], vocab: LlamaVocab) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}} | more
    tools = tools_of(schema)
    grammar = call_grammar(tools, tools, Form(XML))
    check = grammar.check(one_of=False)
    assert forced(vocab, xml({"q": "<1>"}), schema) and check is not None
    faults = [check.fault(f"<tool_call>\n<function=f>\n{xml(one)}\n</tool_call>") for one in WRITTEN]
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert [fault is None for fault in faults] == [validator.is_valid(one) for one in SAID]


def test_any_object_may_be_written_as_xml(vocab: LlamaVocab) -> None:
    tools = tools_of({"type": "object"})
    assert forced(vocab, xml({"q": "[1]", "r": "x"}), {"type": "object"})
    assert call_grammar(tools, tools, Form(XML)).check(one_of=False) is None


def test_a_name_that_xml_cannot_write_is_refused(vocab: LlamaVocab) -> None:
    with pytest.raises(UnsupportedSchema) as refused:
        forced(vocab, "", {"type": "object", "properties": {"a>b": {"type": "string"}}})
    assert refused.value.param == "tools[0].function.parameters"


@pytest.mark.parametrize("name", ["", "a" * 257])
def test_a_name_that_the_parser_would_not_read_is_refused(name: str, vocab: LlamaVocab) -> None:
    with pytest.raises(UnsupportedSchema, match="cannot write"):
        forced(vocab, "", {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]})


def test_nothing_that_was_read_is_read_again_for_each_token() -> None:
    xml, gemma, blanks, bare = XmlArguments({}), GemmaArguments({}), "", "{a:"
    for _ in range(100):
        _, blanks, _ = xml.read(blanks + "  \n")
        _, bare, _ = gemma.read(bare + "abcd ")
        assert blanks == ""
        assert gemma._looked == len(bare) > 0
    assert gemma.read(bare + ",")[:2] == (f'"{("abcd " * 100).strip()}", ', "")
