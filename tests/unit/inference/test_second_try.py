"""An answer that breaks what no grammar enforces: made again once, then an error; both tries count."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from functions.inference.engine.engine import Engine, EngineLimits
from functions.inference.engine.jobs import Job, Sampling
from functions.inference.errors import Overloaded, SchemaNotMet, UnsupportedSchema
from functions.inference.grammar.check import AnswerCheck
from functions.inference.grammar.grammar import json_grammar
from functions.inference.grammar.schema import SchemaChecker
from functions.inference.openai.responses import ChatShape, ResponseHead
from functions.inference.web import answer
from functions.inference.web.choices import Choices
from functions.inference.web.disconnect import Caller
from tests.unit.inference.fake_backend import FakeBackend, FakeMatcher, job, tokens
from tests.unit.inference.test_schema_suite import ByteCompiler

NOBODY = Caller({}, 1.0)


@dataclass
class Wants:
    """Answers must be this text."""

    text: str

    def fault(self, text: str) -> str | None:
        return None if text == self.text else "is another"


def checked(prompt: str, wanted: str, again: str | None = None, **more: Any) -> Job:
    sampling = Sampling(matcher=FakeMatcher(0.0, check=Wants(wanted)))  # type: ignore[arg-type]
    first = job(prompt, sampling=sampling, **more)
    if again is not None:
        first.again = lambda fault: replace(
            first, prompt=tokens(again), again=None, cancelled=False, completion_tokens=0
        )
    return first


def choices(jobs: Sequence[Job], engine: Engine | None = None) -> Choices:
    """With a model that answers `one:` with "bad", and `two:` with "good" at once."""
    found = engine or Engine(
        FakeBackend(["one:bad", "two:good"]), EngineLimits(slots=4, batch_tokens=32, queue_places=8)
    )

    def submit(one: Job) -> None:
        found.submit(one)
        while found.step():
            pass

    return Choices(jobs, [ChatShape(ResponseHead("c", 1, "m"), False, n) for n in range(len(jobs))], 1, submit)


def blocks(found: Choices) -> list[str]:
    return b"".join(answer.stream(found, NOBODY, True)).decode().split("\n\n")


def test_a_faulty_answer_is_made_again_and_both_tries_count() -> None:
    body = answer.whole(choices([checked("one:", "good", "two:")]), NOBODY)
    assert body["choices"][0]["message"]["content"] == "good"
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (4 + 4, 3 + 4)


def test_text_is_held_back_while_it_may_have_to_be_made_again() -> None:
    sent = blocks(choices([checked("one:", "good", "two:")]))
    assert "bad" not in "".join(sent) and sent[-2] == "data: [DONE]"
    assert ": usage 8 7 " in sent[-3]


def test_a_second_faulty_answer_is_an_error_that_tells_what_both_took() -> None:
    with pytest.raises(SchemaNotMet, match=r"is another \(all 15 tokens"):
        answer.whole(choices([checked("one:", "nothing", "two:")]), NOBODY)
    last = blocks(choices([checked("one:", "nothing", "two:")]))[-2]
    usage, event = last.split("\ndata: ")
    assert usage == ": usage 8 7 0"
    assert (json.loads(event)["error"]["code"], json.loads(event)["error"]["status"]) == ("schema_not_met", 502)


def test_a_stream_sends_text_at_once_and_ends_with_an_error_instead_of_done() -> None:
    sent = blocks(choices([checked("one:", "good")]))
    assert (
        "".join(json.loads(one.split("data: ")[1])["choices"][0]["delta"].get("content", "") for one in sent[:-2])
        == "bad"
    )
    assert "schema_not_met" in sent[-2] and "[DONE]" not in "".join(sent)


def test_an_answer_begins_with_the_text_that_stands_in_the_prompt() -> None:
    body = answer.whole(choices([job("two:", begun="very ")]), NOBODY)
    assert (body["choices"][0]["message"]["content"], body["usage"]["completion_tokens"]) == ("very good", 4)
    body = answer.whole(choices([checked("one:", "not so bad", "two:", begun="not so ")]), NOBODY)
    assert body["choices"][0]["message"]["content"] == "not so bad"


def test_each_choice_has_its_own_second_try() -> None:
    body = answer.whole(choices([checked("one:", "good", "two:"), checked("two:", "good", "one:")]), NOBODY)
    assert [one["message"]["content"] for one in body["choices"]] == ["good", "good"]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (12, 11)


def test_an_answer_that_was_cut_is_not_checked() -> None:
    body = answer.whole(choices([checked("one:", "good", "two:", max_tokens=2)]), NOBODY)
    assert (body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"]) == ("ba", "length")
    body = answer.whole(choices([checked("one:", "good", "two:", stops=("d",))]), NOBODY)
    assert body["choices"][0]["message"]["content"] == "ba"


def test_a_second_try_that_the_context_has_no_room_for_is_the_same_error() -> None:
    with pytest.raises(SchemaNotMet):
        answer.whole(choices([checked("one:", "good", "x" * 100)]), NOBODY)


def test_a_second_try_that_finds_no_place_is_told_as_such() -> None:
    found = choices([checked("one:", "good", "two:")])

    def full(one: Job) -> None:
        raise Overloaded("full", 3)

    found._submit = full
    with pytest.raises(Overloaded):
        answer.whole(found, NOBODY)


def test_a_caller_that_leaves_ends_the_second_try_too() -> None:
    begun: list[Job] = []
    found = choices([checked("one:", "good", "two:")])
    found._submit = begun.append
    events = found.follow(NOBODY)
    while not begun:
        next(events)
    events.close()  # type: ignore[attr-defined]
    assert begun[0].cancelled


def check(schema: Any) -> AnswerCheck:
    found = ByteCompiler().matcher(json_grammar(schema, "response_format")).check
    assert isinstance(found, AnswerCheck)
    return found


def test_a_fault_is_told_with_its_place() -> None:
    found = check({"properties": {"a": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}}})
    assert found.fault('{"a": [1, 2]}') is None
    assert found.fault('{"a": [1, 1]}') == "has a fault at #/a: [1,1] has non-unique elements"
    assert found.fault("[" * 5_000) == "is no JSON that can be read"
    assert found.fault('{"a": ' + "9" * 5_000 + "}") == "is no JSON that can be read"


def test_a_schema_that_the_grammar_enforces_is_not_checked() -> None:
    for schema in ({"type": "string", "pattern": "^a$"}, {"oneOf": [{"type": "string"}, {"type": "null"}]}, {}):
        assert ByteCompiler().matcher(json_grammar(schema, "response_format")).check is None


def doubling(levels: int) -> dict[str, Any]:
    defs = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"not": {"$ref": "#/$defs/a0"}, "$defs": defs | {f"a{levels}": {"type": "null"}}}


CHAIN = {f"{n}": {"$ref": f"#/$defs/{n + 1}"} for n in range(999)}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"not": {"type": "array", "items": {"$ref": "#"}}}, "# uses `not`, in a schema that contains itself (#)."),
        (doubling(20), "# uses `not`, in a schema that is too large for it."),
        ({"not": {}, "$defs": CHAIN}, "# uses `not`, in a schema that is too deep for it."),
        ({"uniqueItems": 1}, "#/uniqueItems is not valid: 1 is not of type"),
        ({"not": {"pattern": "(?=a)"}}, "#/not has a `pattern` that looks around, inside a keyword"),
        ({"pattern": "(?=((((a{1,50}){1,50}){1,50}){1,50}){1,50})"}, "#/pattern is not valid"),
        ({"not": {}, "items": [{}], "unevaluatedItems": False}, "# uses `not`, in a schema that mixes keywords"),
        ({"not": {}, "properties": {"a": {"type": "string", "nullable": True}}}, "# uses `not`, in a schema with `nul"),
        ({"if": {"format": "phone"}, "then": {}}, "#/if has a `format` that is not one of"),
        ({"contains": {"$dynamicRef": "#a"}}, "#/contains uses `$dynamicRef`, which is not supported."),
    ],
)  # fmt: skip
def test_what_can_neither_be_enforced_nor_checked_is_refused_by_keyword_and_place(schema: Any, said: str) -> None:
    with pytest.raises(UnsupportedSchema) as refused:
        ByteCompiler().matcher(json_grammar(schema, "response_format"))
    assert str(refused.value).startswith(f"The schema at {said}"), str(refused.value)
    assert refused.value.param == "response_format"


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"a": {"$ref": "#"}}}, "a schema that contains itself (#)."),
        ({"properties": {"a": {"type": "string", "nullable": True}}}, "a schema with `nullable`."),
        ({"properties": {"a": {"$ref": "#", "uniqueItems": True}}}, "uses `uniqueItems`, in a schema that contains"),
    ],
)
def test_a_loosened_schema_is_refused_without_the_name_of_another_keyword(schema: Any, said: str) -> None:
    checker = SchemaChecker(schema, "tools[0].function.parameters")
    checker.checked()
    checker.loosened()
    with pytest.raises(UnsupportedSchema) as refused:
        AnswerCheck([checker])
    assert said in str(refused.value) and "`type`" not in str(refused.value)
