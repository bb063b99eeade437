"""Deleting an account and registering its address again is no refill of the month's quota."""

import json
from typing import Any

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.domain.periods import period_ends_ms, period_of
from tests.integration.accounts.world import PASSWORD
from tests.integration.operations.town import Citizen, Town

QUOTA = 1_000_000


def now_ms() -> int:
    from sluice.http import auth

    return auth.now_ms()


def use(person: Citizen, tokens: int) -> None:
    from sluice.wiring import stores

    stores.grant_store().use_at_least(person.account_id, period_of(now_ms()), tokens)


def used(account_id: str) -> int:
    from sluice.wiring import stores

    return stores.grant_store().used(account_id)[1]


def again(town: Town, email: str, how: str = "link") -> str:
    """Registers and verifies the address. → the new account's id."""
    client = town.world.client
    assert client.post("/auth/register", json={"email": email, "password": PASSWORD}).status_code == 202
    (account_id,) = [i["account_id"] for i in town.everything("accounts") if i.get("email") == email]
    if how == "link":
        assert (
            client.post("/auth/verify-email", json={"token": town.code_of(account_id, "verify_email")}).status_code
            == 200
        )
    else:
        client.post("/auth/forgot-password", json={"email": email})
        body = {"token": town.code_of(account_id, "reset_password"), "password": PASSWORD}
        assert client.post("/auth/reset-password", json=body).status_code == 200
    return str(account_id)


def delete(person: Citizen) -> int:
    return person.call("DELETE", "/account", {"password": PASSWORD}).status_code


@pytest.mark.parametrize("how", ["link", "reset"])
def test_the_next_account_of_an_address_begins_with_what_was_used_of_the_month(town: Town, how: str) -> None:
    person = town.newcomer()
    use(person, 900_000)
    assert delete(person) == 204
    first = again(town, person.email, how)
    assert first != person.account_id and used(first) == 900_000
    assert person.ask().status_code == 401  # the old API token
    session = town.log_in(person.email).json["session"]["token"]
    headers = {"Authorization": "Bearer " + session}
    shown: Any = town.world.client.get("/account", headers=headers).json
    assert (shown["usage"]["tokens"], shown["usage"]["requests"]) == (900_000, 0)  # the ledger is another account's


def test_an_address_without_use_begins_anew(town: Town) -> None:
    person = town.newcomer()
    assert delete(person) == 204
    assert used(again(town, person.email)) == 0
    assert [item for item in town.everything("throttles") if item["throttle_key"].startswith("quota#")] == []


def test_an_earlier_month_is_not_counted(town: Town) -> None:
    from sluice.wiring import stores

    person = town.newcomer()
    stores.used_quotas().put(person.email, period_of(now_ms() - 40 * 24 * 3_600_000), 5)
    assert delete(person) == 204
    assert used(again(town, person.email)) == 0


def test_what_is_kept_names_neither_the_address_nor_the_account_and_ends_with_the_month(town: Town) -> None:
    person = town.newcomer()
    use(person, 900_000)
    assert delete(person) == 204
    (kept,) = [item for item in town.everything("throttles") if item["throttle_key"].startswith("quota#")]
    assert person.email not in json.dumps(kept) and person.account_id not in json.dumps(kept)
    period = period_of(now_ms())
    assert kept["ttl_s"] == period_ends_ms(period) // 1000
    assert {name: kept[name] for name in ("period", "tokens")} == {"period": period, "tokens": 900_000}


