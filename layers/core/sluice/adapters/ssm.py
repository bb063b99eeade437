"""One value out of Systems Manager's parameter store: keys, and on AWS what only a finished deployment knows."""

from sluice.domain.errors import Unavailable


def parameter(name: str) -> str:
    """SecureStrings come decrypted. Errors: Unavailable."""
    from botocore.config import Config  # only on AWS, and only where something is read from there
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    patience = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
    try:
        client = get_session().create_client("ssm", config=patience)
        answer = client.get_parameter(Name=name, WithDecryption=True)
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable() from exc
    return str(answer["Parameter"]["Value"])
