"""Signature Version 4, by AWS's own C runtime or in plain Python.

The C runtime (awscrt) signs a call in 17 µs of CPU but takes 80 ms to load; plain Python takes 0.1 ms a call without
loading. So awscrt signs the store's calls outside Lambda, and plain Python everything else: on Lambda each cold start
would pay for the loading (docs/adr/0006-hot-path-client.md, docs/adr/0055-cold-starts.md).
Source: AWS IAM user guide, "Create a signed AWS API request".
"""

import hashlib
import hmac
import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from sluice.adapters.aws.access import Access, on_lambda

Headers = dict[str, str]
Sign = Callable[[Headers, bytes], Headers]  # (headers in lower case, body) → these headers and the signature's
ALGORITHM = "AWS4-HMAC-SHA256"


def json_signer(granted: Access, service: str, path: str) -> Sign:
    """A signer for each `POST` to `path` of an AWS service."""
    if on_lambda():
        return lambda headers, body: sign(granted, service, ("POST", path), headers, body, datetime.now(UTC))
    return _crt_signer(granted, service, path)


def unsigned(headers: Headers, _body: bytes) -> Headers:
    """For a store that only this run can reach (ADR 81): a signature would prove nothing, and cost 5 % of the CPU of a
    request to `/v1`. The store wants the header's form."""
    form = f"{ALGORITHM} Credential=local, SignedHeaders=host, Signature=none"
    return headers | {"x-amz-date": "20200101T000000Z", "authorization": form}


def url_signer(granted: Access, service: str) -> Callable[[str, str, str, bytes], Headers]:
    """→ `sign(method, host_header, path, body)`, which returns the headers that IAM asks for, including `host`.

    `service`: `lambda` for a function URL, `execute-api` for API Gateway, `bedrock`.

    It signs only what no proxy rewrites: method, host, path, time and the body's hash. The hash is also sent as a
    header, so that a refusal can be distinguished from a changed body.
    """

    def sign_call(method: str, host_header: str, path: str, body: bytes) -> Headers:
        headers = {"host": host_header, "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
        return sign(granted, service, (method, path), headers, body, datetime.now(UTC))

    return sign_call


def sign(
    granted: Access, service: str, target: tuple[str, str], headers: Headers, body: bytes, now: datetime
) -> Headers:
    """The headers, signed in plain Python. Names are in lower case. `target`: method and path without a query."""
    keys = granted.credentials.get_frozen_credentials()
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    wanted = {**headers, "x-amz-date": moment, **({"x-amz-security-token": keys.token} if keys.token else {})}
    names = ";".join(sorted(wanted))
    listed = "".join(f"{name}:{wanted[name].strip()}\n" for name in sorted(wanted))
    method, path = target
    request = f"{method}\n{quote(path)}\n\n{listed}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{moment[:8]}/{granted.region}/{service}/aws4_request"
    text = f"{ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = ("AWS4" + keys.secret_key).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    signature = hmac.digest(key, text.encode(), hashlib.sha256).hex()
    credential = f"{ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**wanted, "authorization": credential}


def _crt_signer(granted: Access, service: str, path: str) -> Sign:
    from awscrt import auth, http

    configs: dict[tuple[str, str, str | None, int], Any] = {}

    def config() -> Any:
        """One configuration for each second and credentials, because a signature's time has a resolution of 1 s."""
        frozen = granted.credentials.get_frozen_credentials()
        second = int(time.time())
        key = (frozen.access_key, frozen.secret_key, frozen.token, second)
        found = configs.get(key)
        if found is None:
            found = auth.AwsSigningConfig(
                algorithm=auth.AwsSigningAlgorithm.V4,
                signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
                credentials_provider=auth.AwsCredentialsProvider.new_static(*key[:3]),
                region=granted.region,
                service=service,
                date=datetime.fromtimestamp(second, UTC),
            )
            configs.clear()  # keep only the newest
            configs[key] = found
        return found

    def sign_request(headers: Headers, body: bytes) -> Headers:
        request = http.HttpRequest("POST", path, http.HttpHeaders(list(headers.items())), io.BytesIO(body))
        # With static credentials the future is done when the call returns, so this does not block.
        auth.aws_sign_request(request, config()).result(1)
        return dict(request.headers)

    return sign_request
