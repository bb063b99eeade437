"""Signs requests to a model server that asks for it: a Lambda function URL, API Gateway, or Bedrock.

Each answers 403 to a request that is not signed for its own service by a role that may call it.
Sources: AWS Lambda Developer Guide, "Control access to Lambda function URLs"; Service Authorization Reference (the
services' names in signatures).
"""

import logging
import re
from dataclasses import replace
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from sluice.adapters.aws.access import NoCredentials, access
from sluice.adapters.aws.signing import url_signer
from sluice.adapters.gateway.upstream import Sign
from sluice.domain.errors import ModelUnavailable

log = logging.getLogger("sluice.upstream")

Auth = Literal["auto", "iam", "none"]
HOSTS = {
    "lambda": re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws(\.cn)?"),
    "execute-api": re.compile(r"[a-z0-9-]+\.execute-api\.(?P<region>[a-z0-9-]+)\.(vpce\.)?amazonaws\.com(\.cn)?"),
    "bedrock": re.compile(r"bedrock-runtime(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com"),
}
ALWAYS_SIGNED = ("lambda", "bedrock")  # an API may do without


def sign_for(url: str, auth: Auth) -> Sign | None:
    """Service and region come from the host. Any other host is taken for a function's, in botocore's region."""
    host = urlsplit(url).hostname or ""
    found = {service: match for service, pattern in HOSTS.items() if (match := pattern.fullmatch(host))}
    service, region = next(((name, match["region"]) for name, match in found.items()), ("lambda", None))
    if auth == "none" or (auth == "auto" and not (found and service in ALWAYS_SIGNED)):
        return None

    def sign(method: str, host_header: str, path: str, body: bytes) -> dict[str, str]:
        """Errors: ModelUnavailable, if there are no credentials at the moment."""
        try:
            return _signer(service, region)(method, host_header, path, body)
        except NoCredentials as exc:
            log.warning("no credentials to sign a request to the model with: %s", exc)
            raise ModelUnavailable() from exc

    return sign


@cache
def _signer(service: str, region: str | None) -> Sign:
    """Built at the first call, not at import. Errors: NoCredentials, which is not cached."""
    granted = access()
    granted.credentials.get_frozen_credentials()
    return url_signer(replace(granted, region=region or granted.region), service)
