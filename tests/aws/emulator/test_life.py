"""From an older version's data to the deletion and back, by the owner's commands. Each test needs those before it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.aws import building
from infra.aws.deploying import Deployment as Deploying
from infra.aws.deploying import StepFailed
from infra.aws.stack import Bucket, deploy, describe, resources
from infra.aws.transform import read
from infra.migrations.steps import CURRENT
from tests.aws.emulator.deployment import STAGE, parameters
from tests.aws.emulator.owner import Owner
from tests.aws.emulator.packages import known
from tests.aws.emulator.server import Emulator
from tests.aws.emulator.stack import mails_of
from tests.e2e import old, people
from tests.e2e.people import Person, ask, newcomer
from tests.integration.inference.server import Server
from tests.integration.infra.migrate import old_store

pytestmark = pytest.mark.timeout(1200)
NAME, PREFIX, KEYS, DOMAIN = "older", "older-", "/older", "older.test"
REFUSED = {  # by the emulator, after the functions were changed
    "Type": "AWS::CloudWatch::Alarm",
    "DependsOn": ["GatewayFunctionAliaslive", "AdminFunctionAliaslive"],
    "Properties": {
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "Threshold": 0,
        "Metrics": [{"Id": "failed", "Expression": "SUM(METRICS())"}],
    },
}


class Life:
    """What one owner does with one deployment. `said`: what the last `sluice deploy` printed."""

    def __init__(self, owner: Owner, emulator: Emulator, model_url: str) -> None:
        self.owner, self.emulator, self.said = owner, emulator, [""]
        self.parameters = parameters(model_url) | {
            "TablePrefix": PREFIX,
            "KeyPath": KEYS,
            "MailDomain": DOMAIN,
            "MailFrom": f"Sluice <no-reply@{DOMAIN}>",
        }

    def deploy(self, **parameters: str) -> str:
        """→ the API's address here. Errors: StepFailed."""
        self.said = []
        given = {**self.parameters, **parameters}
        Deploying(self.owner, self.said.append, NAME, given, smoke=False).run()
        api = resources(self.owner.client("cloudformation"), NAME)["Api"]
        base_url = f"{self.emulator.url}/_aws/execute-api/{api}/{STAGE}"
        people.MAILBOXES[base_url] = mails_of(self.emulator)
        return base_url

    def status(self, stack: str = NAME) -> str:
        return str(describe(self.owner.client("cloudformation"), stack).get("StackStatus", ""))


@pytest.fixture(scope="module")
def life(build: Path, emulator: Emulator, model: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    owner = Owner(emulator, build, tmp_path_factory.mktemp("owner"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "compile_built", lambda: True)  # it was, by the session's build
        yield Life(owner, emulator, model.url)
    owner.close()


@pytest.fixture(scope="module")
def data_of_an_older_version(life: Life) -> None:
    """Its data stack, with the indexes that the tables had then, and its items."""
    template = known(read(building.DATA))
    for table in old_store.old_tables():
        if table["items"]:  # DynamoDB adds one index at a time, and the audit's got two while it was empty
            properties = template["Resources"][f"{table['name'].capitalize()}Table"]["Properties"]
            properties.pop("GlobalSecondaryIndexes", None)
            wanted = ("AttributeDefinitions", "GlobalSecondaryIndexes")
            properties |= {name: table["definition"][name] for name in wanted if name in table["definition"]}
    given = {"TablePrefix": PREFIX, "MailDomain": DOMAIN, "ApiLogsRole": "keep"}
    bucket = Bucket(life.owner.client("s3"), "packages").make()
    deploy(life.owner.client("cloudformation"), bucket, f"{NAME}-data", template, given)
    for table in old_store.old_tables():
        for item in table["items"]:
            life.owner.client("dynamodb").put_item(TableName=PREFIX + table["name"], Item=item)


@pytest.fixture(scope="module")
def ann(life: Life, data_of_an_older_version: None) -> Person:
    """A new person of the deployment, after the old ones were tried."""
    base_url = life.deploy()
    assert f"store: schema {CURRENT}, " in "\n".join(life.said)
    pem = life.owner.client("ssm").get_parameter(Name=f"{KEYS}/signing-key", WithDecryption=True)
    old.the_whole_path_works(base_url, old.api_token(pem["Parameter"]["Value"].encode()))
    return newcomer(base_url)


def test_an_older_versions_data_is_brought_up_and_its_people_go_on(life: Life, ann: Person) -> None:
    assert old.items_without_schema(life.owner.client("dynamodb"), PREFIX) == []
    assert any("items changed" in line and " 0 items" not in line for line in life.said)


def test_a_deployment_that_fails_is_rolled_back_reported_and_repeated(life: Life, ann: Person) -> None:
    life.owner.broken = {"Broken": REFUSED}
    with pytest.raises(StepFailed, match="run `make deploy` again"):
        life.deploy(DefaultRpm="7")
    assert "Broken" in life.owner.printed
    assert life.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert ask(ann, "What is 3 + 4?", max_tokens=8).status_code == 200, "the version before serves on"
    assert newcomer(ann.base_url).call("GET", "/account").json()["limits"]["rpm"] != 7

    life.owner.broken = {}
    ann.base_url = life.deploy(DefaultRpm="7")
    assert life.status() == "UPDATE_COMPLETE"
    assert newcomer(ann.base_url).call("GET", "/account").json()["limits"]["rpm"] == 7


def test_destroyed_and_deployed_again_a_deployment_has_its_data(life: Life, ann: Person) -> None:
    assert ask(ann, "What is 3 + 4?", max_tokens=8).status_code == 200
    file = ann.v1("POST", "/v1/files", files={"file": ("a.txt", b"Retained.")}, data={"purpose": "assistants"}).json()
    before = {"logs": ann.call("GET", "/usage/logs").json(), "account": ann.call("GET", "/account").json()}
    destroy = ["sluice", "destroy", "--stack", NAME, "--table-prefix", PREFIX, "--path", KEYS, "--yes"]
    assert life.owner.run(destroy) == 0
    assert (life.status(), life.status(f"{NAME}-data")) == ("", "UPDATE_COMPLETE")
    assert ask(ann, "What is 3 + 4?").status_code != 200, "nothing answers"

    ann.base_url = life.deploy()
    assert ask(ann, "What is the capital of France?").json()["choices"][0]["message"]["content"].count("Paris")
    logs = ann.call("GET", "/usage/logs").json()["data"]
    assert logs[1:] == before["logs"]["data"]
    assert ann.v1("GET", f"/v1/files/{file['id']}/content").content == b"Retained."
    account: dict[str, Any] = ann.call("GET", "/account").json()
    assert (account["id"], account["email"]) == (before["account"]["id"], ann.email)
