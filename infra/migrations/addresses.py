"""The step to version 4: addresses are compared by lower case, and an unverified account ends (docs/adr/0082).

An account's address was folded (`straße` to `strasse`), so the item that makes it unique may need another key.
"""

import unicodedata
from typing import TYPE_CHECKING, Any

from sluice.adapters.aws import dynamo

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

UNVERIFIED_S = 7 * 24 * 3600
AS_READ = "#schema < :two AND #status = :status AND codes = :before"


def rewrite(client: "DynamoDBClient", prefix: str, key: Any) -> list[Any]:
    """The transaction that brings one account to schema 2; empty if the account is gone."""
    accounts = prefix + "accounts"
    stored = client.get_item(TableName=accounts, Key=key, ConsistentRead=True).get("Item")
    if stored is None:
        return []
    account: dict[str, Any] = dynamo.values(stored)
    old_key = "email#" + account["email_key"]
    address = client.get_item(TableName=accounts, Key=dynamo.item({"pk": old_key}), ConsistentRead=True).get("Item")
    ttl = {"ttl_s": account["created_ms"] // 1000 + UNVERIFIED_S} if "verified_ms" not in account else {}
    writes = [_account(accounts, key, account, ttl)]
    if address is not None and address["account_id"] == stored["account_id"]:
        moved = {"pk": "email#" + _lower(account["email"], account["email_key"]), "schema": 2, **ttl}
        writes.append({"Put": {"TableName": accounts, "Item": {**address, **dynamo.item(moved)}}})
        if moved["pk"] != old_key:
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
