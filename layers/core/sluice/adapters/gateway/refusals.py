"""The domain error for a model server's refusal, in OpenAI's form, Sluice's engine's, or AWS's.

AWS names the kind of an error in the header `x-amzn-errortype`, and its message in `message` or `Message`. What is the
owner's to mend (a permission, a model's name, a quota) is told in the log; the caller only learns that the model is not
available, because such a message may hold ARNs and account numbers.
Sources: botocore's model of bedrock-runtime 2023-09-30 (kinds and statuses); Amazon Bedrock User Guide,
"Troubleshooting Amazon Bedrock API error codes"; AWS Lambda Developer Guide, "Invoke", errors.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sluice.domain import errors

log = logging.getLogger("sluice.upstream")

BUSY = {"ThrottlingException", "TooManyRequestsException", "ModelNotReadyException", "ServiceQuotaExceededException"}
NOT_OURS = {  # with status 400 as well: Sluice's own credentials, permissions or names
    "AccessDeniedException", "ExpiredTokenException", "IncompleteSignature", "IncompleteSignatureException",
    "InvalidSignatureException", "MissingAuthenticationToken", "MissingAuthenticationTokenException", "NotAuthorized",
    "OptInRequired", "ResourceNotFoundException", "UnrecognizedClientException", "UnknownOperationException",
}  # fmt: skip
ABOUT_THE_SETUP = re.compile(r"model identifier|model id\b|inference profile|on-demand throughput|not allowed", re.I)
TOO_LONG = re.compile(r"maximum context length|exceeds the available context size", re.I)  # vLLM, llama.cpp
SECRET = re.compile(r"arn:|\d{12}")
HIDDEN = "[hidden]"
SHORT = 6  # characters of what is no secret, but would be found in any text
MAX_MESSAGE = 1_000  # characters
MAX_SECONDS = 3_600


def error_from(
    status: int, answer: dict[str, Any], headers: Mapping[bytes, bytes], secrets: Iterable[str] = ()
) -> errors.SluiceError:
    """`answer`: the body, empty if it is not a JSON object. `headers`: with names in lower case. `secrets`: what was
    sent to the server and must not come back from it."""
    detail = answer.get("error")
    detail = detail if isinstance(detail, dict) else {}
    kind = _without(headers.get(b"x-amzn-errortype", b"").decode("ascii", "replace").partition(":")[0], secrets)
    text = detail.get("message") or answer.get("message") or answer.get("Message")
    message, param, code = (
        _without(value, secrets) if isinstance(value, str) else None
        for value in (text, detail.get("param"), detail.get("code"))
    )
    seconds = retry_seconds(headers.get(b"retry-after"), detail.get("retry_after_s"))
    if code == "context_length_exceeded" or (status == 400 and TOO_LONG.search(message or "")):
        return errors.ContextLengthExceeded(message, param)
    if code == "unsupported_schema":
        return errors.UnsupportedSchema(message, param)
    if status == 404 and code == "model_not_found":
        return errors.ModelNotFound(message)
    if status == 429 or code == "overloaded" or kind in BUSY:
        log.info("the model server is busy: %s %s %s", status, kind, message)
        return errors.Overloaded(retry_after_seconds=seconds)
    if status in (401, 403, 404) or kind in NOT_OURS or (kind and ABOUT_THE_SETUP.search(message or "")):
        log.error(
            "the model server refuses Sluice, not its caller; see docs/deploy.md: %s %s %s", status, kind, message
        )
        return errors.ModelUnavailable(retry_after_seconds=seconds)
    if status in (400, 413, 422):
        return errors.InvalidModelRequest(_for_caller(message), param)
    log.warning("the model server answered %s: %s %s", status, kind, message)
    if status in (408, 504) or code == "upstream_timeout":
        return errors.UpstreamTimeout()
    return errors.ModelUnavailable(retry_after_seconds=seconds)


def _for_caller(message: str | None) -> str | None:
    """The message, unless it names what belongs to the owner."""
    if message is None or not SECRET.search(message):
        return message
    log.warning("the model server refused a request: %s", message)
    return None


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if len(secret) > SHORT:
            text = text.replace(secret, HIDDEN)
    return text[:MAX_MESSAGE]


def retry_seconds(header: bytes | None, stated: object = None) -> int:
    """By the header `Retry-After`, or what the body states."""
    if header and header.isdigit():
        return min(int(header[:6]), MAX_SECONDS)
    return min(stated, MAX_SECONDS) if isinstance(stated, int) and stated > 0 else 2
