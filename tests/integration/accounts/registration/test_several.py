"""Several registrations of one address before anybody verifies it: its owner's, and strangers'."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice import settings
from sluice.adapters.aws import dynamo
from sluice.services.accounts.register import UNSENT_MS
from tests.integration.accounts.registration.world import Desk, backdate, end, now_ms
from tests.integration.accounts.world import PASSWORD

ANN = "ann@example.com"
OWNER, STRANGER = "the owner's passphrase", "the stranger's passphrase"
DAY_MS = 24 * 3_600_000


def registered(desk: Desk, *passwords: str, email: str = ANN) -> list[str]:
    """Registers with each password in turn, and returns the codes of the mails in this order."""
    for password in passwords:
        assert desk.register(email, password).status_code == 202
        desk.deliver()
        backdate(desk, desk.known(email).account_id, "created_ms", UNSENT_MS)
    return desk.codes()


def logs_in(desk: Desk, password: str, email: str = ANN) -> bool:
    return bool(desk.post("/auth/login", email=email, password=password).status_code == 200)


@pytest.mark.parametrize(("place", "password", "other"), [(0, OWNER, STRANGER), (1, STRANGER, OWNER)])
def test_each_link_verifies_the_password_of_its_own_registration(
    desk: Desk, place: int, password: str, other: str
) -> None:
    codes = registered(desk, OWNER, STRANGER)
    assert desk.verify(codes[place]).status_code == 200
    assert logs_in(desk, password) and not logs_in(desk, other)
    assert desk.verify(codes[1 - place]).status_code == 400


def test_a_strangers_registration_in_the_same_second_neither_wins_nor_is_lost(desk: Desk) -> None:
    """Its mail is under way, and a double click has the same password."""
    for password in (OWNER, STRANGER, OWNER, STRANGER):
        desk.register(ANN, password)
    codes = desk.codes()
    assert len(codes) == 2
    assert desk.verify(codes[0]).status_code == 200 and logs_in(desk, OWNER)


def test_a_fourth_registration_replaces_no_living_link_and_repeats_the_three(desk: Desk) -> None:
    codes = registered(desk, OWNER, "stranger number one", "stranger number two", "stranger number three")
    assert len(codes) == 6 and codes[:3] == sorted(codes[3:], key=codes.index)
    assert desk.verify(codes[0]).status_code == 200 and logs_in(desk, OWNER)


def test_a_registration_takes_the_place_of_one_whose_link_has_expired(desk: Desk) -> None:
    codes = registered(desk, STRANGER, "stranger number two", "stranger number three")
    backdate(desk, desk.known(ANN).account_id, "expires_ms", DAY_MS)
    codes = registered(desk, OWNER)[len(codes) :]
    assert len(codes) == 1 and desk.verify(codes[0]).status_code == 200 and logs_in(desk, OWNER)


def test_a_resend_repeats_every_link_and_makes_expired_ones_valid_again(desk: Desk) -> None:
    codes = registered(desk, OWNER, STRANGER)
    backdate(desk, desk.known(ANN).account_id, "expires_ms", DAY_MS)
    assert desk.verify(codes[0]).status_code == 400
    assert desk.resend(ANN).status_code == 202
    assert sorted(desk.codes()[2:]) == sorted(codes)
    assert len({mail["message_id"] for mail in desk.outbox()}) == 4  # a mailbox must not drop them as duplicates
    assert desk.verify(codes[0]).status_code == 200 and logs_in(desk, OWNER)


def test_a_registration_of_a_pending_address_mails_the_spelling_just_typed(desk: Desk) -> None:
    registered(desk, STRANGER, email="ANN@example.com")
    codes = registered(desk, OWNER)
    assert sorted(mail["to"] for mail in desk.outbox()) == ["ANN@example.com", ANN]
    assert desk.verify(codes[1]).status_code == 200 and desk.known(ANN).email == ANN


FOLDED_ALIKE = [
    ("stra\u00dfe@example.org", "strasse@example.org"),
    ("\ufb01ona@example.org", "fiona@example.org"),
    ("jame\u017f@corp.example.org", "james@corp.example.org"),
]


@pytest.mark.parametrize(("one", "other"), FOLDED_ALIKE)
def test_addresses_that_only_case_folding_makes_equal_are_two_accounts(desk: Desk, one: str, other: str) -> None:
    for email, password in ((one, STRANGER), (other, OWNER)):
        assert desk.register(email, password).status_code == 202
        desk.resend(email), desk.post("/auth/forgot-password", email=email)
    desk.deliver()
    assert {mail["to"] for mail in desk.outbox(one)} == {one} and {mail["to"] for mail in desk.outbox(other)} == {other}
    assert desk.known(one).account_id != desk.known(other).account_id
    assert desk.verify(desk.codes(other)[0]).status_code == 200 and logs_in(desk, OWNER, other)


def test_a_login_names_the_unverified_address_only_to_the_newest_password(desk: Desk) -> None:
    registered(desk, STRANGER, OWNER)
    said = {p: desk.post("/auth/login", email=ANN, password=p).json["code"] for p in (STRANGER, OWNER)}
    assert said == {STRANGER: "invalid_credentials", OWNER: "email_not_verified"}


def test_a_reset_of_an_unverified_account_keeps_nothing_of_a_strangers_registration(desk: Desk) -> None:
    """The owner proved the address as he typed it. A stranger registered before him, and again before he clicks."""
    desk.register("ANN@example.com", STRANGER, name="Mallory")
    desk.post("/auth/forgot-password", email=ANN)
    reset = desk.codes(ANN)[-1]
    desk.register("aNN@example.com", "stranger number two", name="Mallory")
    assert desk.post("/auth/reset-password", token=reset, password=OWNER).status_code == 200
    account = desk.known(ANN)
    assert (account.status, account.email, account.name) == ("active", ANN, "")
    desk.deliver()
    assert [mail["to"] for mail in desk.outbox() if mail["kind"] != "verify_email"] == [ANN, ANN]


# --- the end of an unverified account


def test_an_account_that_nobody_verifies_ends_after_seven_days(desk: Desk) -> None:
    (code,) = registered(desk, STRANGER)
    before = desk.known(ANN)
    assert before.ttl_s is not None and abs(before.ttl_s - now_ms() // 1000 - 7 * 24 * 3600) < 60
    end(desk, before.account_id)
    desk.resend(ANN), desk.post("/auth/forgot-password", email=ANN)  # neither is mailed
    assert desk.codes() == [code] and desk.verify(code).status_code == 400
    assert desk.post("/auth/login", email=ANN, password=STRANGER).json["code"] == "invalid_credentials"
    assert desk.register(ANN, OWNER).status_code == 202
    account = desk.known(ANN)
    assert account.account_id != before.account_id and len(account.registrations) == 1
    assert desk.verify(code).status_code == 400  # still, although the address is pending again
    assert desk.verify(desk.codes()[-1]).status_code == 200 and logs_in(desk, OWNER)


def test_a_link_lives_no_longer_than_its_account(desk: Desk) -> None:
    registered(desk, STRANGER)
    account = desk.known(ANN)
    table, soon_s = settings.common().table_prefix + "accounts", now_ms() // 1000 + 60
    dynamo.client().update_item(
        TableName=table,
        Key=dynamo.item({"pk": account.account_id}),
        UpdateExpression="SET ttl_s = :soon_s",
        ExpressionAttributeValues=dynamo.item({":soon_s": soon_s}),
    )
    registered(desk, OWNER)
    assert max(one.expires_ms for one in desk.known(ANN).registrations.values() if one.password_hash) > soon_s * 1000
    newest = max(desk.mails(), key=lambda mail: mail["created_ms"])
    assert newest["expires_ms"] == soon_s * 1000


@pytest.mark.parametrize("how", ["link", "reset"])
def test_a_verified_account_never_expires(desk: Desk, how: str) -> None:
    """An item with a TTL would be deleted by the store: the account, its address, or its limits."""
    (code,) = registered(desk, PASSWORD)
    assert all("ttl_s" in item for table in ("accounts", "grants") for item in desk.items(table))
    if how == "link":
        assert desk.verify(code).status_code == 200
    else:
        desk.post("/auth/forgot-password", email=ANN)
        body = {"token": desk.codes()[-1], "password": OWNER}
        assert desk.post("/auth/reset-password", **body).status_code == 200
        assert desk.verify(code).status_code == 400
    assert [item for table in ("accounts", "grants") for item in desk.items(table) if "ttl_s" in item] == []
    assert desk.known(ANN).registrations == {} and desk.known(ANN).ttl_s is None


@pytest.mark.parametrize("table", ["accounts", "grants"])
def test_a_link_is_dead_once_the_store_has_deleted_a_part_of_the_account(desk: Desk, table: str) -> None:
    """The store deletes expired items one by one. Either all were kept by the click, or it is refused."""
    (code,) = registered(desk, PASSWORD)
    name = settings.common().table_prefix + table
    key = {"pk": "email#" + ANN} if table == "accounts" else {"account_id": desk.known(ANN).account_id}
    account_id = desk.known(ANN).account_id
    dynamo.client().delete_item(TableName=name, Key=dynamo.item(key))
    assert desk.verify(code).status_code == 400
    (row,) = [item for item in desk.items("accounts") if item["pk"] == account_id]
    assert row["status"] == "pending" and "ttl_s" in row


def test_a_click_and_a_registration_at_once_leave_one_whole_account(desk: Desk) -> None:
    for place in range(5):
        email = f"p{place}@example.com"
        (code,) = registered(desk, OWNER, email=email)[-1:]

        def click(_: Any, code: str = code) -> int:
            return int(desk.verify(code).status_code)

        def register(_: Any, email: str = email) -> int:
            return int(desk.register(email, STRANGER).status_code)

        with ThreadPoolExecutor(4) as pool:
            statuses = [pool.submit(call, 0) for call in (click, register, click, register)]
        assert sorted(one.result() for one in statuses) == [200, 202, 202, 400]
        account = desk.known(email)
        assert (account.status, account.registrations) == ("active", {})
        assert logs_in(desk, OWNER, email) and not logs_in(desk, STRANGER, email)
