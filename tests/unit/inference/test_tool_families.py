"""Calls and reasoning in each family's own form, and every order of roles on the templates of real models."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llama_cpp
import pytest

from functions.inference.errors import InvalidRequest
from functions.inference.llama.grammar import GrammarCompiler
from functions.inference.llama.vocab import LlamaVocab
from functions.inference.models.chat_template import ChatTemplate
from functions.inference.openai.requests import ChatRequest, Tool
from functions.inference.openai.responses import ResponseHead
from functions.inference.tools.families import family_of
from functions.inference.tools.grammar import call_grammar, forced_tools, offered_tools
from functions.inference.tools.parser import (
    CallArguments,
    CallStart,
    Part,
    PlainText,
    Reasoning,
    has_first_call,
    parser_for,
)
from functions.inference.tools.responses import ToolChatShape
from functions.inference.web import job_builder

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

TEMPLATES = {
    path.stem: path.read_text() for path in sorted((Path(__file__).parents[2] / "data/chat_templates").glob("*.jinja"))
}
LLAMA3 = (  # the form of Llama 3.1 in our own words, because Meta's licence asks for more than a notice
    '{{ bos_token }}{% if tools %}Respond in the format {"name": name, "parameters": object}.{{ tools | tojson }}'
    "{% endif %}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}"
    '{% for c in m.tool_calls or [] %}{"name": "{{ c.function.name }}", "parameters": '
    "{{ c.function.arguments | tojson }}}{% endfor %}<|eot_id|>{% endfor %}"
)
FAMILIES = {
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "Qwen-Qwen3-0.6B": "hermes",
    "Qwen3.5-4B": None,  # calls in XML
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-args",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral",
    "ibm-granite-granite-3.3-2B-Instruct": "granite",
    "deepseek-ai-DeepSeek-V3.1": "deepseek",
    "openai-gpt-oss-120b": "harmony",
    "google-gemma-4-31B-it": None,  # arguments that are not JSON
}
A, B = '{"a": [1, {"b": "}]\\"<"}]}', '{"c": "é｜"}'
HARMONY_CALL = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"
CALLS = {
    "hermes": f'<tool_call>\n{{"name": "f", "arguments": {A}}}\n</tool_call>\n'
    f'<tool_call>\n{{"name": "g", "arguments": {B}}}\n</tool_call>',
    "llama": f'{{"name": "f", "parameters": {A}}}; {{"type": "function", "name": "g", "parameters": {B}}}',
    "mistral": f'[TOOL_CALLS] [{{"name": "f", "arguments": {A}, "id": "abcdefghi"}}, '
    f'{{"name": "g", "arguments": {B}}}]',
    "mistral-args": f"[TOOL_CALLS]f[CALL_ID]abc[ARGS]{A}[TOOL_CALLS]g[ARGS]{B}",
    "granite": f'<|tool_call|>[{{"name": "f", "arguments": {A}}}, {{"name": "g", "arguments": {B}}}]',
    "deepseek": f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{A}<｜tool▁call▁end｜>"
    f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{B}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "harmony": f"<|channel|>analysis<|message|>why<|end|><|start|>assistant{HARMONY_CALL}{A}<|call|>"
    f"<|start|>assistant to=functions.g<|channel|>commentary json<|message|>{B}",
}
SOURCES = {"llama": LLAMA3} | {name: TEMPLATES[stem] for stem, name in FAMILIES.items() if name}


def read(pieces: list[str], family: str, thinks: bool = False, inside: bool = False) -> tuple[str, str, Any]:
    """The text, the reasoning, and each call's name and arguments."""
    parser = parser_for(family_of(SOURCES[family]), thinks, inside)
    parts: list[Part] = []
    for piece in pieces:
        parts += parser.feed(piece)
    parts += parser.finish()
    calls: list[list[str]] = []
    for part in parts:
        if isinstance(part, CallStart):
            assert part.index == len(calls)
            calls.append([part.name, ""])
        elif isinstance(part, CallArguments):
            calls[part.index][1] += part.text
    assert parser.calls == len(calls)
    text = "".join(part.text for part in parts if isinstance(part, PlainText))
    return text, "".join(part.text for part in parts if isinstance(part, Reasoning)), calls


@pytest.mark.parametrize("family", CALLS)
def test_parallel_calls_are_found_however_the_text_is_split(family: str) -> None:
    text = CALLS[family]
    thought = "why" if family == "harmony" else ""
    for at in range(len(text) + 1):
        assert read([text[:at], text[at:]], family) == ("", thought, [["f", A], ["g", B]]), at
    assert read(list(text), family) == ("", thought, [["f", A], ["g", B]])


