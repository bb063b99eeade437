"""The official JSON Schema Test Suite (MIT, tests/data/json_schema_suite): no keyword is ignored.

Each case ends in one of three ways: the schema is refused, or the grammar or the check after generation refuses what is
not valid. What is valid passes, unless an answer is never written that way.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llguidance import LLTokenizer

from functions.inference.errors import UnsupportedSchema
from functions.inference.grammar.grammar import json_grammar
from functions.inference.llama.grammar import GrammarCompiler, Matcher

SUITE = Path(__file__).parents[2] / "data" / "json_schema_suite"
NEVER_WRITTEN = {
    "closed objects and tuples": {"additionalItems", "additionalProperties", "allOf", "anyOf", "items", "not"}
    | {
        "patternProperties",
        "prefixItems",
        "properties",
        "ref",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
        "vocabulary",
    },
    "0.0 for 0, or another order of a constant's members": {"const", "enum", "type"},
    "a text that breaks its `format`, which 2020-12 leaves open": {"format"},
}
NEVER_TRUE_OR_TOO_LARGE = {"boolean_schema", "allOf", "anyOf", "oneOf", "const", "enum", "multipleOf"}
REFUSED = NEVER_TRUE_OR_TOO_LARGE | {"patternProperties", "unevaluatedProperties"}  # patterns overlap; recursion


class ByteCompiler(GrammarCompiler):
    """A token is a byte, so that any text can be fed."""

    def __init__(self) -> None:
        self._tokenizer, self._compiled = LLTokenizer("byte"), {}


def cases(draft: str) -> Iterator[dict[str, Any]]:
    for line in (SUITE / f"{draft}.jsonl").read_text().splitlines():
        yield json.loads(line)


def takes(matcher: Matcher, text: str) -> bool:
    """Whether an answer may be `text`."""
    for byte in text.encode():
        if not matcher.allows(byte):
            return False
        matcher.accept(byte)
    return matcher._matcher.is_accepting() and (matcher.check is None or matcher.check.fault(text) is None)


@pytest.mark.parametrize(("draft", "fewest_right"), [("draft7", 793), ("draft2020-12", 1070)])
def test_no_keyword_is_ignored(draft: str, fewest_right: int) -> None:
    compiler, found, strict, refused = ByteCompiler(), Counter[str](), set(), set()
    for case in cases(draft):
        for test in case["tests"]:
            text = json.dumps(test["data"], ensure_ascii=False, separators=(",", ":"))
            try:
                passes = takes(compiler.matcher(json_grammar(case["schema"], "response_format")), text)
            except UnsupportedSchema as refusal:
                assert "The schema at #" in str(refusal)
                found["refused"] += 1
                if "$" not in str(refusal):  # references and ids
                    refused.add(case["file"])
                continue
            assert test["valid"] or not passes, (case, test)
            found["right" if passes == test["valid"] else "strict"] += 1
            if passes != test["valid"]:
                strict.add(case["file"])
    assert strict <= set().union(*NEVER_WRITTEN.values())
    assert refused <= REFUSED, refused
    assert found["right"] >= fewest_right, found
