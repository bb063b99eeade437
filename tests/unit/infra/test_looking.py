"""`sluice deploy --check`: answers of AWS as its documentation shows them, and what is done about each."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws import parameters
from infra.aws.cost.worst import worst_month
from infra.aws.looking import Finding, Looker, table
from infra.migrations.steps import CURRENT

DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetAccountSettings")


class NotFound(Exception):
    pass


class Account:
    """An account: what each service answers. A value that is an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.stacks: dict[str, str] = {}
        self.tables: list[str] = []
        self.schema = str(CURRENT)
        self.answers = {
            "limits": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000},
            "quotas": [{"QuotaName": "Function memory maximum (MB)", "Value": 10240.0}],
            "role": {},
            "ses": {"ProductionAccessEnabled": True},
            "identity": NotFound(),
            "docker": "arm64\n",
            "bedrock": {
                "regionAvailability": "AVAILABLE",
                "entitlementAvailability": "AVAILABLE",
                "authorizationStatus": "AUTHORIZED",
                "agreementAvailability": {"status": "AVAILABLE"},
            },
            **answers,
        }

    def client(self, service: str) -> Any:
        return getattr(self, service.replace("-", "_") if service != "lambda" else "lambdas")

    def ask(self, words: Sequence[str]) -> str:
        assert words[0] == "docker"
        return str(self.answers["docker"])

    def _answer(self, name: str) -> Any:
        if isinstance(self.answers[name], Exception):
            raise self.answers[name]
        return self.answers[name]

    @property
    def cloudformation(self) -> Any:
        class Gone(Exception):
            pass

        def describe(StackName: str) -> Any:
            if StackName not in self.stacks:
                raise Gone(f"Stack with id {StackName} does not exist")
            return {"Stacks": [{"StackStatus": self.stacks[StackName]}]}

        return SimpleNamespace(describe_stacks=describe, exceptions=SimpleNamespace(ClientError=Gone))

    @property
    def bedrock(self) -> Any:
        kinds = SimpleNamespace(ResourceNotFoundException=NotFound, ValidationException=ValueError)
        return SimpleNamespace(
            get_foundation_model_availability=lambda modelId: self._answer("bedrock"), exceptions=kinds
        )

    def _pages(self, **page: Any) -> Any:
        return SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: iter([page])))

    @property
    def dynamodb(self) -> Any:
        record = {"version": {"N": self.schema}}
        return SimpleNamespace(
            get_item=lambda **_: {"Item": record},
            exceptions=SimpleNamespace(ResourceNotFoundException=NotFound),
            **vars(self._pages(TableNames=self.tables)),
        )

    @property
    def service_quotas(self) -> Any:
        return self._pages(Quotas=self._answer("quotas"))

    @property
    def lambdas(self) -> Any:
        return SimpleNamespace(get_account_settings=lambda: {"AccountLimit": self._answer("limits")})

    @property
    def apigateway(self) -> Any:
        return SimpleNamespace(get_account=lambda: self._answer("role"))

    @property
    def sesv2(self) -> Any:
        return SimpleNamespace(
            get_account=lambda: self._answer("ses"),
            get_email_identity=lambda EmailIdentity: self._answer("identity"),
            exceptions=SimpleNamespace(NotFoundException=NotFound),
        )


def look(account: Account, **given: str) -> dict[str, Finding]:
    looker = Looker(account.client, account.ask, "sluice", given, {**parameters.defaults(), **given})
    return {one.what: one for one in looker.look()}


def chosen(found: dict[str, Finding]) -> dict[str, str]:
    return {name: value for one in found.values() for name, value in one.sets.items()}


