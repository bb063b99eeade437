"""`sluice prove` against fakes of a deployment: a check shows what holds, and fails on an account where it does not."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import click
import pytest
from click.testing import CliRunner

from infra.aws.proving import CHECKS, by_aws, by_http, prove
from infra.aws.proving.account import Account
from infra.cli import main
from infra.demo.client import Answer, DemoError

TEXT = {"choices": [{"delta": {"content": "a"}}]}
THROTTLED = {"error": {"code": "rate_limit_exceeded"}}
REPORT = json.dumps({"type": "platform.report", "record": {"metrics": {"initDurationMs": 412.5}}})
WARM = json.dumps({"type": "platform.report", "record": {"metrics": {"durationMs": 3}}})
URL = "https://model.lambda-url.example"
KNOWN: dict[str, tuple[int, Any]] = {
    "/auth/login": (200, {"session": {"token": "s"}}),
    "/auth/register": (202, {}),
    "/tokens": (201, {"token": "t", "id": "tok_a"}),
    "/account": (200, {"id": "usr_a"}),
    "/admin/users/usr_a": (200, {"limits": {"rpm": 60, "tpm": 1, "concurrency": 4}}),
    "/openapi.json": (200, {}),
    "/v1/models": (200, {"data": [{"id": "demo"}]}),
    "/v1/files": (200, {"id": "file-a"}),
    "/v1/vector_stores": (200, {"id": "vs_a"}),
    "/v1/vector_stores/vs_a": (200, {"file_counts": {"completed": 1}}),
}


class Web:
    """A deployment over HTTP. `wrong`: it breaks every promise."""

    def __init__(self, wrong: bool) -> None:
        self.wrong, self.limits, self._asked = wrong, {"rpm": 60, "concurrency": 4}, count(1)

    def call(self, method: str, path: str, body: Any = None, bearer: str = "") -> Answer:
        return Answer(*self._answer(method, path, body))

    def need(self, status: int, method: str, path: str, body: Any = None, bearer: str = "") -> Answer:
        answer = self.call(method, path, body, bearer)
        if answer.status != status:
            raise DemoError(f"{method} {path} answered {answer.status}")
        return answer

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
        status, answer = KNOWN.get(path, (404, {}))
        if path == "/v1/chat/completions":
            status = 200 if self.wrong or next(self._asked) <= self.limits["rpm"] else 429
        elif path == "/healthz":
            status, answer = 200 if self.wrong or next(self._asked) < 20 else 429, THROTTLED
        elif path.endswith("/limits"):
            status, self.limits = 200, body
        elif (method, path) == ("DELETE", "/v1/models"):
            status = 405 if self.wrong else 404
        elif path.endswith("/search"):
            status, answer = 200, {"data": [] if self.wrong else [{"text": "green lamp"}]}
        elif path.startswith("/usage/logs"):
            rows = 1 if "limit=1&" in path else by_http.RPM
            status, answer = 200, {"data": [{"response_time_ms": 700, "ttft_ms": 100}] * rows}
        return status, {}, answer

    def stream(self, path: str, body: Any, bearer: str) -> Iterator[Any]:
        yield from [TEXT] * 5


class Aws:
    """AWS's clients, all in one."""

    def __init__(self, wrong: bool) -> None:
        self.wrong, self._sent = wrong, count()

    def __call__(self, service: str) -> "Aws":
        return self

    def describe_stack_resource(self, StackName: str, LogicalResourceId: str) -> Any:
        return {"StackResourceDetail": {"PhysicalResourceId": LogicalResourceId.lower()}}

    def get_account(self) -> Any:
        return {"SendQuota": {"SentLast24Hours": 0.0 if self.wrong else float(next(self._sent))}}

    def get_metric_statistics(self, **asked: Any) -> Any:
        return {"Datapoints": [{"Sum": 1.0}]}

    def list_objects_v2(self, Bucket: str) -> Any:
        return {"KeyCount": 3}

    def get_paginator(self, name: str) -> Any:
        pages: dict[str, Any] = {
            "describe_alarms": {"MetricAlarms": [{"StateValue": "ALARM" if self.wrong else "OK"}] * 40},
            "list_metrics": {"Metrics": [] if self.wrong else [{"MetricName": name} for name in by_aws.METRICS]},
            "filter_log_events": {"events": [{"message": WARM}, *([] if self.wrong else [{"message": REPORT}])]},
        }
        return type("Pages", (), {"paginate": lambda self, **asked: [pages[name]]})()

    def get_function_url_config(self, **asked: Any) -> Any:
        return {"FunctionUrl": URL}

    def list_deployments(self, **asked: Any) -> Any:
        return {"deployments": ["d-1"]}

    def get_deployment(self, **asked: Any) -> Any:
        return {"deploymentInfo": {"status": "Failed" if self.wrong else "Succeeded"}}


