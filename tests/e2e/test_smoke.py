"""`sluice smoke`, the last step of `make deploy`, against a local run: it passes, and each broken promise fails it."""

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.cli import main
from tests.e2e.people import newcomer
from tests.e2e.place import Place
from tests.servers import Handler, Server

pytestmark = pytest.mark.slow


def smoke(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, ["smoke", *arguments], **options)


def test_a_stranger_finds_what_is_promised(system: Place) -> None:
    result = smoke(system.base_url)
    assert result.exit_code == 0, result.output
    for line in ("/healthz: ok", "jwks.json: 1 public key", "401 invalid_api_key", "nobody: 401", "as promised"):
        assert line in result.stdout


def test_with_a_login_it_takes_the_whole_path_and_revokes_its_api_token(system: Place) -> None:
    person = newcomer(system.base_url)
    result = smoke(system.base_url, "--email", person.email, "--password-stdin", input=person.password + "\n")
    assert result.exit_code == 0, result.output
    assert "an answer of demo" in result.stdout and "a stream of " in result.stdout
    assert "the log has both requests" in result.stdout and "revoked: 401" in result.stdout
    [left] = [one for one in person.call("GET", "/tokens").json()["data"] if one["name"] == "smoke"]
    assert left["status"] == "revoked"
    assert person.password not in result.output


def test_a_wrong_password_is_reported(system: Place) -> None:
    person = newcomer(system.base_url)
    result = smoke(system.base_url, "--email", person.email, "--password-stdin", input="something else\n")
    assert result.exit_code == 1 and "answered 401" in result.stderr


def test_without_a_server_it_fails() -> None:
    result = smoke("http://127.0.0.1:1")
    assert result.exit_code == 1 and "nobody answers" in result.stderr


ANSWERS: dict[str, tuple[int, Any]] = {
    "/healthz": (200, {"status": "ok", "model": "demo"}),
    "/.well-known/jwks.json": (200, {"keys": [{"kid": "a"}]}),
    "/openapi.json": (200, {"paths": {"/x": {}}}),
    "/v1/models": (401, {"error": {"code": "invalid_api_key"}}),
    "/auth/login": (401, {"code": "invalid_credentials"}),
}


@pytest.fixture
def impostor() -> Iterator[tuple[str, dict[str, tuple[int, Any]]]]:
    """A server with answers that the test sets."""
    answers = dict(ANSWERS)

    class Requests(Handler):
        def do_GET(self) -> None:
            self.body()
            self.answer(*answers[self.path])

        do_POST = do_GET

    with Server(Requests) as server:
        yield server.url, answers


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("/healthz", (500, {}), "/healthz answered 500"),
        ("/.well-known/jwks.json", (200, {"keys": []}), "no key"),
        ("/.well-known/jwks.json", (200, {"keys": [{"kid": "a", "d": "secret"}]}), "a private one"),
        ("/v1/models", (200, {"data": []}), "instead of 401"),
        ("/auth/login", (200, {}), "instead of 401"),
        ("/openapi.json", (404, {}), "instead of 200"),
    ],
)
def test_each_broken_promise_fails_it(impostor: Any, path: str, answer: Any, message: str) -> None:
    url, answers = impostor
    assert smoke(url).exit_code == 0
    answers[path] = answer
    result = smoke(url)
    assert result.exit_code == 1 and message in result.stderr