@pytest.mark.parametrize("family", CALLS)
@pytest.mark.parametrize("text", ["plain text", "a < b [ and <|x", "", '{"answer": 1}'])
def test_text_that_is_no_call_stays_text(family: str, text: str) -> None:
    assert read(list(text), family) == (text, "", [])


@pytest.mark.parametrize("family", sorted(CALLS.keys() - {"llama", "harmony"}))
def test_text_before_a_call_stays(family: str) -> None:
    assert read(list("I look.\n" + CALLS[family]), family) == ("I look.", "", [["f", A], ["g", B]])


@pytest.mark.parametrize("family", CALLS)
def test_a_name_is_sent_before_its_arguments_are_complete(family: str) -> None:
    parser = parser_for(family_of(SOURCES[family]), False, False)
    half = CALLS[family][: CALLS[family].index('{"a": [1') + 8]
    parts = [part for char in half for part in parser.feed(char)]
    assert CallStart(0, "f") in parts
    assert "".join(part.text for part in parts if isinstance(part, CallArguments)) == '{"a": [1'


@pytest.mark.parametrize("inside", [False, True])
def test_thoughts_are_reasoning_and_not_content(inside: bool) -> None:
    text = ("" if inside else "<think>") + "\na < b\n</think>\n\nYes. " + CALLS["hermes"]
    for at in range(len(text)):
        assert read([text[:at], text[at:]], "hermes", True, inside) == ("Yes.", "\na < b\n", [["f", A], ["g", B]])


def test_channels_of_harmony_are_told_apart() -> None:
    text = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes<|return|>"
    assert read(list(text), "harmony") == ("Yes", "hm", [])


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_family_is_read_from_the_template(name: str) -> None:
    found = family_of(TEMPLATES[name])
    assert (found and found.name) == FAMILIES[name]
    assert family_of(LLAMA3).name == "llama"  # type: ignore[union-attr]


TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
TURNS: dict[str, dict[str, Any]] = {
    "system": {"role": "system", "content": "BEKIND"},
    "user": {"role": "user", "content": "ASK"},
    "assistant": {"role": "assistant", "content": "SAY", "refusal": None, "tool_calls": []},
    "call": {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": {"x": "ARG"}}}],
    },
    "tool": {"role": "tool", "tool_call_id": "c", "content": "RES"},
}
WORDS = {"system": "BEKIND", "user": "ASK", "assistant": "SAY", "call": "ARG", "tool": "RES"}
ORDERS = [order for length in (1, 2, 3, 4) for order in itertools.product(TURNS, repeat=length)]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_order_of_roles_is_rendered_whole_or_refused(name: str) -> None:
    model: Any = SimpleNamespace(template=ChatTemplate(TEMPLATES[name], bos="<s>", eos="</s>"))
    taken = 0
    for order in ORDERS:
        messages = [TURNS[kind] for kind in order]
        request = ChatRequest.model_validate({"model": "m", "messages": messages, "tools": [TOOL]})
        try:
            prompt = job_builder.chat_prompt(request, model)
        except InvalidRequest as refused:
            assert (refused.param or "").startswith("messages") and len(str(refused)) > 40
            continue
        taken += 1
        for kind in ("system", "user"):
            assert prompt.count(WORDS[kind]) >= order.count(kind), (order, prompt)
    assert taken > 20


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "order",
    [
        *("system system user", "user system user", "user user", "system user assistant user user", "user system"),
        *("assistant user", "user call tool user", "user call user", "system user call tool tool user user"),
    ],
)
def test_the_orders_that_agents_send_are_taken(name: str, order: str) -> None:
    model: Any = SimpleNamespace(template=ChatTemplate(TEMPLATES[name], bos="<s>", eos="</s>"))
    messages = [TURNS[kind] for kind in order.split()]
    prompt = job_builder.chat_prompt(ChatRequest.model_validate({"model": "m", "messages": messages}), model)
    assert prompt.count("BEKIND") == order.count("system") and prompt.count("ASK") == order.count("user")


@pytest.fixture(scope="module")
def vocab() -> Iterator[LlamaVocab]:
    options = llama_cpp.llama_model_default_params()
    options.vocab_only = True
    path = Path(__file__).parents[3] / "model/demo-model-q8_0.gguf"
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
    yield LlamaVocab(model)
    llama_cpp.llama_model_free(model)


