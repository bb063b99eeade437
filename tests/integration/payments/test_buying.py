"""Buying a plan: one open page an account, the portal for who pays, and the end of an account."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from sluice.adapters.gateway import upstream_keys
from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.errors import Conflict, StoreUnavailable, TooManyAttempts
from sluice.domain.settings.versions import InForce, StoredSettings
from sluice.services.accounts.erasure import SECOND_LOOK_MS
from sluice.wiring import peers, stores
from sluice.wiring.accounts import erasure
from sluice.wiring.payments import payments
from sluice.wiring.settings import settings_in_force
from tests.fakes.stripe import KEY, SECRET, TEAM
from tests.integration.accounts.providers.house import at_once
from tests.integration.accounts.world import PASSWORD, switch_on_throttles
from tests.integration.payments.shop import PLANS, Shop

CREATED = "customer.subscription.created"


def test_the_plans_are_told_as_the_settings_have_them(shop: Shop) -> None:
    _, headers = shop.account()
    told = shop.world.client.get("/account/plan", headers=headers).json
    assert (told["plan"], told["paid"]) == ("free", None)
    assert [(one["name"], one["for_sale"], one["price"]) for one in told["data"]] == [
        ("free", False, ""), ("pro", True, "€ 20 a month"), ("team", True, ""),
    ]  # fmt: skip
    assert told["data"][1]["limits"] == {"rpm": 100} and told["data"][1]["models"] is None
    assert [one["monthly_usd"] for one in told["data"][:2]] == [None, 50.0]


def test_a_page_is_asked_for_by_what_stripe_needs_and_no_more(shop: Shop) -> None:
    account, headers, page_id = shop.begin("ann@example.com")
    (customer,) = shop.stripe.customers.values()
    assert customer["email"] == "ann@example.com" and customer["metadata"] == {"sluice_account": account.account_id}
    page = shop.stripe.pages[page_id]
    assert page["client_reference_id"] == account.account_id and page["customer"] == customer["id"]
    answer = shop.post("/account/plan", headers, {})
    assert answer.json == {"url": f"https://billing.stripe.com/p/session/{customer['id']}"}


def test_who_pays_gets_the_portal_and_no_second_page(shop: Shop) -> None:
    account, headers, page_id = shop.begin()
    shop.stripe.pay(page_id)
    answer = shop.post("/account/plan", headers, {"plan": "team"})  # before any event has come
    assert str(answer.json["url"]).startswith("https://billing.stripe.com/")
    assert shop.plan(headers) == "pro", "what was seen is written, too"
    assert shop.changes(account) == [("stripe", "", "pro")]
    assert [page["status"] for page in shop.stripe.pages.values()] == ["complete"]


def test_who_asks_stripe_too_often_waits_and_keeps_nobody_else_from_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = replace(rules.ASK_STRIPE, first_seconds=300)  # longer than this test
    monkeypatch.setattr(rules, "ASK_STRIPE", policy)
    switch_on_throttles(monkeypatch)
    account, headers, first = shop.begin()
    assert {shop.ask(headers) for _ in range(policy.free - 1)} == {first}
    asked = shop.stripe.asked.total()
    for body in ({"plan": "pro"}, {"plan": "team"}, {}):
        answer = shop.post("/account/plan", headers, body)
        assert (answer.status_code, answer.json["code"]) == (429, "too_many_attempts")
        assert 1 <= int(answer.headers["Retry-After"]) <= 300
    with pytest.raises(TooManyAttempts):
        payments().look(account.account_id)
    assert shop.stripe.asked.total() == asked
    shop.stripe.pay(first)  # an event of Stripe's is no attempt
    assert shop.send(CREATED, {"customer": shop.payer(account).customer}) == 204 and shop.plan(headers) == "pro"
    shop.begin()


def test_another_tab_gets_the_same_page_and_another_plan_closes_it(shop: Shop) -> None:
    _, headers, first = shop.begin()
    assert shop.ask(headers) == first
    second = shop.ask(headers, "team")
    assert [shop.stripe.pages[one]["status"] for one in (first, second)] == ["expired", "open"]
    shop.stripe.pay(second)
    answer = shop.post("/account/plan", headers, {"plan": "pro"})
    assert "billing" in answer.json["url"]
    (customer,) = shop.stripe.customers
    assert len(shop.stripe.live(customer)) == 1


def test_an_open_page_that_sells_an_older_price_is_closed(shop: Shop) -> None:
    """Who paid there would have no plan, because the price is of none any more."""
    _, headers, first = shop.begin()
    shop.configure(plans=[one | ({"stripe_price": "price_new"} if one["name"] == "pro" else {}) for one in PLANS])
    second = shop.ask(headers)
    assert [shop.stripe.pages[one]["status"] for one in (first, second)] == ["expired", "open"]
    assert shop.stripe.pages[second]["price"] == "price_new"


def test_a_page_that_cannot_be_closed_just_now_is_not_the_first_of_two(shop: Shop) -> None:
    """Somebody is paying there: Stripe closes it as little as it says that it is paid."""
    account, headers, first = shop.begin()
    shop.stripe.busy.add(first)
    assert shop.post("/account/plan", headers, {"plan": "team"}).status_code == 503
    assert list(shop.stripe.pages) == [first]
    shop.stripe.busy.clear()
    shop.stripe.pay(first)
    assert "billing" in shop.post("/account/plan", headers, {"plan": "team"}).json["url"]
    assert shop.payer(account).paid == "pro"


@pytest.mark.parametrize("status", ["unpaid", "paused"])
def test_who_has_a_subscription_that_may_live_again_gets_no_second_one(shop: Shop, status: str) -> None:
    """An unpaid invoice that is paid later would make both cost money: the portal has that invoice, and the end."""
    _, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    shop.stripe.change(subscription, status=status)
    assert "billing" in shop.post("/account/plan", headers, {"plan": "pro"}).json["url"]
    assert shop.plan(headers) == "free"
    shop.stripe.change(subscription, status="incomplete")  # of a first payment that failed: Stripe ends it in a day
    assert shop.ask(headers) in shop.stripe.pages


@pytest.mark.parametrize("plans", [("pro",) * 6, ("pro", "team") * 3])
def test_windows_at_once_never_leave_two_open_pages_that_somebody_knows(shop: Shop, plans: tuple[str, ...]) -> None:
    """Each window that got an address tries to pay there at once; at most one can."""
    _, headers = shop.account()
    paid: list[str] = []

    def window(plan: str) -> Callable[[], None]:
        def run() -> None:
            answer = shop.post("/account/plan", headers, {"plan": plan})
            assert answer.status_code in (200, 409), answer.json
            if answer.status_code == 200 and "checkout" in answer.json["url"]:
                with suppress(AssertionError):  # closed, or paid by another window
                    paid.append(shop.stripe.pay(answer.json["url"].rpartition("/")[2]))

        return run

    results = at_once(*map(window, plans))
    assert not any(isinstance(one, Exception) for one in results), results
    (customer,) = shop.stripe.customers  # one, however many asked first
    assert len(paid) == 1 == len(shop.stripe.live(customer))


def test_a_page_that_is_paid_while_another_plan_is_asked_for_is_found(shop: Shop) -> None:
    """Between our list of open pages and our closing of this one."""
    _, headers, first = shop.begin()
    pay = iter([lambda: shop.stripe.pay(first)])

    def slow(call: str) -> None:
        if call == "GET /v1/checkout/sessions":
            next(pay, lambda: None)()

    shop.stripe.slow = slow
    answer = shop.post("/account/plan", headers, {"plan": "team"})
    assert "billing" in answer.json["url"] and shop.plan(headers) == "pro"


@pytest.mark.parametrize(
    "body", [{"plan": "gift"}, {"plan": "free"}, {"plan": "nope"}, {"plan": 5}, {"plan": "x" * 65}, {"price": "p"}]
)
def test_what_is_not_for_sale_is_refused(shop: Shop, body: dict[str, Any]) -> None:
    account, headers = shop.account()
    answer = shop.post("/account/plan", headers, body)
    assert answer.status_code == 422, answer.json
    assert not shop.stripe.asked and shop.payer(account).customer == ""
    if body["plan" if "plan" in body else "price"] in ("gift", "free", "nope"):
        assert "pro, team" in answer.text


def test_there_is_no_portal_before_anything_was_paid(shop: Shop) -> None:
    _, headers = shop.account()
    assert shop.post("/account/plan", headers, {}).status_code == 404
    assert shop.post("/account/plan", {}, {}).status_code == 401


def test_a_stripe_that_is_away_or_wrong_is_a_503_that_loses_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    account, headers = shop.account()
    shop.stripe.down = True
    assert shop.post("/account/plan", headers, {"plan": "pro"}).status_code == 503
    shop.stripe.down = False
    assert shop.payer(account).customer == ""
    assert shop.ask(headers) in shop.stripe.pages
    monkeypatch.setenv("SLUICE_STRIPE_KEY", "sk_test_wrong")
    monkeypatch.setattr(upstream_keys, "FRESH_SECONDS", -1)
    refused = shop.post("/account/plan", headers, {"plan": "pro"})
    assert refused.status_code == 503 and refused.json["code"] == "payment_unavailable"
    monkeypatch.delenv("SLUICE_STRIPE_KEY")
    assert shop.post("/account/plan", headers, {"plan": "pro"}).status_code == 503
    assert "sk_test" not in caplog.text and SECRET not in caplog.text and KEY not in caplog.text
    shop.configure(api="http://127.0.0.1:9")
    assert shop.post("/account/plan", headers, {"plan": "pro"}).status_code == 503


def test_the_log_says_what_stripe_refuses_and_no_address(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    _, headers = shop.account("ann@example.com")
    for param, message in (("email", "Invalid email address: ann@example.com"), ("customer_x", "No portal yet.")):
        told = {"type": "invalid_request_error", "message": message, "code": "a_code", "param": param}
        shop.stripe.answer = lambda *_, told=told: (400, {"error": told})  # type: ignore[method-assign,misc]
        assert shop.post("/account/plan", headers, {"plan": "pro"}).status_code == 503
    assert "ann@" not in caplog.text and "a_code" in caplog.text and "No portal yet." in caplog.text


@pytest.mark.parametrize(
    "answer", [b"", b"no json", b"[]", b"{}", b'{"id": 1, "url": "javascript:x"}', b"x" * 1_100_000]
)
def test_whatever_answers_in_stripes_place_breaks_nothing(shop: Shop, answer: bytes) -> None:
    _, headers = shop.account()
    shop.stripe.answer = lambda *_: (200, json.loads(answer)) if answer[:1] in b"[{" else (200, answer.decode())  # type: ignore[method-assign]
    assert shop.post("/account/plan", headers, {"plan": "pro"}).status_code == 503


def test_a_crash_between_customer_and_page_makes_no_second_customer(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, headers = shop.account()

    def gone(*_: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as patch:
        patch.setattr(stores.payer_store(), "begin", gone)
        assert shop.post("/account/plan", headers, {"plan": "pro"}).status_code == 503
    assert len(shop.stripe.customers) == 1 and shop.payer(account).customer == ""
    shop.ask(headers)
    assert list(shop.stripe.customers) == [shop.payer(account).customer]


# --- without a key


def test_without_a_key_nothing_of_it_is_there(shop: Shop) -> None:
    account, headers, page_id = shop.begin()
    shown = shop.stripe.subscriptions[shop.stripe.pay(page_id)]
    shop.configure(sells=False)
    assert shop.send(CREATED, shown) == 404
    assert shop.world.client.get("/account/plan", headers=headers).status_code == 404
    assert shop.post("/account/plan", headers, {"plan": "pro"}).status_code == 404
    assert shop.post("/account/plan", headers, {}).status_code == 404
    assert shop.payer(account).paid == ""


# --- the end of an account


def deleted(shop: Shop, headers: dict[str, str]) -> int:
    """By its owner; → the time of the sweeper's look a minute later."""
    answer = shop.world.client.delete("/account", json={"password": PASSWORD}, headers=headers)
    assert answer.status_code == 204, answer.json
    return peers.now_ms() + SECOND_LOOK_MS + 1


