"""How template.yaml is transformed for CloudFormation, and code is packaged for Lambda."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra.aws.archive import zip_folders
from infra.aws.stack import Bucket, DeployError, deploy, repair
from infra.aws.transform import package, read, transform
from tests.unit.aws.template import few_routes

ROOT = Path(__file__).parents[3]
PARAMETERS = {"InferenceUrl": "http://127.0.0.1:1"}


def test_every_function_and_the_layer_are_uploaded_and_the_source_is_left_alone() -> None:
    source = read(ROOT / "template.yaml")
    asked: dict[str, Path] = {}

    def upload(name: str, folder: Path) -> str:
        asked[name] = folder
        return f"s3://bucket/{name}"

    packaged = package(source, ROOT, upload)
    zipped = {name for name, one in source["Resources"].items() if "CodeUri" in one.get("Properties", {})}
    assert set(asked) == zipped | {"CoreLayer", "Alarms"}
    assert all(folder.is_dir() or folder.name == "alarms.yaml" for folder in asked.values())
    assert packaged["Resources"]["WebFunction"]["Properties"]["CodeUri"] == "s3://bucket/WebFunction"
    assert source == read(ROOT / "template.yaml")


@pytest.mark.slow
def test_transformed_template_has_no_resource_of_sam_left() -> None:
    packaged = package(read(ROOT / "template.yaml"), ROOT, lambda name, _: f"s3://bucket/{name}")
    made = transform(few_routes(packaged), PARAMETERS)
    assert not [name for name, one in made["Resources"].items() if one["Type"].startswith("AWS::Serverless")]
    assert made["Resources"]["WebFunction"]["Properties"]["Code"] == {"S3Bucket": "bucket", "S3Key": "WebFunction"}


def test_same_files_make_the_same_zip_and_keep_their_modes(tmp_path: Path) -> None:
    code, more = tmp_path / "code", tmp_path / "more"
    for folder in (code, more):
        folder.mkdir()
    (code / "run.sh").write_text("old")
    (more / "run.sh").write_text("new")
    (more / "run.sh").chmod(0o755)
    made = [zip_folders(tmp_path / name, [(code, ""), (code, "opt/"), (more, "")]) for name in ("1.zip", "2.zip")]
    assert made[0].read_bytes() == made[1].read_bytes()
    with zipfile.ZipFile(io.BytesIO(made[0].read_bytes())) as archive:
        assert archive.namelist() == ["opt/run.sh", "run.sh"]
        assert archive.read("run.sh") == b"new", "the later folder wins"
        assert archive.getinfo("run.sh").external_attr >> 16 & 0o777 == 0o755


class _CloudFormation:
    """A fake client: each call returns the next of `statuses`; None means that there is no stack."""

    class exceptions:
        class ClientError(Exception):
            pass

    def __init__(self, *statuses: str | None) -> None:
        self._statuses = list(statuses)
        self.called: list[tuple[str, dict[str, Any]]] = []

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if status is None:
            raise self.exceptions.ClientError(f"Stack with id {StackName} does not exist")
        known = [{"ParameterKey": name, "ParameterValue": "1"} for name in ("Kept", "Gone")]
        return {"Stacks": [{"StackStatus": status, "Parameters": known, "Outputs": []}]}

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:
        failed = {"LogicalResourceId": "Api", "ResourceType": "AWS::X", "ResourceStatus": "CREATE_FAILED"}
        return {"StackEvents": [{**failed, "ResourceStatusReason": "why not"}]}

    def create_stack(self, **arguments: Any) -> None:
        self.called.append(("create", arguments))

    def update_stack(self, **arguments: Any) -> None:
        self.called.append(("update", arguments))
        if arguments["StackName"] == "same":
            raise self.exceptions.ClientError("No updates are to be performed.")


class _S3:
    class meta:
        endpoint_url = "http://s3.test/"

    def put_object(self, **arguments: Any) -> None:
        pass


BUCKET = Bucket(_S3(), "bucket")
TEMPLATE: dict[str, Any] = {"Parameters": {"Kept": {}, "New": {}}, "Resources": {}}


def test_stack_that_is_not_there_is_created_from_an_uploaded_template() -> None:
    client = _CloudFormation(None, "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    deploy(client, BUCKET, "sluice", TEMPLATE, {"New": "2"})
    ((call, arguments),) = client.called
    assert call == "create"
    assert arguments["TemplateURL"].startswith("http://s3.test/bucket/")
    assert arguments["Parameters"] == [{"ParameterKey": "New", "ParameterValue": "2"}]


def test_update_keeps_the_parameters_it_does_not_name() -> None:
    client = _CloudFormation("CREATE_COMPLETE", "CREATE_COMPLETE", "CREATE_COMPLETE", "UPDATE_COMPLETE")
    deploy(client, BUCKET, "sluice", TEMPLATE, {"New": "2"})
    ((call, arguments),) = client.called
    assert call == "update"
    assert arguments["Parameters"] == [
        {"ParameterKey": "New", "ParameterValue": "2"},
        {"ParameterKey": "Kept", "UsePreviousValue": True},
    ]


def test_nothing_to_update_is_no_failure() -> None:
    assert deploy(_CloudFormation("CREATE_COMPLETE"), BUCKET, "same", TEMPLATE, {}) == {}


def test_failed_deployment_says_which_resource_and_why() -> None:
    with pytest.raises(DeployError, match=r"Api \(AWS::X\): why not"):
        deploy(_CloudFormation(None, "ROLLBACK_COMPLETE"), BUCKET, "sluice", TEMPLATE, {})


class _Broken(_CloudFormation):
    """Deleting and continuing go to the next status."""

    def delete_stack(self, StackName: str) -> None:
        self.called.append(("delete", {"StackName": StackName}))

    def continue_update_rollback(self, StackName: str) -> None:
        self.called.append(("continue", {"StackName": StackName}))


@pytest.mark.parametrize(
    ("statuses", "calls"),
    [
        ([None], []),
        (["UPDATE_COMPLETE"], []),
        (["UPDATE_ROLLBACK_COMPLETE"], []),
        (["REVIEW_IN_PROGRESS"], []),
        (["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"], []),
        (["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS", None], ["delete"]),
        (["ROLLBACK_COMPLETE", None], ["delete"]),
        (["ROLLBACK_FAILED", "DELETE_COMPLETE"], ["delete"]),
        (["DELETE_FAILED", None], ["delete"]),
        (["DELETE_IN_PROGRESS", None], []),
        (["UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"], ["continue"]),
    ],
)
def test_a_stack_of_an_earlier_attempt_is_made_deployable(statuses: list[str | None], calls: list[str]) -> None:
    client = _Broken(*statuses)
    repair(client, "sluice", lambda _: None, lambda _: None)
    assert [name for name, _ in client.called] == calls


@pytest.mark.parametrize("statuses", [["ROLLBACK_COMPLETE", "DELETE_FAILED"], ["UPDATE_ROLLBACK_FAILED"]])
def test_a_stack_that_cannot_be_repaired_says_why(statuses: list[str | None]) -> None:
    with pytest.raises(DeployError, match=r"Api.*why not"):
        repair(_Broken(*statuses), "sluice", lambda _: None, lambda _: None)


def test_a_change_that_never_ends_is_not_waited_for_for_ever() -> None:
    with pytest.raises(DeployError, match="still UPDATE_IN_PROGRESS after 30 minutes"):
        repair(_Broken("UPDATE_IN_PROGRESS"), "sluice", lambda _: None, lambda _: None)
