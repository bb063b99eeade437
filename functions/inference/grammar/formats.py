"""`response_format` to grammar."""

from functions.inference.errors import InvalidRequest
from functions.inference.grammar.schema_grammar import grammar_of, json_object_grammar
from functions.inference.openai.wire import ResponseFormat


def grammar_for(wanted: ResponseFormat | None) -> str | None:
    """None where any text will do. Raises InvalidRequest (SchemaRefused) for a schema that is not supported."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return json_object_grammar()
    if wanted.json_schema is None or wanted.json_schema.json_schema is None:
        raise InvalidRequest("`json_schema` needs a `schema`.", "response_format.json_schema")
    return grammar_of(wanted.json_schema.json_schema)
