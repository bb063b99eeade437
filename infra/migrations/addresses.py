"""The step to version 4: addresses are compared by lower case, and an unverified account ends (docs/adr/0082).

An account's address was folded (`straße` to `strasse`), so the item that makes it unique may need another key.
"""

import unicodedata
from typing import TYPE_CHECKING, Any

from sluice.adapters.aws import dynamo

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

UNVERIFIED_S = 7 * 24 * 3600
IS_FREE = "attribute_not_exists(pk) OR account_id = :own"
AS_READ = "#schema < :two AND #status = :status AND codes = :before"


class NotMigrated(Exception):
    """The store keeps its version, and the message tells the operator why."""


def rewrite(client: "DynamoDBClient", prefix: str, key: Any) -> list[Any]:
    """The transaction that brings one account to schema 2; empty if the account is gone or has it.

    Errors: NotMigrated when another account has the address, which registered it while functions of both versions ran.
    """
    accounts = prefix + "accounts"
    stored = client.get_item(TableName=accounts, Key=key, ConsistentRead=True).get("Item")
    account: dict[str, Any] = dynamo.values(stored or {})
    if account.get("schema", 2) >= 2:
        return []
    old_key = "email#" + account["email_key"]
    new_key = "email#" + _lower(account["email"], account["email_key"])
    address, taken = (
        client.get_item(TableName=accounts, Key=dynamo.item({"pk": pk}), ConsistentRead=True).get("Item", {})
        for pk in (old_key, new_key)
    )
    own = dynamo.item({":own": account["account_id"]})
    if taken and taken["account_id"] != own[":own"]:
        other = dynamo.values(taken)["account_id"]
        raise NotMigrated(
            f"The address of the account {account['account_id']} belongs to the account {other}, too, which is newer. "
            "Nothing of either was changed. Delete one of them, and run the migration again."
        )
    ttl = {"ttl_s": account["created_ms"] // 1000 + UNVERIFIED_S} if "verified_ms" not in account else {}
    writes = [_account(accounts, key, account, ttl)]
    if address and address["account_id"] == own[":own"]:
        put = {"TableName": accounts, "Item": {**address, **dynamo.item({"pk": new_key, "schema": 2, **ttl})}}
        writes.append({"Put": put | {"ConditionExpression": IS_FREE, "ExpressionAttributeValues": own}})
        if new_key != old_key:
            writes.append({"Delete": {"TableName": accounts, "Key": dynamo.item({"pk": old_key})}})
    if ttl:
        grant = {"TableName": prefix + "grants", "Key": dynamo.item({"account_id": account["account_id"]})}
        grant |= {"UpdateExpression": "SET ttl_s = :ttl_s", "ConditionExpression": "attribute_exists(account_id)"}
        writes.append({"Update": grant | {"ExpressionAttributeValues": dynamo.item({":ttl_s": ttl["ttl_s"]})}})
    return writes


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
