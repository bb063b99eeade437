"""Where a server's key is: in the environment, in a file, in Parameter Store, or a signature instead."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import Credentials
from botocore.session import get_session

from sluice.adapters.gateway import function_url, upstream_keys
from sluice.adapters.gateway.upstream_keys import FRESH_SECONDS
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_owners_terms import apply
from tests.integration.gateway.upstreams.conftest import KEYS, Ask, Servers
from tests.integration.gateway.upstreams.scripted import Scripted, whole
from tests.unit.aws.iam_server import Gate, iam_server

ROTATED = "rotated-key-5b77"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """`clock.now`: seconds, as the keys' reader sees them."""
    made = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(upstream_keys, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def sent(servers: Servers) -> list[str]:
    return [one.headers.get("authorization", "") for one in servers.first.asked]


def test_each_server_gets_its_own_key_and_nothing_of_the_caller(servers: Servers, caller: Person, ask: Ask) -> None:
    servers.first.script = (whole("503 Service Unavailable", {}),)
    ask(user="ada")
    assert sent(servers) == [f"Bearer {KEYS['FIRST_KEY']}"]
    assert servers.second.asked[0].headers["authorization"] == f"Bearer {KEYS['SECOND_KEY']}"
    token = caller.api_token["Authorization"].removeprefix("Bearer ")
    for asked in (*servers.first.asked, *servers.second.asked):
        shown = f"{asked.headers} {asked.body!r}"
        assert token not in shown and caller.account_id not in shown and "ada" not in shown


def test_without_its_key_a_server_is_not_asked(
    servers: Servers, ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for key in (None, "", "two words", "line\nbreak: x", "ключ", "x" * 5_000):
        if key is None:
            monkeypatch.delenv("FIRST_KEY")
        else:
            monkeypatch.setenv("FIRST_KEY", key)
        assert ask().record.upstream == "second"
        assert key is None or len(key) < 3 or key not in caplog.text
    assert servers.first.asked == [] and "env:FIRST_KEY" in caplog.text
    monkeypatch.setenv("FIRST_KEY", KEYS["FIRST_KEY"])
    apply(**servers.tables(url=servers.first.url + "/"))  # the circuit of a server with other terms is closed
    assert ask().record.upstream == "first"


def test_a_file_that_was_replaced_is_read_again(
    servers: Servers, ask: Ask, tmp_path: Path, clock: SimpleNamespace
) -> None:
    path = tmp_path / "key"
    path.write_text(KEYS["FIRST_KEY"] + "\n")
    apply(**servers.tables(key=f"file:{path}"))
    ask()
    path.write_text(ROTATED)
    ask()
    clock.now += FRESH_SECONDS + 1
    ask()
    path.unlink()
    clock.now += FRESH_SECONDS + 1
    assert ask().record.upstream == "second"
    assert sent(servers) == [f"Bearer {one}" for one in (KEYS["FIRST_KEY"], KEYS["FIRST_KEY"], ROTATED)]


def test_a_parameter_is_read_from_parameter_store(
    servers: Servers, ask: Ask, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    store = Scripted(script=(whole("200 OK", {"Parameter": {"Value": KEYS["FIRST_KEY"]}}),))
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", store.url.removesuffix("/v1"))
    apply(**servers.tables(key="ssm:/sluice/first"))
    try:
        ask()
        ask()
        assert [one.json for one in store.asked] == [{"Name": "/sluice/first", "WithDecryption": True}]
        store.script = (whole("400 Bad Request", {"__type": "ParameterNotFound"}),)
        clock.now += FRESH_SECONDS + 1
        assert ask().record.upstream == "second"
    finally:
        store.stop()
    assert sent(servers) == [f"Bearer {KEYS['FIRST_KEY']}"] * 2


@pytest.fixture
def gate(caller: Person) -> Iterator[Gate]:
    found: Any = get_session().get_credentials()
    function_url._signer.cache_clear()
    with iam_server(Credentials(found.access_key, found.secret_key, found.token), "us-east-1") as made:
        made.service = "execute-api"
        yield made
    function_url._signer.cache_clear()


def test_a_signed_server_gets_a_signature_for_its_service(
    servers: Servers, ask: Ask, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = servers.tables(url=gate.url + "/stage", sign="sigv4:execute-api")
    del tables["upstreams"][0]["key"]
    apply(**tables)
    assert ask(model="lonely", stream=True).status == 200
    assert gate.let_in[-1:] == ["/stage/v1/chat/completions"] and gate.refused == []
    gate.service = "bedrock"
    outcome = ask()
    assert outcome.record.upstream == "second" and gate.refused[-1:] == ["/stage/v1/chat/completions"]
