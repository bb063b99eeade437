"""What Amazon Bedrock answers on its OpenAI endpoint, as far as it is documented or was seen by others. Texts are ours.

No answer of Bedrock was seen by this project (docs/claims.md). Where each form is from:
- `CHUNKS`, `USAGE`: OpenAI's API reference, "Chat completion chunk", in the shape that llamastack/llama-stack recorded
  from `bedrock-runtime.us-west-2.amazonaws.com` (its tests/integration/inference/recordings, commit c9495e04): many
  tokens in a chunk, the reasoning inside `<reasoning>` in the content, `service_tier`, an empty last delta.
- kinds and statuses of errors: `kinds`, read from botocore's own model of the service, bedrock-runtime 2023-09-30.
- the header `x-amzn-errortype` with `:http://internal.amazon.com/coral/…` after the kind, the body `{"message": …}`:
  aws-samples/amazon-bedrock-client-for-mac#112, and the restJson1 protocol of the Smithy specification.
- `DENIED`: IAM User Guide, "Troubleshoot access denied error messages". `EXPIRED`: IAM User Guide, "Troubleshoot
  Signature Version 4 requests". `UNKNOWN`, `PROFILE`: Bedrock User Guide, "Supported foundation models" and "Inference
  profiles", quoted in strands-agents/docs#102.
"""

import json
from typing import Any

from botocore.session import get_session

from tests.unit.aws.iam_server import Reply

THEIRS = "openai.gpt-oss-20b-1:0"
DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/sluice-GatewayFunctionRole-1ABC/sluice-GatewayFunction is not "
    f"authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-west-2::foundation-model/{THEIRS} "
    "because no identity-based policy allows the bedrock:InvokeModel action"
)
EXPIRED = "Signature expired: 20261129T040000Z is now earlier than 20261129T041000Z (20261129T041500Z - 5 min.)"
UNKNOWN = "The provided model identifier is invalid."
PROFILE = (
    f"Invocation of model ID {THEIRS} with on-demand throughput isn't supported. Retry your request with the ID or ARN "
    "of an inference profile that contains this model."
)


def chunk(content: str | None, finish: str | None = None, *, role: str | None = None) -> bytes:
    delta = {name: value for name, value in (("role", role), ("content", content)) if value is not None}
    choice = {"delta": delta, "finish_reason": finish, "index": 0, "logprobs": None}
    return event({"choices": [choice], "service_tier": "auto", "usage": None})


def event(fields: dict[str, Any]) -> bytes:
    base = {"id": "chatcmpl-7", "created": 1796000000, "model": THEIRS, "object": "chat.completion.chunk"}
    return b"data: " + json.dumps({**base, **fields}, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
CHUNKS = (
    chunk("", role="assistant"),
    chunk("<reasoning>They ask for a capital.</reasoning>"),
    chunk("It is "),
    chunk("Paris, on the Seine."),
    chunk(None, "stop"),
)
TEXT = "<reasoning>They ask for a capital.</reasoning>It is Paris, on the Seine."
USAGE = event(
    {
        "choices": [],
        "usage": {
            "completion_tokens": 18,
            "prompt_tokens": 73,
            "total_tokens": 91,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 48},
        },
    }
)
STREAM = (("content-type", "text/event-stream"),)
WHOLE = Reply(headers=STREAM, parts=(*CHUNKS, USAGE, DONE))
WITHOUT_USAGE = Reply(headers=STREAM, parts=(*CHUNKS, DONE))


def kinds() -> dict[str, int]:
    """Each kind of error of a model's call → its HTTP status."""
    call = get_session().get_service_model("bedrock-runtime").operation_model("InvokeModelWithResponseStream")
    return {shape.name: int(shape.metadata["error"]["httpStatusCode"]) for shape in call.error_shapes}


def refusal(kind: str, status: int, message: str, **headers: str) -> Reply:
    named = (("x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"),)
    more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(
        status, (*named, *more, ("content-type", "application/json")), json.dumps({"message": message}).encode()
    )
