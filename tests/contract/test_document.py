"""The published document is valid, current, complete, and agrees with docs/api.md."""

import json
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from infra import openapi
from sluice.http import openapi_examples
from sluice.http.openapi import RATE_HEADERS, routes
from tests.contract import api_md
from tests.contract.not_built import LOCAL_ONLY, NOT_BUILT

METHODS = frozenset({"get", "post", "put", "patch", "delete"})
NEED_NOTHING = frozenset({"GET /openapi.json"})
DOCS = frozenset({"/docs", "/docs/<path:name>"})


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(openapi.TARGET.read_text())
    return loaded


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {api_md.normal(path)}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_the_document_equals_the_codes_output() -> None:
    assert openapi.TARGET.read_text() == openapi.text(), "stale: run `.venv/bin/python -m infra.openapi`"


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_call_of_the_contract_is_documented_and_the_reverse(document: dict[str, Any]) -> None:
    promised = api_md.calls() - NOT_BUILT - LOCAL_ONLY
    documented = set(operations(document))
    assert promised - documented == set(), "in docs/api.md only"
    assert documented - promised == set(), "in the document only"


def test_calls_listed_as_not_built_are_in_the_contract_and_do_not_exist(document: dict[str, Any]) -> None:
    assert NOT_BUILT - api_md.calls() == set(), "nobody promises these: take them off the list"
    assert NOT_BUILT & set(operations(document)) == set(), "built: take them off the list"


def test_local_only_calls_exist_on_a_local_run() -> None:
    from infra.local.app import create_app

    rules = {f"{method} {rule.rule}" for rule in create_app().url_map.iter_rules() for method in rule.methods or ()}
    assert rules >= LOCAL_ONLY


def test_every_route_is_documented_or_a_page() -> None:
    app = openapi.public_app()
    declared = {route.rule.rule for route in routes(app)}
    pages = {rule.rule for rule in app.url_map.iter_rules() if _shows_a_page(app, rule.endpoint)}
    assert "/login" in pages and pages & declared == set()
    assert {rule.rule for rule in app.url_map.iter_rules()} - declared == pages | DOCS


def _shows_a_page(app: Flask, endpoint: str) -> bool:
    return app.view_functions[endpoint].__module__.startswith("sluice.pages.")


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))


def test_every_call_that_needs_store_keys_or_model_documents_a_503(document: dict[str, Any]) -> None:
    silent = {name for name, operation in operations(document).items() if "503" not in operation["responses"]}
    assert silent == NEED_NOTHING


def test_every_tag_is_described(document: dict[str, Any]) -> None:
    assert [tag["name"] for tag in document["tags"] if not tag["description"]] == []


def test_every_response_with_retry_after_documents_the_header(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        for status, response in operation["responses"].items():
            if status == "429" or (status == "503" and "content" in response and name != "GET /healthz"):
                assert "Retry-After" in response["headers"], (name, status)


def test_admitted_calls_document_the_rate_limit_headers(document: dict[str, Any]) -> None:
    for name in ("POST /v1/chat/completions", "POST /v1/completions", "POST /v1/embeddings"):
        assert set(RATE_HEADERS) <= set(operations(document)[name]["responses"]["200"]["headers"])


def test_streaming_calls_document_their_events(document: dict[str, Any]) -> None:
    for name in ("POST /v1/chat/completions", "POST /v1/completions", "POST /v1/responses"):
        assert "text/event-stream" in operations(document)[name]["responses"]["200"]["content"]


def test_errors_are_openais_envelope_on_v1_and_problem_details_elsewhere(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        wanted = "application/json" if " /v1/" in name else "application/problem+json"
        for status, response in operation["responses"].items():
            if int(status) >= 400 and name != "GET /healthz":
                assert list(response["content"]) == [wanted], (name, status)


def test_examples_are_accepted_by_their_models() -> None:
    models = {
        route.operation_id: model
        for route in routes(openapi.public_app())
        if (model := route.operation.body) is not None
    }
    assert openapi_examples.EXAMPLES.keys() - models.keys() == set()
    for name, example in openapi_examples.EXAMPLES.items():
        models[name].model_validate(example)


def test_no_two_models_share_a_name(document: dict[str, Any]) -> None:
    """pydantic would distinguish them by their modules' names, which should not be public."""
    assert [name for name in document["components"]["schemas"] if "__" in name] == []
