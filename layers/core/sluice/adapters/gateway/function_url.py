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
Service = Literal["auto", "lambda", "execute-api", "bedrock"]
HOSTS = {
    "lambda": re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws(\.cn)?"),
    "execute-api": re.compile(r"[a-z0-9-]+\.execute-api\.(?P<region>[a-z0-9-]+)\.(vpce\.)?amazonaws\.com(\.cn)?"),
    "bedrock": re.compile(
        r"(vpce-[a-z0-9-]+\.)?bedrock-runtime(-fips)?\.(?P<region>[a-z0-9-]+)\.(vpce\.)?amazonaws\.com"
    ),
}
ALWAYS_SIGNED = ("lambda", "bedrock")  # an API may do without


def sign_for(url: str, auth: Auth, service: Service | str = "auto") -> Sign | None:
    """Region and service come from the host, the service unless it is named, which is needed behind a domain of one's
    own. Any other host is taken for a function's, in botocore's region."""
    found, region = _place(url)
    named = found if service == "auto" else service
    if auth == "none" or (auth == "auto" and service == "auto" and found not in ALWAYS_SIGNED):
        return None

    def sign(method: str, host_header: str, path: str, body: bytes) -> dict[str, str]:
        """Errors: ModelUnavailable, if there are no credentials at the moment."""
        try:
            return _signer(named or "lambda", region)(method, host_header, path, body)
        except NoCredentials as exc:
            log.warning("no credentials to sign a request to the model with: %s", exc)
            raise ModelUnavailable() from exc

    return sign


def _place(url: str) -> tuple[str | None, str | None]:
    """The service and the region that the host names, if it is one of AWS's."""
    host = urlsplit(url).hostname or ""
    found = ((name, pattern.fullmatch(host)) for name, pattern in HOSTS.items())
    return next(((name, match["region"]) for name, match in found if match), (None, None))


def is_bedrock(url: str, service: Service | str = "auto") -> bool:
    return (_place(url)[0] if service == "auto" else service) == "bedrock"


@cache
def _signer(service: str, region: str | None) -> Sign:
    """Built at the first call, not at import. Errors: NoCredentials, which is not cached."""
    granted = access()
    granted.credentials.get_frozen_credentials()
    return url_signer(replace(granted, region=region or granted.region), service)
