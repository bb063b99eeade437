"""`PATCH /account`: name and the switch that keeps content out of the logs. On a real store."""

from typing import Any

import pytest

from tests.integration.operations.town import Town


def test_name_and_switch_are_changed_and_shown(town: Town) -> None:
    person = town.newcomer()
    answer = person.call("PATCH", "/account", {"name": "  Åsa  ", "store_content": False})
    assert answer.status_code == 200
    assert (answer.json["name"], answer.json["store_content"]) == ("Åsa", False)
    assert answer.json["id"] == person.account_id and answer.json["limits"]["rpm"] == 60
    assert person.call("GET", "/account").json["name"] == "Åsa"


def test_mails_are_chosen_once_each_and_none_at_all(town: Town) -> None:
    person = town.newcomer()
    chosen = person.call("PATCH", "/account", {"mails": ["batch.failed", "batch.failed", "token.expiring"]})
    assert chosen.json["mails"] == ["batch.failed", "token.expiring"] == person.call("GET", "/account").json["mails"]
    assert person.call("PATCH", "/account", {"mails": []}).json["mails"] == []


def test_fields_that_are_left_out_do_not_change(town: Town) -> None:
    person = town.newcomer()
    person.call("PATCH", "/account", {"store_content": False})
    answer = person.call("PATCH", "/account", {"name": "Bo"})
    assert (answer.json["name"], answer.json["store_content"]) == ("Bo", False)
    assert person.call("PATCH", "/account", {}).json == answer.json


def test_with_content_logging_off_the_next_request_is_logged_without_content(town: Town) -> None:
    person = town.newcomer()
    assert person.ask().status_code == 200
    assert person.call("PATCH", "/account", {"store_content": False}).status_code == 200
    assert person.ask().status_code == 200
    without, with_content = person.call("GET", "/usage/logs").json["data"]
    assert "prompt" not in without and "response" not in without
    assert "Capital of France?" in with_content["prompt"] and with_content["response"] == "Paris"
    person.call("PATCH", "/account", {"store_content": True})
    assert person.ask().status_code == 200
    assert "prompt" in person.call("GET", "/usage/logs").json["data"][0]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": 7}, "name"),
        ({"store_content": "no"}, "store_content"),
        ({"store_content": 0}, "store_content"),
        ({"mails": ["no.such"]}, "mails.0"),
        ({"mails": ["batch.failed"] * 11}, "mails"),
    ],
)
def test_invalid_values_are_422_and_change_nothing(town: Town, body: dict[str, Any], field: str) -> None:
    person = town.newcomer()
    answer = person.call("PATCH", "/account", {"store_content": False, **body})
    assert (answer.status_code, answer.json["code"]) == (422, "validation_error")
    assert answer.json["errors"][0]["field"] == field
    after = person.call("PATCH", "/account", {}).json
    assert (after["name"], after["store_content"]) == ("Ann", True)


def test_a_profile_change_needs_a_session(town: Town) -> None:
    person = town.newcomer()
    for headers in ({}, person.api_token):
        answer = person.client.patch("/account", json={"name": "x"}, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (401, "not_authenticated")
    cookie = {"Cookie": "sluice_session=" + person.session["Authorization"].removeprefix("Bearer ")}
    answer = person.client.patch("/account", json={"name": "x"}, headers=cookie)
    assert (answer.status_code, answer.json["code"]) == (403, "csrf")
