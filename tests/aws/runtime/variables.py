"""A function's variables, handler and limits from the template, with references resolved."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from infra.aws.transform import read

ROOT = Path(__file__).parents[3]
PSEUDO = {"AWS::Region": "us-east-1", "AWS::Partition": "aws", "AWS::AccountId": "123456789012"}


@dataclass(frozen=True)
class Declared:
    name: str  # the logical id: `TokensFunction`
    handler: str
    memory_mb: int
    timeout_seconds: int
    variables: dict[str, str]


@cache
def template() -> dict[str, Any]:
    return read(ROOT / "template.yaml")


def zipped() -> list[str]:
    """Logical ids of the functions that Lambda's own Python runs, in the template's order; the gateway is not one."""
    return [name for name, one in _functions().items() if "CodeUri" in one and not one["Handler"].endswith(".sh")]


def declared(name: str, parameters: Mapping[str, str]) -> Declared:
    """`parameters` beside the template's defaults. A reference to a resource becomes `<its id>`."""
    common, own = template()["Globals"]["Function"], _functions()[name]
    variables = {
        **common.get("Environment", {}).get("Variables", {}),
        **own.get("Environment", {}).get("Variables", {}),
    }
    known = {key: str(one["Default"]) for key, one in template()["Parameters"].items() if "Default" in one}
    known = {**known, **PSEUDO, **parameters}
    return Declared(
        name,
        own["Handler"],
        int(own.get("MemorySize", common["MemorySize"])),
        int(own.get("Timeout", common["Timeout"])),
        {key: _value(value, known) for key, value in variables.items()},
    )


def _functions() -> dict[str, Any]:
    every = template()["Resources"].items()
    common = {key: template()["Globals"]["Function"][key] for key in ("Handler", "Runtime")}
    return {name: {**common, **one["Properties"]} for name, one in every if one["Type"] == "AWS::Serverless::Function"}


def _value(value: Any, known: Mapping[str, str]) -> str:
    match value:
        case {"Ref": name}:
            return known.get(name, f"<{name}>")
        case {"Fn::GetAtt": [name, attribute]} if isinstance(name, str):
            return f"<{name}.{attribute}>"
        case {"Fn::GetAtt": name}:
            return f"<{name}>"
        case {"Fn::ImportValue": {"Fn::Sub": name}}:
            return f"<{name.rpartition('-')[2]}>"
        case {"Fn::Sub": [text, own]}:
            return _sub(text, {**known, **{key: _value(one, known) for key, one in own.items()}})
        case {"Fn::Sub": text}:
            return _sub(text, known)
        case {"Fn::If": [name, then, otherwise]}:
            return _value(then if _holds(template()["Conditions"][name], known) else otherwise, known)
    return str(value)


def _sub(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace("${" + name + "}", value)
    return text.replace("${", "<").replace("}", ">")


def _holds(condition: Any, known: Mapping[str, str]) -> bool:
    match condition:
        case {"Fn::Equals": [left, right]}:
            return _value(left, known) == _value(right, known)
        case {"Fn::Not": [one]}:
            return not _holds(one, known)
        case {"Fn::And": every}:
            return all(_holds(one, known) for one in every)
        case {"Fn::Or": every}:
            return any(_holds(one, known) for one in every)
        case {"Condition": name}:
            return _holds(template()["Conditions"][name], known)
    raise AssertionError(f"a condition this does not know: {condition!r}")
