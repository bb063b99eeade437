"""The page `/docs`: the OpenAPI document as HTML, which is readable without scripts. `docs.js` lets one try each call.

It is made beforehand, because a function on AWS should not spend a start on it (ADR 63).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from infra import reference_samples

Schema = Mapping[str, Any]
ANY = "*/*"  # a body of any form, which has no fields
TEMPLATE = Path(__file__).parent / "reference.html"
TARGET = Path(__file__).parents[1] / "functions" / "web" / "static" / "docs.html"
BOUNDS = {
    "minimum": "at least {:,}", "maximum": "at most {:,}", "exclusiveMinimum": "above {:,}",
    "exclusiveMaximum": "below {:,}", "minLength": "at least {:,} characters", "maxLength": "at most {:,} characters",
    "minItems": "at least {:,} items", "maxItems": "at most {:,} items", "maxProperties": "at most {:,} members",
}  # fmt: skip
PROVE = {
    "sessionCookie": "session", "sessionToken": "session", "apiToken": "API token", "apiKey": "API token"
}  # fmt: skip


def page(document: Mapping[str, Any]) -> str:
    """`document`: OpenAPI 3.1. In the page `%SITE%` stands for the site's name, `%BASE_URL%` for its address."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"type": type_of, "prose": prose, "fields": fields, "pretty": pretty}
    calls: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            call = _call(path, method, operation, document["components"]["schemas"])
            calls.setdefault(operation["tags"][0], []).append(call)
    schemas = {name: schema for name, schema in document["components"]["schemas"].items() if schema.get("properties")}
    return environment.from_string(TEMPLATE.read_text()).render(
        info=document["info"], tags=document["tags"], calls=calls, schemas=schemas
    )


def _call(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Schema]) -> dict[str, Any]:
    bodies: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    media_type = next(iter(bodies), None)
    media: dict[str, Any] = bodies[media_type] if media_type else {}
    schema: Schema = {} if media_type in (None, ANY) else media["schema"]
    proofs = sorted({PROVE[name] for scheme in operation.get("security", []) for name in scheme})
    call = {
        **operation,
        "path": path,
        "method": method.upper(),
        "proof": " or ".join(proofs),
        "parameters": operation.get("parameters", []),
        "body": schema,
        "fields": fields(reference_samples.resolved(schema, schemas)),
        "media_type": media_type,
        "example": media.get("example") or reference_samples.example(schema, schemas),
    }
    return {**call, "sample": reference_samples.curl(call)}


def prose(text: str) -> Markup:
    """Text with `code` between backquotes."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def type_of(schema: Schema) -> Markup:
    """In words; definitions are links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if "const" in schema:
        return Markup("<code>{}</code>").format(json.dumps(schema["const"]))
    if "enum" in schema:
        return Markup(" or ").join(Markup("<code>{}</code>").format(json.dumps(value)) for value in schema["enum"])
    for union in ("anyOf", "oneOf", "allOf"):
        if members := [member for member in schema.get(union, []) if member != {"type": "null"}]:
            return Markup(" or ").join(dict.fromkeys(map(type_of, members)))
    if schema.get("type") == "array":
        return Markup("list of {}").format(type_of(schema.get("items", {})))
    return escape(schema.get("format") or schema.get("type") or "any value")


def bounds(schema: Schema) -> Iterator[str]:
    for union in ("anyOf", "oneOf"):
        for member in schema.get(union, []):
            yield from bounds(member)
    for name, words in BOUNDS.items():
        if name in schema:
            yield words.format(schema[name]) if schema[name] != 1 else words.format(1).removesuffix("s")
    if "pattern" in schema:
        yield f"pattern `{schema['pattern']}`"
    if schema.get("default") not in (None, [], {}):
        yield f"default `{json.dumps(schema['default'])}`"


def fields(schema: Schema) -> list[tuple[str, Schema, bool, str]]:
    """Each field's name, schema, whether it is required, and what else is known of it."""
    required = schema.get("required", [])
    return [
        (name, field, name in required, "; ".join(filter(None, [field.get("description", ""), *bounds(field)])))
        for name, field in schema.get("properties", {}).items()
    ]
