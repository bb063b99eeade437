"""For each call of `/docs` a command that sends it, and a body with what is required."""

import json
import re
from collections.abc import Mapping
from shlex import quote
from typing import Any

Schema = Mapping[str, Any]
BY_FORMAT = {"email": "ada@example.org", "binary": "…", "date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z"}
BY_TYPE: dict[str, Any] = {"string": "…", "boolean": True, "array": [], "object": {}}
NUMBERS = ("integer", "number")
TOKENS = {"API token": "$OPENAI_API_KEY", "session": "$SLUICE_SESSION"}


def resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """The definition that a reference names; any other schema as it is."""
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def example(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """The shortest value that shows the schema's form: of an object its required fields."""
    schema = resolved(schema, schemas)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return example(schema[union][0], schemas)
    if "properties" in schema:
        required = schema.get("required", [])
        return {name: example(field, schemas) for name, field in schema["properties"].items() if name in required}
    kind = schema.get("type", "string")
    if kind in NUMBERS:
        return schema.get("minimum", 1)
    if kind == "array" and schema.get("minItems"):
        return [example(schema["items"], schemas)]
    return BY_FORMAT.get(schema.get("format", ""), BY_TYPE.get(kind))


def curl(call: Mapping[str, Any]) -> str:
    """`call`: of `infra.reference`. Its address begins with the variable that the page's first sample sets."""
    needed = [one for one in call["parameters"] if one["in"] == "query" and one.get("required")]
    query = "&".join(f"{one['name']}=…" for one in needed)
    path = re.sub(r"\{(\w+)\}", lambda found: f"${found[1].upper()}", call["path"])  # curl has a meaning for braces
    lines = [f'"$SLUICE_URL{path}{"?" + query if query else ""}"']
    if call["method"] != "GET":
        lines[0] = f"-X {call['method']} {lines[0]}"
    if call["proof"]:
        name = TOKENS["API token" if "API token" in call["proof"] else "session"]
        lines.append(f'-H "Authorization: Bearer {name}"')
    match call["media_type"]:
        case "application/json":
            lines.append("-H 'Content-Type: application/json'")
            lines.append("-d " + quote(json.dumps(call["example"], indent=2, ensure_ascii=False)))
        case "multipart/form-data":
            lines += [f"-F {name}={'@file' if name == 'file' else value}" for name, value in call["example"].items()]
        case str():
            lines.append("--data-binary @file")
    return "curl " + " \\\n  ".join(lines)
