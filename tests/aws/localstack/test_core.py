"""LocalStack 4.14's own code reads what is deployed to it: its YAML parser, and what it takes a method's function from.

The module of that function has Python 3.12's syntax and needs most of LocalStack's 115 dependencies, so the function is
taken from its source.
"""

import ast
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.aws import building, vendor
from infra.aws.localstack import PARAMETERS
from infra.aws.transform import package, read, transform
from tests.aws.tools.install import install

TEMPLATES = ("template.yaml", "infra/aws/data.yaml", "infra/aws/alarms.yaml")
PARSE = """
import json, sys
from localstack.services.cloudformation.engine.yaml_parser import parse_yaml
print(json.dumps({name: parse_yaml(open(name).read()) for name in sys.argv[1:]}))
"""
HELPERS = "site-packages/localstack/services/apigateway/next_gen/execute_api/helpers.py"
ALIAS = re.compile(r"\$\{\w+FunctionAliaslive\}")
NAME = "get_lambda_function_arn_from_invocation_uri"


@pytest.fixture(scope="module")
def python() -> Path:
    return install("localstack").with_name("python")


def test_localstacks_parser_reads_the_templates_as_we_do(python: Path) -> None:
    words = [python, "-c", PARSE, *TEMPLATES]
    done = subprocess.run(words, cwd=building.ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    for name, told in json.loads(done.stdout).items():
        assert told == read(building.ROOT / name), name


@pytest.fixture(scope="module")
def function_of(python: Path) -> Callable[[str], str]:
    """LocalStack's own function."""
    (helpers,) = python.parents[1].glob(f"lib/python3*/{HELPERS}")
    found = [one for one in ast.parse(helpers.read_text()).body if isinstance(one, ast.FunctionDef)]
    names: dict[str, Any] = {}
    module = ast.Module([one for one in found if one.name == NAME], [])
    exec(compile(module, str(helpers), "exec"), names)
    return names[NAME]  # type: ignore[no-any-return]


def uris(template: dict[str, Any]) -> list[str]:
    body = transform(template, PARAMETERS)["Resources"]["Api"]["Properties"]["Body"]
    return [
        method["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
        for path in body["paths"].values()
        for method in path.values()
    ]


def test_every_route_leads_to_a_function_by_localstacks_own_rule(function_of: Callable[[str], str]) -> None:
    built = package(read(building.ROOT / "template.yaml"), building.ROOT, lambda name, _: f"s3://packages/{name}")
    deployed = [function_of(uri) for uri in uris(vendor.without_layers(built))]
    assert len(deployed) > 100
    assert [arn for arn in deployed if not ALIAS.fullmatch(arn)] == []
    streaming = [arn for arn in map(function_of, uris(built)) if not ALIAS.fullmatch(arn)]
    assert streaming, "what the streaming form would become, or else it need not be left out any more"
    assert {arn.rpartition("/")[2] for arn in streaming} == {"response-streaming-invocations"}