class Unsigned:
    """The model's function URL, for a request without a signature."""

    status = 403

    def __init__(self, url: str) -> None:
        assert url == URL

    def call(self, method: str, path: str) -> Answer:
        return Answer(self.status, {}, None)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Account]:
    def make(wrong: bool) -> Account:
        times = count()
        monkeypatch.setattr(by_aws, "Client", Unsigned)
        monkeypatch.setattr(Unsigned, "status", 200 if wrong else 403)
        # A wrong account sends a stream all at once.
        monkeypatch.setattr(by_http, "monotonic", lambda: next(times) * (0.001 if wrong else 0.1))
        made = Account(Aws(wrong), "sluice", "ada@example.org", "secret", -1.0 if wrong else 9.0, lambda _: None)
        vars(made).update(web=Web(wrong), parameters={})
        return made

    return make


def test_a_rate_that_all_methods_share_is_no_rate_of_each(
    account: Callable[[bool], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN, "/openapi.json", (429, THROTTLED))
    (row,) = prove(account(False), ("throttles",))
    assert row.result == "failed" and "each by itself" in row.seen


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - {"whole-path", "again"}))
def test_a_check_shows_what_holds_and_fails_where_it_does_not(account: Callable[[bool], Account], name: str) -> None:
    (right,) = prove(account(False), (name,))
    assert (right.result, bool(right.seen)) == ("shown", True), right
    (wrong,) = prove(account(True), (name,))
    assert wrong.result == "failed" and "Error" not in wrong.seen, wrong


def test_the_limits_are_put_back_also_when_the_check_fails(account: Callable[[bool], Account]) -> None:
    for wrong in (False, True):
        made = account(wrong)
        list(prove(made, ("limits",)))
        assert made.web.limits == {"rpm": 60, "concurrency": 4}  # type: ignore[attr-defined]


def test_a_check_that_breaks_stops_no_other_and_the_table_names_nobody(account: Callable[[bool], Account]) -> None:
    def refuse(*words: Any, **more: Any) -> Any:
        raise DemoError("ada@example.org with secret")

    made = account(False)
    made.client = refuse
    vars(made)["web"] = type("Away", (), dict.fromkeys(("call", "need", "stream"), refuse))()
    rows = list(prove(made))
    assert [row.name for row in rows] == [name for name in CHECKS if name != "again"]
    assert {row.result for row in rows} == {"failed"}
    assert not any("ada@" in row.seen for row in rows)


def test_the_commands_that_destroy_and_deploy_again_are_ones_that_exist(
    account: Callable[[bool], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, dict[str, Any]]] = []

    def parsed(words: list[str], check: bool) -> None:
        command = main.get_command(click.Context(main), words[1])
        assert command is not None and check
        given.append((words[1], command.make_context(words[1], words[2:]).params))

    made = account(False)
    vars(made)["parameters"] = {"MailFrom": "Sluice <no-reply@example.org>", "AlarmMail": ""}
    monkeypatch.setattr(by_aws.subprocess, "run", parsed)
    monkeypatch.setattr(by_aws, "Account", lambda *_: made)
    (row,) = prove(made, ("again",))
    assert row.result == "shown"
    (destroy, destroyed), (deploy, deployed) = given
    assert (destroy, destroyed["stack"], deploy, deployed["stack"]) == ("destroy", "sluice", "deploy", "sluice")
    assert deployed["no_smoke"] and set(deployed["given"]) == {
        "MailFrom=Sluice <no-reply@example.org>",
        "AlarmMail=",
    }


def test_an_unknown_check_is_named() -> None:
    done = CliRunner().invoke(main, ["prove", "--email", "ada@example.org", "--only", "everything"])
    assert done.exit_code == 2 and "everything" in done.output and "whole-path" in done.output
