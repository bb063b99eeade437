"""Every event of tests/events, fed to its function's real handler in this process, and compared with the template."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import requests
from apig_wsgi import make_lambda_handler

from sluice.adapters.tokens.keys import ensure_keys
from sluice.http.on_lambda import wsgi
from tests.conftest import Store
from tests.events import ANSWERS, FOLDER, agrees, event
from tests.integration.accounts.world import forget_everything
from tests.integration.inference.server import running
from tests.unit.aws.template import EVENTS, FUNCTIONS, RESOURCES, ZIPPED

VARIABLES = {
    "SLUICE_BASE_URL": "https://abc123.execute-api.us-east-1.amazonaws.com/live",
    "SLUICE_INFERENCE_URL": "http://127.0.0.1:9",  # no model
    "SLUICE_MAIL": "smtp",
    "SLUICE_SMTP_URL": "smtp://127.0.0.1:9",
}


@pytest.fixture
def _environment(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {**VARIABLES, "SLUICE_DATA_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    ensure_keys(tmp_path)
    wsgi.cache_clear()
    forget_everything()
    yield
    wsgi.cache_clear()
    forget_everything()


def handler(function: str) -> Any:
    """The gateway has none, because the Web Adapter runs its WSGI app."""
    module = import_module(ZIPPED[function]["CodeUri"].strip("/").replace("/", ".") + ".app")
    return getattr(module, "handler", None) or make_lambda_handler(module.create(), binary_support=True)


@pytest.mark.parametrize("name", sorted(ZIPPED))
def test_the_functions_own_handler_answers_its_event(name: str, _environment: None) -> None:
    for _ in range(2):  # delivery is at least once
        answer = handler(name)(event(name), None)
        assert agrees(name, answer), answer


@pytest.mark.slow
def test_the_model_server_answers_its_event(tmp_path: Path) -> None:
    """By HTTP, as from the Web Adapter; without the host, because this server, unlike the image's, is on loopback."""
    asked = event("InferenceFunction")
    del asked["headers"]["host"]
    with running(tmp_path) as server:
        method, url = asked["requestContext"]["http"]["method"], server.url + asked["rawPath"]
        answer = requests.request(method, url, data=asked["body"], headers=asked["headers"], timeout=60)
    assert agrees("InferenceFunction", {"statusCode": answer.status_code}), answer.text
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]


def test_there_is_an_event_for_each_function_of_the_template() -> None:
    assert {path.stem for path in FOLDER.glob("*Function.json")} == set(FUNCTIONS) == set(ANSWERS)


def sent_by(given: dict[str, Any]) -> tuple[str, str]:
    """The kind of the event, as the template names it, and what it is of: a route, a table, a queue, a topic."""
    if "httpMethod" in given:
        return "Api", f"{given['httpMethod']} {given['resource']}"
    if given.get("version") == "2.0":
        return "Url", given["requestContext"]["http"]["path"]
    if given.get("source") == "aws.events":
        return "Schedule", ""
    (record,) = given["Records"]
    kind = record.get("eventSource") or record["EventSource"]
    arn = record.get("eventSourceARN") or record["Sns"]["TopicArn"]
    name = arn.split("/")[1].partition("-")[2] if kind == "aws:dynamodb" else arn.rpartition(":")[2].split("-")[1]
    return {"aws:dynamodb": "DynamoDB", "aws:sqs": "SQS", "aws:sns": "SNS"}[kind], name


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_event_is_of_one_of_the_functions_sources(name: str) -> None:
    kind, of = sent_by(event(name))
    own = [one for (function, _), one in EVENTS.items() if function == name and one["Type"] == kind]
    if kind == "Url":
        assert "FunctionUrlConfig" in FUNCTIONS[name]["Properties"]
    elif kind == "Api":
        method, path = of.split(" ", 1)
        routes = {(one["Properties"]["Method"].upper(), one["Properties"]["Path"]) for one in own}
        assert {(method, path), ("ANY", path)} & routes
    elif kind != "Schedule":
        assert of.lower() in json.dumps(own).lower(), f"{name} gets no events of {of}"
    else:
        assert own
    if kind == "DynamoDB":
        given = event(name)["Records"][0]["dynamodb"]
        table = RESOURCES[f"{of.capitalize()}Table"]["Properties"]
        assert set(given["Keys"]) == {one["AttributeName"] for one in table["KeySchema"]}
        assert given["StreamViewType"] == table["StreamSpecification"]["StreamViewType"]
