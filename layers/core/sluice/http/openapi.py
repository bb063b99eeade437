"""The OpenAPI 3.1 document, generated from an app's routes and their `@operation` declarations.

Routes without `@operation` are not in it: pages, their assets, and routes of a local run.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from werkzeug.routing import Rule

import sluice
from sluice.http.auth import COOKIE
from sluice.http.errors import Form, form_of, is_openai_path
from sluice.http.gateway.answers import OpenAIError
from sluice.http.gateway.anthropic_answers import AnthropicError
from sluice.http.openapi_errors import SCHEMAS, Problem, kinds_of, responses
from sluice.http.openapi_examples import EXAMPLES
from sluice.http.operation import Auth, Operation

REF = "#/components/schemas/{model}"
TAGS = {
    "Authentication": "Signing up, logging in, passwords. Addresses are never confirmed to be known or unknown.",
    "Account": "Your profile and sessions.",
    "Webhooks": "Addresses of yours that are told what has happened.",
    "API tokens": "Credentials for programs that call `/v1`. A token is valid until it expires or is revoked.",
    "Gateway": "OpenAI-compatible: give its SDK this server's `/v1` as `base_url` and an API token as the key. "
    "Anthropic's SDKs take the address without `/v1`.",
    "Files": "Your documents: upload them, add them to vector stores, search. API tokens need the scope `files`.",
    "Chats": "The playground's conversations, stored for their owner.",
    "Usage": "Your exact usage, and the log of your requests.",
    "Admin": "For accounts with role `admin` only. `sluice admin create` makes the first one.",
    "Operation": "Whether the service is up, and what it offers.",
}
DESCRIPTION = """\
A metered gate in front of a model: accounts, API tokens, exact limits, and an OpenAI-compatible gateway.

