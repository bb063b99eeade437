"""A client with long timeouts for migrations, because adding an index to a filled table takes more than two seconds."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 60, 4


def connect(endpoint_url: str | None = None) -> "DynamoDBClient":
    """A DynamoDB client. `endpoint_url`: None for the endpoint of the environment."""
    from botocore.config import Config
    from botocore.session import get_session

    from sluice.adapters.aws.unix_sockets import led_to_store

    patience = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    client = get_session().create_client("dynamodb", endpoint_url=endpoint_url, config=patience)
    return led_to_store(client)  # type: ignore[no-any-return]
