"""The API of the template: named methods, no cache, streaming methods, and our own error bodies."""

import json
import re
from typing import Any

import pytest

from sluice.http.errors import TABLE
from sluice.pages import links
from tests.unit.aws.template import EVENTS, FUNCTIONS, RESOURCES, TEMPLATE, transformed

STREAM_MILLISECONDS = 900_000  # the longest API Gateway passes; without it a stream would be cut after 29 s
API = RESOURCES["Api"]["Properties"]
ROUTES = {names: one["Properties"] for names, one in EVENTS.items() if one["Type"] == "Api"}


@pytest.fixture(scope="module")
def sam() -> dict[str, Any]:
    return transformed()


@pytest.fixture(scope="module")
def body(sam: dict[str, Any]) -> dict[str, Any]:
    (api,) = [one for one in sam["Resources"].values() if one["Type"] == "AWS::ApiGateway::RestApi"]
    made: dict[str, Any] = api["Properties"]["Body"]
    return made


def test_every_method_is_named_but_those_of_the_account_api_whose_functions_answer_preflights_too() -> None:
    assert {one["Method"] for one in ROUTES.values()} <= {"get", "post", "put", "patch", "delete", "options", "any"}
    of_any = [one["Path"] for one in ROUTES.values() if one["Method"] == "any"]
    assert of_any and all(path.startswith(links.API) and not path.startswith("/v1") for path in of_any)


def test_only_the_gateways_methods_stream_and_with_the_longest_time_limit() -> None:
    for (function, event), one in ROUTES.items():
        streams = one.get("ResponseTransferMode") == "RESPONSE_STREAM"
        assert streams == (function == "GatewayFunction"), event
        follows_a_run = event in ("GetV1ResponsesResponseId", "GetChatsChatIdAnswer")
        is_long = streams and (one["Method"] == "post" or follows_a_run)
        assert one.get("TimeoutInMillis", 0) == (STREAM_MILLISECONDS if is_long else 0), event


def test_methods_stream_after_the_transform(body: dict[str, Any]) -> None:
    chat = body["paths"]["/v1/chat/completions"]["post"]["x-amazon-apigateway-integration"]
    assert (chat["responseTransferMode"], chat["timeoutInMillis"]) == ("STREAM", STREAM_MILLISECONDS)
    assert "response-streaming-invocations" in json.dumps(chat["uri"]) and "GatewayFunctionAliaslive" in json.dumps(
        chat["uri"]
    )
    assert "responseTransferMode" not in body["paths"]["/auth/login"]["post"]["x-amazon-apigateway-integration"]


def test_no_authorizer_exists_because_its_answer_could_be_cached(sam: dict[str, Any], body: dict[str, Any]) -> None:
    """A revoked API token is refused on the next request, so nothing may answer before the admission does."""
    assert "Auth" not in API and "Auth" not in TEMPLATE["Globals"].get("Api", {})
    assert not [name for name, one in sam["Resources"].items() if "Authorizer" in one["Type"]]
    assert "securityDefinitions" not in body and "securitySchemes" not in body.get("components", {})
    assert not [path for path, item in body["paths"].items() for method in item.values() if "security" in method]


def test_nothing_is_cached_by_the_api() -> None:
    assert not API.get("CacheClusterEnabled") and not [
        one for one in API["MethodSettings"] if one.get("CachingEnabled")
    ]


@pytest.mark.parametrize("kind", sorted(API["GatewayResponses"]))
def test_api_gateways_own_errors_have_a_request_id(kind: str) -> None:
    headers = API["GatewayResponses"][kind]["ResponseParameters"]["Headers"]
    assert headers["x-request-id"] == "context.requestId"


@pytest.mark.parametrize("kind", sorted(API["GatewayResponses"]))
def test_pages_of_other_origins_can_read_api_gateways_own_errors_where_there_are_any(kind: str) -> None:
    """Their bodies are the same for everybody, so that they need not compare origins."""
    headers = API["GatewayResponses"][kind]["ResponseParameters"]["Headers"]
    allowed = {"Fn::If": ["OtherOrigins", "method.request.header.Origin", {"Ref": "AWS::NoValue"}]}
    assert headers["access-control-allow-origin"] == allowed


SAID = {kind: one for kind, one in API["GatewayResponses"].items() if "StatusCode" in one}