Account calls take the session cookie, or the session token as a bearer; `/v1` takes an API token. Errors are RFC 9457
problem details, on `/v1` OpenAI's envelope. Every answer carries `x-request-id`."""
SECURITY_SCHEMES = {
    "sessionCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "Set by `POST /auth/login`; on https its name is `__Host-sluice_session`. A state-changing "
        "request with it must come from this origin.",
    },
    "sessionToken": {"type": "http", "scheme": "bearer", "description": "`session.token` of `POST /auth/login`."},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "`token` of `POST /tokens`, as Anthropic's SDKs send it.",
    },
    "apiToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "`token` of `POST /tokens`: for `/v1` only.",
    },
}
SECURITY: dict[Auth, list[dict[str, list[str]]]] = {
    Auth.NONE: [],
    Auth.SESSION: [{"sessionCookie": []}, {"sessionToken": []}],
    Auth.BEFORE_TERMS: [{"sessionCookie": []}, {"sessionToken": []}],
    Auth.LEAVING: [{"sessionCookie": []}, {"sessionToken": []}],
    Auth.ADMIN: [{"sessionCookie": []}, {"sessionToken": []}],
    Auth.API_TOKEN: [{"apiToken": []}],
}
TEXT = {"type": "string"}
COUNT = {"type": "string", "pattern": "^[0-9]+$"}
DURATION = {"type": "string", "examples": ["1s", "6m0s", "20ms"]}
HEADERS: dict[str, dict[str, Any]] = {
    "x-request-id": {"description": "The request's own `x-request-id` if valid, else the server's id.", "schema": TEXT},
    "x-sluice-request-id": {"description": "The server's request id: the `id` in the usage log.", "schema": TEXT},
    "Retry-After": {
        "description": "Whole seconds. A request after this time succeeds if no other is sent meanwhile.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"description": "RFC 6750.", "schema": TEXT},
    "x-should-retry": {"description": "`false` with `insufficient_quota`: SDKs then do not retry.", "schema": TEXT},
    "x-ratelimit-limit-requests": {"description": "Requests a minute.", "schema": COUNT},
    "x-ratelimit-remaining-requests": {"description": "Requests left at this moment.", "schema": COUNT},
    "x-ratelimit-reset-requests": {"description": "Time until all requests are available again.", "schema": DURATION},
    "x-ratelimit-limit-tokens": {"description": "Model tokens a minute.", "schema": COUNT},
    "x-ratelimit-remaining-tokens": {"description": "Model tokens left at this moment.", "schema": COUNT},
    "x-ratelimit-reset-tokens": {"description": "Time until all model tokens are available again.", "schema": DURATION},
}
REPLAYED = "x-sluice-idempotent-replay"
HEADERS[REPLAYED] = {
    "description": "`true`: the answer that the same request with this `Idempotency-Key` got before.",
    "schema": TEXT,
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request with the same key within 24 hours, by the same API token, gets the same answer "
    "and is charged once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}
RATE_HEADERS = tuple(name for name in HEADERS if name.startswith("x-ratelimit-"))


class Route(NamedTuple):
    path: str
    method: str
    rule: Rule
    operation: Operation
    operation_id: str

    @property
    def openai(self) -> bool:
        return is_openai_path(self.path)

    @property
    def form(self) -> Form:
        """Of its errors."""
        return form_of(self.path)


def document(app: Flask) -> dict[str, Any]:
    """The document of every operation the app hosts, as JSON-ready values."""
    all_routes = sorted(routes(app), key=lambda route: (_place(route.operation.tag), route.path, route.method))
    schemas, definitions = _schemas(all_routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in all_routes:
        paths.setdefault(route.path, {})[route.method] = _described(route, schemas, definitions)
    used = dict.fromkeys(route.operation.tag for route in all_routes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sluice",
            "version": sluice.__version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        # Relative to the document, so that it works with a stage prefix and any host name.
        "servers": [{"url": "./"}],
        "tags": [{"name": name, "description": TAGS.get(name, "")} for name in used],
        "paths": paths,
        "components": {"schemas": definitions, "headers": HEADERS, "securitySchemes": SECURITY_SCHEMES},
    }


def routes(app: Flask) -> Iterator[Route]:
    """Every method of every route with an `@operation`."""
    for rule in app.url_map.iter_rules():
        operation = getattr(app.view_functions[rule.endpoint], "__operation__", None)
        if operation is None:
            continue
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Route(path, method.lower(), rule, operation, rule.endpoint.replace(".", "_"))


def _place(tag: str) -> int:
    """The position of a tag in the document. An unknown tag comes last, and a test then fails."""
    return list(TAGS).index(tag) if tag in TAGS else len(TAGS)


class _Schema(GenerateJsonSchema):
    """Leaves out the title of each field, because it only repeats the name. Names the bounds of numbers as JSON Schema
    does, also where a validator of ours stands between the number and its bound, and pydantic writes `ge`."""

    BOUNDS: ClassVar = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def generate_inner(self, schema: Any) -> dict[str, Any]:
        return {self.BOUNDS.get(name, name): value for name, value in super().generate_inner(schema).items()}


SchemaKey = tuple[type[BaseModel], JsonSchemaMode]


def _schemas(all_routes: list[Route]) -> tuple[dict[SchemaKey, dict[str, Any]], dict[str, Any]]:
    """A reference for each model and mode (validation, serialization), and the definitions that they refer to."""
    models: dict[SchemaKey, None] = dict.fromkeys(
        (model, "serialization") for model in (Problem, OpenAIError, AnthropicError)
    )
    for route in all_routes:
        if route.operation.body is not None:
            models[route.operation.body, "validation"] = None
        for answer in route.operation.answers.values():
            for model in (answer, getattr(answer, "streamed", None)):
                if isinstance(model, type):
                    models[model, "serialization"] = None
    references, defined = models_json_schema(list(models), ref_template=REF, schema_generator=_Schema)
    return references, dict(sorted(defined.get("$defs", {}).items()))  # type: ignore[return-value]


def _described(route: Route, schemas: dict[SchemaKey, dict[str, Any]], definitions: dict[str, Any]) -> dict[str, Any]:
    operation = route.operation
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": route.operation_id,
        "security": [*SECURITY[operation.auth], *([{"apiKey": []}] if route.form == "anthropic" else [])],
    }
    if operation.description:
        described["description"] = operation.description
    parameters = _path_parameters(route.rule) + _query_parameters(operation.query, definitions)
    parameters += [IDEMPOTENCY_KEY] if operation.keyed else []
    if parameters:
        described["parameters"] = parameters
    if (body := operation.body) is not None:
        content: dict[str, Any] = {"schema": schemas[body, "validation"]}
        if route.operation_id in EXAMPLES:
            content["example"] = EXAMPLES[route.operation_id]
        media_type = getattr(body, "media_type", "application/json")
        described["requestBody"] = {"required": True, "content": {media_type: content}}
    answers = {str(status): _answer(route, status, answer, schemas) for status, answer in operation.answers.items()}
    failures = responses(kinds_of(operation, route.method), route.form)
    described["responses"] = answers | failures
    return described


def _answer(
    route: Route, status: int, answer: type[BaseModel] | str | None, schemas: dict[SchemaKey, dict[str, Any]]
) -> dict[str, Any]:
    names = ["x-request-id", *(("x-sluice-request-id",) if route.openai else ())]
    if route.openai and route.method != "get":
        names += [*RATE_HEADERS, *((REPLAYED,) if route.operation.keyed else ())]
    described: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    if isinstance(answer, str):
        described["content"] = {answer: {"schema": {"type": "object"} if answer == "application/json" else TEXT}}
    elif answer is not None:
        described["content"] = {"application/json": {"schema": schemas[answer, "serialization"]}}
        chunk = getattr(answer, "streamed", None)
        if chunk is not None:
            described["content"]["text/event-stream"] = {"schema": _events(schemas[chunk, "serialization"], route.form)}
    return described


def _events(chunk: dict[str, Any], form: Form) -> dict[str, Any]:
    """The schema of one event. Before OpenAPI 3.2 a sequential media type had no other schema; each `data` is JSON
    except the end mark."""
    either = {"anyOf": [chunk, {"$ref": REF.format(model=SCHEMAS[form])}]}
    event = {"type": "string", "contentMediaType": "application/json", "contentSchema": either}
    if form == "anthropic":
        return {
            "type": "object",
            "description": "With `stream: true`: server-sent events, `event: ping` while it waits. A failure after the "
            "first byte is `event: error`.",
            "required": ["event", "data"],
            "properties": {"event": TEXT, "data": event},
        }
    return {
        "type": "object",
        "description": "With `stream: true`: server-sent events, then `data: [DONE]`; comment lines while it waits. "
        "A failure after the first byte is an event with `error`, and no `[DONE]`.",
        "required": ["data"],
        "properties": {"event": TEXT, "data": {"anyOf": [{"const": "[DONE]"}, event]}},
    }


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in sorted(rule.arguments)
    ]


def _query_parameters(model: type[BaseModel] | None, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema(ref_template=REF, schema_generator=_Schema)
    definitions.update(schema.get("$defs", {}))
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            **({"description": field["description"]} if "description" in field else {}),
            **({"style": "deepObject", "explode": True} if found.get("type") == "object" else {}),
            "schema": found,
        }
        for name, field in schema["properties"].items()
        for found in [_without_null({key: value for key, value in field.items() if key != "description"})]
    ]


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A query string cannot contain null: a client leaves the parameter out."""
    members = [member for member in field.get("anyOf", []) if member != {"type": "null"}]
    rest = {key: value for key, value in field.items() if key != "anyOf" and (key, value) != ("default", None)}
    if len(members) == 1:
        return {**members[0], **rest}
    return {**rest, "anyOf": members} if members else rest
