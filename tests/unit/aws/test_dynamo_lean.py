"""The small client that Lambda's functions use, beside botocore's: the same signatures, answers and refusals."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sluice.adapters.aws import dynamo
from sluice.adapters.aws import json_service as aws_json
from sluice.adapters.aws.access import Access, Frozen, access
from sluice.domain.errors import StoreUnavailable
from tests.conftest import Store

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("token", [None, "a session/token=="])
@pytest.mark.parametrize("path", ["/", "/prefix/"])
def test_a_signature_is_botocores(monkeypatch: pytest.MonkeyPatch, token: str | None, path: str) -> None:
    headers = {"content-type": "application/x-amz-json-1.0", "host": "dynamodb.eu-west-1.amazonaws.com"}
    headers["x-amz-target"] = "DynamoDB_20120810.GetItem"
    body = b'{"TableName":"\xc3\xa4"}'
    granted = Access("eu-west-1", Frozen("AKID", "secret", token))
    ours = aws_json.sign(granted, "dynamodb", path, headers, body, NOW)
    request = AWSRequest("POST", f"https://{headers['host']}{path}", headers, data=body)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: NOW, raising=False)
    monkeypatch.setattr("botocore.compat.get_current_datetime", lambda remove_tzinfo=True: NOW, raising=False)
    SigV4Auth(Credentials("AKID", "secret", token), "dynamodb", "eu-west-1").add_auth(request)
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"] == "20261121T120000Z"
    assert ours["authorization"] == request.headers["Authorization"]


@pytest.fixture(params=["lean", "botocore"])
def client(request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("STORE_CLIENT", request.param)
    forget()
    made: Any = dynamo.client()
    yield made
    made.close()
    forget()


def forget() -> None:
    for member in vars(dynamo).values():
        if hasattr(member, "cache_clear"):
            member.cache_clear()


def put(client: Any, store: Store, name: str, **more: Any) -> None:
    item = {"account_id": {"S": name}, "n": {"N": "1"}}
    dynamo.write(lambda: client.put_item(TableName=f"{store.prefix}grants", Item=item, **more))


def test_what_was_put_is_got(client: Any, store: Store) -> None:
    put(client, store, "ä")
    answer = client.get_item(TableName=f"{store.prefix}grants", Key={"account_id": {"S": "ä"}}, ConsistentRead=True)
    assert dynamo.values(answer["Item"]) == {"account_id": "ä", "n": 1}
    assert "Item" not in client.get_item(TableName=f"{store.prefix}grants", Key={"account_id": {"S": "b"}})


def test_a_refused_condition_shows_what_stood_in_the_way(client: Any, store: Store) -> None:
    put(client, store, "a")
    absent = {"ConditionExpression": "attribute_not_exists(account_id)"}
    with pytest.raises(dynamo.ConditionFailed) as refused:
        put(client, store, "a", **absent, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert (refused.value.failed, refused.value.old) == ((0,), {"account_id": "a", "n": 1})


def test_of_a_transaction_the_places_that_failed_are_told_and_nothing_is_written(client: Any, store: Store) -> None:
    put(client, store, "there")

    def absent(name: str) -> dict[str, Any]:
        item = {"account_id": {"S": name}}
        condition = {"ConditionExpression": "attribute_not_exists(account_id)"}
        return {"Put": {"TableName": f"{store.prefix}grants", "Item": item, **condition}}

    with pytest.raises(dynamo.ConditionFailed) as refused:
        dynamo.write(lambda: client.transact_write_items(TransactItems=[absent("new"), absent("there")]))
    assert refused.value.failed == (1,)
    assert "Item" not in client.get_item(TableName=f"{store.prefix}grants", Key={"account_id": {"S": "new"}})


def test_pages_are_followed_to_the_end(client: Any, store: Store) -> None:
    table = f"{store.prefix}tokens"
    for place in range(5):
        client.put_item(TableName=table, Item=dynamo.item({"account_id": "a", "token_id": f"t{place}"}))
    asked: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": "account_id = :a",
        "ExpressionAttributeValues": dynamo.item({":a": "a"}),
        "Limit": 2,
    }
    pages = [page["Items"] for page in client.get_paginator("query").paginate(**asked)]
    assert [dynamo.values(item)["token_id"] for page in pages for item in page] == ["t0", "t1", "t2", "t3", "t4"]
    assert len(pages) >= 3


def test_a_call_that_makes_no_sense_is_the_stores_failure(client: Any, store: Store) -> None:
    with pytest.raises(StoreUnavailable), dynamo.store_errors():
        client.get_item(TableName=f"{store.prefix}no-such-table", Key={"account_id": {"S": "a"}})


def test_a_store_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    monkeypatch.setenv("STORE_CLIENT", "lean")
    forget()
    with pytest.raises(StoreUnavailable), dynamo.store_errors():
        dynamo.client().get_item(TableName="x", Key={"account_id": {"S": "a"}})
    forget()


def test_on_lambda_the_environment_says_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "A"}
    for name, value in {**told, "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}.items():
        monkeypatch.setenv(name, value)
    assert access() == Access("eu-west-1", Frozen("A", "S", "T"))
    assert "S" not in repr(access()).replace("Access", "")
