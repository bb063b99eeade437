"""The hot client's signature equals botocore's for the same request at the same moment."""

from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sluice.adapters.aws.access import Access
from sluice.adapters.aws.signing import Sign, json_signer

HOST = "dynamodb.eu-central-1.amazonaws.com"
REGION = "eu-central-1"
TARGET = "DynamoDB_20120810.UpdateItem"
HEADERS = {"content-type": "application/x-amz-json-1.0", "host": HOST, "x-amz-target": TARGET}
BODY = '{"TableName":"grants","Key":{"account_id":{"S":"usr_ä"}}}'.encode()


def signer(credentials: Credentials) -> Sign:
    return json_signer(Access(REGION, credentials), "dynamodb", "/")


def _by_botocore(credentials: Credentials, headers: dict[str, str], body: bytes) -> str:
    """botocore's `Authorization` for the time in `headers`."""
    signer = SigV4Auth(credentials, "dynamodb", REGION)
    sent = {"host": HOST, "content-type": "application/x-amz-json-1.0", "x-amz-target": TARGET}
    request: Any = AWSRequest("POST", f"https://{HOST}/", headers=sent, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer._modify_request_before_signing(request)  # type: ignore[attr-defined]
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(to_sign, request))  # type: ignore[attr-defined]
    return str(request.headers["Authorization"])


def _parts(authorization: str) -> dict[str, str]:
    kind, _, rest = authorization.partition(" ")
    return {"kind": kind, **dict(part.strip().split("=", 1) for part in rest.split(","))}


@pytest.mark.parametrize("token", [None, "IQoJb3JpZ2luX2VjE//////+=="], ids=["long-lived", "with a session token"])
@pytest.mark.parametrize("body", [BODY, b""], ids=["a body", "no body"])
def test_the_signature_equals_botocores(token: str | None, body: bytes) -> None:
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    headers = {k.lower(): v for k, v in signer(credentials)(HEADERS, body).items()}

    ours, theirs = _parts(headers["authorization"]), _parts(_by_botocore(credentials, headers, body))

    assert ours == theirs
    assert headers.get("x-amz-security-token") == token
    assert headers["x-amz-target"] == TARGET


def test_rotated_credentials_sign_the_next_call() -> None:
    """botocore changes the credentials in place, so a signer that kept the old key would fail after an hour."""
    credentials = Credentials("AKIDOLD", "old", "old-token")
    sign = signer(credentials)
    sign(HEADERS, BODY)
    credentials.access_key, credentials.secret_key, credentials.token = "AKIDNEW", "new", "new-token"

    headers = {k.lower(): v for k, v in sign(HEADERS, BODY).items()}

    assert "Credential=AKIDNEW/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "new-token"
    assert _parts(headers["authorization"]) == _parts(_by_botocore(credentials, headers, BODY))
