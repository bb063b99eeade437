"""Machines that share a store need the same keys, so the store remembers whose it has, and a start with others ends."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from infra.local.errors import LaunchError
from sluice.adapters.aws import dynamo
from sluice.adapters.tokens.keys import (
    MAILED_CODE_FILE,
    SIGNING_FILE,
    parse_mailed_code_key,
    parse_signing_key,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ITEM = {"pk": "keys", "schema": 1}
"""In the accounts table, under a key that no account can have."""
ARE_THESE = "attribute_not_exists(pk) OR fingerprint = :fingerprint"


def check(client: "DynamoDBClient", prefix: str, data_dir: Path) -> None:
    """Errors: LaunchError if another machine came first with other keys; botocore's."""
    mine = fingerprint(data_dir / "keys")
    try:
        client.put_item(
            TableName=prefix + "accounts",
            Item=dynamo.item(ITEM | {"fingerprint": mine}),
            ConditionExpression=ARE_THESE,
            ExpressionAttributeValues=dynamo.item({":fingerprint": mine}),
        )
    except client.exceptions.ConditionalCheckFailedException:
        raise LaunchError(
            f"the keys in {data_dir / 'keys'} are not those of the other machines on this store, so each would refuse "
            "the API tokens and links of the other. Copy that folder from the first machine, and start again. If the "
            f"first keys are lost, delete the item with pk = keys from the table {prefix}accounts: this machine's keys "
            "are valid from its next start on, and no older API token or link."
        ) from None


def fingerprint(folder: Path) -> str:
    """Of both keys, which it does not tell. Errors: OSError, ValueError."""
    signing = parse_signing_key((folder / SIGNING_FILE).read_bytes(), SIGNING_FILE).kid
    codes = parse_mailed_code_key((folder / MAILED_CODE_FILE).read_bytes(), MAILED_CODE_FILE)
    return hashlib.sha256(signing.encode() + codes).hexdigest()
