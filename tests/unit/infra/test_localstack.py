"""`localstack-compose.yml`, and the messages about missing tools. Nothing is started, because that needs Docker."""

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from infra.aws import building, localstack, vendor
from infra.aws.localstack import COMPOSE, PARAMETERS, Missing, require
from infra.aws.transform import package, read, transform
from tests.unit.aws.template import few_routes

SERVICE_KEYS = {
    "image", "build", "ports", "environment", "volumes", "networks", "depends_on", "healthcheck", "read_only", "tmpfs",
    "security_opt", "cap_drop",
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text()))


def test_only_the_gateway_and_the_mails_are_published_and_on_loopback_only(document: dict[str, Any]) -> None:
    published = {name: one["ports"] for name, one in document["services"].items() if "ports" in one}
    assert published == {"localstack": ["127.0.0.1:4566:4566"], "mails": ["127.0.0.1:8025:8025"]}
    assert localstack.MAILS_URL == "http://127.0.0.1:8025"


def test_docker_compose_itself_accepts_the_file() -> None:
    """Needs the client and its compose plugin, but no engine."""
    words = ["docker", "compose", "--file", str(COMPOSE), "config", "--format", "json"]
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("no `docker compose` here: install Docker's client and its compose plugin")
    told = json.loads(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert set(told["services"]) == {"localstack", "inference", "mails"}
    build = told["services"]["inference"]["build"]
    assert (build["context"], build["dockerfile"]) == (str(building.ROOT), "functions/inference/Dockerfile")
    ports = [port for one in told["services"].values() for port in one.get("ports", [])]
    assert {(port["host_ip"], port["published"]) for port in ports} == {("127.0.0.1", "4566"), ("127.0.0.1", "8025")}


def test_the_compose_file_has_three_services_with_known_keys(document: dict[str, Any]) -> None:
    assert set(document) == {"name", "services", "networks"}
    assert set(document["services"]) == {"localstack", "inference", "mails"}
    for service in document["services"].values():
        assert set(service) <= SERVICE_KEYS
        assert ("image" in service) != ("build" in service)
        assert service["networks"] == ["sluice"]
        assert all(isinstance(value, str) for value in service.get("environment", {}).values())


def test_every_image_is_pinned_and_localstack_is_the_last_version_without_an_account(document: dict[str, Any]) -> None:
    images = {name: one["image"] for name, one in document["services"].items() if "image" in one}
    assert images["localstack"] == "localstack/localstack:4.14.0"
    assert all(":" in image and not image.endswith((":latest", ":stable")) for image in images.values())


def test_the_model_is_built_from_the_images_own_dockerfile(document: dict[str, Any]) -> None:
    build = document["services"]["inference"]["build"]
    dockerfile = COMPOSE.parent / build["context"] / build["dockerfile"]
    assert dockerfile.is_file() and "EXPOSE 8080" in dockerfile.read_text()
    assert PARAMETERS["InferenceUrl"] == "http://inference:8080"


def test_the_functions_containers_share_a_network_with_model_and_mail_server(document: dict[str, Any]) -> None:
    network = document["networks"]["sluice"]["name"]
    assert document["services"]["localstack"]["environment"]["LAMBDA_DOCKER_NETWORK"] == network == localstack.NETWORK
    assert f"@{'mails'}:" in localstack.SMTP_URL and "mails" in document["services"]


def test_every_service_that_localstack_waits_for_has_a_health_check(document: dict[str, Any]) -> None:
    for name, condition in document["services"]["localstack"]["depends_on"].items():
        service = document["services"][name]
        healthcheck = "healthcheck" in service or "build" in service  # the Dockerfile has one
        assert condition["condition"] != "service_healthy" or healthcheck


def test_every_service_of_the_template_is_started(document: dict[str, Any]) -> None:
    from infra.aws.cost.inputs import resources

    started = set(document["services"]["localstack"]["environment"]["SERVICES"].split(","))
    names = {"ApiGateway": "apigateway", "Serverless": "lambda", "Route53": "", "CloudWatch": "cloudwatch"}
    names["Budgets"] = ""  # a budget is made with AlarmMail only, which is not given there
    needed = {names.get(kind, kind.lower()) for kind in (one["Type"].split("::")[1] for one in resources().values())}
    assert needed - {""} <= started


@pytest.mark.long
@pytest.mark.slow
def test_no_route_streams_on_localstack() -> None:
    """It cuts an integration's address at `/invocations`; the streaming form would become the name of no function."""
    built = package(read(building.ROOT / "template.yaml"), building.ROOT, lambda name, _: f"s3://packages/{name}")
    assert "response-streaming-invocations" in json.dumps(transform(few_routes(built), PARAMETERS))
    body = transform(vendor.without_layers(built), PARAMETERS)["Resources"]["Api"]["Properties"]["Body"]
    assert "response-streaming-invocations" not in json.dumps(body)
    methods = [one["x-amazon-apigateway-integration"] for path in body["paths"].values() for one in path.values()]
    assert len(methods) > 100
    for one in methods:
        assert "responseTransferMode" not in one and one.get("timeoutInMillis", 0) <= 29_000
        assert json.dumps(one["uri"]).count("/invocations") == 1


class Docker:
    """Answers each `docker` command with the status that the test says."""

    def __init__(self, **status: int) -> None:
        self._status = status

    def __call__(self, words: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(words, self._status.get(words[1], 0))


@pytest.mark.parametrize(
    ("absent", "docker", "said"),
    [
        ("docker", Docker(), "Docker is missing"),
        ("", Docker(compose=1), "docker compose` is missing"),
        ("", Docker(info=1), "no Docker engine answers"),
        ("sam", Docker(), "SAM command is missing"),
    ],
)
def test_a_missing_tool_is_named_before_anything_is_started(absent: str, docker: Docker, said: str) -> None:
    with pytest.raises(Missing, match=said):
        require(lambda tool: None if tool == absent else f"/bin/{tool}", docker)


def test_with_all_tools_installed_there_is_no_error() -> None:
    require(lambda tool: f"/bin/{tool}", Docker())


def test_a_failing_compose_is_reported() -> None:
    with pytest.raises(Missing, match="docker compose up ended with 1"):
        localstack.compose("up", run=Docker(compose=1))
