"""The grammar of a request's `response_format`."""

from functions.inference.errors import InvalidRequest
from functions.inference.grammar.schema_grammar import grammar_of, json_object_grammar
from functions.inference.openai.requests import ResponseFormat


def grammar_for(wanted: ResponseFormat | None) -> str | None:
    """None when plain text is requested. Raises InvalidRequest, or SchemaRefused for an unsupported schema."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return json_object_grammar()
    if wanted.json_schema is None or wanted.json_schema.json_schema is None:
        raise InvalidRequest("`json_schema` needs a `schema`.", "response_format.json_schema")
    return grammar_of(wanted.json_schema.json_schema)
