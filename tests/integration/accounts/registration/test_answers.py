"""Every response of `/auth/register`, `/auth/resend-verification` and `/auth/verify-email`."""

from dataclasses import replace
from typing import Any

import pytest

from functions.registration import app as registration
from functions.verification import app as verification
from sluice.adapters.accounts.passwords import Passwords
from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.account import MAX_REGISTRATIONS
from sluice.services.accounts import register
from sluice.services.accounts.register import UNSENT_MS
from sluice.services.settings import in_force
from tests.apps import app_of
from tests.conftest import Store
from tests.integration.accounts.registration.world import Desk, backdate
from tests.integration.accounts.world import PASSWORD, forget_everything, switch_on_throttles
from tests.ports import free_port
from tests.store_clients import make_tables
from tests.store_process import running_store

REGISTER, RESEND, VERIFY = "/auth/register", "/auth/resend-verification", "/auth/verify-email"
LOGIN, FORGOT = "/auth/login", "/auth/forgot-password"
ALL = pytest.mark.parametrize("path", [REGISTER, RESEND, VERIFY])
GOOD = {"email": "ann@example.com", "password": PASSWORD, "token": "mail_0.x"}


@pytest.fixture(scope="module")
def door() -> Desk:
    """One for all tests of requests that are refused before the store is read."""
    app = app_of([registration.blueprint, verification.blueprint])
    return Desk(app, app.test_client(use_cookies=False))


def raw(desk: Desk, path: str, body: bytes, content_type: str | None = "application/json") -> Any:
    return desk.client.post(path, data=body, content_type=content_type)


def fields(answer: Any) -> list[str]:
    assert (answer.status_code, answer.json["code"]) == (422, "validation_error"), answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert all(error["message"] for error in answer.json["errors"])
    return [error["field"] for error in answer.json["errors"]]


@ALL
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"email": NaN}', b"{'email': 'a'}", b'{"a": 1}x'])
def test_invalid_json_is_400(door: Desk, path: str, body: bytes) -> None:
    answer = raw(door, path, body)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_json")


@ALL
def test_json_nested_too_deeply_is_400(door: Desk, path: str) -> None:
    answer = raw(door, path, b"[" * 100_000)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_json")


@ALL
def test_a_body_over_one_mib_is_413(door: Desk, path: str) -> None:
    answer = raw(door, path, b'{"email": "' + b"a" * (1 << 20) + b'"}')
    assert (answer.status_code, answer.json["code"]) == (413, "request_too_large")


@ALL
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_another_media_type_is_415(door: Desk, path: str, content_type: str | None) -> None:
    answer = raw(door, path, b'{"email": "ann@example.com"}', content_type)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


@ALL
def test_get_is_405(door: Desk, path: str) -> None:
    answer: Any = door.client.get(path)
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@ALL
@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"ann@example.com"'])
def test_json_that_is_not_an_object_is_422(door: Desk, path: str, body: bytes) -> None:
    fields(raw(door, path, body))


@pytest.mark.parametrize("wrong", [None, 1, True, [], {}, ["ann@example.com"]])
@pytest.mark.parametrize(
    "path, field", [(REGISTER, "email"), (REGISTER, "password"), (RESEND, "email"), (VERIFY, "token")]
)
def test_a_wrong_type_is_422_and_named(door: Desk, path: str, field: str, wrong: object) -> None:
    assert fields(door.post(path, **{**GOOD, field: wrong})) == [field]
    without = {name: value for name, value in GOOD.items() if name != field}
    assert fields(door.post(path, **without)) == [field]


NO_ADDRESSES = [
    "",
    "ann",
    "ann@",
    "@example.com",
    "ann@example",
    "ann example@example.com",
    "ann@exa mple.com",
    "ann@example.com, eve@example.com",
    "Ann <ann@example.com>",
    "ann@example.com\nBcc: eve@example.com",
    "ann@[127.0.0.1]",
    '"ann"@example.com',
    "ann@example..com",
    ".ann@example.com",
    "ann\x00@example.com",
    "a" * 65 + "@example.com",
    "ann@" + "a" * 300 + ".com",
    "a" * 100_000,
]


@pytest.mark.parametrize("path", [REGISTER, RESEND])
def test_an_invalid_address_is_422_and_named(desk: Desk, path: str) -> None:
    for address in NO_ADDRESSES:
        assert fields(desk.post(path, email=address, password=PASSWORD)) == ["email"], address
    assert desk.items("accounts") == desk.items("mails") == []