@pytest.mark.parametrize("kind", sorted(SAID))
def test_api_gateways_own_errors_have_the_fields_of_both_error_formats(kind: str) -> None:
    """Problem details and OpenAI's `error` in one body, because API Gateway cannot tell /v1 from other paths."""
    text, words = SAID[kind]["ResponseTemplates"]["application/json"]["Fn::Sub"]
    said = json.loads(re.sub(r"\$\{(\w+)\}", lambda name: str(words[name[1]]), text))
    status = SAID[kind]["StatusCode"]
    assert said["status"] == status and said["request_id"] == "$context.requestId" and said["title"] == said["detail"]
    assert said["error"] == {
        "message": said["detail"],
        "type": said["error"]["type"],
        "param": None,
        "code": said["code"],
    }
    codes = {(row.status, row.code, row.openai_type) for row in TABLE.values()} | {
        (400, "invalid_request", "invalid_request_error")
    }
    assert (status, said["code"], said["error"]["type"]) in codes
    if status in (429, 503):
        assert "retry-after" in SAID[kind]["ResponseParameters"]["Headers"]


def test_an_unknown_address_is_404_and_not_api_gateways_403() -> None:
    assert SAID["MISSING_AUTHENTICATION_TOKEN"]["StatusCode"] == 404


def test_the_access_log_holds_no_path_and_no_query() -> None:
    """A query may hold a mailed code and a path may hold an id; the route says enough."""
    fields = json.loads(API["AccessLogSetting"]["Format"])
    assert not {
        value for value in fields.values() if value in ("$context.path", "$context.customDomain.basePathMatched")
    }
    assert "query" not in API["AccessLogSetting"]["Format"].lower()
    assert fields["route"] == "$context.resourcePath" and fields["request_id"] == "$context.requestId"


CALLERS = {  # of functions with a URL of their own
    "InferenceFunction": {"GatewayFunctionRole", "AdminFunctionRole"}  # the latter asks for its health
    | {"IngestionFunctionRole", "SearchFunctionRole"},  # embeddings of documents
    "SearchFunction": {"GatewayFunctionRole", "FilesFunctionRole"},
}


def test_only_the_named_roles_may_call_a_functions_url() -> None:
    urls = {name: one["Properties"]["FunctionUrlConfig"] for name, one in FUNCTIONS.items()
            if "FunctionUrlConfig" in one["Properties"]}  # fmt: skip
    assert {name: url["AuthType"] for name, url in urls.items()} == dict.fromkeys(CALLERS, "AWS_IAM")
    granted = [one["Properties"] for one in RESOURCES.values() if one["Type"] == "AWS::Lambda::Permission"]
    found = {(one["FunctionName"]["Ref"], one["Principal"]["Fn::GetAtt"][0], one["Action"]) for one in granted}
    actions = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")  # new URLs ask for both; the URL is the alias's
    wanted = {(f"{name}.Alias", role, act) for name, roles in CALLERS.items() for role in roles for act in actions}
    assert found == wanted
    for one in granted:  # nobody may invoke the function past its URL
        assert one.get("InvokedViaFunctionUrl", False) == (one["Action"] == "lambda:InvokeFunction")


def test_no_function_url_is_public_after_the_transform(sam: dict[str, Any]) -> None:
    urls = [one["Properties"] for one in sam["Resources"].values() if one["Type"] == "AWS::Lambda::Url"]
    assert {url["TargetFunctionArn"]["Ref"]: url["AuthType"] for url in urls} == {
        f"{name}Aliaslive": "AWS_IAM" for name in CALLERS
    }
    public = [
        name
        for name, one in sam["Resources"].items()
        if one["Type"] == "AWS::Lambda::Permission" and one["Properties"]["Principal"] == "*"
    ]
    assert public == []


def test_the_gateway_knows_where_the_model_is_and_signs() -> None:
    variables = FUNCTIONS["GatewayFunction"]["Properties"]["Environment"]["Variables"]
    own, other = {"Fn::GetAtt": ["InferenceFunctionUrl", "FunctionUrl"]}, {"Ref": "InferenceUrl"}
    assert variables["SLUICE_INFERENCE_URL"] == {"Fn::If": ["OwnModel", own, other]}
    assert TEMPLATE["Parameters"]["InferenceAuth"]["Default"] == "auto"


def test_the_base_url_is_the_custom_domains_or_the_apis() -> None:
    _, domain, address = RESOURCES["BaseUrlParameter"]["Properties"]["Value"]["Fn::If"]
    assert domain == {"Fn::Sub": "https://${DomainName}"}
    assert address["Fn::Sub"].endswith(f"/{API['StageName']}")
