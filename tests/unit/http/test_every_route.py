"""Every route refuses hostile requests within 50 ms of CPU and 20 MiB: bodies, forms, uploads, queries, headers."""

import functools
import json
import re
import time
import tracemalloc
from collections.abc import Iterator
from statistics import median
from typing import Any, TypeVar

import pydantic
import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient

from functions.inference.app import create_app as create_engine
from functions.search.app import blueprint as search
from infra.openapi import public_app
from sluice.http import lazy_model
from sluice.http.app import create_app
from sluice.http.auth import cookie_name
from sluice.http.documents import files
from sluice.http.operation import parse_body, validated
from tests.rounds import rounds
from tests.slowness import within

Pair = TypeVar("Pair")

MOST_CPU_S = 0.050
MOST_MEMORY = 20 * 2**20
MIB = 2**20
REFUSED = range(400, 504)  # 503 where a refusal would ask the store first, because none runs here
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
NEVER_VALID = {
    "many objects": b'{"x":[' + b"{}," * 330_000 + b"{}]}",
    "many keys": b"{" + b",".join(b'"%d":0' % key for key in range(90_000)) + b"}",
    "one key, often": b"{" + b'"a":1,' * 160_000 + b'"a":1}',
    "many empty texts": b'{"x":[' + b'"",' * 340_000 + b"1]}",
    "many numbers": b'{"x":[' + b"1," * 500_000 + b"1]}",
    "deep arrays": b'{"x":' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    "deep objects": b'{"x":' * 170_000 + b"1" + b"}" * 170_000,
    "never closed": b'{"a":' * 200_000,
    "an array": b"[" + b"0," * 10_000 + b"0]",
    "a text": b'"' + b"a" * 1_000_000 + b'"',
    "a number": b"9" * 1_000_000,
    "a long number within": b'{"x":1' + b"0" * 5000 + b"}",
    "not a number": b'{"x":NaN}',
    "invalid UTF-8": b'{"x":"' + b"\xff" * 1_000_000 + b'"}',
    "a lone surrogate": b'{"x":"\\ud800"}',
    "NUL bytes": b"\x00" * 1_000_000,
    "escapes": b'{"x":"' + b"\\u0041" * 170_000 + b"}",
    "escaped quotes": b'{"x":"' + b'\\",{}' * 200_000 + b"}",
    "nothing": b"",
}
VALUES: dict[str, Any] = {
    "objects": [{}] * 9_000,
    "texts": ["a" * 100] * 9_000,
    "arrays": [[]] * 4_900,
    "numbers": list(range(100_000)),
    "a long text": "a" * 1_000_000,
    "a wide text": "\U0001f600" * 250_000,
    "a long number": 10**4000,
    "deep": functools.reduce(lambda inner, _: [inner], range(97), 1),
    "keys": {str(key): {} for key in range(4_900)},
    "long keys": {"k" * 900_000: 1},
}


@pytest.fixture(scope="module")
def app() -> Flask:
    """Every function's routes, as they are."""
    lazy_model.prepare_all()
    made = public_app()
    made.register_blueprint(search)
    return made


def cost(client: FlaskClient, path: str, **request: Any) -> tuple[float, Any]:
    """Seconds of CPU, the median of three, and the answer."""
    spent = []
    for _ in range(3):
        begun = time.process_time()
        answer = client.open(path, **request)
        answer.get_data()
        spent.append(time.process_time() - begun)
        if spent[0] < MOST_CPU_S / 3:
            break
    return median(spent), answer


def memory(client: FlaskClient, path: str, **request: Any) -> int:
    tracemalloc.start()
    try:
        client.open(path, **request)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def check(client: FlaskClient, path: str, statuses: range, label: str, **request: Any) -> None:
    spent, answer = cost(client, path, **request)
    assert answer.status_code in statuses and answer.status_code != 500, (path, label, answer.status_code)
    assert within(spent, MOST_CPU_S), (path, label, spent)
    assert len(answer.data) < 20_000, (path, label)