WEAK = [
    "",
    "eleven char",
    "x" * 257,
    "password1234",
    "Sunshine2026!",
    "123456789012",
    "monkeymonkey",
    "my ann.lee is here",
    "ANN.LEE is my name",
    "\uff41nn.lee is here",  # a full-width a, which looks the same to the reader
]


def test_a_weak_password_is_422_and_creates_nothing(desk: Desk) -> None:
    for password in WEAK:
        assert fields(desk.register("ann.lee@example.com", password)) == ["password"], password
    assert desk.items("accounts") == desk.items("mails") == []


STRONG = ["twelve chars", "x y" * 85, "пароль из слов", "🐎🔋📎 horse horse", "     spaced  "]


def test_any_other_password_of_12_to_256_characters_is_accepted(desk: Desk) -> None:
    for place, password in enumerate(STRONG):
        email = f"p{place}@example.com"
        assert desk.register(email, password).status_code == 202
        assert desk.verify(desk.code(email)).status_code == 200
        assert desk.login(desk.known(email), password)


def test_all_problems_are_reported_together(desk: Desk) -> None:
    assert sorted(fields(desk.register("nobody", "short", name="x" * 101))) == ["email", "name", "password"]


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "a\x00b", 5, ["Ann"]])
def test_an_impossible_name_is_422(door: Desk, name: object) -> None:
    assert fields(door.register("ann@example.com", name=name)) == ["name"]


def test_a_name_is_stored_unchanged(desk: Desk) -> None:
    for place, name in enumerate([None, "", "Ann", "x" * 100, "<b>Ann</b>", "Жанна 🐎"]):
        assert desk.register(f"p{place}@example.com", name=name).status_code == 202
        assert desk.known(f"p{place}@example.com").name == (name or "")


# --- responses do not show whether an address is known


def shape(answer: Any) -> tuple[int, str, list[str]]:
    return answer.status_code, answer.text, sorted(name for name, _ in answer.headers)


@pytest.fixture
def people(desk: Desk) -> dict[str, str]:
    """An address for each state of an account, and an unknown one."""
    found = {status: desk.account(status=status).email for status in ("pending", "active", "suspended", "deleting")}
    return {**found, "nobody": "nobody@example.com"}


@pytest.mark.parametrize("path", [REGISTER, RESEND])
def test_known_and_unknown_addresses_get_the_same_response(desk: Desk, people: dict[str, str], path: str) -> None:
    shapes = {who: shape(desk.post(path, email=email, password=PASSWORD)) for who, email in people.items()}
    assert shapes["nobody"][:2] == (202, '{"status":"verification_sent"}')
    assert {str(said) for said in shapes.values()} == {str(shapes["nobody"])}
    assert all(people[who] not in said[1] for who, said in shapes.items())


def test_a_known_address_gets_a_notice_and_its_account_does_not_change(desk: Desk) -> None:
    ann = desk.account("ann@example.com")
    desk.deliver()
    desk.register("ANN@example.com", "a stranger's passphrase", name="Mallory")
    desk.deliver()
    told = desk.outbox("ann@example.com")[0]
    assert told["kind"] == "already_registered" and "Mallory" not in told["text"] + told["html"]
    assert desk.known("ann@example.com") == ann
    assert desk.login(ann)


def test_a_resend_sends_mail_to_pending_accounts_only(desk: Desk, people: dict[str, str]) -> None:
    before = len(desk.mails())
    for email in people.values():
        desk.resend(email)
    new = len(desk.mails()) - before
    assert new == 1
    desk.deliver()
    assert len(desk.outbox(people["pending"])) == 2
    assert len(desk.items("accounts")) == 2 * 4  # and no account was created


