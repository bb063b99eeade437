"""Calls and reasoning in each family's own form, and every order of roles on the templates of real models."""

import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from functions.inference.errors import InvalidRequest
from functions.inference.grammar.grammar import Grammar
from functions.inference.llama.grammar import GrammarCompiler
from functions.inference.llama.vocab import LlamaVocab
from functions.inference.models.chat_template import ChatTemplate
from functions.inference.openai.requests import ChatRequest, ResponseFormat, Tool
from functions.inference.openai.responses import ResponseHead
from functions.inference.tools.families import HARMONY, HERMES, family_of
from functions.inference.tools.grammar import (
    Form,
    answer_grammar,
    call_grammar,
    forced_tools,
    offered_tools,
    thought_rules,
)
from functions.inference.tools.parser import has_first_call, parser_for
from functions.inference.tools.parts import CallArguments, CallStart, Part, PlainText, Reasoning
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
    "Qwen3.5-4B": "xml",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-args",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral",
    "ibm-granite-granite-3.3-2B-Instruct": "granite",
    "deepseek-ai-DeepSeek-V3.1": "deepseek",
    "openai-gpt-oss-120b": "harmony",
    "google-gemma-4-31B-it": "gemma",
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
    "xml": '<tool_call>\n<function=f>\n<parameter=a>\n[1, {"b": "}]\\"<"}]\n</parameter>\n</function>\n</tool_call>\n'
    "<tool_call>\n<function=g>\n<parameter=c>\né｜\n</parameter>\n</function>\n</tool_call>",
    "gemma": '<|tool_call>call:f{a:[1,{b:<|"|>}]"<<|"|>}]}<tool_call|><|tool_call>call:g{c:<|"|>é｜<|"|>}<tool_call|>',
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


