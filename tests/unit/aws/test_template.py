"""template.yaml against the code: tables, routes and entry points, and rules that hold for every function."""

import ast
import json
import re
import sys
import tomllib
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from infra.aws import parts
from infra.openapi import public_app
from sluice import settings
from sluice.adapters.aws.models import TABLES
from sluice.adapters.aws.tables import definition, expiry
from sluice.environment import Settings
from tests.unit.aws.template import DATA, EVENTS, FUNCTIONS, RESOURCES, ROOT, TEMPLATE, ZIPPED, transformed

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

SETTINGS = tuple(kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, Settings))


@pytest.fixture(scope="module")
def sam() -> dict[str, Any]:
    return transformed(few=True)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.Meta.table_name)
def test_each_table_is_declared_as_the_code_uses_it(table: Any) -> None:
    name = table.Meta.table_name
    declared = RESOURCES[f"{name.capitalize()}Table"]
    properties = declared["Properties"]
    wanted = definition(table, "")
    assert properties["TableName"] == {"Fn::Sub": "${TablePrefix}" + name}
    for each in ("BillingMode", "KeySchema", "AttributeDefinitions"):
        assert properties.get(each) == wanted.get(each), each
    indexes = [
        {key: value for key, value in index.items() if key != "OnDemandThroughput"}  # test_template_bill.py
        for index in properties.get("GlobalSecondaryIndexes", [])
    ]
    assert indexes == wanted.get("GlobalSecondaryIndexes", [])
    stream = wanted.get("StreamSpecification")
    assert properties.get("StreamSpecification") == ({"StreamViewType": stream["StreamViewType"]} if stream else None)
    assert properties.get("TimeToLiveSpecification") == expiry(table)


def test_template_declares_no_other_table() -> None:
    declared = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::DynamoDB::Table"}
    assert declared == {f"{table.Meta.table_name.capitalize()}Table" for table in TABLES}


