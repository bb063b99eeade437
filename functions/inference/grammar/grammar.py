"""A grammar in llguidance's forms, with what is needed to say which part of a schema does not compile."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from functions.inference.grammar.schema import SchemaChecker

if TYPE_CHECKING:
    from functions.inference.grammar.check import AnswerCheck


@dataclass(frozen=True)
class Grammar:
    """`text`: for llguidance, as JSON or in its dialect of Lark. `checkers`: of the schemas in it. `frames`: what an
    answer has before and after the JSON of each."""

    text: str
    checkers: Sequence[SchemaChecker]
    frames: Sequence[tuple[str, str]] = (("", ""),)

    def check(self, *, one_of: bool) -> "AnswerCheck | None":
        """For what the grammar does not enforce; None if it enforces everything. `one_of`: a `oneOf` is only an `anyOf`
        in it. Raises UnsupportedSchema."""
        if one_of:
            for checker in self.checkers:
                checker.late += [("oneOf", at) for at, node in checker.parts() if "oneOf" in node]
        if not any(checker.late for checker in self.checkers):
            return None
        from functions.inference.grammar.check import AnswerCheck  # its library takes 60 ms to load

        return AnswerCheck(self.checkers, self.frames)


def json_grammar(schema: Any, param: str) -> Grammar:
    """The grammar of the JSON texts that satisfy `schema`. Raises UnsupportedSchema, naming the field `param`."""
    checker = SchemaChecker(schema, param)
    return Grammar(schema_text(checker.checked()), [checker])


def schema_text(schema: dict[str, Any]) -> str:
    """A checked schema as a grammar."""
    return json.dumps({"grammars": [{"json_schema": schema}]}, ensure_ascii=False)
