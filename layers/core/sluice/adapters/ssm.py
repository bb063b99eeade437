"""One value out of Systems Manager's parameter store: keys, and on AWS what only a finished deployment knows."""

from typing import TYPE_CHECKING

from sluice.domain.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient


def parameter(name: str) -> str:
    """SecureStrings come decrypted. Errors: Unavailable."""
    from botocore.config import Config  # only on AWS, and only where something is read from there
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    patience = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
    try:
        client: SSMClient = get_session().create_client("ssm", config=patience)  # type: ignore[assignment]
        answer = client.get_parameter(Name=name, WithDecryption=True)
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable() from exc
    return str(answer["Parameter"]["Value"])
