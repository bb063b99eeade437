"""The places of the end-to-end tests: how the mails of a deployed stack are found, and what is there to choose."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from infra.aws import localstack
from infra.aws.localstack import GENEROUS, Missing, without_throttles
from sluice.adapters.mails.wording import WORDING
from tests.e2e import people
from tests.e2e.localstack import mails_to
from tests.e2e.place import CHOSEN, LOCAL, MAKERS, kind_of
from tests.e2e.system import GENEROUS as LOCALLY_GENEROUS
from tests.servers import Handler, Server
from tests.unit.aws.template import source

ANN = "ann@example.org"
LINK = "https://api.example.org/live/verify-email?token=mail_1.abc"
# As Mailpit's documentation shows them (api/v1/search, api/v1/message/ID), newest first.
FOUND = [{"ID": "b", "Subject": "Set a new password"}, {"ID": "a", "Subject": "Verify your email address"}]
WHOLE = {
    "a": {"ID": "a", "Subject": "Verify your email address", "Text": f"Welcome.\r\n{LINK}\r\n", "HTML": ""},
    "b": {"ID": "b", "Subject": "Set a new password", "Text": "…", "HTML": ""},
}


class _Catcher(Handler):
    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        searched = asked.path == "/api/v1/search" and parse_qs(asked.query)["query"] == [f'to:"{ANN}"']
        told: Any = {"messages": FOUND if searched else []} if "search" in asked.path else WHOLE[asked.path[-1]]
        self.answer(200, told)


@pytest.fixture
def catcher() -> Iterator[str]:
    with Server(_Catcher) as server:
        yield server.url


def test_mails_of_a_stack_are_found_like_those_of_an_outbox(catcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(people.MAILBOXES, "https://stack", lambda address: mails_to(address, catcher))
    (mail,) = people.mails_to("https://stack", ANN, "verify_email")
    assert people.code_in(mail) == "mail_1.abc"
    assert [one["kind"] for one in people.mails_to("https://stack", ANN, count=2)] == ["reset_password", "verify_email"]
    assert mails_to("nobody@example.org", catcher) == []


def test_each_kind_of_mail_has_a_subject_of_its_own() -> None:
    assert {kind_of(wording.subject) for wording in WORDING.values()} == {kind.value for kind in WORDING}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_each_maker_is_there(maker: str) -> None:
    module, _, name = maker.partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.skipif(CHOSEN != LOCAL, reason="another place is chosen")
def test_without_a_choice_the_suite_starts_a_system_of_this_machine() -> None:
    assert MAKERS[CHOSEN] == "tests.e2e.system:running"


def test_a_stack_for_tests_has_the_limits_of_a_local_system_and_no_throttles() -> None:
    names = {"Rpm": "RPM", "Tpm": "TPM", "Concurrency": "CONCURRENCY", "MonthlyTokens": "MONTHLY_TOKENS"}
    local = {f"Default{ours}": LOCALLY_GENEROUS[f"SLUICE_DEFAULT_{theirs}"] for ours, theirs in names.items()}
    assert local == GENEROUS
    variables = without_throttles(source())["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["SLUICE_AUTH_THROTTLE"] == LOCALLY_GENEROUS["SLUICE_AUTH_THROTTLE"] == "off"


class _Clients:
    """CloudFormation that has resources with these logical ids."""

    def __init__(self, **resources: str) -> None:
        self._resources = resources
        self.meta = type("Meta", (), {"endpoint_url": "http://127.0.0.1:4566"})

    def __call__(self, _: str) -> "_Clients":
        return self

    def get_paginator(self, _: str) -> "_Clients":
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        told = [{"LogicalResourceId": name, "PhysicalResourceId": one} for name, one in self._resources.items()]
        return [{"StackResourceSummaries": told}]


def test_the_address_is_the_stages_on_localstack() -> None:
    assert localstack.address(_Clients(Api="abc")) == "http://127.0.0.1:4566/_aws/execute-api/abc/live"
    assert localstack.keys(_Clients())["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"


def test_without_the_stack_the_suite_says_what_to_do() -> None:
    with pytest.raises(Missing, match="make localstack-up"):
        localstack.address(_Clients())