@pytest.mark.parametrize("family", sorted(set(CALLS) - {"xml", "gemma"}))
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
JSON_ANSWER = ResponseFormat.model_validate(
    {
        "type": "json_schema",
        "json_schema": {
            "name": "n",
            "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        },
    }
)
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


@pytest.mark.parametrize("name", ["Qwen-Qwen3-0.6B", "Qwen3.5-4B", "google-gemma-4-31B-it", "openai-gpt-oss-120b"])
def test_the_reasoning_before_a_past_call_is_shown_to_the_model_again(name: str) -> None:
    model: Any = SimpleNamespace(template=ChatTemplate(TEMPLATES[name], bos="<s>", eos="</s>"))
    calls = TURNS["call"]["tool_calls"] * 2
    thought = TURNS["call"] | {"reasoning_content": "WHY", "tool_calls": [calls[0], calls[1] | {"id": "c2"}]}
    messages = [TURNS["user"], thought, TURNS["tool"]]
    prompt = job_builder.chat_prompt(ChatRequest.model_validate({"model": "m", "messages": messages}), model)
    assert prompt.count("WHY") == 1 and prompt.index("ASK") < prompt.index("WHY") < prompt.index("ARG")


@pytest.mark.parametrize("family", sorted(set(CALLS) - {"gemma"}))
@pytest.mark.parametrize("with_controls", [False, True])
def test_what_the_grammar_forces_is_what_the_parser_reads(family: str, with_controls: bool, vocab: LlamaVocab) -> None:
    found = family_of(SOURCES[family])
    assert found is not None
    name = "<|im_start|>"  # stands for a token of the family's, which the demo model does not have
    control = vocab.control_tokens()[name]
    shown = dict.fromkeys([control.token], found.controls[0].encode()) if with_controls else {}
    tools = [Tool.model_validate(TOOL)]
    matcher = GrammarCompiler(vocab).matcher(call_grammar(tools, tools, Form(found, shown)))
    opening, after_name, closing = found.written
    text = f"{opening}f{after_name}{'' if family == 'xml' else '{}'}{closing}"
    for piece in re.split(f"({re.escape(found.controls[0])})", text) if with_controls else [text]:
        for token in [control.token] if shown and piece == found.controls[0] else vocab.tokenize(piece):
            assert matcher.allows(token), (name, piece)
            matcher.accept(token)
    assert read(list(text), family) == ("", "", [["f", "{}"]])


@pytest.mark.parametrize(
    ("thinks", "inside", "before", "allowed"),
    [
        (True, False, "<think>\nI <tool_call> look.</think>\n\n", True),
        (True, True, "I look.</think>\n", True),
        (True, False, "", True),
        (True, True, "", False),
        (False, False, "<think>hm</think>", False),
        (True, False, "<think>hm</think>Well. ", False),
    ],
)
def test_a_model_may_think_before_a_forced_call(
    thinks: bool, inside: bool, before: str, allowed: bool, vocab: LlamaVocab
) -> None:
    tools, family = [Tool.model_validate(TOOL)], family_of(SOURCES["hermes"])
    assert family is not None
    grammar = call_grammar(tools, tools, Form(family, {}, thinks, inside))
    matcher = GrammarCompiler(vocab).matcher(grammar)
    opening, after_name, closing = family.written
    text = f"{before}{opening}f{after_name}{{}}{closing}"
    taken = []
    for token in vocab.tokenize(text):
        if not matcher.allows(token):
            break
        matcher.accept(token)
        taken.append(token)
    if not inside or before:
        assert (taken == vocab.tokenize(text)) is allowed
    else:
        assert vocab.end_tokens.isdisjoint(matcher.allowed().tolist())  # the call was read as a thought
    if allowed:
        assert grammar.read(text) == (0, "{}")  # what is checked afterwards
    if allowed and before:
        assert read([text], "hermes", thinks, inside)[2] == [["f", "{}"]]


def follows(grammar: Grammar, pieces: list[list[int]], vocab: LlamaVocab) -> bool:
    """Whether the grammar allows the tokens, and the end of the answer after them."""
    matcher = GrammarCompiler(vocab).matcher(grammar)
    for token in itertools.chain.from_iterable(pieces):
        if not matcher.allows(token):
            return False
        matcher.accept(token)
    return vocab.end_tokens.issubset(matcher.allowed().tolist())


@pytest.mark.parametrize(
    ("family", "thinks", "inside", "before", "allowed"),
    [
        ("hermes", True, True, 'Let me see: {"a": 2}</think>\n\n', True),
        ("hermes", True, False, "<think>\nhm\n</think>\n\n", True),
        ("hermes", True, False, "", True),
        ("hermes", True, True, "", False),
        ("hermes", False, False, "<think>hm</think>", False),
        ("gemma", True, False, "<|channel>thought\nhm<channel|>", True),
        ("hermes", True, False, "<think>hm</think>\n\n\n\n\n", False),
    ],
)
def test_a_model_may_think_before_an_answer_in_json(
    family: str, thinks: bool, inside: bool, before: str, allowed: bool, vocab: LlamaVocab
) -> None:
    found = family_of(SOURCES[family])
    assert found is not None
    grammar = answer_grammar(JSON_ANSWER, Form(found, {}, thinks, inside))
    assert grammar is not None and follows(grammar, [vocab.tokenize(before + '{"a":1}')], vocab) is allowed
    assert not follows(grammar, [vocab.tokenize(before + '{"a":"1"}')], vocab)
    if allowed:
        assert grammar.read(before + '{"a":1}') == (0, '{"a":1}')


def test_a_thought_between_control_tokens_ends_with_one(vocab: LlamaVocab) -> None:
    shown = {100: b"<think>", 101: b"</think>"}  # stand for the family's tokens
    grammar = answer_grammar(JSON_ANSWER, Form(HERMES, shown, True))
    assert grammar is not None
    assert follows(grammar, [[100], vocab.tokenize("hm </think> hm"), [101], vocab.tokenize('\n{"a":1}')], vocab)
    assert not follows(grammar, [vocab.tokenize('<think>hm</think>{"a":1}')], vocab)


@pytest.mark.parametrize("end", ["<think>\n", "<think>\n\n</think>\n\n", "assistant\n"])
def test_the_prompts_end_says_whether_the_model_thinks(end: str, vocab: LlamaVocab) -> None:
    model: Any = SimpleNamespace(template=ChatTemplate(TEMPLATES["Qwen-Qwen3-0.6B"]), vocab=vocab)
    form = job_builder.form_of(vocab.tokenize("Hello there. " + end), model, {})
    assert (form.thinks, form.inside) == ("</think>" not in end, end == "<think>\n")


def test_gpt_oss_may_think_before_a_forced_call(vocab: LlamaVocab) -> None:
    shown = {100 + at: name.encode() for at, name in enumerate(HARMONY.controls)}  # stand for its control tokens
    numbers = {name: token for token, name in shown.items()}
    tools = [Tool.model_validate(TOOL)]
    form = Form(HARMONY, shown)
    grammar = call_grammar(tools, tools, form)
    call = HARMONY_CALL + "{}"
    final = '<|channel|>final<|message|>{"a":1}'
    for start in ("", "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"):
        for text, made, wanted in ((call, grammar, "{}"), (final, answer_grammar(JSON_ANSWER, form), '{"a":1}')):
            pieces = re.split("(<[|].*?[|]>)", start + text)
            known = [[numbers[one.encode()]] if one.encode() in numbers else vocab.tokenize(one) for one in pieces]
            assert made is not None and follows(made, known, vocab) and made.read(start + text) == (0, wanted)
    assert thought_rules(Form(HARMONY)) == ""


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
    last = {"harmony": A + "<|call|>", "xml": "</function>", "gemma": '<|"|>}]}'}.get(family, A)
    ends = CALLS[family].index(last) + len(last)
    assert read_so_far == CALLS[family][: ends - 1]
    assert read([CALLS[family][:ends]], family)[2] == [["f", A]]


def qwen(forced: str = "") -> Any:
    """A model, with what every answer by a grammar begins with."""
    encoder = SimpleNamespace(encode=lambda text: (1, 2), tokens_named=lambda names: {})
    matcher = SimpleNamespace(forced=lambda: [3] if forced else [], accept=lambda token: None)
    grammars = SimpleNamespace(matcher=lambda grammar: matcher, compile_once=lambda key, grammar: None)
    vocab = SimpleNamespace(piece=lambda token: forced.encode() or b"a", vocab_tokens=9, grammars=grammars)
    entry = SimpleNamespace(sampling=SimpleNamespace(model_dump=lambda: {}))
    template = ChatTemplate(TEMPLATES["Qwen-Qwen3-0.6B"])
    return SimpleNamespace(template=template, prompts=encoder, vocab=vocab, entry=entry)


@pytest.mark.parametrize(("parallel", "ends"), [(None, False), (True, False), (False, True)])
def test_only_one_call_is_generated_where_parallel_ones_are_not_wanted(parallel: bool | None, ends: bool) -> None:
    for job in job_builder.chat_jobs(chosen(parallel_tool_calls=parallel, n=2), qwen(), 9):
        assert (job.complete is not None) is ends
        if job.complete is not None:
            assert not job.complete("<think>hm</think><tool_call>") and job.complete(CALLS["hermes"][11:])


def test_the_beginning_in_the_prompt_is_part_of_an_answer_of_one_call() -> None:
    opening, rest = "<think>hm</think><tool_call>", CALLS["hermes"][11:]
    request = chosen(parallel_tool_calls=False, response_format={"type": "json_object"})
    (job,) = job_builder.chat_jobs(request, qwen(opening), 9)
    assert (job.prompt, job.begun, job.max_tokens) == ((1, 2, 3), opening, 8)
    assert job.complete is not None and job.complete(rest)


def test_the_thought_before_json_is_reasoning() -> None:
    model, request = qwen(), chosen(tools=None, response_format={"type": "json_object"})
    model.vocab.piece = lambda token: b"<think>\n"
    (job,) = job_builder.chat_jobs(request, model, 9)
    parser = job_builder.parser_of(request, model, job)
    assert parser is not None
    found = ToolChatShape(ResponseHead("c", 1, "m"), False, 0, parser).whole('hm {</think>\n\n{"a": 1}', (), "stop")
    message = found["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm {", '{"a": 1}')


def test_tools_for_a_model_of_an_unknown_form_are_refused() -> None:
    for form in ("<tool_call>f<arg_key>a</arg_key>", '<invoke name="f">', "functools[f]"):
        model: Any = SimpleNamespace(template=ChatTemplate("{{ tools }}" + form))
        with pytest.raises(InvalidRequest, match="form that is not supported") as refused:
            job_builder.chat_jobs(chosen(), model, 9)
        assert refused.value.param == "tools"


def test_a_call_that_cannot_be_forced_is_refused() -> None:
    model = qwen()
    model.template = ChatTemplate(TEMPLATES["google-gemma-4-31B-it"])
    with pytest.raises(InvalidRequest, match="cannot be forced") as refused:
        job_builder.chat_jobs(chosen(tool_choice="required"), model, 9)
    assert refused.value.param == "tool_choice" and job_builder.chat_jobs(chosen(), model, 9)