def test_a_deleted_account_is_charged_no_more(shop: Shop) -> None:
    account, headers, page_id = shop.begin()
    shop.stripe.pay(page_id)
    customer = shop.payer(account).customer
    later_ms = deleted(shop, headers)
    shop.stripe.down = True  # the owner of the account does not wait for Stripe, and the sweeper asks again
    for _ in range(2):
        assert erasure().finish(later_ms) == 0 and shop.payer(account).customer == customer
    shop.stripe.down = False
    assert erasure().finish(later_ms) == 1
    assert shop.stripe.customers[customer]["deleted"] and shop.stripe.live(customer) == []
    assert shop.payer(account).customer == "", "we forget it as well"
    assert erasure().finish(later_ms) == 0
    about = {"customer": customer, "metadata": {"sluice_account": account.account_id}}
    assert shop.send("customer.subscription.deleted", about) == 204
    assert shop.send("customer.deleted", {"object": "customer", "id": customer}) == 204


def test_an_account_deletes_itself_where_the_key_was_taken_away(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    account, headers, page_id = shop.begin()
    shop.stripe.pay(page_id)
    customer = shop.payer(account).customer
    shop.configure(sells=False)
    assert erasure().finish(deleted(shop, headers)) == 1
    assert customer in caplog.text and shop.payer(account).customer == ""


def test_an_account_with_much_to_erase_is_charged_no_longer_for_that(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, headers, page_id = shop.begin()
    shop.stripe.pay(page_id)
    customer, later_ms = shop.payer(account).customer, deleted(shop, headers)
    monkeypatch.setattr(stores.content_store(), "erase_account", lambda account_id, limit: False)
    turns = iter([True, False])
    assert erasure().finish(later_ms, lambda: next(turns)) == 0
    assert shop.stripe.live(customer) == []


@pytest.mark.parametrize("fault", ["away", "of a newer Sluice"])
def test_settings_that_cannot_be_read_are_not_settings_without_payment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Of a sweeper that has just started. Else its customer would be forgotten, and charged for ever."""
    account, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    customer, later_ms = shop.payer(account).customer, deleted(shop, headers)

    def newest(count: int) -> list[StoredSettings]:
        if fault == "away":
            raise StoreUnavailable()
        return [StoredSettings(1_000, '{"payment": {"new": 1}}', 1, OPERATOR)]

    monkeypatch.setattr(stores.settings_store(), "newest", newest)
    monkeypatch.setattr(settings_in_force(), "_known", InForce())
    monkeypatch.setattr(settings_in_force(), "_looked_s", float("-inf"))
    assert erasure().finish(later_ms) == 0 and shop.payer(account).customer == customer
    assert shop.stripe.subscriptions[subscription]["status"] == "active"


def test_a_customer_that_is_gone_already_holds_no_deletion_up(shop: Shop) -> None:
    account, headers, _ = shop.begin()
    shop.stripe.delete(shop.payer(account).customer)
    assert erasure().finish(deleted(shop, headers)) == 1


def test_customers_of_test_mode_are_unknown_to_the_live_key(shop: Shop) -> None:
    """The owner has tried it all with a test key: who bought then can buy again, and can leave."""
    account, headers, page_id = shop.begin()
    shop.stripe.pay(page_id)
    shop.ask(headers)
    shop.stripe.customers.clear()
    shop.stripe.subscriptions.clear()
    shop.stripe.pages.clear()
    shop.stripe.forget_keys()
    shop.ask(headers)
    assert list(shop.stripe.customers) == [shop.payer(account).customer] and shop.plan(headers) == "free"
    shop.stripe.customers.clear()
    assert erasure().finish(deleted(shop, headers)) == 1


def test_nobody_begins_to_pay_for_an_account_that_ends(shop: Shop) -> None:
    """The deletion comes between the customer and its note: no page was opened, and the customer pays for nothing."""
    account, headers = shop.account()

    def slow(call: str) -> None:
        if call == "POST /v1/customers":
            deleted(shop, headers)

    shop.stripe.slow = slow
    with pytest.raises(Conflict):
        payments().checkout(account.account_id, "pro", "http://127.0.0.1/")
    assert shop.stripe.pages == {} and shop.payer(account).customer == ""


def test_an_account_that_pays_and_is_suspended_keeps_its_subscription(shop: Shop) -> None:
    """Who pays is the owner's to settle; the plan still follows, for when the account is restored."""
    account, _, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    stores.grant_store().set_standing(account.account_id, "suspended")
    assert shop.send(CREATED, shop.stripe.subscriptions[subscription]) == 204
    assert shop.payer(account).plan == "pro" and shop.stripe.live(shop.payer(account).customer)


def test_settings_that_change_change_what_is_sold(shop: Shop) -> None:
    _, headers = shop.account()
    shop.configure(plans=[one for one in PLANS if one["name"] != "team"])
    assert shop.post("/account/plan", headers, {"plan": "team"}).status_code == 422
    assert TEAM not in shop.world.client.get("/account/plan", headers=headers).text