def changing(app: Flask) -> list[tuple[str, str]]:
    return [
        (re.sub(r"<[^>]+>", "x", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in sorted(CHANGING & (rule.methods or set()))
    ]


def some(all_of_them: list[Pair], place: int) -> list[Pair]:
    """In `make test` every fourth, others at each place."""
    return all_of_them[place % rounds(1, 4) :: rounds(1, 4)]


def test_every_route_refuses_strangers_cheaply(app: Flask) -> None:
    client = app.test_client()
    for path, method in changing(app):
        for label in ("many objects", "deep objects", "one key, often"):
            body = NEVER_VALID[label]
            check(client, path, REFUSED, label, method=method, data=body, content_type="application/json")


def test_every_id_that_is_too_long_for_the_store_is_404(app: Flask) -> None:
    """Before the store is asked: DynamoDB refuses such a key, which looks like a fault of the store."""
    client = app.test_client()
    found = [rule for rule in app.url_map.iter_rules() if rule.arguments]
    assert len(found) > 30
    for rule in found:
        path, method = re.sub(r"<[^>]+>", "x" * 1_200, rule.rule), sorted(rule.methods or set())[0]
        assert client.open(path, method=method).status_code == 404, (path, method)


def models(app: Flask) -> dict[str, type[pydantic.BaseModel]]:
    """Of every route that takes JSON."""
    found = {}
    for rule in app.url_map.iter_rules():
        declared = getattr(app.view_functions[rule.endpoint], "__operation__", None)
        model = declared and declared.body
        if model and not hasattr(model, "media_type"):
            found[f"/{model.__name__}"] = model
    return found


@pytest.fixture(scope="module")
def parser(app: Flask) -> Iterator[tuple[FlaskClient, dict[str, type[pydantic.BaseModel]]]]:
    """A route for each body of the API, which only parses: what an authenticated caller reaches."""
    views = Blueprint("bodies", __name__)
    found = models(app)
    for path, model in found.items():

        def view(model: type[pydantic.BaseModel] = model) -> dict[str, Any]:
            parse_body(model)
            return {}

        views.add_url_rule(path, path[1:], view, methods=["POST"])
    yield create_app([views]).test_client(), found


def test_the_walk_finds_every_body(app: Flask) -> None:
    assert len(changing(app)) > 60 and len(models(app)) > 20


@pytest.mark.parametrize("label", NEVER_VALID)
def test_every_json_body_is_refused_cheaply(parser: tuple[FlaskClient, dict[str, Any]], label: str) -> None:
    client, found = parser
    request: dict[str, Any] = {"method": "POST", "data": NEVER_VALID[label], "content_type": "application/json"}
    for path in found:
        check(client, path, range(400, 500), label, **request)
    assert memory(client, next(iter(found)), **request) < MOST_MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("label", VALUES)
def test_every_field_is_bounded(parser: tuple[FlaskClient, dict[str, Any]], label: str) -> None:
    """A value may also pass: one that is allowed, or of a field that is not known."""
    client, found = parser
    fields = [
        (path, field.alias or name) for path, model in found.items() for name, field in model.model_fields.items()
    ]
    for path, name in some(fields, list(VALUES).index(label)):
        body = json.dumps({name: VALUES[label]}, ensure_ascii=False).encode()
        assert len(body) <= MIB
        request: dict[str, Any] = {"method": "POST", "data": body, "content_type": "application/json"}
        check(client, path, range(200, 500), f"{name}: {label}", **request)


FORMS = {
    "many fields": b"a=&" * 160_000,
    "many names": b"&".join(b"%d=" % name for name in range(60_000)),
    "escapes": b"a=" + b"%41" * 160_000,
    "as many escapes as are allowed": b"a=" + b"%41" * 80_000,
    "plus signs": b"a=" + b"+" * 490_000,
    "separators": b"&" * 490_000,
    "invalid UTF-8": b"a=" + b"\xff" * 490_000,
    "escaped invalid UTF-8": b"a=" + b"%ff" * 160_000,
    "percent signs that hide what is no UTF-8": b"a=" + b"%%FF" * 40_000,
    "an end of line that hides it": b"a=%\r" + b"%FF" * 79_000,
    "as many percent signs as are allowed": b"a=" + b"%%41" * 40_000,
}


def parts(count: int, head: bytes, body: bytes = b"") -> bytes:
    return b"".join(b"--b\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for _ in range(count)) + b"--b--\r\n"


NAMED = b'Content-Disposition: form-data; name="a"'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.txt"'
UPLOADS = {
    "many parts": parts(15_000, NAMED),
    "many files": parts(9_000, FILE),
    "many headers": parts(1, NAMED + b"\r\nX-A: b" * 100_000),
    "a long header": parts(1, NAMED + b"\r\nX-A: " + b"b" * 900_000),
    "a long name": parts(1, b'Content-Disposition: form-data; name="' + b"a" * 900_000 + b'"'),
    "a long file name": parts(1, b'Content-Disposition: form-data; name="file"; filename="' + b"a" * 900_000 + b'"'),
    "many options": parts(1, NAMED + b"; a=b" * 180_000),
    "continued options": parts(1, NAMED + b"".join(b"; a*%d=b" % at for at in range(80_000))),
    "a long field": parts(1, NAMED, b"a" * 900_000),
    "never ends": b"--b\r\n" + NAMED + b"\r\n\r\n" + b"\r\n--" * 200_000,
    "no boundary": b"-" * 1_000_000,
    "boundaries": b"--b\r\n" * 180_000,
}


@pytest.fixture(scope="module")
def browser(app: Flask) -> FlaskClient:
    """It sends what makes a page read the form."""
    client = app.test_client()
    client.set_cookie("sluice_form", "a" * 43)
    client.set_cookie(cookie_name(), "a" * 43)
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    client.environ_base["HTTP_ORIGIN"] = "http://localhost"
    return client


@pytest.mark.slow
@pytest.mark.parametrize("label", FORMS)
def test_every_page_refuses_a_hostile_form_cheaply(app: Flask, browser: FlaskClient, label: str) -> None:
    client = browser
    for path, method in some(changing(app), list(FORMS).index(label)):
        content_type = "application/x-www-form-urlencoded"
        check(client, path, REFUSED, label, method=method, data=FORMS[label], content_type=content_type)
    assert memory(client, "/login", method="POST", data=FORMS[label], content_type=content_type) < MOST_MEMORY


@pytest.mark.parametrize(
    "form", ["a=%FF", "%FF=a", "a=%%C3%A9", "a=%\r%C3%A9", "a=%x%C3%A9", "a=%==%C3%A9", "a=%", "a=%4"]
)
def test_a_form_that_is_not_utf8_or_has_half_an_escape_is_a_400(browser: FlaskClient, form: str) -> None:
    def status(form: str) -> int:
        return browser.post("/login", data=form, content_type="application/x-www-form-urlencoded").status_code

    assert (status(form), status("a=%C3%A9&b=%25%0D")) == (400, 403)  # 403: it has no form token


@pytest.mark.parametrize("label", UPLOADS)
def test_every_upload_is_refused_cheaply(browser: FlaskClient, label: str) -> None:
    views = Blueprint("uploads", __name__)
    views.add_url_rule("/v1/files", "upload", lambda: files._form() and {}, methods=["POST"])
    content_type = "multipart/form-data; boundary=b"
    request: dict[str, Any] = {"method": "POST", "data": UPLOADS[label], "content_type": content_type}
    client = create_app([views]).test_client()
    check(client, "/v1/files", range(400, 500), label, **request)
    assert memory(client, "/v1/files", **request) < MOST_MEMORY
    for path in ("/login", "/my/documents", "/my/tokens", "/register"):
        check(browser, path, range(303, 500), label, **request)  # the form of documents answers by a redirect


HEAD = 8000  # bytes of a line that the server still takes
LINES = {
    "many fields": "a=&" * (HEAD // 3),
    "escapes": "a=" + "%41" * (HEAD // 3),
    "brackets": "a[]=" * (HEAD // 4),
    "cookies": "a=b; " * (HEAD // 5),
    "quotes": '"' * HEAD,
    "spaces": " " * HEAD,
    "commas": "," * HEAD,
    "digits": "9" * HEAD,
}


@pytest.mark.slow
def test_every_route_reads_long_lines_cheaply(app: Flask) -> None:
    client = app.test_client(use_cookies=False)
    names = ("cookie", "authorization", "x-request-id", "origin", "x-forwarded-for", "accept-language", "range")
    for place, rule in enumerate(app.url_map.iter_rules()):
        path, method = re.sub(r"<[^>]+>", "x", rule.rule), sorted(rule.methods or set())[0]
        for label, line in some(list(LINES.items()), place):
            headers = dict.fromkeys((*names, "if-none-match", "content-type", "x-sluice-deadline-ms"), line)
            spent, answer = cost(client, path, method=method, query_string=line, headers=headers)
            answer.close()
            assert within(spent, MOST_CPU_S) and answer.status_code != 500, (path, label, spent, answer.status_code)


def test_every_query_is_bounded(app: Flask) -> None:
    declared = (getattr(view, "__operation__", None) for view in app.view_functions.values())
    for model in {one.query for one in declared if one and one.query}:
        for name, field in model.model_fields.items():
            for line in LINES.values():
                begun = time.process_time()
                try:
                    validated(model, {field.alias or name: line})
                except Exception as exc:
                    assert type(exc).__name__ == "ValidationFailed", (model, name)
                assert within(time.process_time() - begun, MOST_CPU_S)


ENGINE = {
    "token ids": b'{"model":"m","prompt":[' + b"50000," * 690_000 + b"1]}",
    "as many token ids as are allowed": b'{"model":"m","prompt":[' + b"50000," * 262_000 + b'""]}',
    "token ids of inputs": b'{"model":"m","input":[[' + b"50000," * 690_000 + b"1]]}",
    "a text of 4 MiB": b'{"model":"m","text":"' + b"a" * (4 * MIB - 100) + b'"}',
    "objects": b'{"model":"m","messages":[' + b"{}," * 1_390_000 + b"{}]}",
    "biases": b'{"model":"m","logit_bias":{' + b",".join(b'"%d":"a"' % at for at in range(19_000)) + b"}}",
}


@pytest.mark.parametrize("label", [*NEVER_VALID, *ENGINE])
def test_every_route_of_the_engine_refuses_cheaply(label: str) -> None:
    engine = create_engine()
    client = engine.test_client()
    body = (NEVER_VALID | ENGINE)[label]
    for path, method in changing(engine):
        check(client, path, range(400, 500), label, method=method, data=body, content_type="application/json")
        assert memory(client, path, method=method, data=body) < MOST_MEMORY, (path, label)
