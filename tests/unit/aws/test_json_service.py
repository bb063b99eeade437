"""The small client: it signs like botocore, and finds its credentials and region."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sluice.adapters.aws import json_service, signing
from sluice.adapters.aws.access import Access, Frozen, access
from sluice.adapters.aws.json_service import DYNAMODB, HOT, SSM, JsonService, Service, Unanswered, _json

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("token", [None, "a session/token=="])
@pytest.mark.parametrize("path", ["/", "/prefix/"])
def test_the_signature_equals_botocores(monkeypatch: pytest.MonkeyPatch, token: str | None, path: str) -> None:
    headers = {"content-type": "application/x-amz-json-1.0", "host": "dynamodb.eu-west-1.amazonaws.com"}
    headers["x-amz-target"] = "DynamoDB_20120810.GetItem"
    body = b'{"TableName":"\xc3\xa4"}'
    granted = Access("eu-west-1", Frozen("AKID", "secret", token))
    ours = signing.sign(granted, "dynamodb", ("POST", path), headers, body, NOW)
    request = AWSRequest("POST", f"https://{headers['host']}{path}", headers, data=body)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: NOW, raising=False)
    monkeypatch.setattr("botocore.compat.get_current_datetime", lambda remove_tzinfo=True: NOW, raising=False)
    SigV4Auth(Credentials("AKID", "secret", token), "dynamodb", "eu-west-1").add_auth(request)
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"] == "20261121T120000Z"
    assert ours["authorization"] == request.headers["Authorization"]


def test_a_lone_surrogate_is_sent_escaped() -> None:
    assert [_json({"S": text}) for text in ("\u00e4", "\ud800")] == ['{"S":"\u00e4"}'.encode(), b'{"S":"\\ud800"}']


@pytest.mark.parametrize(
    ("service", "address", "signed"), [(DYNAMODB, "", False), (DYNAMODB, "http://h", True), (SSM, "", True)]
)
def test_only_a_store_behind_its_own_socket_gets_no_signature(
    monkeypatch: pytest.MonkeyPatch, service: Service, address: str, signed: bool
) -> None:
    monkeypatch.setenv("SLUICE_STORE_SOCKET", "/nowhere/store.sock")
    made = JsonService(service, url=address, granted=Access("eu-west-1", Frozen("AKID", "secret", None)))
    headers = {"host": "h", "x-amz-target": "t"}
    sent = {name.lower(): value for name, value in made._sign(headers, b"{}").items()}
    assert ("AKID" in sent["authorization"]) is signed


def test_on_lambda_credentials_and_region_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "A"}
    for name, value in {**told, "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}.items():
        monkeypatch.setenv(name, value)
    assert access() == Access("eu-west-1", Frozen("A", "S", "T"))
    assert "S" not in repr(access()).replace("Access", "")


def test_without_credentials_the_call_fails_as_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    service = JsonService(DYNAMODB, url="http://127.0.0.1:9", sleep=lambda seconds: None)
    with pytest.raises(Unanswered, match="NoCredentials"):
        service.call("ListTables", {})


@pytest.mark.parametrize(("silent", "attempts"), [(False, HOT.attempts), (True, 2)], ids=["refuses", "says nothing"])
def test_a_hot_call_ends_with_the_call_that_was_under_way_at_its_deadline(
    monkeypatch: pytest.MonkeyPatch, silent: bool, attempts: int
) -> None:
    now_s, begun_s = 0.0, list[float]()

    def passes(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def unanswered(pool: Any, head: bytes, body: bytes, seconds: float, **options: Any) -> Any:
        begun_s.append(now_s)
        passes(seconds if silent else 0)
        raise TimeoutError

    monkeypatch.setattr(json_service, "time", SimpleNamespace(monotonic=lambda: now_s))
    monkeypatch.setattr(json_service, "exchange", unanswered)
    granted = Access("eu-west-1", Frozen("AKID", "secret", None))
    with pytest.raises(Unanswered):
        JsonService(DYNAMODB, HOT, url="http://h", granted=granted, sleep=passes).call("GetItem", {})
    assert len(begun_s) == attempts and begun_s[-1] <= HOT.deadline_seconds
