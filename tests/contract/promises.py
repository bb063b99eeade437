"""What people may rely on, as lines: of the API operations, parameters, fields of bodies and of answers; commands with
their options; environment variables and keys of sluice.toml, as the pages have them.

    python tests/contract/promises.py > tests/contract/released.txt    # at a release
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from infra import cli

ROOT = Path(cli.__file__).parents[1]
RELEASED = Path(__file__).with_name("released.txt")
METHODS = ("get", "post", "put", "patch", "delete")
REQUIRED = " !"
"""At the end of a line: the caller has to send it."""
DEEPEST = 5
Schema = dict[str, Any]


def promises(document: dict[str, Any]) -> Iterator[str]:
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            name, operation = f"{method.upper()} {path}", item[method]
            yield name
            for one in [*item.get("parameters", []), *operation.get("parameters", [])]:
                yield f"{name} {one['in']} {one['name']}" + REQUIRED * one.get("required", False)
            for found in _content(operation.get("requestBody", {})):
                yield from fields(schemas, found, f"{name} sends ")
            for status, answer in operation["responses"].items():
                if status.startswith("2"):
                    for found in _content(answer):
                        yield from (line.removesuffix(REQUIRED) for line in fields(schemas, found, f"{name} gets "))


def _content(part: Any) -> list[Schema]:
    return [one["schema"] for one in part.get("content", {}).values() if "schema" in one]


def fields(schemas: dict[str, Schema], schema: Schema, at: str, depth: int = 0) -> Iterator[str]:
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if depth == DEEPEST:
        return
    for kind in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(kind, []):
            yield from fields(schemas, one, at, depth)
    if isinstance(schema.get("items"), dict):
        yield from fields(schemas, schema["items"], f"{at}[]", depth)
    for name, inner in schema.get("properties", {}).items():
        here = f"{at}.{name}"
        yield here + REQUIRED * (name in schema.get("required", []))
        yield from fields(schemas, inner, here, depth + 1)


def surface() -> Iterator[str]:
    document = json.loads((ROOT / "functions" / "web" / "openapi.json").read_text())
    yield from promises(document)
    yield from _commands("sluice", cli.main)
    pages = [ROOT / "docs" / name for name in ("api.md", "local.md", "settings.md")]
    for page in pages:
        text = page.read_text() if page.exists() else ""
        yield from (f"variable {name}" for name in re.findall(r"^\| `(SLUICE_\w+|PORT)`", text, re.MULTILINE))
        yield from (
            f"error {status} {code}" for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)`", text, re.MULTILINE)
        )
        if page.name == "settings.md":
            yield from (
                f"key {table}.{key}" for table, key in re.findall(r"^\| `(\w+)` \| `(\w+)`", text, re.MULTILINE)
            )


def _commands(name: str, command: click.Command) -> Iterator[str]:
    yield f"command {name}"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from (f"option {name} {option}" for option in parameter.opts)
    if isinstance(command, click.Group):
        context = click.Context(command, resilient_parsing=True)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _commands(f"{name} {inner}", found)


if __name__ == "__main__":
    print("\n".join(sorted(set(surface()))))
