"""A grammar in llguidance's forms, with what is needed to say which part of a schema does not compile."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from functions.inference.grammar.schema import SchemaChecker


@dataclass(frozen=True)
class Grammar:
    """`text`: for llguidance, as JSON or in its dialect of Lark. `checkers`: of the schemas in it."""

    text: str
    checkers: Sequence[SchemaChecker]


def json_grammar(schema: Any, param: str) -> Grammar:
    """The grammar of the JSON texts that satisfy `schema`. Raises UnsupportedSchema, naming the field `param`."""
    checker = SchemaChecker(schema, param)
    return Grammar(schema_text(checker.checked()), [checker])


def schema_text(schema: dict[str, Any]) -> str:
    """A checked schema as a grammar."""
    return json.dumps({"grammars": [{"json_schema": schema}]}, ensure_ascii=False)
