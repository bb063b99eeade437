"""`sluice deploy` and `sluice destroy`, against moto and with the commands they run recorded.

What SAM and AWS do with the template is tested in tests/aws.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from infra.aws import building, deploying, destroying
from infra.aws.deploying import Deployment, Machine, StepFailed
from infra.cli import main
from infra.local.store_address import use_running_store
from sluice.adapters.aws.models import TABLES
from tests.tables import create_missing

STACK = """
Parameters: {InferenceUrl: {Type: String, Default: ""}, TablePrefix: {Type: String, Default: sluice-}}
Resources: {Nothing: {Type: "AWS::SSM::Parameter", Properties: {Type: String, Name: /x, Value: x}}}
Outputs: {Url: {Value: "https://abc.execute-api.us-east-1.amazonaws.com/live"}}
"""


class Recorder(Machine):
    """Runs nothing. `sam deploy` makes the stack and the tables, as far as moto can."""

    def __init__(self, clients: Any, absent: Sequence[str] = (), failing: str = "") -> None:
        super().__init__(clients, lambda tool: None if tool in absent else f"/bin/{tool}")
        self.ran: list[str] = []
        self.stdin: list[str] = []
        self.environments: list[Mapping[str, str]] = []
        self._failing = failing

    def run(self, words: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None) -> int:
        self.ran.append(" ".join(words))
        self.stdin.append(stdin)
        self.environments.append(env or {})
        if self._failing and self._failing in self.ran[-1]:
            return 1
        if "sam deploy" in self.ran[-1]:
            cloudformation = self.client("cloudformation")
            if not cloudformation.list_stacks()["StackSummaries"]:
                cloudformation.create_stack(StackName="sluice", TemplateBody=STACK)
            create_missing(self.client("dynamodb"), "sluice-")
        return 0


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(building, "compile_built", lambda: True)
    with mock_aws():
        made: dict[str, Any] = {}

        def client(name: str) -> Any:
            return made.setdefault(name, boto3.client(name))

        yield client
        for one in made.values():
            one.close()


def deployment(machine: Machine, **fields: Any) -> tuple[Deployment, list[str]]:
    said: list[str] = []
    return Deployment(machine, said.append, **{"smoke": False, **fields}), said


def test_a_first_deployment_runs_its_steps_in_order_and_prints_the_url(clients: Any) -> None:
    machine = Recorder(clients)
    one, said = deployment(machine, admin="ada@example.org", password="a quiet green harbour")
    assert one.run() == "https://abc.execute-api.us-east-1.amazonaws.com/live"
    steps = [line.split(":")[0] for line in said]
    assert steps == ["tools", "account", "keys", "build", "deploy", "url", "store", "admin"]
    build, deploy, admin = machine.ran
    assert build.startswith("sam build --template") and "template.yaml" in build
    assert "--config-file" in deploy and "--stack-name sluice" in deploy
    assert "admin create ada@example.org --password-stdin" in admin


def test_the_password_is_never_a_command_line_argument(clients: Any) -> None:
    machine = Recorder(clients)
    one, said = deployment(machine, admin="ada@example.org", password="a quiet green harbour")
    one.run()
    assert machine.stdin[-1] == "a quiet green harbour\n"
    assert "harbour" not in " ".join([*machine.ran, *said])


def test_the_admin_is_created_in_the_deployments_store_and_not_in_the_local_one(clients: Any) -> None:
    machine = Recorder(clients)
    deployment(machine, admin="ada@example.org", password="x")[0].run()
    given = dict(machine.environments[-1])
    assert given == {"SLUICE_STORE": "aws", "SLUICE_TABLE_PREFIX": "sluice-"}
    use_running_store(given)
    assert "AWS_ENDPOINT_URL_DYNAMODB" not in given


def test_a_second_deployment_changes_no_keys(clients: Any) -> None:
    first, _ = deployment(Recorder(clients))
    first.run()
    keys = clients("ssm").get_parameters_by_path(Path="/sluice", WithDecryption=True)["Parameters"]
    second, said = deployment(Recorder(clients))
    second.run()
    assert clients("ssm").get_parameters_by_path(Path="/sluice", WithDecryption=True)["Parameters"] == keys
    assert "keys: all below /sluice already" in said


@pytest.mark.parametrize(("absent", "said"), [("sam", "aws-sam-cli"), ("docker", "InferenceUrl")])
def test_a_missing_tool_is_named_before_anything_is_changed(clients: Any, absent: str, said: str) -> None:
    machine = Recorder(clients, absent=[absent])
    with pytest.raises(StepFailed, match=said):
        deployment(machine)[0].run()
    assert machine.ran == [] and clients("ssm").get_parameters_by_path(Path="/sluice")["Parameters"] == []


def test_with_the_users_own_model_server_no_docker_is_needed(clients: Any) -> None:
    machine = Recorder(clients, absent=["docker"])
    deployment(machine, parameters={"InferenceUrl": "https://model.example.org"})[0].run()
    assert str(building.SOURCE) in machine.ran[0]
    assert machine.ran[1].endswith("--parameter-overrides InferenceUrl=https://model.example.org")


def test_the_template_without_an_image_only_lacks_that_function() -> None:
    source = (building.ROOT / "template.yaml").read_text()
    without = building.without_image(source).splitlines()
    added = [line for line in without if line not in source.splitlines()]
    assert len(added) == 2 and "SkipBuild: true" in added[0] and "not-built" in added[1]
    with pytest.raises(building.TemplateChanged):
        building.without_image(source.replace("InferenceFunction", "SomethingElse"))


@pytest.mark.parametrize("failing", ["sam build", "sam deploy", "admin create"])
def test_a_failed_step_stops_the_deployment_and_the_next_run_continues(clients: Any, failing: str) -> None:
    broken = Recorder(clients, failing=failing)
    with pytest.raises(StepFailed):
        deployment(broken, admin="ada@example.org", password="x")[0].run()
    assert failing in broken.ran[-1]
    whole, _ = deployment(Recorder(clients), admin="ada@example.org", password="x")
    assert whole.run().startswith("https://")


def test_a_deployment_that_does_not_answer_is_reported(clients: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def __init__(self, *_: Any) -> None: ...

        def run(self, *_: str) -> None:
            raise deploying.SmokeFailed("/healthz answered 503")

    monkeypatch.setattr(deploying, "Smoke", Silent)
    with pytest.raises(StepFailed, match="deployed, but not as promised: /healthz answered 503"):
        deployment(Recorder(clients), smoke=True)[0].run()


def test_destroy_lists_what_stays_and_needs_the_name_to_delete_data(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    class Done:
        returncode = 0

    monkeypatch.setattr("subprocess.run", lambda words, **_: ran.append(list(words)) or Done())
    wrong = CliRunner().invoke(main, ["destroy", "--delete-data", "slice", "--yes"])
    assert wrong.exit_code == 1 and "Nothing was deleted" in wrong.stderr and ran == []
    unsure = CliRunner().invoke(main, ["destroy"], input="n\n")
    assert unsure.exit_code == 1 and ran == []
    told = CliRunner().invoke(main, ["destroy", "--yes"])
    assert f"{len(TABLES)} tables" in told.stdout and "protected against deletion" in told.stdout
    assert ran == [["sam", "delete", "--stack-name", "sluice", "--no-prompts"]]


def test_deleting_data_removes_the_protection_of_its_own_tables_only(clients: Any) -> None:
    dynamodb, ssm = clients("dynamodb"), clients("ssm")
    create_missing(dynamodb, "sluice-")
    create_missing(dynamodb, "others-")
    for table in TABLES:
        dynamodb.update_table(TableName=f"sluice-{table.Meta.table_name}", DeletionProtectionEnabled=True)
    deploying.ParameterKeys(ssm).init()
    ssm.put_parameter(Name="/sluice/not-ours", Value="x", Type="String")
    for _ in range(2):
        destroying.delete_data(clients, "sluice-", "/sluice", lambda _: None)
    assert sorted(dynamodb.list_tables()["TableNames"]) == sorted(f"others-{table.Meta.table_name}" for table in TABLES)
    assert [one["Name"] for one in ssm.get_parameters_by_path(Path="/sluice")["Parameters"]] == ["/sluice/not-ours"]


def test_the_documents_bucket_is_deleted_with_its_objects(clients: Any) -> None:
    template = 'Resources: {DocumentsBucket: {Type: "AWS::S3::Bucket", Properties: {BucketName: sluice-documents}}}'
    clients("cloudformation").create_stack(StackName="sluice", TemplateBody=template)
    bucket = destroying.documents_bucket(clients, "sluice")
    for place in range(3):
        clients("s3").put_object(Bucket=bucket, Key=f"files/{place}", Body=b"x")
    destroying.delete_bucket(clients, bucket, lambda _: None)
    assert clients("s3").list_buckets()["Buckets"] == []
    assert destroying.documents_bucket(clients, "another") == ""


def test_samconfig_names_the_same_stack_and_asks_nothing() -> None:
    import tomllib

    config = tomllib.loads(deploying.CONFIG.read_text())["default"]
    assert config["deploy"]["parameters"]["stack_name"] == config["delete"]["parameters"]["stack_name"] == "sluice"
    assert config["deploy"]["parameters"]["confirm_changeset"] is False
    assert config["deploy"]["parameters"]["fail_on_empty_changeset"] is False