def test_tables_outlive_the_stack() -> None:
    for name, one in RESOURCES.items():
        if one["Type"] == "AWS::DynamoDB::Table":
            assert one["DeletionPolicy"] == "RetainExceptOnCreate", f"{name}: a first deployment could not be repeated"
            assert one["UpdateReplacePolicy"] == "Retain", name
            assert one["Properties"]["DeletionProtectionEnabled"] == {"Ref": "Protection"}, name
            assert one["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], name


def test_tables_are_protected_unless_a_first_deployment_is_under_way() -> None:
    assert DATA["Parameters"]["Protection"]["Default"] == "true"


def test_tables_are_encrypted_by_the_key_that_costs_nothing() -> None:
    """`SSEEnabled` means a key in KMS, charged a call. Without it DynamoDB encrypts with a key of its own."""
    for one in DATA["Resources"].values():
        assert "SSESpecification" not in one.get("Properties", {})


def test_the_template_is_made_of_its_parts() -> None:
    assert parts.TEMPLATE.read_text() == parts.joined(), "run: python -m infra.aws.parts --write"
    whole = "".join(part.read_text() for part in parts.PARTS)
    assert yaml_parse(whole) == yaml_parse(parts.joined()), "a comment was taken for more than a comment"


@pytest.mark.parametrize(
    "path", ["template.yaml", *(f"infra/aws/{one}.yaml" for one in ("app", "background", "data", "alarms"))]
)
def test_each_template_can_be_read(path: str) -> None:
    text = (ROOT / path).read_text()
    assert len(text.encode()) <= (80 if path == "template.yaml" else 60) * 1024  # the first is joined, for no reader
    assert max(map(len, text.splitlines())) < 420


def test_what_the_application_imports_is_exported_under_that_name() -> None:
    imported = set(re.findall(r"\$\{DataStack\}-(\w+)", json.dumps(TEMPLATE))) - {"mail"}  # a name, not an import
    exports = {name: one["Export"]["Name"]["Fn::Sub"] for name, one in DATA["Outputs"].items() if "Export" in one}
    assert imported == set(exports)
    assert exports == {name: f"${{AWS::StackName}}-{name}" for name in exports}
    assert DATA["Resources"]["MailConfiguration"]["Properties"]["Name"] == {"Fn::Sub": "${AWS::StackName}-mail"}


def test_the_application_holds_no_data() -> None:
    """A failed first deployment of it leaves nothing behind, so that it can be repeated."""
    assert [
        name for name, one in TEMPLATE["Resources"].items() if one.get("DeletionPolicy", "Delete") != "Delete"
    ] == []


def test_every_route_of_a_function_is_in_the_api_and_the_reverse() -> None:
    served = {
        (_function_of(rule.endpoint), f"{method} {_api_path(rule.rule)}")
        for rule in public_app().url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    declared = {
        (function, f"{one['Properties']['Method'].upper()} {one['Properties']['Path']}")
        for (function, _), one in EVENTS.items()
        if one["Type"] == "Api" and one["Properties"]["Method"] != "options"
    }
    any_of = {(function, route.removeprefix("ANY ")) for function, route in declared if route.startswith("ANY ")}
    of_them = {one for one in served if (one[0], one[1].partition(" ")[2]) in any_of}
    assert {(function, route.partition(" ")[2]) for function, route in of_them} == any_of
    assert {one for one in declared if not one[1].startswith("ANY ")} == served - of_them


def test_a_preflight_of_each_path_of_the_apis_reaches_a_function() -> None:
    """API Gateway matches the path first, so a greedy route gets no OPTIONS of a path that has other methods."""
    routes = [one["Properties"] for one in EVENTS.values() if one["Type"] == "Api"]
    preflights = [one["Path"] for one in routes if one["Method"] in ("options", "any")]
    apis = ("/v1/", "/v2/", "/account", "/admin/", "/auth/", "/chats", "/tokens", "/usage", "/webhooks")
    assert sorted(preflights) == sorted({one["Path"] for one in routes if one["Path"].startswith(apis)})


def _function_of(endpoint: str) -> str:
    return endpoint.split(".")[0].capitalize() + "Function"


def _api_path(rule: str) -> str:
    return re.sub(r"<([^>]+)>", r"{\1}", re.sub(r"<path:([^>]+)>", r"{\1+}", rule))


@pytest.mark.parametrize("name", sorted(ZIPPED))
def test_entry_point_is_there(name: str) -> None:
    folder, handler = ROOT / ZIPPED[name]["CodeUri"], ZIPPED[name]["Handler"]
    if handler == "run.sh":
        assert (folder / handler).stat().st_mode & 0o111
        return
    assert handler == "sluice.start.handler" and (ROOT / "layers" / "core" / "sluice" / "start.py").is_file()
    assert re.search(r"^(def handler\(event|handler = )", (folder / "app.py").read_text(), re.MULTILINE)


def test_layer_has_the_pins_of_the_project() -> None:
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = (ROOT / "layers" / "core" / "requirements.txt").read_text().splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    assert wanted - set(pins) == {"argon2-cffi-bindings==21.2.0"}  # for argon2-cffi; the requirements file says why


def test_layer_has_what_the_package_imports() -> None:
    """Local-only packages are imported where `settings.local` is set."""
    provided = {
        "apig_wsgi",
        "argon2",
        "authlib",
        "backports",
        "boto3",
        "botocore",
        "email_validator",
        "flask",
        "gunicorn",
        "joserfc",
        "jwt",
        "pynamodb",
        "pyotp",
        "segno",
        "webauthn",
    }
    provided |= {
        "cryptography",
        "jinja2",
        "markupsafe",
        "pydantic",
        "pydantic_core",
        "pydantic_settings",
        "werkzeug",
        "sluice",
    }
    local_only = {
        "awscrt",
        "prometheus_client",
        "PIL",
    }  # on Lambda plain Python signs (ADR 85); only OCR needs Pillow, and no zip function has tesseract
    local_only |= {"apsw", "charset_normalizer", "docx", "lxml", "pypdf", "snowballstemmer"}  # of ingestion and search
    local_only |= {"stripe"}  # of webhooks and sweeper, imported with the first call
    local_only |= {"dkim"}  # signs mails by SMTP on one machine (ADR 23)
    local_only |= {"opentelemetry"}  # optional, and imported only where a collector is named (ADR 87)
    imported = set()
    for path in [*(ROOT / "layers").rglob("*.py"), *(ROOT / "functions").glob("*/app.py")]:
        if path.parent.name == "inference":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    stubs = {name for name in imported if name.startswith("mypy_boto3")}
    assert imported - sys.stdlib_module_names - {"compression"} - stubs - provided - local_only == set()


def test_environment_names_settings_that_exist() -> None:
    known = {f"SLUICE_{field}".upper() for kind in SETTINGS for field in kind.model_fields}
    for name, one in FUNCTIONS.items():
        variables = one["Properties"].get("Environment", {}).get("Variables", {})
        assert {variable for variable in variables if variable.startswith("SLUICE_")} <= known, name


def test_no_policy_has_a_wildcard() -> None:
    for name, one in FUNCTIONS.items():
        for policy in one["Properties"].get("Policies", []):
            for statement in policy["Statement"]:
                assert not [action for action in statement["Action"] if "*" in action], name
                assert statement["Resource"] != "*", name


def test_only_tokens_may_read_the_signing_key() -> None:
    readers = {name for name, one in FUNCTIONS.items() if "/signing-key" in json.dumps(one["Properties"])}
    assert readers == {"TokensFunction"}


def test_sam_transforms_it(sam: dict[str, Any]) -> None:
    kinds = [one["Type"] for one in sam["Resources"].values()]
    assert kinds.count("AWS::Lambda::Function") == len(FUNCTIONS)
    mapped = [one for one in EVENTS.values() if one["Type"] in ("DynamoDB", "SQS")]
    assert kinds.count("AWS::Lambda::EventSourceMapping") == len(mapped) >= 2
