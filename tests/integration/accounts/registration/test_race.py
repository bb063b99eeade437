"""Many registrations of one address at once: one account, one grant, one mail."""

import pytest

from sluice.services.accounts import register
from tests.integration.accounts.registration.world import AT_ONCE, Desk, backdate
from tests.integration.accounts.world import PASSWORD

SPELLINGS = {
    "one spelling": ["ann@example.com"],
    "upper and lower case": ["ann@example.com", "Ann@EXAMPLE.com"],
    "IDNA and Unicode": ["ann@bücher.example", "ANN@xn--bcher-kva.example"],
    "composed and not": ["jos\u00e9@example.com", "jose\u0301@example.com"],
}


@pytest.mark.parametrize("spellings", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_concurrent_registrations_of_one_address_make_one_account_grant_and_mail(
    desk: Desk, spellings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "UNSENT_MS", 600_000)  # the first mail is on its way for the last of them, too
    asked = [spellings[place % len(spellings)] for place in range(AT_ONCE)]
    answers = desk.at_once(desk.register, asked)
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"status":"verification_sent"}')}

    account = desk.known(spellings[0])
    assert {item["pk"] for item in desk.items("accounts")} == {account.account_id, "email#" + account.email_key}
    assert [grant["account_id"] for grant in desk.items("grants")] == [account.account_id]
    (mail,) = desk.mails()
    assert (mail["kind"], mail["account_id"], mail["to"]) == ("verify_email", account.account_id, account.email)

    assert desk.deliver() == []
    assert len(desk.outbox()) == 1
    assert desk.mail(mail["mail_id"]).state == "sent"
    assert desk.verify(desk.code(spellings[-1])).status_code == 200
    assert desk.login(account, PASSWORD)


def test_concurrent_registrations_of_different_addresses_each_get_an_account(desk: Desk) -> None:
    asked = [f"person{place}@example.com" for place in range(AT_ONCE)]
    assert {answer.status_code for answer in desk.at_once(desk.register, asked)} == {202}
    desk.deliver()
    assert sorted(mail["to"] for mail in desk.outbox()) == sorted(asked)
    assert len({grant["account_id"] for grant in desk.items("grants")}) == AT_ONCE


def test_concurrent_registrations_with_different_passwords_each_keep_their_own_link(desk: Desk) -> None:
    """Three at most. Password, name and mailed link come from the same registration, so a stranger's is not verified by
    the owner's link."""

    def go(place: int) -> int:
        return int(desk.register("ann@example.com", f"passphrase number {place}", name=f"name {place}").status_code)

    assert set(desk.at_once(go, range(AT_ONCE))) == {202}
    pending = desk.known("ann@example.com")
    assert len(desk.items("grants")) == 1 and len(pending.registrations) == 3
    codes = set(desk.codes("ann@example.com"))
    assert {code.partition(".")[0] for code in codes} == set(pending.registrations)
    code = min(codes)
    assert desk.verify(code).status_code == 200
    name = pending.registrations[code.partition(".")[0]].name
    assert desk.known("ann@example.com").name == name
    assert desk.login(pending, "passphrase number " + name.removeprefix("name "))
    assert {desk.verify(other).status_code for other in codes} == {400}


def test_a_retry_while_the_mail_is_queued_sends_no_second_mail(desk: Desk) -> None:
    desk.register("ann@example.com")
    backdate(desk, desk.known("ann@example.com").account_id, "created_ms", 3_000)
    desk.register("ann@example.com")
    assert len(desk.mails()) == 1
