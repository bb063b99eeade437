"""The grammar of a request's `response_format`."""

from functions.inference.errors import InvalidRequest
from functions.inference.grammar.grammar import Grammar, json_grammar
from functions.inference.openai.requests import ResponseFormat


def grammar_for(wanted: ResponseFormat | None, before: str = "") -> Grammar | None:
    """None when plain text is requested. `before`: as in `json_grammar`. Raises InvalidRequest or UnsupportedSchema."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return json_grammar({"type": "object"}, "response_format", before)
    if wanted.json_schema is None or wanted.json_schema.json_schema is None:
        raise InvalidRequest("`json_schema` needs a `schema`.", "response_format.json_schema")
    return json_grammar(wanted.json_schema.json_schema, "response_format", before)
