"""ministack's own server, with four of its gaps closed. Run by the Python of ministack's environment, not by ours."""

import json
import sys
from email.utils import parseaddr
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.core.lambda_runtime import Worker
from ministack.services import apigateway_v1, lambda_svc

END_OF_PRELUDE = "\0" * 8
_function_of_buffered = apigateway_v1._extract_lambda_ref_from_integration_uri
_answer_as_buffered = lambda_svc.lambda_execute_result_to_api_proxy_response
_resource_without_senders = iam_actions.extract_resource_arn


def _function(uri: str) -> Any:
    """It does not know the URI that a streaming method has, and finds no function in it."""
    return _function_of_buffered(uri.replace("/response-streaming-invocations", "/invocations"))


def _answer(result: dict[str, Any]) -> Any:
    """Its REST API knows only whole answers: a streamed one (a prelude, eight NULs, the body) it passes on as text.

    API Gateway reads the prelude where the method's `responseTransferMode` is STREAM. The stream itself stays buffered.
    """
    body = result.get("body")
    if not isinstance(body, str) or END_OF_PRELUDE not in body or result.get("error"):
        return _answer_as_buffered(result)
    head, _, rest = body.partition(END_OF_PRELUDE)
    prelude = json.loads(head)
    answer = {"statusCode": prelude["statusCode"], "headers": prelude.get("headers") or {}, "body": rest}
    return answer | {"multiValueHeaders": {"set-cookie": prelude.get("cookies") or []}}, None


def _resource(
    service: str, method: str, path: str, headers: Any, body: Any, parameters: Any, region: str, account: str
) -> str:
    """It asks whether a role may send mail as anybody (`*`); SES asks whether it may send as this identity."""
    source = parameters.get("Source") if service == "ses" else None
    if source:
        address = parseaddr(source[0] if isinstance(source, list) else source)[1]
        return f"arn:aws:ses:{region}:{account}:identity/{address}"
    return str(_resource_without_senders(service, method, path, headers, body, parameters, region, account))


def main() -> None:
    # After each call it waits 50 ms for a first line on stderr: every answer would take that much longer.
    Worker._drain_stderr_bounded.__defaults__ = (0.001, 0.001, 0.05)
    apigateway_v1._extract_lambda_ref_from_integration_uri = _function
    lambda_svc.lambda_execute_result_to_api_proxy_response = _answer
    iam_actions.extract_resource_arn = _resource
    sys.argv = ["ministack"]
    app.main()


if __name__ == "__main__":
    main()
