"""Logs are JSON with the request id. They hold no secret and no user's text, whichever code logs it."""

import ast
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from flask import Blueprint, g
from pydantic import BaseModel, SecretStr, ValidationError

from sluice.domain.errors import NotFound, StoreUnavailable
from sluice.http import logging as structured
from sluice.http.app import create_app

LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
JWT = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.eyJzdWIiOiJ1c3JfYSJ9.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
SESSION = "ses_0123456789abcdef.q3F7n1kJx0vB2mC4dE6fG8hI0jK2lM4nO6pQ8rS0tU2"
CODE = "mail_0123456789abcdef.Zm9vYmFyYmF6cXV4Zm9vYmFy"
PASSWORD = "correct horse battery staple"
PROMPT = "My bank account is overdrawn, what now?"
SECRETS = (JWT, SESSION, CODE, PASSWORD, PROMPT)
# A part of a secret is still secret.
TRACES = (JWT[:40], JWT[-20:], SESSION[-20:], CODE[-15:], "horse", "overdrawn")


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(structured.JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    root.removeHandler(handler)


def clean(entries: list[dict[str, Any]]) -> bool:
    text = json.dumps(entries, ensure_ascii=False)
    return entries != [] and not any(trace in text for trace in TRACES)


@pytest.mark.parametrize("secret", [JWT, SESSION, CODE])
@pytest.mark.parametrize(
    "message",
    ["{}", "refused {}", "Authorization: Bearer {}", "/verify-email?token={}&x=1", "{{'token': '{}'}}", "x{}x", '"{}"'],
)
def test_a_credential_is_removed_anywhere_in_a_message(
    lines: Callable[[], list[dict[str, Any]]], secret: str, message: str
) -> None:
    logging.getLogger("sluice.test").warning(message.format(secret))
    logging.getLogger("sluice.test").warning("said %s", message.format(secret))
    assert clean(lines())


@pytest.mark.parametrize(
    "message",
    [
        f"password={PASSWORD!r}",
        f'{{"password": "{PASSWORD}", "email": "a@example.com"}}',
        f"{{'current_password': '{PASSWORD}', 'new_password': '{PASSWORD}'}}",
        f'{{"prompt":"{PROMPT}"}}',
        f"content='{PROMPT}'",
        f"Input should be a valid list [type=list_type, input_value='{PROMPT}', input_type=str]",
        "smtp://user:horse@mail.example.com:25",
        "Cookie: sluice_session=" + SESSION,
        "proxy said Basic aG9yc2U6b3ZlcmRyYXdu-horse",
    ],
)
def test_a_value_named_as_a_secret_is_removed_from_a_message(
    lines: Callable[[], list[dict[str, Any]]], message: str
) -> None:
    logging.getLogger("sluice.test").error(message)
    assert clean(lines())


def test_fields_that_are_not_listed_are_left_out(lines: Callable[[], list[dict[str, Any]]]) -> None:
    extra = {"password": PASSWORD, "token": JWT, "body": PROMPT, "headers": {"a": JWT}, "request_id": "req_1"}
    logging.getLogger("sluice.test").warning("refused", extra=extra)
    assert clean(lines())
    assert set(lines()[0]) == {"time", "level", "logger", "message", "request_id"}


def test_a_listed_field_with_a_credential_in_it_is_redacted(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logging.getLogger("sluice.test").warning("refused", extra={"reason": f"bad {JWT}", "model": CODE, "status": 401})
    assert clean(lines())
    assert lines()[0]["status"] == 401


class Login(BaseModel):
    password: SecretStr
    email: int


def raise_validation_error() -> None:
    Login.model_validate({"password": [PASSWORD], "email": PROMPT})


def raise_key_error() -> None:
    {}[PROMPT]  # type: ignore[index]


def raise_from_prompt() -> None:
    try:
        int(PROMPT)
    except ValueError as exc:
        raise RuntimeError(f"cannot answer {PROMPT} for {JWT}") from exc


def raise_while_handling() -> None:
    try:
        json.loads("{" + PROMPT)
    except ValueError:
        PROMPT.encode("ascii").decode(PASSWORD)


@pytest.mark.parametrize("cause", [raise_validation_error, raise_key_error, raise_from_prompt, raise_while_handling])
def test_an_exception_is_logged_with_type_and_place_but_without_its_message(
    lines: Callable[[], list[dict[str, Any]]], cause: Callable[[], None]
) -> None:
    try:
        cause()
    except Exception:
        logging.getLogger("sluice.test").exception("unexpected")
    assert clean(lines())
    (entry,) = lines()
    assert entry["exception"][0]["at"][-1].split()[-1] in (cause.__name__, "model_validate", "decode", "loads")
    assert any(place.startswith("test_logging.py:") for place in entry["exception"][0]["at"])


def test_our_own_errors_messages_and_the_stores_codes_are_logged(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    try:
        try:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": PROMPT}}, "PutItem")
        except ClientError as exc:
            raise StoreUnavailable() from exc
    except StoreUnavailable:
        logging.getLogger("sluice.test").exception("not stored")
    assert clean(lines())
    ours, theirs = lines()[0]["exception"]
    assert ours["message"] == StoreUnavailable.default_message
    assert theirs["code"] == "ThrottlingException"


def test_a_failed_request_is_logged_with_its_id_and_without_its_body(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    blueprint = Blueprint("broken", __name__)

    @blueprint.post("/v1/broken")
    def broken() -> str:
        assert g.request_id
        raise RuntimeError(f"{PROMPT} {JWT}")

    @blueprint.get("/fine")
    def fine() -> str:
        raise NotFound()

    client = create_app([blueprint]).test_client()
    answer = client.post(
        "/v1/broken",
        json={"messages": [{"role": "user", "content": PROMPT}], "password": PASSWORD},
        headers={"Authorization": f"Bearer {JWT}", "x-request-id": "mine-1"},
    )
    assert answer.status_code == 500
    assert PROMPT not in answer.text
    assert clean(lines())
    (entry,) = [entry for entry in lines() if "exception" in entry]
    assert entry["request_id"] == "mine-1"
    assert entry["server_request_id"].startswith("req_")


def test_ordinary_messages_stay_readable(lines: Callable[[], list[dict[str, Any]]]) -> None:
    for message in (
        "settled for a dead holder",
        "listening on http://127.0.0.1:8080",
        "mail_0123456789abcdef sent",
        "50 %",
    ):
        logging.getLogger("sluice.test").warning(message)
        assert lines()[-1]["message"] == message


def test_a_message_is_one_line_of_limited_length(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logging.getLogger("sluice.test").warning("a\nb" + "c" * 100_000)
    (entry,) = lines()
    assert len(entry["message"]) <= structured.MAX_TEXT + 1


def test_configuring_twice_logs_once_and_quietens_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    monkeypatch.setattr(root, "handlers", [])
    try:
        structured.configure()
        structured.configure()
        assert len(root.handlers) == 1
        err = io.StringIO()
        monkeypatch.setattr(sys, "stderr", err)
        logging.getLogger("sluice.test").info("hello")
        for library in ("botocore.endpoint", "stripe"):
            logging.getLogger(library).info("body of a request")
        assert [json.loads(line)["message"] for line in err.getvalue().splitlines()] == ["hello"]
    finally:
        root.handlers[:], root.level = before, level


def test_on_lambda_its_own_handler_stays_and_writes_json(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(out)])
    monkeypatch.setattr(root, "level", root.level)
    structured.configure(environment={"AWS_LAMBDA_FUNCTION_NAME": "usage"})
    logging.getLogger("sluice.test").warning("hello")
    assert len(root.handlers) == 1
    assert json.loads(out.getvalue())["message"] == "hello"


def test_the_validation_error_of_this_test_would_quote_the_prompt() -> None:
    """Without this, the test above would prove nothing."""
    with pytest.raises(ValidationError, match="overdrawn"):
        raise_validation_error()


def test_every_field_that_is_logged_is_on_the_list() -> None:
    """A field that is not listed is left out silently, for example the reason why a mail was not sent."""
    root = Path(__file__).parents[3]
    logged = set()
    for path in [*root.glob("layers/core/sluice/**/*.py"), *root.glob("functions/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                extras = [one.value for one in node.keywords if one.arg == "extra" and isinstance(one.value, ast.Dict)]
                logged |= {key.value for extra in extras for key in extra.keys if isinstance(key, ast.Constant)}
    assert "problem" in logged
    assert logged <= set(structured.FIELDS)
