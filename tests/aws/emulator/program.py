"""ministack's server with additions that this template needs. Run by the Python of ministack's environment."""

import json
import os
import sys
import threading
import types
import zipfile
from email.utils import parseaddr
from typing import Any

from ministack import app
from ministack.core import iam_actions, lambda_runtime
from ministack.services import apigateway_v1, dynamodb, lambda_svc
from ministack.services.cloudformation import provisioners

END_OF_PRELUDE = "\0" * 8
LAYER = "layer_"  # the prefix of the folders that ministack unpacks layers to
_function_of_buffered = apigateway_v1._extract_lambda_ref_from_integration_uri
_answer_as_buffered = lambda_svc.lambda_execute_result_to_api_proxy_response
_resource_of_others = iam_actions.extract_resource_arn
_context_of_others = iam_actions.request_tag_context
_table = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
_make_table, _change_table = _table["create"], _table["update"]
_attributes_of_url = provisioners._lambda_url_attributes
_matches_what_is_there = lambda_svc._match_esm_filter
_unpacking = threading.Lock()


def _function(uri: str) -> Any:
    """Finds the function in the URI of a streaming method, which ministack does not parse."""
    return _function_of_buffered(uri.replace("/response-streaming-invocations", "/invocations"))


def _answer(result: dict[str, Any]) -> Any:
    """Parses a streamed answer (a prelude, eight NULs, the body), which ministack would pass on as text.

    API Gateway reads the prelude where the method's `responseTransferMode` is STREAM. The stream itself stays buffered.
    """
    body = result.get("body")
    if not isinstance(body, str) or END_OF_PRELUDE not in body or result.get("error"):
        return _answer_as_buffered(result)
    head, _, rest = body.partition(END_OF_PRELUDE)
    prelude = json.loads(head)
    answer = {"statusCode": prelude["statusCode"], "headers": prelude.get("headers") or {}, "body": rest}
    return answer | {"multiValueHeaders": {"set-cookie": prelude.get("cookies") or []}}, None


def _matches(record: dict[str, Any], pattern: dict[str, Any]) -> bool:
    """A filter of a stream as AWS reads it: what is missing has no members, so `exists: false` below it is true."""
    return bool(_matches_what_is_there(_filled(record, pattern), pattern))


def _filled(record: dict[str, Any], pattern: dict[str, Any]) -> dict[str, Any]:
    inner = {name: record.get(name) for name, wanted in pattern.items() if isinstance(wanted, dict)}
    return record | {
        name: _filled(held if isinstance(held, dict) else {}, pattern[name]) for name, held in inner.items()
    }


def _url(config: dict[str, Any]) -> dict[str, Any]:
    """A function URL at an address of this machine, because nobody here resolves the one that ministack invents."""
    attributes = _attributes_of_url(config)
    name = lambda_svc._function_url_id(attributes["FunctionUrl"])
    return attributes | {"FunctionUrl": f"{os.environ['AWS_ENDPOINT_URL']}/_aws/lambda-url/{name}/"}


def _made_table(logical_id: str, properties: Any, stack: str) -> Any:
    """A table with its time to live, which ministack's CloudFormation ignores."""
    return _with_ttl(_make_table(logical_id, properties, stack), properties)


def _changed_table(name: str, old: Any, properties: Any, *more: Any) -> Any:
    return _with_ttl(_change_table(name, old, properties, *more), properties)


def _with_ttl(made: Any, properties: Any) -> Any:
    if wanted := properties.get("TimeToLiveSpecification"):
        dynamodb._update_ttl({"TableName": made[0], "TimeToLiveSpecification": wanted})
    return made


def _resource(
    service: str, method: str, path: str, headers: Any, body: Any, parameters: Any, region: str, account: str
) -> str:
    """The sending identity, as SES checks it; ministack checks for the permission to send as anybody (`*`)."""
    sender = _sender(service, parameters)
    if sender:
        return f"arn:aws:ses:{region}:{account}:identity/{sender}"
    return str(_resource_of_others(service, method, path, headers, body, parameters, region, account))


def _context(service: str, action: str, body: Any, parameters: Any) -> dict[str, Any]:
    """Adds SES's condition on the sender, which ministack does not support."""
    sender = _sender(service, parameters)
    return _context_of_others(service, action, body, parameters) | ({"ses:FromAddress": sender} if sender else {})


def _sender(service: str, parameters: Any) -> str:
    source = parameters.get("Source", "") if service == "ses" else ""
    return parseaddr(source[0] if isinstance(source, list) else source)[1]


class _UnpackedOnce(zipfile.ZipFile):
    """It unpacks a layer anew for each environment, some thousand files. Lambda's are read-only, and so one will do."""

    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
        if not os.path.basename(str(path)).startswith(LAYER):
            return super().extractall(path, members, pwd)
        name = f"unpacked-{hash(tuple((one.filename, one.CRC) for one in self.infolist())):x}"
        shared = os.path.join(os.environ["TMPDIR"], name)
        with _unpacking:
            if not os.path.isdir(shared):
                super().extractall(shared)
        os.rmdir(path)
        os.symlink(shared, path)
        return None


def main() -> None:
    # After each call it waits 50 ms for a first line on stderr: every answer would take that much longer.
    lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (0.001, 0.001, 0.05)
    lambda_runtime.zipfile = types.SimpleNamespace(**(vars(zipfile) | {"ZipFile": _UnpackedOnce}))
    apigateway_v1._OPENAPI_HTTP_METHODS.add("any")  # as `packages.known` names what it calls but does not import
    apigateway_v1._extract_lambda_ref_from_integration_uri = _function
    lambda_svc.lambda_execute_result_to_api_proxy_response = _answer
    lambda_svc._match_esm_filter = _matches
    provisioners._lambda_url_attributes = _url
    _table.update(create=_made_table, update=_changed_table)
    iam_actions.extract_resource_arn = _resource
    iam_actions.request_tag_context = _context
    sys.argv = ["ministack"]
    app.main()


if __name__ == "__main__":
    main()
