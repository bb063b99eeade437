"""Who follows a background response: many at once, with a token that is revoked, with nonsense."""

import pytest

from sluice.http.gateway import follow
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_background import blocks, events, read, submitted, text_of, work


def test_a_follower_whose_token_is_revoked_is_ended(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is of another token of the account, so it goes on."""
    monkeypatch.setattr(follow, "CHECK_SECONDS", 0)
    response = submitted(person)
    issued = person.call("POST", "/tokens", json={"name": "other"}).json
    assert issued is not None
    bearer = {"Authorization": f"Bearer {issued['token']}"}
    answer = person.client.get(f"/v1/responses/{response['id']}?stream=true", headers=bearer)
    assert person.call("DELETE", f"/tokens/{issued['id']}").status_code == 204
    assert answer.status_code == 200 and b"invalid_api_key" in answer.data
    answer.close()
    assert read(person, response)["status"] == "queued"


def test_followers_of_a_run_get_the_same_and_no_more_than_allowed_are_served(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "MOST_FOLLOWERS", 10)
    response = submitted(person)
    path = f"/v1/responses/{response['id']}?stream=true"
    following = [person.client.get(path, headers=person.api_token) for _ in range(10)]
    refused = person.client.get(path, headers=person.api_token)
    assert refused.status_code == 429 and "retry-after" in refused.headers
    work(person, response)
    told = {b"".join(event for event in blocks(one.data) if event.startswith(b"event: ")) for one in following}
    assert len(told) == 1 and text_of(told.pop()) == "Paris"
    for one in following:
        one.close()
    assert text_of(events(person, response)) == "Paris"


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 5000])
def test_nonsense_as_the_last_event_is_refused(person: Person, after: str) -> None:
    response = submitted(person)
    answer = person.client.get(
        f"/v1/responses/{response['id']}?stream=true&starting_after={after}", headers=person.api_token
    )
    assert answer.status_code == 400


def test_events_after_the_last_are_none(person: Person) -> None:
    response = submitted(person)
    work(person, response)
    for after in (999_999, 10**6, 10**18):
        assert events(person, response, after) == b""
