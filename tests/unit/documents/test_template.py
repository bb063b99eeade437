"""The documents' part of template.yaml: the bucket, its events, and permissions."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sluice.domain.documents.keys import CHANGES, EVENT_KINDS, PARTS, ROWS, RUNS
from tests.unit.aws.template import FUNCTIONS, RESOURCES, ROOT

BUCKET = RESOURCES["DocumentsBucket"]
PROPERTIES: dict[str, Any] = BUCKET["Properties"]


def test_the_bucket_is_private_encrypted_and_outlives_the_stack() -> None:
    assert set(PROPERTIES["PublicAccessBlockConfiguration"].values()) == {True}
    assert PROPERTIES["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (rule,) = PROPERTIES["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")
    assert (BUCKET["DeletionPolicy"], BUCKET["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_bucket_answers_over_tls_only() -> None:
    (statement,) = RESOURCES["DocumentsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(statement["Resource"]) == 2


def test_the_bucket_keeps_no_deleted_versions_and_its_events_expire() -> None:
    assert "VersioningConfiguration" not in PROPERTIES
    rules = PROPERTIES["LifecycleConfiguration"]["Rules"]
    assert [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule] == [
        f"{kind}/" for kind in (CHANGES, RUNS, ROWS, PARTS)
    ]


def test_every_kind_of_event_goes_to_the_queue_that_feeds_ingestion() -> None:
    told = PROPERTIES["NotificationConfiguration"]["QueueConfigurations"]
    assert {one["Filter"]["S3Key"]["Rules"][0]["Value"] for one in told} == {f"{kind}/" for kind in EVENT_KINDS}
    assert {one["Queue"]["Fn::GetAtt"][0] for one in told} == {"Uploads"}
    event = FUNCTIONS["IngestionFunction"]["Properties"]["Events"]["Uploads"]["Properties"]
    assert event["Queue"]["Fn::GetAtt"][0] == "Uploads"
    assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_queue_waits_longer_than_the_function_and_has_its_own_dead_letter_queue() -> None:
    queue, function = RESOURCES["Uploads"]["Properties"], FUNCTIONS["IngestionFunction"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] == "IngestionFailures"
    assert queue["SqsManagedSseEnabled"]


@pytest.mark.parametrize("name", ["ingestion", "search", "sweeper", "webhooks"])
def test_requirements_have_the_pins_of_the_project(name: str) -> None:
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = (ROOT / "functions" / name / "requirements.txt").read_text().splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    assert wanted and wanted <= set(pins)


@pytest.mark.parametrize(
    ("name", "folders", "elsewhere"),
    [("ingestion", ("search", "parsing"), {"pillow"}), ("search", ("search",), set())],
)
def test_requirements_list_every_imported_package(name: str, folders: tuple[str, ...], elsewhere: set[str]) -> None:
    """Modules are mapped to distributions. Pillow is left out: only OCR needs it, and no zip function has OCR."""
    brings = {
        "apsw": "apsw",
        "charset_normalizer": "charset-normalizer",
        "docx": "python-docx",
        "PIL": "pillow",
        "pypdf": "pypdf",
        "snowballstemmer": "snowballstemmer",
    }
    sources = [
        path.read_text()
        for folder in folders
        for path in Path(ROOT, "layers", "core", "sluice", "adapters", "documents", folder).glob("*.py")
    ]
    imported = {module for text in sources for module in re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE)}
    lines = (ROOT / "functions" / name / "requirements.txt").read_text().splitlines()
    held = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    assert {brings[module] for module in imported if module in brings} - elsewhere == held


def _actions_on(function: str, resource: str) -> set[str]:
    statements = [one for policy in FUNCTIONS[function]["Properties"]["Policies"] for one in policy["Statement"]]
    return {action for one in statements if resource in str(one["Resource"]) for action in one["Action"]}


def test_search_only_reads_documents_and_only_ingestion_writes_indexes() -> None:
    assert _actions_on("SearchFunction", "DocumentsTable") == {"dynamodb:BatchGetItem"}
    assert _actions_on("SearchFunction", "DocumentsBucket") == {"s3:GetObject", "s3:ListBucket"}
    writers = {name for name in FUNCTIONS if "Policies" in FUNCTIONS[name]["Properties"]}
    writers = {name for name in writers if "s3:PutObject" in _actions_on(name, "/index/*")}
    assert writers == {"IngestionFunction"}


def test_only_the_named_roles_may_call_search() -> None:
    url = FUNCTIONS["SearchFunction"]["Properties"]["FunctionUrlConfig"]
    assert url["AuthType"] == "AWS_IAM"
    callers = [
        one["Properties"]["Principal"]["Fn::GetAtt"][0]
        for one in RESOURCES.values()
        if one["Type"] == "AWS::Lambda::Permission" and "SearchFunction" in str(one["Properties"]["FunctionName"])
    ]
    assert set(callers) <= {"GatewayFunctionRole", "FilesFunctionRole"}
    assert all(callers.count(caller) == 2 for caller in callers), "a URL asks for two permissions"
