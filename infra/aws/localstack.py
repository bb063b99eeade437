"""`python -m infra.aws.localstack up|up-for-tests|down`: deploys the template to LocalStack and runs the smoke test.

Needs Docker with compose, the SAM command, and one or two minutes. Its limits: docs/local.md.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra.aws import building, vendor
from infra.aws.keys import ParameterKeys
from infra.aws.smoke import Smoke, SmokeFailed
from infra.aws.stack import Bucket, DeployError, data_stack, deploy, resources
from infra.aws.transform import Template, read, transform
from infra.demo.client import Client

COMPOSE = building.ROOT / "localstack-compose.yml"
NETWORK = "sluice-localstack"
STACK, BUCKET, REGION = "sluice", "sluice-packages", "us-east-1"
PARAMETERS = {
    "Architecture": "x86_64",
    "InferenceUrl": "http://inference:8080",  # so the template's condition leaves the image function out
    "InferenceAuth": "none",
    "Mail": "smtp",
    "MailFrom": "Sluice <no-reply@localhost.test>",
    "GradualDeployment": "false",
    "ApiLogsRole": "keep",
    "ApiRate": "500",
    "ApiBurst": "1000",
}
# For the end-to-end tests, which make more accounts and requests than people do.
GENEROUS = {
    "DefaultRpm": "100000",
    "DefaultTpm": "100000000",
    "DefaultConcurrency": "200",
    "DefaultMonthlyTokens": "1000000000",
}
SMTP_URL = "smtp://sluice:sluice@mails:1025"
MAILS_URL = "http://127.0.0.1:8025"
ADMIN, PASSWORD = "admin@example.org", "a quiet green harbour"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Missing(Exception):
    """A tool is missing or failed, as a sentence for the terminal."""


def require(which: Callable[[str], str | None] = shutil.which, run: Run = subprocess.run) -> None:
    """Check the tools before anything is started. Raises Missing."""
    if which("docker") is None:
        raise Missing(
            "Docker is missing, in whose containers the functions run here: https://docs.docker.com/engine/install. "
            "`make up` works without Docker."
        )
    if run(["docker", "compose", "version"], capture_output=True, text=True).returncode:
        raise Missing("`docker compose` is missing: install Docker's plugin, https://docs.docker.com/compose/install.")
    if run(["docker", "info"], capture_output=True, text=True).returncode:
        raise Missing("no Docker engine answers: start Docker, or check that this user may use it.")
    if which("sam") is None:
        raise Missing("the SAM command is missing: pip install aws-sam-cli")


def without_throttles(template: Template) -> Template:
    """Changes the template: tests log in a thousand times from one address."""
    template["Globals"]["Function"]["Environment"]["Variables"]["SLUICE_AUTH_THROTTLE"] = "off"
    return template


def compose(*words: str, run: Run = subprocess.run) -> None:
    """Run docker compose. Raises Missing with its exit status."""
    status = run(["docker", "compose", "--file", str(COMPOSE), *words], text=True).returncode
    if status:
        raise Missing(f"docker compose {words[0]} ended with {status}; see its output above.")


def up(*, for_tests: bool = False) -> str:
    """Start, deploy and test; returns the API's URL. Raises Missing, DeployError or SmokeFailed.

    `for_tests`: with high limits and without throttles.
    """
    require()
    compose("up", "--detach", "--wait", "--build")
    _build()
    clients = connect()
    with tempfile.TemporaryDirectory() as scratch:
        url = deploy_to(clients, building.BUILD, Path(scratch), for_tests=for_tests)
    _admin(clients)
    Smoke(Client(url), lambda text: print(f"  {text}")).run(ADMIN, PASSWORD)
    return url


def _build() -> None:
    template = building.write_template(own_model=False)
    words = [*building.build_words(template), "--parameter-overrides", "Architecture=x86_64"]
    if subprocess.run(words, cwd=building.ROOT).returncode:
        raise Missing("sam build failed; see its output above.")
    building.compile_built()


def connect() -> Callable[[str], Any]:
    """localstack-client knows the endpoint of each service."""
    import localstack_client.session  # type: ignore[import-untyped]
    from botocore.config import Config

    session = localstack_client.session.Session(region_name=REGION)
    path_style = Config(s3={"addressing_style": "path"})  # the bucket is not a host name that this machine can resolve
    return lambda name: session.client(name, config=path_style)


def deploy_to(clients: Callable[[str], Any], build: Path, scratch: Path, *, for_tests: bool = False) -> str:
    """Make the keys and deploy the stack. Returns the URL of the API's stage on LocalStack."""
    ssm = clients("ssm")
    ParameterKeys(ssm).init()
    ssm.put_parameter(Name="/sluice/smtp-url", Value=SMTP_URL, Type="SecureString", Overwrite=True)
    bucket = Bucket(clients("s3"), BUCKET).make()
    template = vendor.packaged(read(build / "template.yaml"), build, scratch, bucket.put_file)
    parameters = PARAMETERS | (GENEROUS if for_tests else {})
    if for_tests:
        without_throttles(template)
    cloudformation = clients("cloudformation")
    data = data_stack(STACK)
    deploy(cloudformation, bucket, data, read(building.DATA), parameters)
    app = transform(template, parameters, REGION)
    deploy(cloudformation, bucket, STACK, app, {**parameters, "DataStack": data})
    url = address(clients)
    # For links in mails, because the stack sets the URL that AWS would use.
    ssm.put_parameter(Name="/sluice/base-url", Value=url, Type="String", Overwrite=True)
    return url


def address(clients: Callable[[str], Any]) -> str:
    """The API's URL. Raises Missing when the stack is not there; botocore's errors when nothing answers."""
    api = resources(clients("cloudformation"), STACK).get("Api")
    if api is None:
        raise Missing("the stack is not on LocalStack: run `make localstack-up` first.")
    return f"{clients('apigateway').meta.endpoint_url}/_aws/execute-api/{api}/live"


def keys(clients: Callable[[str], Any]) -> dict[str, str]:
    """The variables with which the `sluice` command reaches the stack."""
    endpoint = clients("dynamodb").meta.endpoint_url
    variables = {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
    return variables | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def _admin(clients: Callable[[str], Any]) -> None:
    words = [str(Path(sys.executable).with_name("sluice")), "admin", "create", ADMIN, "--password-stdin"]
    done = subprocess.run(
        words, input=PASSWORD + "\n", text=True, env={"PATH": "/usr/bin:/bin", **keys(clients)}, capture_output=True
    )
    if done.returncode:
        raise DeployError(done.stderr)


def main(words: Sequence[str]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if list(words) == ["down"]:
            require()
            compose("down", "--volumes")
        elif list(words) in (["up"], ["up-for-tests"]):
            url = up(for_tests=words[0] == "up-for-tests")
            print(f"\nSluice answers at {url}\nan admin: {ADMIN}, password: {PASSWORD}")
            print(f"mails: {MAILS_URL}\nstop it: make localstack-down")
        else:
            sys.exit("usage: python -m infra.aws.localstack up|up-for-tests|down")
    except (Missing, DeployError, SmokeFailed, BotoCoreError, ClientError) as exc:
        sys.exit(f"sluice: {exc}")


if __name__ == "__main__":
    main(sys.argv[1:])
