"""A change of address: the old one counts until the new one is verified, and gets a notice."""

from concurrent.futures import ThreadPoolExecutor

from tests.integration.accounts.world import PASSWORD
from tests.integration.operations.town import Citizen, Town

NEW = "New.Ann@example.org"


def ask(person: Citizen, new_email: str = NEW, password: str = PASSWORD) -> tuple[int, object]:
    answer = person.call("POST", "/auth/change-email", {"new_email": new_email, "password": password})
    return answer.status_code, answer.json


def redeem(town: Town, code: str) -> tuple[int, str]:
    answer = town.world.client.post("/auth/verify-email", json={"token": code})
    return answer.status_code, answer.json.get("code", answer.json.get("status"))


def test_the_old_address_counts_until_the_new_one_is_verified_and_then_gets_a_notice(town: Town) -> None:
    person = town.newcomer()
    assert ask(person) == (202, {"status": "verification_sent"})
    assert town.mails_to(NEW) == ["change_email"]
    assert person.call("GET", "/account").json["email"] == person.email
    assert town.log_in(NEW).status_code == 401
    code = town.code_of(person.account_id, "change_email")
    assert redeem(town, code) == (200, "verified")
    assert person.call("GET", "/account").json["email"] == NEW
    assert town.log_in(NEW.lower()).status_code == 200 and town.log_in(person.email).status_code == 401
    assert "email_changed" in town.mails_to(person.email)
    assert redeem(town, code) == (400, "invalid_token")  # once


def test_an_address_in_use_gets_the_same_response_and_its_owner_a_mail(town: Town) -> None:
    person, other = town.newcomer(), town.newcomer()
    assert ask(person, other.email) == ask(person, NEW)
    assert "already_registered" in town.mails_to(other.email)
    assert "change_email" not in town.mails_to(other.email)


def test_an_address_that_another_account_took_meanwhile_is_refused(town: Town) -> None:
    person = town.newcomer()
    ask(person)
    code = town.code_of(person.account_id, "change_email")
    other = town.newcomer(email=NEW)
    assert redeem(town, code) == (400, "invalid_token")
    assert other.call("GET", "/account").json["email"] == NEW
    assert person.call("GET", "/account").json["email"] == person.email


def test_two_concurrent_changes_to_one_address_succeed_once(town: Town) -> None:
    people = [town.newcomer() for _ in range(2)]
    for person in people:
        ask(person)
    codes = [town.code_of(person.account_id, "change_email") for person in people]
    with ThreadPoolExecutor(2) as threads:
        statuses = sorted(status for status, _ in threads.map(lambda code: redeem(town, code), codes))
    assert statuses == [200, 400]
    assert sorted(p.call("GET", "/account").json["email"] == NEW for p in people) == [False, True]


def test_a_reset_code_in_the_old_mailbox_ends_with_the_address(town: Town) -> None:
    person = town.newcomer()
    client = town.world.client
    assert client.post("/auth/forgot-password", json={"email": person.email}).status_code == 202
    reset = town.code_of(person.account_id, "reset_password")
    ask(person)
    assert redeem(town, town.code_of(person.account_id, "change_email")) == (200, "verified")
    answer = client.post("/auth/reset-password", json={"token": reset, "password": "another horse battery"})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_token")
    assert town.log_in(NEW).status_code == 200


def test_a_newer_code_invalidates_the_older_one(town: Town) -> None:
    person = town.newcomer()
    ask(person, "first@example.org")
    first = town.code_of(person.account_id, "change_email")
    ask(person, "second@example.org")
    assert redeem(town, first) == (400, "invalid_token")
    assert redeem(town, town.code_of(person.account_id, "change_email")) == (200, "verified")
    assert person.call("GET", "/account").json["email"] == "second@example.org"


def test_a_wrong_password_is_401_and_an_invalid_address_is_422(town: Town) -> None:
    person = town.newcomer()
    status, told = ask(person, password="wrong wrong wrong")
    assert (status, told["code"]) == (401, "invalid_credentials")  # type: ignore[index]
    status, told = ask(person, "nobody")
    assert (status, told["errors"][0]["field"]) == (422, "new_email")  # type: ignore[index]
    assert town.mails_to(NEW) == []


def test_sessions_and_api_tokens_survive_a_change_of_address(town: Town) -> None:
    person = town.newcomer()
    ask(person)
    redeem(town, town.code_of(person.account_id, "change_email"))
    assert person.call("GET", "/tokens").status_code == 200 and person.ask().status_code == 200
