"""Answers whose schema is checked at their end: both tries are reserved before the first, charged and told."""

import json
from typing import Any

import pytest

from tests.fakes.upstream import chunk, usage_chunk
from tests.integration.gateway.conftest import Person

FAULT = {
    "message": "The answer has a fault.",
    "type": "server_error",
    "param": None,
    "code": "schema_not_met",
    "status": 502,
}
BROKEN = json.dumps({"error": FAULT}, separators=(",", ":")).encode()


def wanted(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


CHECKED, ENFORCED = wanted({"not": {"type": "null"}}), wanted({"type": "integer"})


@pytest.mark.parametrize(
    ("fields", "tries"),
    [
        ({"response_format": CHECKED}, 2),
        ({"response_format": CHECKED, "n": 2}, 2),
        ({"response_format": CHECKED, "stream": True}, 1),
        ({"response_format": ENFORCED}, 1),
        ({}, 1),
    ],
)
def test_both_tries_are_reserved_and_the_engine_is_told_that_it_may_try_twice(
    person: Person, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], tries: int
) -> None:
    reserved: list[int] = []
    opened = person.upstream.open

    def looked_at(call: Any) -> Any:
        reserved.extend(lease.reserved_tokens for lease in person.grant().leases.values())
        return opened(call)

    monkeypatch.setattr(person.upstream, "open", looked_at)
    person.script(chunk("1"), chunk(None, "stop"), usage_chunk(10, 1))
    assert person.ask(max_tokens=50, **fields).status_code == 200
    answers = fields.get("n", 1) * 50
    assert tries * answers < reserved[0]
    assert reserved[0] <= tries * 512 * fields.get("n", 1)  # the context window, for each choice of each try
    assert (reserved[0] > 512) == (tries == 2)
    assert person.upstream.calls[0].tries == tries


def test_an_answer_that_breaks_its_schema_twice_is_a_502_and_both_tries_are_charged(person: Person) -> None:
    def counted() -> None:  # as the engine's comments count them: both tries
        person.upstream.streams[-1].prompt_tokens, person.upstream.streams[-1].completion_tokens = 40, 14

    person.script(b"", counted, BROKEN)
    answer = person.ask(response_format=CHECKED, max_tokens=50)
    assert answer.status_code == 502
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json is not None
    assert answer.json["error"] == {k: v for k, v in FAULT.items() if k != "status"}
    (record,) = person.log()
    assert (record["status"], record["prompt_tokens"], record["completion_tokens"]) == (502, 40, 14)
    assert person.grant().leases == {}
    assert person.grant().period_tokens == 54


def test_a_stream_ends_with_the_error_instead_of_done(person: Person) -> None:
    person.script(chunk("1"), BROKEN)
    text = person.ask(response_format=CHECKED, stream=True).text
    assert '"code":"schema_not_met"' in text and "[DONE]" not in text
    assert person.log()[0]["status"] == 502


@pytest.mark.parametrize(("path", "key"), [("/v1/responses", "text"), ("/v1/messages", None)])
def test_the_other_dialects_answer_it_in_their_own_form(person: Person, path: str, key: str | None) -> None:
    person.script(BROKEN)
    fields: dict[str, Any] = (
        {"input": "hi"} if key else {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    )
    answer = person.client.post(path, json={"model": "demo", **fields}, headers=person.api_token)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
    assert answer.json is not None
    assert "has a fault" in answer.json["error"]["message"]
