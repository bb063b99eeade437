"""A grammar in llguidance's forms, with what is needed to say which part of a schema does not compile."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from functions.inference.grammar.schema import SchemaChecker

if TYPE_CHECKING:
    from functions.inference.grammar.check import AnswerCheck


@dataclass(frozen=True)
class Grammar:
    """`text`: for llguidance, as JSON or in its dialect of Lark. `checkers`: of the schemas in it. `read`: the
    checker's place and the JSON of an answer."""

    text: str
    checkers: Sequence[SchemaChecker]
    read: Callable[[str], tuple[int, str] | None] = lambda answer: (0, answer)

    def check(self, *, one_of: bool) -> "AnswerCheck | None":
        """For what the grammar does not enforce; None if it enforces everything. `one_of`: a `oneOf` is only an `anyOf`
        in it. Raises UnsupportedSchema."""
        if one_of:
            for checker in self.checkers:
                checker.late = checker.late or [("oneOf", at) for at, node in checker.parts() if "oneOf" in node]
        if not any(checker.late for checker in self.checkers):
            return None
        from functions.inference.grammar.check import AnswerCheck  # its library takes 60 ms to load

        return AnswerCheck(self.checkers, self.read)


def json_grammar(schema: Any, param: str, before: str = "") -> Grammar:
    """The grammar of the JSON texts that satisfy `schema`. `before`: a rule in Lark of this name, of what they follow.

    Raises UnsupportedSchema, naming the field `param`."""
    checker = SchemaChecker(schema, param)
    checked = checker.checked()
    text = f"start: before answer\nanswer: {embedded(checked)}\n{before}" if before else schema_text(checked)
    return Grammar(text, [checker])


def embedded(schema: Any) -> str:
    """A checked schema within a grammar in Lark."""
    return f"%json {json.dumps(schema, ensure_ascii=False)}"


def schema_text(schema: dict[str, Any]) -> str:
    """A checked schema as a grammar."""
    return json.dumps({"grammars": [{"json_schema": schema}]}, ensure_ascii=False)