def test_every_kind_of_address_costs_the_same_store_calls(
    desk: Desk, people: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response time must not show whether an address is known, so reads, writes and hashes are equal."""
    from sluice.adapters.aws.json_service import JsonService

    monkeypatch.setattr(in_force, "FRESH_SECONDS", 600.0)  # else one of the answers reads the settings again
    monkeypatch.setattr(register, "UNSENT_MS", 600_000)
    for place in range(MAX_REGISTRATIONS):
        desk.register("full@example.com", f"passphrase number {place}")
    desk.deliver()
    backdate(desk, desk.known("full@example.com").account_id, "created_ms", UNSENT_MS)
    desk.register("just@example.com")  # whose mail is on its way
    desk.register("changed@example.com", "quite some other words")
    people |= {name: name + "@example.com" for name in ("just", "changed", "full")}
    counts: dict[str, list[str]] = {}
    seen: list[str] = []
    real = JsonService.call

    def noted(self: JsonService, operation: str, request: Any, **options: Any) -> Any:
        seen.append(operation)
        return real(self, operation, request, **options)

    def hashed(self: Passwords, work: Any) -> Any:
        seen.append("argon2")
        return run(self, work)

    run = Passwords._run
    monkeypatch.setattr(Passwords, "_run", hashed)
    monkeypatch.setattr(JsonService, "call", noted)
    asked = {REGISTER: (PASSWORD, 1), RESEND: (PASSWORD, 0), LOGIN: ("a wrong password", 1), FORGOT: (PASSWORD, 0)}
    for path, (password, hashes) in asked.items():
        for who, email in people.items():
            seen.clear()
            desk.post(path, email=email, password=password)
            counts[path + who] = list(seen)
            assert seen.count("argon2") == hashes, (path, who)
        assert len({str(calls) for name, calls in counts.items() if name.startswith(path)}) == 1, counts


# --- throttles


@pytest.fixture
def throttled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """With limits of two mails and three codes a client."""
    monkeypatch.setattr(rules, "MAIL_CLIENT", replace(rules.MAIL_CLIENT, free=2, first_seconds=7))
    monkeypatch.setattr(rules, "REDEEM_CLIENT", replace(rules.REDEEM_CLIENT, free=3))
    switch_on_throttles(monkeypatch)
    return desk


def too_many(answer: Any) -> bool:
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_attempts")
    return int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("path", [REGISTER, RESEND])
def test_too_many_requests_of_a_client_are_429_for_known_and_unknown_addresses(
    throttled: Desk, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import peers

    throttled.account("ann@example.com")
    for place in range(2):
        assert throttled.post(path, email=f"p{place}@example.com", password=PASSWORD).status_code == 202
    monkeypatch.setattr(peers.password_hashes(), "hash", None)  # refused before a hash is spent
    shapes = set()
    for email in ("ann@example.com", "nobody@example.com"):
        answer = throttled.post(path, email=email, password=PASSWORD)
        assert too_many(answer)
        shapes.add((answer.json["detail"], tuple(sorted(name for name, _ in answer.headers))))
    assert len(shapes) == 1


def test_guessing_codes_is_429(throttled: Desk) -> None:
    answers = [throttled.verify("mail_0." + "A" * 43) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400] * 3 + [429]
    assert too_many(answers[-1])


def test_an_address_requested_too_often_gets_the_usual_response_and_no_more_mail(
    throttled: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAIL_CLIENT", replace(rules.MAIL_CLIENT, free=100))
    throttled.account("ann@example.com", status="pending")
    answers = [throttled.resend("ann@example.com") for _ in range(rules.MAIL_PAIR.free + 3)]
    assert len({str(shape(answer)) for answer in answers}) == 1
    assert len(throttled.mails()) == 1 + rules.MAIL_PAIR.free


@pytest.mark.parametrize("path", [REGISTER, RESEND])
def test_each_repeated_link_counts_as_a_mail_to_its_address(
    throttled: Desk, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resend, or a registration that finds no room, mails up to three links."""
    monkeypatch.setattr(rules, "MAIL_CLIENT", replace(rules.MAIL_CLIENT, free=100))
    for place in range(MAX_REGISTRATIONS):
        assert throttled.register("ann@example.com", f"passphrase number {place}").status_code == 202
        throttled.deliver()
        backdate(throttled, throttled.known("ann@example.com").account_id, "created_ms", UNSENT_MS)
    for _ in range(6):
        assert throttled.post(path, email="ann@example.com", password=PASSWORD).status_code == 202
    assert len(throttled.mails()) == 2 * MAX_REGISTRATIONS  # and then a wait, because at most five are free


# --- the store is unavailable


def test_without_a_store_every_call_is_503_and_recovers_by_itself(
    store: Store, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice import settings

    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{port}")
    forget_everything()
    code = "mail_0." + "A" * 43
    for path in (REGISTER, RESEND, VERIFY):
        answer = desk.post(path, **{**GOOD, "token": code})
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable"), path
        assert int(answer.headers["Retry-After"]) >= 1
        assert str(port) not in answer.text and store.prefix not in answer.text
    with running_store(port=port):
        make_tables(settings.common().table_prefix)
        assert desk.register("ann@example.com").status_code == 202
        assert desk.resend("ann@example.com").status_code == 202
        assert desk.verify(desk.code("ann@example.com")).status_code == 200