@pytest.fixture
def small() -> Iterator[Account]:
    """A new account."""
    yield Account(
        limits={"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10},
        quotas=[{"QuotaName": "Function memory maximum (MB)", "Value": 3008.0}],
        ses={"ProductionAccessEnabled": False},
    )


def test_an_account_with_its_full_quotas_gets_the_templates_defaults() -> None:
    found = look(Account())
    assert chosen(found) == {} and not any(one.stops for one in found.values())
    assert set(found) == {
        "stacks",
        "tables",
        "concurrency",
        "memory",
        "API Gateway's log role",
        "mail",
        "Docker",
        "bill",
    }


def test_a_new_account_reserves_nothing_and_runs_one_request_at_a_time(small: Account) -> None:
    found = look(small)
    assert chosen(found) == {"InferenceConcurrency": "0", "DefaultConcurrency": "1"}
    assert "sandbox" in found["mail"].found and "production access" in found["mail"].then


@pytest.mark.parametrize(("free", "reserves"), [(182, False), (183, True)])
def test_a_reservation_leaves_a_hundred_for_everything_else(free: int, reserves: bool) -> None:
    limits = {"ConcurrentExecutions": free, "UnreservedConcurrentExecutions": free}
    assert chosen(look(Account(limits=limits))) == ({} if reserves else {"InferenceConcurrency": "0"})


def test_the_bill_is_told_before_anything_is_made(small: Account) -> None:
    """With the parameters that were given: the same figure that docs/cost.md has for the defaults."""
    bill = look(small)["bill"]
    assert bill.found == "nobody is told: give AlarmMail"
    assert bill.then == f"at most ${worst_month({})[-1].usd:,.0f} a month (docs/cost.md)"
    more = look(small, AlarmMail="you@example.org", ApiRate="5", MonthlyBudget="50")["bill"]
    assert more.found == "mails to you@example.org at 50, 80 and 100 % of $50"
    assert more.then == f"at most ${worst_month({'ApiRate': '5'})[-1].usd:,.0f} a month (docs/cost.md)"


def test_a_reservation_that_the_owner_asks_for_and_cannot_have_stops(small: Account) -> None:
    assert look(small, InferenceConcurrency="10")["concurrency"].stops
    assert chosen(look(small, DefaultConcurrency="4")) == {"InferenceConcurrency": "0"}


def test_an_existing_deployment_keeps_its_parameters(small: Account) -> None:
    small.stacks = {"sluice": "UPDATE_COMPLETE", "sluice-data": "UPDATE_COMPLETE"}
    small.answers |= {"role": {"cloudwatchRoleArn": "arn"}, "identity": {"VerifiedForSendingStatus": True}}
    small.answers["docker"] = "amd64"
    found = look(small)
    assert chosen(found) == {} and "emulation" in found["Docker"].then


def test_a_model_larger_than_the_accounts_functions_is_made_smaller_or_refused(small: Account) -> None:
    small.answers["quotas"] = [{"QuotaName": "Function memory maximum (MB)", "Value": 2048.0}]
    assert chosen(look(small))["InferenceMemory"] == "2048"
    assert look(small, InferenceMemory="3008")["memory"].stops
    small.answers["quotas"] = []
    assert "InferenceMemory" not in chosen(look(small))


def test_what_the_account_has_for_other_applications_is_kept() -> None:
    had = Account(role={"cloudwatchRoleArn": "arn:aws:iam::1:role/logs"}, identity={"VerifiedForSendingStatus": False})
    found = look(had)
    assert chosen(found) == {"ApiLogsRole": "keep", "MailIdentity": "keep"}
    assert "not verified yet" in found["mail"].found


def test_tables_without_their_stack_stop_before_anything_is_made() -> None:
    left = Account()
    left.tables = ["sluice-accounts", "sluice-others", "else"]
    assert look(left)["tables"].stops and look(left)["tables"].found.startswith("1 of")
    assert not look(left, TablePrefix="another-")["tables"].stops
    left.stacks = {"sluice-data": "CREATE_COMPLETE"}
    assert not look(left)["tables"].stops


def test_a_store_of_a_newer_version_stops_before_anything_is_made() -> None:
    newer = Account()
    newer.tables, newer.stacks, newer.schema = ["sluice-accounts"], {"sluice-data": "UPDATE_COMPLETE"}, str(CURRENT + 1)
    found = look(newer)["tables"]
    assert found.stops and f"schema {CURRENT + 1}" in found.found and f"this one knows schema {CURRENT}" in found.then


def test_a_stack_of_a_failed_attempt_is_announced() -> None:
    failed = Account()
    failed.stacks = {"sluice": "ROLLBACK_COMPLETE", "sluice-data": "CREATE_COMPLETE"}
    assert look(failed)["stacks"].then == "deletes sluice, which is no use, and makes it"


@pytest.mark.parametrize(
    ("engine", "stops", "sets"),
    [("", True, {}), ("arm64", False, {}), ("amd64", False, {"Architecture": "x86_64"}), ("riscv", True, {})],
)
def test_the_image_is_built_for_the_engine_that_is_there(engine: str, stops: bool, sets: dict[str, str]) -> None:
    found = look(Account(docker=engine))
    assert (found["Docker"].stops, chosen(found)) == (stops, sets)
    assert "Docker" not in look(Account(docker=engine), InferenceUrl="https://model.example.org")


OSS = "openai.gpt-oss-20b-1:0"


def bedrock(**answers: Any) -> Finding:
    known = {"InferenceUrl": "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1", "BedrockModels": OSS}
    found = look(Account(docker="", **answers), **known)
    assert "Docker" not in found and "memory" not in found
    return found["model"]


def test_a_model_of_bedrock_needs_no_docker_and_is_looked_up() -> None:
    found = bedrock()
    assert (found.found, found.then) == (f"Bedrock's {OSS}", "builds no image and needs no Docker")
    assert not found.stops


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NotFound(), "is unknown"),
        (ValueError(), "is unknown"),
        ({"regionAvailability": "NOT_AVAILABLE"}, "region NOT_AVAILABLE"),
        ({"entitlementAvailability": "NOT_AVAILABLE"}, "entitlement NOT_AVAILABLE"),
        ({"authorizationStatus": "NOT_AUTHORIZED"}, "authorization NOT_AUTHORIZED"),
        ({"agreementAvailability": {"status": "PENDING"}}, "agreement PENDING"),
    ],
)
def test_a_model_that_bedrock_does_not_serve_to_this_account_stops(answer: Any, said: str) -> None:
    """Values of botocore's model of bedrock, GetFoundationModelAvailability."""
    answer = answer if isinstance(answer, Exception) else Account().answers["bedrock"] | answer
    found = bedrock(bedrock=answer)
    assert found.stops and said in found.found


def test_a_model_server_of_ones_own_is_named_without_a_question() -> None:
    found = look(Account(docker=""), InferenceUrl="https://model.example.org")["model"]
    assert (found.found, found.stops) == ("https://model.example.org", False)


def test_a_question_that_may_not_be_asked_is_a_row_and_no_reason_to_stop() -> None:
    found = look(Account(limits=DENIED, quotas=DENIED, role=DENIED, ses=DENIED))
    assert not any(one.stops for one in found.values())
    assert found["concurrency"].found == "not known (AccessDeniedException)"


def test_the_table_has_a_line_for_each_finding_and_the_choices(small: Account) -> None:
    found = look(small)
    lines = table(list(found.values()))
    assert len(lines) == len(found) + 1 and lines[-1] == "chosen: InferenceConcurrency=0, DefaultConcurrency=1"
