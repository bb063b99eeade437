"""The small client and the PynamoDB models give the same answers on both engines.

What one writes the other reads, and both raise the same error when the store refuses.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from sluice.adapters.aws import dynamo, model_store
from sluice.adapters.aws.models import AccountItem, MailItem, RollupItem, TokenItem
from sluice.domain.errors import StoreUnavailable
from tests.integration.gateway.admission import engines
from tests.integration.gateway.admission.world import PREFIX
from tests.ports import free_port
from tests.store_clients import forget_store_clients, make_tables

ENVIRONMENT = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
ENVIRONMENT |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
TOKEN = {"account_id": "usr_ä", "token_id": "tok_1"}


@pytest.fixture(scope="module", params=engines.names())
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "dynamodb_local":
        engines.need_referee()
    with pytest.MonkeyPatch.context() as patch, getattr(engines, request.param)() as url:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL_DYNAMODB": url}.items():
            patch.setenv(name, value)
        forget_store_clients()
        make_tables(PREFIX)
        yield url
        forget_store_clients()


class Small:
    """The operations through the small client, as its adapters call it."""

    def put(self, last_used_ms: int) -> None:
        item = dynamo.item({**TOKEN, "last_used_ms": last_used_ms})
        dynamo.write(lambda: dynamo.client().put_item(TableName=PREFIX + "tokens", Item=item))

    def get(self) -> dict[str, Any]:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(TableName=PREFIX + "tokens", Key=dynamo.item(TOKEN), ConsistentRead=True)
        return dynamo.values(answer.get("Item", {}))

    def update(self, last_used_ms: int) -> None:
        """Refused where the row is missing or was used later."""
        dynamo.write(
            lambda: dynamo.client().update_item(
                TableName=PREFIX + "tokens",
                Key=dynamo.item(TOKEN),
                UpdateExpression="SET last_used_ms = :used",
                ConditionExpression="attribute_exists(token_id) AND last_used_ms < :used",
                ExpressionAttributeValues=dynamo.item({":used": last_used_ms}),
            )
        )

    def delete(self) -> None:
        dynamo.write(lambda: dynamo.client().delete_item(TableName=PREFIX + "tokens", Key=dynamo.item(TOKEN)))

    def add_two(self, first: str, second: str) -> None:
        """Two new rows in one transaction, refused where one is there."""
        puts: Any = [
            {
                "Put": {
                    "TableName": PREFIX + "tokens",
                    "Item": dynamo.item({"account_id": "two", "token_id": token_id}),
                    "ConditionExpression": "attribute_not_exists(token_id)",
                }
            }
            for token_id in (first, second)
        ]
        dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=puts))

    def all_of(self, account_id: str) -> list[str]:
        return [one["token_id"] for one in dynamo.query(PREFIX + "tokens", {"account_id": account_id})]


class Models:
    """The operations through the models."""

    @property
    def rows(self) -> type[TokenItem]:
        return model_store.bound(TokenItem, PREFIX)

    def put(self, last_used_ms: int) -> None:
        row = self.rows(**TOKEN, last_used_ms=last_used_ms)
        model_store.write(row.save)

    def get(self) -> dict[str, Any]:
        with model_store.reading():
            found = list(self.rows.query(TOKEN["account_id"], self.rows.token_id == "tok_1", consistent_read=True))
        return {} if not found else found[0].to_simple_dict()

    def update(self, last_used_ms: int) -> None:
        rows = self.rows
        condition = rows.token_id.exists() & (rows.last_used_ms < last_used_ms)
        model_store.write(lambda: rows(**TOKEN).update([rows.last_used_ms.set(last_used_ms)], condition))

    def delete(self) -> None:
        model_store.write(lambda: self.rows(**TOKEN).delete())

    def add_two(self, first: str, second: str) -> None:
        def both() -> None:
            with model_store.transaction() as writes:
                for token_id in (first, second):
                    writes.save(self.rows("two", token_id), self.rows.token_id.does_not_exist())

        model_store.write(both)

    def all_of(self, account_id: str) -> list[str]:
        with model_store.reading():
            return [one.token_id for one in self.rows.query(account_id, consistent_read=True, page_size=2)]


CLIENTS = [Small(), Models()]
by_both = pytest.mark.parametrize("client", CLIENTS, ids=["small client", "models"])
crosswise = pytest.mark.parametrize(
    ("writer", "reader"),
    [(one, other) for one in CLIENTS for other in CLIENTS],
    ids=["small-small", "small-models", "models-small", "models-models"],
)


@pytest.fixture(autouse=True)
def empty(engine: str) -> None:
    Small().delete()
    for token_id in Small().all_of("two"):
        key = dynamo.item({"account_id": "two", "token_id": token_id})
        dynamo.client().delete_item(TableName=PREFIX + "tokens", Key=key)


@crosswise
def test_each_client_reads_what_the_other_wrote(writer: Any, reader: Any) -> None:
    assert reader.get() == {}
    writer.put(1_800_000_000_000)
    assert reader.get() == {**TOKEN, "last_used_ms": 1_800_000_000_000}
    writer.update(1_800_000_000_001)
    assert reader.get()["last_used_ms"] == 1_800_000_000_001


@by_both
def test_a_refused_condition_is_the_same_error_and_changes_nothing(client: Any) -> None:
    with pytest.raises(dynamo.ConditionFailed) as refused:
        client.update(5)
    assert refused.value.failed == (0,)
    client.put(9)
    with pytest.raises(dynamo.ConditionFailed):
        client.update(5)
    assert client.get()["last_used_ms"] == 9


@by_both
def test_a_refused_transaction_names_the_failed_items_and_writes_nothing(client: Any) -> None:
    client.add_two("a", "b")
    with pytest.raises(dynamo.ConditionFailed) as refused:
        client.add_two("c", "b")
    assert refused.value.failed == (1,)
    assert client.all_of("two") == ["a", "b"]


@by_both
def test_a_query_reads_all_pages(client: Any) -> None:
    for first, second in (("a", "b"), ("c", "d"), ("e", "f")):
        client.add_two(first, second)
    assert client.all_of("two") == list("abcdef")


@by_both
def test_a_deleted_item_is_gone_and_deleting_it_again_is_no_error(client: Any) -> None:
    client.put(1)
    client.delete()
    assert client.get() == {}
    client.delete()


@by_both
def test_an_unreachable_store_is_unavailable(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{free_port()}")
    forget_store_clients()
    for call in (client.get, client.delete, lambda: client.update(1), lambda: client.add_two("a", "b")):
        with pytest.raises(StoreUnavailable):
            call()
    forget_store_clients()


def test_a_missing_table_is_an_error_of_the_store() -> None:
    with pytest.raises(StoreUnavailable), model_store.reading():
        list(model_store.bound(TokenItem, "none-").query("usr_a"))
    with pytest.raises(StoreUnavailable), dynamo.store_errors():
        dynamo.client().get_item(TableName="none-tokens", Key=dynamo.item(TOKEN))


@pytest.mark.parametrize(
    "row",
    [
        AccountItem("usr_a", email_key="a@example.com", name="Ä", status="active", role="admin"),
        MailItem("mail_a", state="queued", due="000000000000001", unsent_shard="1", attempts=0),
        RollupItem("usr_a", "2026-11-20#m#t", schema=1, requests=2, cost_micro_usd=3),
    ],
    ids=lambda row: str(row.Meta.table_name),
)
def test_models_and_the_small_client_write_equal_items(row: Any) -> None:
    rows = model_store.bound(type(row), PREFIX)
    plain = row.to_simple_dict()
    model_store.write(rows(**plain).save)
    key = {name: one for name, one in plain.items() if name in ("pk", "mail_id", "account_id", "bucket")}
    if "pk" in plain or "mail_id" in plain:
        key.pop("account_id", None)
    answer = dynamo.client().get_item(TableName=PREFIX + row.Meta.table_name, Key=dynamo.item(key), ConsistentRead=True)
    assert answer["Item"] == dynamo.item(plain)
