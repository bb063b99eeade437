"""Models of pydantic and zod: each is accepted, and every answer that ended by itself validates."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel

from functions.inference.errors import UnsupportedSchema
from functions.inference.grammar.grammar import json_grammar
from functions.inference.llama.grammar import GrammarCompiler
from tests.rounds import rounds
from tests.unit.inference.pydantic_models import models
from tests.unit.inference.test_schema_suite import ByteCompiler

ZOD = Path(__file__).parents[2] / "data" / "client_models" / "zod_models.jsonl"
MOST_BYTES = 160
NEVER_ENDED = 0.1


def answers(compiler: GrammarCompiler, schema: Any, count: int) -> Iterator[str]:
    """Random ones that ended, and were not found faulty."""
    rng = random.Random(1)
    for _ in range(count):
        matcher, text = compiler.matcher(json_grammar(schema, "response_format")), b""
        while len(text) < MOST_BYTES:
            if text and matcher._matcher.is_accepting():
                answer = text.decode()
                if matcher.check is None or matcher.check.fault(answer) is None:
                    yield answer
                break
            allowed = [int(one) for one in matcher.allowed() if one < 128]
            ends = [one for one in allowed if one in b'"}]']
            byte = rng.choice(ends if ends and rng.random() < 0.4 else allowed)
            matcher.accept(byte)
            text += bytes([byte])


def walk(schemas: dict[str, Any], validate: Callable[[str, str], object]) -> None:
    compiler, silent = ByteCompiler(), []
    for name, schema in schemas.items():
        found = list(answers(compiler, schema, rounds(20, 4)))
        for answer in found:
            try:
                validate(name, answer)
            except ValueError as fault:
                raise AssertionError(f"{name}: {answer} of {json.dumps(schema)}") from fault
        if not found:
            silent.append(name)
    assert len(silent) <= NEVER_ENDED * len(schemas), silent


@pytest.mark.slow
def test_answers_validate_by_the_pydantic_model_that_they_were_asked_for() -> None:
    found: dict[str, type[BaseModel]] = {model.__name__: model for model in models()}
    assert len(found) == 200
    schemas = {name: model.model_json_schema() for name, model in found.items()}
    for name in [name for name, one in schemas.items() if '"binary"' in json.dumps(one)]:
        with pytest.raises(UnsupportedSchema, match="has a `format`"):
            json_grammar(schemas.pop(name), "response_format")
    assert len(schemas) == 198
    walk(schemas, lambda name, answer: found[name].model_validate_json(answer))


@pytest.mark.slow
def test_answers_validate_by_the_zod_model_that_they_were_asked_for() -> None:
    rows = [json.loads(line) for line in ZOD.read_text().splitlines()]
    assert len(rows) >= 100
    schemas = {row["name"]: row["schema"] for row in rows}
    validators = {name: jsonschema_rs.validator_for(one, validate_formats=True) for name, one in schemas.items()}
    walk(schemas, lambda name, answer: validators[name].validate(json.loads(answer)))