def test_a_deletion_that_cannot_keep_the_amount_is_503_and_can_be_repeated(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import stores

    person = town.newcomer()
    use(person, 900_000)

    def away(*_: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(stores.used_quotas(), "put", away)
        assert delete(person) == 503
    assert person.ask().status_code == 401 and town.log_in(person.email).status_code == 200
    assert delete(person) == 204
    assert used(again(town, person.email)) == 900_000


def test_moving_between_addresses_is_no_refill_either(town: Town) -> None:
    """A new account at the address that was left, and an account that moves to an address where one was deleted."""

    def move(person: Citizen, email: str) -> None:
        body = {"new_email": email, "password": PASSWORD}
        assert person.call("POST", "/auth/change-email", body).status_code == 202
        code = town.code_of(person.account_id, "change_email")
        assert town.world.client.post("/auth/verify-email", json={"token": code}).status_code == 200

    ann, bob = town.newcomer(), town.newcomer()
    use(ann, 600_000)
    use(bob, QUOTA)
    move(ann, "elsewhere@example.org")
    assert used(ann.account_id) == 600_000
    assert used(again(town, ann.email)) == 600_000
    assert delete(bob) == 204
    move(ann, bob.email)
    assert used(ann.account_id) == QUOTA


def test_what_a_running_request_has_reserved_is_counted_beside_what_the_address_used(town: Town) -> None:
    """Its settlement gives back what it did not use, and nothing of the address's amount."""
    person = town.newcomer()
    answer = person.ask(stream=True)
    reserved = used(person.account_id)
    assert reserved > 12
    for _ in range(2):
        use(person, 500_000)
        assert used(person.account_id) == 500_000 + reserved
    assert b"[DONE]" in answer.get_data()
    assert used(person.account_id) == 500_012
    use(person, 500_000)
    assert used(person.account_id) == 500_012


def code_for(town: Town, person: Citizen, email: str) -> str:
    body = {"new_email": email, "password": PASSWORD}
    assert person.call("POST", "/auth/change-email", body).status_code == 202
    return town.code_of(person.account_id, "change_email")


def redeem(town: Town, code: str) -> int:
    return int(town.world.client.post("/auth/verify-email", json={"token": code}).status_code)


def test_an_account_that_does_not_get_an_address_keeps_its_own_quota(town: Town) -> None:
    ann, bob = town.newcomer(), town.newcomer()
    use(ann, 100)
    use(bob, 900_000)
    assert delete(bob) == 204
    code = code_for(town, ann, bob.email)
    assert used(again(town, bob.email)) == 900_000  # which was faster
    assert redeem(town, code) == 400 and used(ann.account_id) == 100


def test_of_two_clicks_at_once_the_loser_gives_nothing_back(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring import stores

    ann, bob = town.newcomer(), town.newcomer()
    use(bob, 900_000)
    assert delete(bob) == 204
    code = code_for(town, ann, bob.email)
    real = stores.account_store().redeem_email_change

    with monkeypatch.context() as slow:

        def late(*arguments: Any) -> None:
            slow.undo()
            assert redeem(town, code) == 200
            real(*arguments)

        slow.setattr(stores.account_store(), "redeem_email_change", late)
        assert redeem(town, code) == 400
    assert used(ann.account_id) == 900_000


def test_a_deletion_beside_a_change_of_address_is_no_refill(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address changes after the deletion has read the account."""
    from sluice.wiring import stores

    person = town.newcomer()
    use(person, 900_000)
    code, real = code_for(town, person, "elsewhere@example.org"), stores.account_store().begin_deletion

    def late(*arguments: Any) -> Any:
        assert redeem(town, code) == 200
        return real(*arguments)

    with monkeypatch.context() as slow:
        slow.setattr(stores.account_store(), "begin_deletion", late)
        assert delete(person) == 204
    assert used(again(town, "elsewhere@example.org")) == 900_000


def test_a_pending_deletion_beside_a_registration_counts_once(town: Town) -> None:
    """Deleted, registered, deleted again: the amount neither grows nor is lost."""
    person = town.newcomer()
    use(person, 500_000)
    assert delete(person) == 204
    second = again(town, person.email)
    session = {"Authorization": "Bearer " + town.log_in(person.email).json["session"]["token"]}
    answer = town.world.client.delete("/account", json={"password": PASSWORD}, headers=session)
    assert answer.status_code == 204
    assert used(again(town, person.email)) == 500_000 and used(second) == 500_000
