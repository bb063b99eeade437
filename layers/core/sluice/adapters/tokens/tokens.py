"""The tokens table, whose rows the list of API tokens shows. The grant decides whether a token is live, not its row."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.tokens import ApiToken

EXISTS = "attribute_exists(token_id)"
FIELDS = tuple(field.name for field in fields(ApiToken))


class DynamoTokens:
    """`sluice.ports.TokenStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "tokens"

    def put(self, token: ApiToken) -> None:
        item = dynamo.item({name: value for name, value in asdict(token).items() if value is not None})
        dynamo.write(lambda: dynamo.client().put_item(TableName=self._table, Item=item))

    def get(self, account_id: str, token_id: str) -> ApiToken | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._table, Key=_key(account_id, token_id), ConsistentRead=True
            )
        return _token(dynamo.values(answer["Item"])) if "Item" in answer else None

    def of_account(self, account_id: str) -> list[ApiToken]:
        return [_token(one) for one in dynamo.query(self._table, {"account_id": account_id})]

    def mark_revoked(self, account_id: str, token_id: str, now_ms: int) -> None:
        """Keeps the first revocation time."""
        self._set(account_id, token_id, "revoked_ms", now_ms, "if_not_exists(#field, :value)")

    def rename(self, account_id: str, token_id: str, name: str) -> None:
        self._set(account_id, token_id, "name", name)

    def mark_replaced(self, account_id: str, token_id: str, ends_ms: int) -> None:
        self._set(account_id, token_id, "ends_ms", ends_ms)

    def _set(self, account_id: str, token_id: str, field: str, value: int | str, after: str = ":value") -> None:
        """A row that was deleted in the meantime stays deleted."""
        try:
            dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._table,
                    Key=_key(account_id, token_id),
                    UpdateExpression="SET #field = " + after,
                    ConditionExpression=EXISTS,
                    ExpressionAttributeNames={"#field": field},
                    ExpressionAttributeValues=dynamo.item({":value": value}),
                )
            )
        except dynamo.ConditionFailed:
            return

    def delete(self, account_id: str, token_id: str) -> None:
        dynamo.write(lambda: dynamo.client().delete_item(TableName=self._table, Key=_key(account_id, token_id)))

    def erase_account(self, account_id: str) -> None:
        keys = dynamo.query(self._table, {"account_id": account_id}, only=("account_id", "token_id"))
        dynamo.delete_all(self._table, keys)


def _key(account_id: str, token_id: str) -> dict[str, Any]:
    return dynamo.item({"account_id": account_id, "token_id": token_id})


def _token(stored: Mapping[str, Any]) -> ApiToken:
    """A field that the item lacks takes its default. Errors: TypeError, where it has none."""
    row: dict[str, Any] = {name: stored[name] for name in FIELDS if name in stored}
    for name in ("scopes", "models"):
        if name in row:
            row[name] = tuple(row[name])
    return ApiToken(**row)
