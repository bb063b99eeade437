"""A client patient enough for what migrations ask: an index over a filled table is no matter of two seconds."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 60, 4


def connect(endpoint_url: str | None = None) -> "DynamoDBClient":
    """Without an address: what the environment names, as for every command."""
    from botocore.config import Config
    from botocore.session import get_session

    patience = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return get_session().create_client("dynamodb", endpoint_url=endpoint_url, config=patience)  # type: ignore[return-value]
