"""The step to version 4: addresses are compared by lower case, and an unverified account ends (docs/adr/0082).

An account's address was folded (`straße` to `strasse`), so the item that makes it unique may need another key.
"""

import unicodedata
from typing import TYPE_CHECKING, Any

from sluice.adapters.aws import dynamo

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

UNVERIFIED_S = 7 * 24 * 3600
IS_FREE_OR_OWN = "attribute_not_exists(pk) OR account_id = :own"
AS_READ = "#schema < :two AND #status = :status AND codes = :before"


class NotMigrated(Exception):
    """An item keeps its old form. The step is not done, and the next run tries again."""


def rewrite(client: "DynamoDBClient", prefix: str, key: Any) -> list[Any]:
    """The transaction that brings one account to schema 2; empty if the account is gone.

    Errors: NotMigrated (another account was registered at the address under its new key).
    """
    accounts = prefix + "accounts"
    stored = client.get_item(TableName=accounts, Key=key, ConsistentRead=True).get("Item")
    if stored is None:
        return []
    account: dict[str, Any] = dynamo.values(stored)
    if account["schema"] >= 2:
        return []  # another run or a registration was first
    old_key = "email#" + account["email_key"]
    address = client.get_item(TableName=accounts, Key=dynamo.item({"pk": old_key}), ConsistentRead=True).get("Item")
    ttl = {"ttl_s": account["created_ms"] // 1000 + UNVERIFIED_S} if "verified_ms" not in account else {}
    writes = [_account(accounts, key, account, ttl)]
    if address is not None and address["account_id"] == stored["account_id"]:
        moved = {"pk": "email#" + _lower(account["email"], account["email_key"]), "schema": 2, **ttl}
        put = {"TableName": accounts, "Item": {**address, **dynamo.item(moved)}, "ConditionExpression": IS_FREE_OR_OWN}
        writes.append({"Put": put | {"ExpressionAttributeValues": {":own": stored["account_id"]}}})
        if moved["pk"] != old_key:
            _check_free(client, accounts, dynamo.item({"pk": moved["pk"]}), account)
            writes.append({"Delete": {"TableName": accounts, "Key": dynamo.item({"pk": old_key})}})
    if ttl:
        grant = {"TableName": prefix + "grants", "Key": dynamo.item({"account_id": account["account_id"]})}
        grant |= {"UpdateExpression": "SET ttl_s = :ttl_s", "ConditionExpression": "attribute_exists(account_id)"}
        writes.append({"Update": grant | {"ExpressionAttributeValues": dynamo.item({":ttl_s": ttl["ttl_s"]})}})
    return writes


def _check_free(client: "DynamoDBClient", accounts: str, key: Any, account: dict[str, Any]) -> None:
    other = client.get_item(TableName=accounts, Key=key, ConsistentRead=True).get("Item", {}).get("account_id")
    if other and other["S"] != account["account_id"]:
        raise NotMigrated(
            f"The accounts {account['account_id']} and {other['S']} have the same address: the second was registered "
            "after the update and before this step. Delete one of them as an admin, and migrate again."
        )


def _account(table: str, key: Any, account: dict[str, Any], ttl: dict[str, int]) -> Any:
    codes = dict(account["codes"])
    link = codes.pop("verify_email", None)
    if change := codes.get("change_email"):
        codes["change_email"] = {**change, "new_email_key": _lower(change["new_email"], change["new_email_key"])}
    registered = {name: account[name] for name in ("password_hash", "name", "email")}
    values = {
        ":two": 2,
        ":status": account["status"],
        ":before": account["codes"],
        ":codes": codes,
        ":key": _lower(account["email"], account["email_key"]),
        ":registrations": {link["mail_id"]: registered | {t: link[t] for t in ("created_ms", "expires_ms")}}
        if link and ttl
        else {},
    }
    change = "SET #schema = :two, email_key = :key, codes = :codes, registrations = :registrations"
    return {
        "Update": {
            "TableName": table,
            "Key": key,
            "UpdateExpression": change + (", ttl_s = :ttl_s" if ttl else ""),
            "ConditionExpression": AS_READ,
            "ExpressionAttributeNames": {"#schema": "schema", "#status": "status"},
            "ExpressionAttributeValues": dynamo.item(values | ({":ttl_s": ttl["ttl_s"]} if ttl else {})),
        }
    }


def _lower(email: str, folded: str) -> str:
    local = unicodedata.normalize("NFC", unicodedata.normalize("NFC", email.rpartition("@")[0]).lower())
    return f"{local}@{folded.rpartition('@')[2]}"
