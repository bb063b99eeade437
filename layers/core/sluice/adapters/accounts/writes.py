"""The writes of an account's items (the account, its address, its grant), as parts of transactions."""

from collections.abc import Mapping
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.accounts.account import SCHEMA, Account
from sluice.domain.errors import MailedCodeInvalid

# Nobody has the address, or the account that had it ended unverified and the store has not deleted it yet.
IS_FREE = "attribute_not_exists(pk) OR ttl_s <= :now_s"
IS_OF_ACCOUNT = "account_id = :account_id"


class AccountWrites:
    def __init__(self, table_prefix: str) -> None:
        self._accounts = table_prefix + "accounts"
        self._grants = table_prefix + "grants"
        self._mails = table_prefix + "mails"

    def _read(self, key: str) -> dict[str, Any]:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._accounts, Key=dynamo.item({"pk": key}), ConsistentRead=True
            )
        return dynamo.values(answer.get("Item", {}))

    def _redeem(self, *writes: Any) -> None:
        try:
            self._transact(*writes)
        except dynamo.ConditionFailed as exc:
            raise MailedCodeInvalid() from exc

    def _kept(self, account: Account) -> tuple[Any, Any]:
        """The writes that keep an unverified account's grant and address, where the store would delete both."""
        is_own = {":account_id": account.account_id}
        address = self._updating("email#" + account.email_key, "REMOVE ttl_s", IS_OF_ACCOUNT, {}, is_own)
        return self._updating_grant(account, "REMOVE ttl_s", {}), address

    def _updating(
        self, key: str, change: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> Any:
        """An update of one of our items, for a transaction."""
        return update(self._accounts, {"pk": key}, (change, condition), names, values)

    def _updating_grant(self, account: Account, change: str, values: Mapping[str, Any]) -> Any:
        key = {"account_id": account.account_id}
        return update(self._grants, key, (change, "attribute_exists(account_id)"), {}, values)

    def _put_address(self, email_key: str, account_id: str, now_ms: int, ttl: Mapping[str, int]) -> Any:
        owner = {"pk": "email#" + email_key, "account_id": account_id, "schema": SCHEMA, **ttl}
        write = put(self._accounts, dynamo.item(owner), IS_FREE)
        write["Put"]["ExpressionAttributeValues"] = dynamo.item({":now_s": now_ms // 1000})
        return write

    def _transact(self, *writes: Any) -> None:
        dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=writes))


def put(table: str, item: Mapping[str, Any], condition: str | None = None) -> Any:
    write = {"TableName": table, "Item": item}
    return {"Put": write | ({"ConditionExpression": condition} if condition else {})}


def update(
    table: str, key: Mapping[str, str], how: tuple[str, str], names: Mapping[str, str], values: Mapping[str, Any]
) -> Any:
    """`how`: the change and its condition."""
    change, condition = how
    return {"Update": {"UpdateExpression": change, **_conditional(table, key, condition, names, values)}}


def delete(
    table: str, key: Mapping[str, str], condition: str, names: Mapping[str, str], values: Mapping[str, Any]
) -> Any:
    return {"Delete": _conditional(table, key, condition, names, values)}


def _conditional(
    table: str, key: Mapping[str, str], condition: str, names: Mapping[str, str], values: Mapping[str, Any]
) -> dict[str, Any]:
    write: dict[str, Any] = {"TableName": table, "Key": dynamo.item(key)}
    if condition:
        write["ConditionExpression"] = condition
    if names:
        write["ExpressionAttributeNames"] = dict(names)
    if values:
        write["ExpressionAttributeValues"] = dynamo.item(values)
    return write


def now(now_ms: int) -> dict[str, int]:
    return {":now_ms": now_ms, ":now_s": now_ms // 1000}
