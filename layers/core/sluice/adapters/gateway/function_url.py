"""Signs requests to a model server that is a Lambda function URL.

A function URL of AuthType AWS_IAM answers 403 to a request that is not signed by a role in its policy.
Source: AWS Lambda Developer Guide, "Control access to Lambda function URLs".
"""

import logging
import re
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from sluice.adapters.gateway.upstream import Sign
from sluice.domain.errors import ModelUnavailable

log = logging.getLogger("sluice.upstream")

Auth = Literal["auto", "iam", "none"]
FUNCTION_URL = re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws(\.cn)?")


def sign_for(url: str, auth: Auth) -> Sign | None:
    """`auto` decides by the host. The region comes from the URL or, for a custom domain, from botocore."""
    host = urlsplit(url).hostname or ""
    found = FUNCTION_URL.fullmatch(host)
    if auth == "none" or (auth == "auto" and not found):
        return None
    region = found["region"] if found else None

    def sign(method: str, host_header: str, path: str, body: bytes) -> dict[str, str]:
        """Errors: ModelUnavailable, if there are no credentials at the moment."""
        from botocore.exceptions import BotoCoreError

        try:
            return _signer(region)(method, host_header, path, body)
        except BotoCoreError as exc:
            log.warning("no credentials to sign a request to the model with: %s", exc)
            raise ModelUnavailable() from exc

    return sign


@cache
def _signer(region: str | None) -> Sign:
    """Built at the first call, not at import. A failure is not cached."""
    from botocore.exceptions import NoCredentialsError
    from botocore.session import get_session

    from sluice.adapters.aws.signing import lambda_url_signer

    session = get_session()
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError()
    return lambda_url_signer(region or session.get_config_variable("region") or "us-east-1", credentials)
