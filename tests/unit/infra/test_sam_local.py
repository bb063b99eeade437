"""`infra/aws/env.json`, which `sam local` reads, against the template, because `sam local` ignores unknown names."""

import json
from typing import Any

import pytest

from infra.aws import sam_local
from infra.aws.cost.inputs import TEMPLATE
from infra.aws.localstack import Missing
from infra.aws.sam_local import DECLARED, ENV, command, with_endpoint
from infra.aws.transform import read

WHOLE = read(TEMPLATE)
GLOBAL = WHOLE["Globals"]["Function"]["Environment"]["Variables"]
FUNCTIONS: dict[str, dict[str, Any]] = {
    name: {**GLOBAL, **one["Properties"].get("Environment", {}).get("Variables", {})}
    for name, one in WHOLE["Resources"].items()
    if one["Type"] == "AWS::Serverless::Function" and one["Properties"].get("PackageType") != "Image"
}
OVERRIDES: dict[str, dict[str, str]] = json.loads(ENV.read_text())
# What SAM resolves without a stack.
KNOWN = {*WHOLE["Parameters"], *(f"AWS::{name}" for name in ("Region", "AccountId", "Partition", "StackName"))}


def refers_to_a_resource(value: Any) -> bool:
    """Whether only a stack knows the value."""
    if isinstance(value, list):
        return any(map(refers_to_a_resource, value))
    if not isinstance(value, dict):
        return False
    if "Ref" in value:
        return value["Ref"] not in KNOWN
    return "Fn::GetAtt" in value or "Fn::ImportValue" in value or any(map(refers_to_a_resource, value.values()))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_env_json_sets_what_only_a_stack_knows(name: str) -> None:
    needed = {variable for variable, value in FUNCTIONS[name].items() if refers_to_a_resource(value)}
    assert needed <= set(OVERRIDES.get(name, {}))


def test_env_json_names_only_functions_and_variables_of_the_template() -> None:
    assert set(OVERRIDES) - {"Parameters"} <= set(FUNCTIONS)
    for name, variables in OVERRIDES.items():
        assert set(variables) <= (set(DECLARED) if name == "Parameters" else set(FUNCTIONS[name])), name
        assert all(isinstance(value, str) for value in variables.values())


def test_the_copied_template_only_adds_the_stores_address_to_every_function() -> None:
    source = TEMPLATE.read_text()
    copy = with_endpoint(source)
    added = [line.strip() for line in copy.splitlines() if line not in source.splitlines()]
    assert added == ["AWS_ENDPOINT_URL: unset"]
    assert copy.index("AWS_ENDPOINT_URL") < copy.index("Resources:")


def test_a_template_without_global_variables_is_refused() -> None:
    with pytest.raises(ValueError, match="Globals"):
        with_endpoint("Resources:\n  A: {}\n")


def test_sam_starts_the_api_or_invokes_one_function_with_its_event() -> None:
    assert command()[:3] == ["sam", "local", "start-api"]
    words = command("SweeperFunction")
    assert words[:4] == ["sam", "local", "invoke", "SweeperFunction"]
    assert words[words.index("--event") + 1].endswith("tests/events/SweeperFunction.json")
    for word in ("--template", "--env-vars", "--docker-network", "--parameter-overrides"):
        assert word in words and word in command()


def test_a_function_without_an_event_is_named_with_those_that_have_one() -> None:
    with pytest.raises(Missing, match=r"no event for Nothing, only for AccountsFunction, AdminFunction"):
        command("Nothing")


@pytest.mark.parametrize("function", [[], ["SweeperFunction"]])
def test_what_is_missing_is_one_line(function: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_docker() -> None:
        raise Missing("Docker is missing")

    monkeypatch.setattr(sam_local, "require", no_docker)
    with pytest.raises(SystemExit, match=r"^sluice: Docker is missing$"):
        sam_local.main(function)
