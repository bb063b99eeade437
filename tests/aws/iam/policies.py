"""What the template's policies allow each function on the tables, in the recorder's format."""

import re
from collections.abc import Iterator
from typing import Any

from tests.unit.aws.template import FUNCTIONS

INDEX = re.compile(r"\$\{(\w+)Table\.Arn\}/index/(\w+)")


def statements(name: str) -> Iterator[tuple[str, Any]]:
    """Action and resource, one by one."""
    for policy in FUNCTIONS[name]["Properties"].get("Policies", []):
        for statement in policy["Statement"]:
            resources = statement["Resource"]
            for action in statement["Action"]:
                for resource in resources if isinstance(resources, list) else [resources]:
                    yield action, resource


def allowed() -> set[tuple[str, str, str]]:
    """(function, operation, table or table/index/name)"""
    return {
        (_owner(name), action.removeprefix("dynamodb:"), _resource(resource))
        for name in FUNCTIONS
        for action, resource in statements(name)
        if action.startswith("dynamodb:")
    }


def _owner(name: str) -> str:
    """The function whose role it has, as the recorder names it."""
    role = FUNCTIONS[name]["Properties"].get("Role", {"Fn::GetAtt": [name]})["Fn::GetAtt"][0]
    return str(role).removesuffix("Role").removesuffix("Function").lower()


def _resource(resource: Any) -> str:
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0]).removesuffix("Table").lower()
    found = INDEX.fullmatch(resource["Fn::Sub"])
    assert found, f"neither a table nor an index of one: {resource}"
    return f"{found[1].lower()}/index/{found[2]}"
