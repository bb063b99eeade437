"""Second factors over HTTP, on a real store: the time is an argument of the code, never waited for."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyotp
import pytest

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.factors import MOST_TRIES, QUESTION_MS, STEP_SECONDS
from tests.integration.accounts.world import PASSWORD, World, switch_on_throttles


class Clock:
    """The time that the HTTP side reads."""

    def __init__(self) -> None:
        self.ms = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        return self.ms

    def step(self, count: int = 1) -> None:
        self.ms += count * STEP_SECONDS * 1000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    for module in ("sluice.http.auth", "sluice.http.accounts.visitor", "functions.factors.app"):
        monkeypatch.setattr(f"{module}.now_ms", made)
    yield made


class Phone:
    """An authenticator app with the secret that the account was given."""

    def __init__(self, secret: str, clock: Clock, recovery: list[str]) -> None:
        self.app, self.clock, self.recovery = pyotp.TOTP(secret), clock, recovery

    def code(self, steps: int = 0) -> str:
        return self.app.generate_otp(self.clock.ms // 1000 // STEP_SECONDS + steps)


def with_app(world: World, account: Account, clock: Clock) -> Phone:
    headers = world.login(account)
    begun = world.client.post("/account/factors/totp", headers=headers).json
    phone = Phone(begun["secret"], clock, [])
    answer = world.client.post("/account/factors/totp/confirm", json={"code": phone.code()}, headers=headers)
    assert answer.status_code == 200, answer.json
    phone.recovery = answer.json["recovery_codes"]
    clock.step()  # the code of the set-up counts as used
    return phone


def challenge(world: World, account: Account, password: str = PASSWORD) -> str:
    answer = world.client.post("/auth/login", json={"email": account.email, "password": password})
    assert answer.status_code == 200 and answer.json["status"] == "factor_required", answer.json
    assert "session" not in answer.json and "Set-Cookie" not in answer.headers
    return str(answer.json["challenge"])


def second_step(world: World, asked: str, **proof: Any) -> Any:
    client = world.app.test_client(use_cookies=False)
    return client.post("/auth/login/factor", json={"challenge": asked, **proof})


def bearer(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.json
    return {"Authorization": "Bearer " + answer.json["session"]["token"]}


def test_a_login_with_an_app_asks_for_its_code_and_then_opens_a_session(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    assert len(set(phone.recovery)) == 10
    answer = world.client.post("/auth/login", json={"email": account.email, "password": PASSWORD})
    assert answer.json["factors"] == ["totp", "recovery_code"]
    headers = bearer(second_step(world, answer.json["challenge"], code=phone.code()))
    listed = world.client.get("/account/factors", headers=headers).json
    assert listed["recovery_codes_left"] == 10
    (factor,) = listed["data"]
    assert factor["type"] == "totp" and factor["name"] == "Authenticator app" and factor["last_used_at"]
    assert set(factor) == {"id", "type", "name", "created_at", "last_used_at"}


def test_a_secret_and_codes_are_not_stored_as_they_are(world: World, clock: Clock) -> None:
    from sluice.wiring import stores

    account = world.account()
    phone = with_app(world, account, clock)
    stored = repr(vars(stores.account_store().get(account.account_id)))
    assert phone.app.secret not in stored and not any(code in stored for code in phone.recovery)


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
def test_a_clock_may_be_one_step_off(world: World, clock: Clock, steps: int, status: int) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    clock.step(3)  # so that no step was used
    assert second_step(world, challenge(world, account), code=phone.code(steps)).status_code == status


def test_a_code_counts_once_and_an_earlier_one_not_after_it(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    clock.step(3)
    code, earlier = phone.code(), phone.code(-1)
    assert second_step(world, challenge(world, account), code=code).status_code == 200
    for replayed in (code, earlier):
        answer = second_step(world, challenge(world, account), code=replayed)
        assert (answer.status_code, answer.json["code"]) == (401, "invalid_credentials")
    assert second_step(world, challenge(world, account), code=phone.code(1)).status_code == 200


def test_the_code_of_the_set_up_does_not_log_in(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    assert second_step(world, challenge(world, account), code=phone.code(-1)).status_code == 401


@pytest.mark.parametrize("way", ["code", "recovery"])
def test_of_logins_at_once_with_one_code_one_gets_a_session(world: World, clock: Clock, way: str) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    code = phone.code() if way == "code" else phone.recovery[3]
    asked = [challenge(world, account) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda one: second_step(world, one, code=code).status_code, asked))
    assert sorted(statuses) == [200] + [401] * 7


def test_of_two_answers_to_one_challenge_one_gets_a_session(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    clock.step(3)
    asked = challenge(world, account)
    with ThreadPoolExecutor(3) as pool:
        codes = [phone.code(-1), phone.code(), phone.recovery[0]]
        statuses = list(pool.map(lambda code: second_step(world, asked, code=code).status_code, codes))
    assert sorted(statuses) == [200, 401, 401]
    assert second_step(world, asked, code=phone.recovery[1]).status_code == 401


def test_a_recovery_code_counts_once_and_the_owner_is_told(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    typed = phone.recovery[0].upper().replace("-", " ")
    headers = bearer(second_step(world, challenge(world, account), code=typed))
    assert second_step(world, challenge(world, account), code=phone.recovery[0]).status_code == 401
    assert world.client.get("/account/factors", headers=headers).json["recovery_codes_left"] == 9
    assert mails(account) >= {"factor_added", "recovery_code_used"}
    renewed = world.client.post("/account/factors/recovery-codes", headers=headers).json["recovery_codes"]
    assert len(renewed) == 10 and not set(renewed) & set(phone.recovery)
    assert second_step(world, challenge(world, account), code=phone.recovery[1]).status_code == 401
    assert second_step(world, challenge(world, account), code=renewed[1]).status_code == 200


def mails(account: Account) -> set[str]:
    from sluice.wiring import stores

    return {mail.kind for mail in stores.mail_store().of_account(account.account_id)}


def test_a_challenge_takes_five_tries_and_then_not_even_the_right_code(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    asked, wrong = challenge(world, account), f"{(int(phone.code(7)) + 1) % 1_000_000:06}"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: second_step(world, asked, code="not-a-code"), range(MOST_TRIES)))
    assert second_step(world, asked, code=phone.code()).status_code == 401
    assert second_step(world, challenge(world, account), code=wrong).status_code == 401
    assert second_step(world, challenge(world, account), code=phone.code()).status_code == 200


def test_a_challenge_expires_and_is_no_session(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    asked = challenge(world, account)
    assert world.client.get("/account", headers={"Authorization": "Bearer " + asked}).status_code == 401
    clock.ms += QUESTION_MS
    answer = second_step(world, asked, code=phone.code())
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_credentials")


def test_a_challenge_is_answered_by_its_own_account_only(world: World, clock: Clock) -> None:
    ann, bob = world.account(), world.account()
    of_ann, of_bob = with_app(world, ann, clock), with_app(world, bob, clock)
    assert second_step(world, challenge(world, ann), code=of_bob.code()).status_code == 401
    assert second_step(world, challenge(world, ann), code=of_bob.recovery[0]).status_code == 401
    assert second_step(world, "chl_" + "a" * 43, code=of_ann.code()).status_code == 401


def test_a_new_password_ends_the_challenge_of_the_old_one_and_the_factor_stays(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    asked = challenge(world, account)
    headers = bearer(second_step(world, challenge(world, account), code=phone.recovery[0]))
    body = {"current_password": PASSWORD, "new_password": "a whole new passphrase"}
    assert world.client.post("/auth/change-password", json=body, headers=headers).status_code == 200
    assert second_step(world, asked, code=phone.code()).status_code == 401
    again = challenge(world, account, "a whole new passphrase")
    assert second_step(world, again, code=phone.code()).status_code == 200


def test_guessing_codes_is_slowed_for_each_client_and_for_all(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    switch_on_throttles(monkeypatch)
    asked, wrong = challenge(world, account), f"{(int(phone.code(7)) + 1) % 1_000_000:06}"
    statuses = [second_step(world, asked, code=wrong).status_code for _ in range(MOST_TRIES)]
    assert statuses == [401] * MOST_TRIES
    refused = second_step(world, challenge(world, account), code=wrong)
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
    assert "factors_throttled" in mails(account)
    # a recovery code cannot be guessed, so the owner is never locked out
    assert second_step(world, challenge(world, account), code=phone.recovery[0]).status_code == 200
    assert second_step(world, challenge(world, account), code=phone.code()).status_code == 200


def test_removing_a_factor_asks_for_the_password_or_a_factor_anew(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    headers = bearer(second_step(world, challenge(world, account), code=phone.code()))
    path = "/account/factors/" + world.client.get("/account/factors", headers=headers).json["data"][0]["id"]

    def remove(**proof: str) -> int:
        return int(world.client.delete(path, json=proof, headers=headers).status_code)

    assert remove() == 422
    assert (remove(password="wrong wrong wrong"), remove(code="000000"), remove(code=phone.code())) == (401, 401, 401)
    assert remove(password=PASSWORD) == 204
    assert remove(password=PASSWORD) == 404
    assert world.client.get("/account/factors", headers=headers).json == {"data": [], "recovery_codes_left": 0}
    assert world.login(account)  # the password alone is enough again
    assert "factor_removed" in mails(account)
    again = with_app(world, account, clock)
    headers = bearer(second_step(world, challenge(world, account), code=again.code()))
    path = "/account/factors/" + world.client.get("/account/factors", headers=headers).json["data"][0]["id"]
    assert remove(code=again.code(1)) == 204


def test_an_old_session_cannot_add_a_factor_before_it_shows_the_password(world: World, clock: Clock) -> None:
    account = world.account()
    headers = world.login(account)
    clock.ms += 16 * 60_000
    answer = world.client.post("/account/factors/totp", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (403, "confirmation_required")
    confirm = "/account/factors/confirm"
    assert world.client.post(confirm, json={"password": "wrong wrong wrong"}, headers=headers).status_code == 401
    assert world.client.post(confirm, json={"password": PASSWORD}, headers=headers).json == {"status": "confirmed"}
    assert world.client.post("/account/factors/totp", headers=headers).status_code == 200


def test_a_password_is_not_enough_to_confirm_where_there_is_a_factor(world: World, clock: Clock) -> None:
    account = world.account()
    early = world.login(account)  # without a factor
    phone = with_app(world, account, clock)
    assert world.client.post("/account/factors/totp", headers=early).status_code == 403
    confirm = "/account/factors/confirm"
    assert world.client.post(confirm, json={"password": PASSWORD}, headers=early).status_code == 422
    assert world.client.post(confirm, json={"code": phone.code()}, headers=early).status_code == 200
    assert world.client.post("/account/factors/totp", headers=early).status_code == 200


def test_a_set_up_belongs_to_its_session_and_ends(world: World, clock: Clock) -> None:
    account = world.account()
    one, other = world.login(account), world.login(account)
    phone = Phone(world.client.post("/account/factors/totp", headers=one).json["secret"], clock, [])
    confirm = "/account/factors/totp/confirm"

    def finish(headers: dict[str, str], code: str) -> int:
        return int(world.client.post(confirm, json={"code": code}, headers=headers).status_code)

    assert finish(other, phone.code()) == 409
    assert finish(one, phone.code(5)) == 422
    assert finish(one, phone.code()) == 200
    assert finish(one, phone.code(1)) == 409


def test_of_two_first_factors_at_once_one_is_added(world: World, clock: Clock) -> None:
    account = world.account()
    sessions = [world.login(account) for _ in range(4)]
    phones = [
        Phone(world.client.post("/account/factors/totp", headers=one).json["secret"], clock, []) for one in sessions
    ]

    def finish(place: int) -> int:
        body = {"code": phones[place].code()}
        client = world.app.test_client(use_cookies=False)
        answer = client.post("/account/factors/totp/confirm", json=body, headers=sessions[place])
        return int(answer.status_code)

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(finish, range(4)))
    assert statuses.count(200) == 1 and set(statuses) <= {200, 403, 409}


def test_signing_out_everywhere_else_keeps_this_session_only(world: World) -> None:
    account = world.account()
    mine, others = world.login(account), [world.login(account) for _ in range(3)]
    assert world.client.delete("/account/sessions", headers=mine).status_code == 204
    assert world.client.get("/account", headers=mine).status_code == 200
    assert {world.client.get("/account", headers=one).status_code for one in others} == {401}
    assert world.login(account)


def test_an_export_names_factors_without_their_secrets(world: World, clock: Clock) -> None:
    account = world.account()
    phone = with_app(world, account, clock)
    headers = bearer(second_step(world, challenge(world, account), code=phone.code()))
    exported = world.client.get("/account/export", headers=headers).json
    (factor,) = exported["factors"]
    assert factor["kind"] == "totp" and not {"secret", "public_key", "last_step"} & set(factor)
    assert exported["recovery_codes_left"] == 10 and not {"factors", "recovery"} & set(exported["account"])
