"""Generated requests to the whole app on a real store: every response is as the document promises.

What is checked of each: no 5xx, a documented status, content type, headers and body shape. Not checked is that valid
data is accepted: rules beyond JSON Schema (a common password, an unknown model) may refuse it, as documented.
"""

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks as openapi_checks

from infra.openapi import TARGET
from tests.contract.conftest import Running
from tests.rounds import FULL, rounds

CHECKED = [
    not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]
QUICK = settings(
    max_examples=rounds(12, 3),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
CURRENT: dict[str, Any] = {}


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The app of the running test (the schema is read before any test has one), read and closed as servers do."""
    environ.pop("HTTP_ACCEPT_ENCODING", None)  # the client would not unpack what it asks for
    body = CURRENT["app"](environ, start_response)
    try:
        return [b"".join(body)]
    finally:
        body.close()


# Thousands of cases, of which the collection alone takes half a minute a worker.
CONFIG = SchemathesisConfig.from_dict({"phases": {"coverage": {"enabled": FULL}}})
schema = schemathesis.openapi.from_dict(json.loads(TARGET.read_text()), config=CONFIG)
schema.app = application


@pytest.fixture
def at(running: Running) -> Running:
    CURRENT["app"] = running.app
    return running


@pytest.mark.slow
@schema.parametrize()
@QUICK
def test_every_answer_is_as_documented(case: schemathesis.Case, at: Running) -> None:
    headers, checks = at.credentials(case.path), checks_for(case)
    case.call_and_validate(headers=headers, checks=checks)
    if _mend(case, at):
        case.call_and_validate(headers=headers, checks=checks)


@pytest.mark.slow
@schema.parametrize()
@settings(QUICK, max_examples=rounds(2, 1))
def test_without_credentials_every_answer_is_as_documented(case: schemathesis.Case, at: Running) -> None:
    case.headers.pop("Authorization", None)
    case.cookies.clear()
    case.call_and_validate(checks=checks_for(case))


def checks_for(case: schemathesis.Case) -> list[Any]:
    """No model server runs here, so the 503 of `/healthz` is right and not a failure."""
    return [check for check in CHECKED if case.path != "/healthz" or check is not not_a_server_error]


def _mend(case: schemathesis.Case, at: Running) -> bool:
    """Put ids of existing objects into the request, so that it is not only refused. Returns whether it changed."""
    before = (dict(case.path_parameters or {}), case.body)
    for name in case.path_parameters or {}:
        case.path_parameters[name] = at.ids.get(name, case.path_parameters[name])
    if isinstance(case.body, dict) and "model" in case.body:
        case.body = {**case.body, "model": "demo"}
    return (dict(case.path_parameters or {}), case.body) != before