@pytest.mark.parametrize("family", CALLS)
@pytest.mark.parametrize("with_controls", [False, True])
def test_what_the_grammar_forces_is_what_the_parser_reads(family: str, with_controls: bool, vocab: LlamaVocab) -> None:
    found = family_of(SOURCES[family])
    assert found is not None
    name = "<|im_start|>"  # stands for a token of the family's, which the demo model does not have
    control = vocab.control_tokens()[name]
    shown = dict.fromkeys([control.token], found.controls[0].encode()) if with_controls else {}
    tools = [Tool.model_validate(TOOL)]
    matcher = GrammarCompiler(vocab).matcher(call_grammar(tools, tools, found, shown))
    opening, after_name, closing = found.written
    text = f"{opening}f{after_name}{{}}{closing}"
    for piece in re.split(f"({re.escape(found.controls[0])})", text) if with_controls else [text]:
        for token in [control.token] if shown and piece == found.controls[0] else vocab.tokenize(piece):
            assert matcher.allows(token), (name, piece)
            matcher.accept(token)
    assert read(list(text), family) == ("", "", [["f", "{}"]])


def chosen(**fields: Any) -> ChatRequest:
    other = {"type": "function", "function": {"name": "g"}}
    return ChatRequest.model_validate({"model": "m", "messages": [TURNS["user"]], "tools": [TOOL, other]} | fields)


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_hides_the_others(mode: str) -> None:
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "g"}}]}
    request = chosen(tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert [tool.function.name for tool in offered_tools(request)] == ["g"]
    assert [tool.function.name for tool in forced_tools(request)] == (["g"] if mode == "required" else [])
    allowed["tools"] = [{"type": "function", "function": {"name": "h"}}]
    with pytest.raises(InvalidRequest, match="no tool named 'h'"):
        offered_tools(chosen(tool_choice={"type": "allowed_tools", "allowed_tools": allowed}))


def shape() -> ToolChatShape:
    parser = parser_for(family_of(SOURCES["hermes"]), True, False)
    return ToolChatShape(ResponseHead("chatcmpl-1", 1, "m"), False, 0, parser)


def test_parallel_calls_have_an_index_each() -> None:
    whole = shape().whole("<think>hm</think>" + CALLS["hermes"], (), "stop")["choices"][0]
    assert [call["function"]["arguments"] for call in whole["message"]["tool_calls"]] == [A, B]
    assert whole["message"]["reasoning_content"] == "hm" and whole["finish_reason"] == "tool_calls"
    streamed = shape()
    deltas = [
        chunk["choices"][0]["delta"]
        for char in "<think>hm</think>" + CALLS["hermes"]
        for chunk in streamed.chunks(char, ())
    ]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert [call["index"] for call in calls if "id" in call] == [0, 1]
    assert "".join(c["function"]["arguments"] for c in calls if c["index"] == 0) == A
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "hm"


@pytest.mark.parametrize("family", CALLS)
def test_an_answer_of_one_call_ends_where_its_arguments_do(family: str) -> None:
    complete = has_first_call(parser_for(family_of(SOURCES[family]), False, False))
    read_so_far = "".join(itertools.takewhile(lambda char: not complete(char), CALLS[family]))
    ends = CALLS[family].index(A) + len(A + "<|call|>" if family == "harmony" else A)
    assert read_so_far == CALLS[family][: ends - 1]
    assert read([CALLS[family][:ends]], family)[2] == [["f", A]]


@pytest.mark.parametrize(("parallel", "ends"), [(None, False), (True, False), (False, True)])
def test_only_one_call_is_generated_where_parallel_ones_are_not_wanted(parallel: bool | None, ends: bool) -> None:
    encoder = SimpleNamespace(encode=lambda text: (1, 2), tokens_named=lambda names: {})
    vocab = SimpleNamespace(piece=lambda token: b"a", vocab_tokens=9)
    model: Any = SimpleNamespace(template=ChatTemplate(TEMPLATES["Qwen-Qwen3-0.6B"]), prompts=encoder, vocab=vocab)
    model.entry = SimpleNamespace(sampling=SimpleNamespace(model_dump=lambda: {}))
    for job in job_builder.chat_jobs(chosen(parallel_tool_calls=parallel, n=2), model, 9):
        assert (job.complete is not None) is ends
        if job.complete is not None:
            assert not job.complete("<think>hm</think><tool_call>") and job.complete(CALLS["hermes"][11:])


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family is None])
def test_tools_for_a_model_of_an_unknown_form_are_refused(name: str) -> None:
    model: Any = SimpleNamespace(template=ChatTemplate(TEMPLATES[name]))
    with pytest.raises(InvalidRequest, match="form that is not supported") as refused:
        job_builder.chat_jobs(chosen(), model, 9)
    assert refused.value.param == "tools"
