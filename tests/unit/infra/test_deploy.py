"""`sluice deploy` and `sluice destroy`, against moto and with the commands they run recorded.

What SAM and AWS do with the template is tested in tests/aws.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from infra.aws import building, deploying, destroying, parameters
from infra.aws.deploying import Deployment, Machine, StepFailed
from infra.aws.stack import describe
from infra.aws.transform import read
from infra.cli import main
from infra.local.store_address import use_running_store
from sluice.adapters.aws.models import TABLES
from tests.tables import create_missing
from tests.unit.infra.test_looking import Account

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

STACK = """
Parameters:
  InferenceUrl: {Type: String, Default: ""}
  InferenceModels: {Type: String, Default: ""}
  BedrockModels: {Type: String, Default: ""}
  TablePrefix: {Type: String, Default: sluice-}
  Architecture: {Type: String, Default: arm64}
Resources:
  Nothing: {Type: "AWS::SSM::Parameter", Properties: {Type: String, Name: !Sub "/x/${AWS::StackName}", Value: x}}
Outputs: {Url: {Value: "https://abc.execute-api.us-east-1.amazonaws.com/live"}}
"""


class Recorder(Machine):
    """Runs nothing. `sam deploy` makes the stack and the tables, as far as moto can."""

    def __init__(self, clients: Any, absent: Sequence[str] = (), failing: str = "") -> None:
        super().__init__(clients, lambda tool: None if tool in absent else f"/bin/{tool}")
        self.ran: list[str] = []
        self.stdin: list[str] = []
        self.environments: list[Mapping[str, str]] = []
        self._failing, self._absent = failing, absent

    def ask(self, words: Sequence[str]) -> str:
        if words[0] == "sam":
            return "--use-buildkit"
        return "" if "docker" in self._absent else "arm64"

    def run(self, words: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None) -> int:
        self.ran.append(" ".join(words))
        self.stdin.append(stdin)
        self.environments.append(env or {})
        if self._failing and self._failing in self.ran[-1]:
            return 1
        if "sam deploy" in self.ran[-1]:
            make(self.client("cloudformation"), words[words.index("--stack-name") + 1])
            create_missing(self.client("dynamodb"), "sluice-")
        return 0


def make(cloudformation: Any, name: str, **parameters: str) -> None:
    """A stack, if there is none."""
    if not describe(cloudformation, name):
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        cloudformation.create_stack(StackName=name, TemplateBody=STACK, Parameters=given)


def deployed(machine: Recorder) -> list[tuple[str, dict[str, str]]]:
    """The stack and the parameters of each `sam deploy`, in order."""
    found = []
    for line in (line for line in machine.ran if line.startswith("sam deploy")):
        name = line.split("--stack-name ")[1].split()[0]
        found.append((name, dict(re.findall(r'(\w+)="([^"]*)"', line))))
    return found


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

        large = Account()  # what moto does not have

        def client(name: str) -> Any:
            if name in ("lambda", "sesv2", "service-quotas", "bedrock"):
                return large.client(name)
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
    assert steps.count("look") == 9
    assert [step for step in steps if step != "look"] == [
        "tools",
        "account",
        "keys",
        "build",
        "data",
        "deploy",
        "url",
        "store",
        "admin",
    ]
    build, *deploys, admin = machine.ran
    assert build.startswith("sam build --template") and "template.yaml" in build
    assert all("--config-file" in deploy for deploy in deploys)
    assert [name for name, _ in deployed(machine)] == ["sluice-data", "sluice-data", "sluice"]
    assert "admin create ada@example.org --password-stdin" in admin


@pytest.mark.parametrize("given", [None, "", "ops@example.org"])
def test_the_admin_is_told_of_the_bill_unless_another_address_is_given(clients: Any, given: str | None) -> None:
    machine = Recorder(clients)
    parameters = {} if given is None else {"AlarmMail": given}
    one, said = deployment(machine, admin="ada@example.org", password="x", parameters=parameters)
    one.run()
    wanted = "ada@example.org" if given is None else given
    assert f'AlarmMail="{wanted}"' in next(words for words in reversed(machine.ran) if "sam deploy" in words)
    assert any("look: bill" in line and (wanted or "nobody is told") in line for line in said)


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


def test_a_store_that_is_not_as_declared_is_a_sentence_and_no_traceback(
    clients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.infra.test_deploy.create_missing", lambda *_: None)
    with pytest.raises(StepFailed, match=r"store: The store lacks: .*accounts"):
        deployment(Recorder(clients))[0].run()


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
    assert deployed(machine)[-1][1]["InferenceUrl"] == "https://model.example.org"


def test_a_model_of_bedrock_is_one_word_and_needs_no_docker(clients: Any) -> None:
    machine = Recorder(clients, absent=["docker"])
    deployment(machine, model="bedrock:gpt=openai.gpt-oss-20b-1:0,openai.gpt-oss-120b-1:0")[0].run()
    given = deployed(machine)[-1][1]
    assert given["InferenceUrl"] == "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1"
    assert given["InferenceModels"] == "gpt=openai.gpt-oss-20b-1:0,openai.gpt-oss-120b-1:0"
    assert given["BedrockModels"] == "openai.gpt-oss-20b-1:0,openai.gpt-oss-120b-1:0"
    (build,) = [line for line in machine.ran if line.startswith("sam build")]
    assert "buildkit" not in build and str(building.SOURCE) in build
    assert "SkipBuild: true" in building.SOURCE.read_text()


def test_the_image_can_be_returned_to(clients: Any) -> None:
    machine = Recorder(clients)
    deployment(machine, model="image")[0].run()
    given = deployed(machine)[-1][1]
    assert [given[name] for name in ("InferenceUrl", "InferenceModels", "BedrockModels")] == ["", "", ""]


def test_a_parameter_beside_the_model_wins(clients: Any) -> None:
    vpc = "https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com/openai/v1"
    one, _ = deployment(Recorder(clients), model="bedrock:openai.gpt-oss-20b-1:0", parameters={"InferenceUrl": vpc})
    assert one.parameters["InferenceUrl"] == vpc and one.parameters["BedrockModels"] == "openai.gpt-oss-20b-1:0"


@pytest.mark.parametrize(
    "model", ["bedrock", "bedrock:", "azure:x", "bedrock:global.openai.gpt-6-sol", "bedrock:*", "bedrock:a=b,a=c"]
)
def test_a_model_that_is_no_foundation_model_is_refused_before_anything_is_asked(model: str, clients: Any) -> None:
    with pytest.raises(ValueError):
        deployment(Recorder(clients), model=model)


@pytest.mark.parametrize(
    "wrong", [{"InferenceModels": "x"}, {"EmbeddingModel": "amazon.titan-embed-text-v2:0"}], ids=["names", "embeddings"]
)
def test_parameters_that_contradict_the_model_are_refused(wrong: dict[str, str], clients: Any) -> None:
    one, _ = deployment(Recorder(clients), model="bedrock:openai.gpt-oss-20b-1:0", parameters=wrong)
    with pytest.raises(ValueError, match="Bedrock"):
        one.run()


def test_tables_are_protected_after_a_first_deployment_and_never_unprotected_again(clients: Any) -> None:
    """While they are being made they are not, so that a deployment that fails is rolled back whole."""
    first, second = Recorder(clients), Recorder(clients)
    deployment(first)[0].run()
    assert [given["Protection"] for name, given in deployed(first) if name == "sluice-data"] == ["false", "true"]
    deployment(second)[0].run()
    assert [given["Protection"] for name, given in deployed(second) if name == "sluice-data"] == ["true"]


def test_a_deployment_killed_before_the_protection_is_finished_by_the_next(clients: Any) -> None:
    make(clients("cloudformation"), "sluice-data")
    machine = Recorder(clients)
    deployment(machine)[0].run()
    assert deployed(machine)[0] == ("sluice-data", {"Protection": "true"})


def test_a_second_deployment_builds_for_the_architecture_of_the_stack(clients: Any) -> None:
    make(clients("cloudformation"), "sluice", Architecture="x86_64")
    machine = Recorder(clients)
    deployment(machine)[0].run()
    assert machine.ran[0].endswith('--parameter-overrides Architecture="x86_64"')
    other = Recorder(clients)
    deployment(other, parameters={"Architecture": "arm64"})[0].run()
    assert other.ran[0].endswith('--parameter-overrides Architecture="arm64"')


def test_the_image_is_built_by_buildkit_which_leaves_out_the_cuda_stages(
    clients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_it, without = Recorder(clients), Recorder(clients)
    deployment(with_it)[0].run()
    assert "--use-buildkit" in with_it.ran[0]
    monkeypatch.setattr(without, "ask", lambda words: "arm64" if list(words[:2]) == ["docker", "version"] else "")
    one, said = deployment(without)
    one.run()
    assert "--use-buildkit" not in without.ran[0] and any("no BuildKit" in line for line in said)
    image_of_another = Recorder(clients)
    deployment(image_of_another, parameters={"InferenceUrl": "https://model.example.org"})[0].run()
    assert "--use-buildkit" not in image_of_another.ran[0]


def test_a_parameter_can_be_cleared(clients: Any) -> None:
    make(clients("cloudformation"), "sluice", InferenceUrl="https://model.example.org")
    machine = Recorder(clients, absent=["docker"])
    with pytest.raises(StepFailed, match="Docker is missing"):
        deployment(machine, parameters={"InferenceUrl": ""})[0].run()
    whole = Recorder(clients)
    deployment(whole, parameters={"InferenceUrl": ""})[0].run()
    assert deployed(whole)[-1][1]["InferenceUrl"] == ""


def test_the_application_gets_what_it_shares_with_the_data_from_an_earlier_attempt(clients: Any) -> None:
    make(clients("cloudformation"), "sluice-data", TablePrefix="restored-")
    machine = Recorder(clients)
    create_missing(clients("dynamodb"), "restored-")
    deployment(machine)[0].run()
    name, given = deployed(machine)[-1]
    assert (name, given["TablePrefix"], given["DataStack"]) == ("sluice", "restored-", "sluice-data")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"MailDomian": "example.org"}, "no parameter MailDomian"),
        (
            {"MailFrom": "Sluice <no-reply@example.org>"},
            "sends as no-reply@example.org, but .* MailDomain, example.com",
        ),
        ({"MailDomain": "example.org"}, "MailDomain, example.org"),
        ({"ApiRate": "fast"}, "ApiRate is 'fast', and must be a number of 0 or more"),
        ({"InferenceMemory": "20000"}, "from 512 to 10240"),
        ({"MailFrom": "a\\b <no-reply@example.com>"}, "a backslash"),
    ],
)
def test_a_mistaken_parameter_is_named_before_anything_is_changed(
    clients: Any, given: dict[str, str], said: str
) -> None:
    machine = Recorder(clients)
    with pytest.raises(ValueError, match=said):
        deployment(machine, parameters=given)[0].run()
    assert machine.ran == [] and clients("ssm").get_parameters_by_path(Path="/sluice")["Parameters"] == []


def test_what_suits_the_account_is_passed_on_unless_the_owner_says_otherwise(
    clients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "ask", lambda *_: "amd64")
    machine = Recorder(clients)
    deployment(machine)[0].run()
    assert 'Architecture="x86_64"' in machine.ran[0] and deployed(machine)[-1][1]["Architecture"] == "x86_64"


def test_check_changes_nothing_and_fails_where_a_deployment_would(
    clients: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "Machine", lambda _: Recorder(clients, absent=["docker"]))
    done = CliRunner().invoke(main, ["deploy", "--check", "--admin", "ada@example.org"])
    assert done.exit_code == 1 and "no engine answers" in done.stdout and "chosen: nothing" in done.stdout
    done = CliRunner().invoke(main, ["deploy", "--check", "--parameter", "InferenceUrl=https://model.example.org"])
    assert done.exit_code == 0, done.output
    assert clients("ssm").get_parameters_by_path(Path="/sluice")["Parameters"] == []


def test_both_templates_share_the_parameters_that_are_passed_on() -> None:
    both = [set(read(path)["Parameters"]) for path in (building.DATA, building.ROOT / "template.yaml")]
    assert set(parameters.SHARED) == both[0] & both[1]


def test_the_template_without_an_image_only_lacks_that_function() -> None:
    source = (building.ROOT / "template.yaml").read_text()
    without = building.without_image(source).splitlines()
    added = [line for line in without if line not in source.splitlines()]
    assert len(added) == 3 and "SkipBuild: true" in added[0] and "not-built" in added[1]
    assert added[2].strip() == f"TemplateURL: {building.ROOT}/infra/aws/alarms.yaml"
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
    clients("cloudformation").create_stack(StackName="sluice-data", TemplateBody=template)
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
