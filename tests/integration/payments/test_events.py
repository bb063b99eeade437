"""Every event of Stripe's, twice and in every order, leads to the same end: what is subscribed to when all is done."""

import json
import logging
import threading
import time
from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.wiring import stores
from sluice.wiring.payments import payments
from tests.fakes.stripe import FOREIGN, PRO, SECRET, TEAM, FakeStripe, event, signed
from tests.integration.accounts.providers.house import at_once
from tests.integration.payments.shop import Shop

# What a purchase and its end make Stripe send.
CREATED, UPDATED, DELETED = (f"customer.subscription.{what}" for what in ("created", "updated", "deleted"))
KINDS = ("checkout.session.completed", CREATED, UPDATED, DELETED, "invoice.paid", "invoice.payment_failed")
STATUS = {CREATED: "incomplete", UPDATED: "active", DELETED: "canceled"}


def about(kind: str, page: dict[str, Any], subscription: dict[str, Any]) -> dict[str, Any]:
    """What an event shows is as it was when it was made, which is long ago when it arrives. An invoice shows a customer
    and no account."""
    if kind.startswith("checkout."):
        return {**page, "status": "complete"}
    if kind.startswith("customer.subscription."):
        return {**subscription, "status": STATUS[kind]}
    return {"id": "in_1", "object": "invoice", "customer": subscription["customer"], "metadata": {}}


@pytest.mark.slow
def test_every_event_twice_and_in_every_order_of_three_has_the_same_end(shop: Shop) -> None:
    """The 120 orders of three of six kinds, each event twice in a row and then each order twice. Before every order the
    account has the other plan: from one to the next the subscription has ended, or is live again."""
    account, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    page, as_shown = shop.stripe.pages[page_id], dict(shop.stripe.subscriptions[subscription])
    bodies = {kind: event(kind, about(kind, page, as_shown), number) for number, kind in enumerate(KINDS)}
    orders = list(permutations(KINDS, 3))
    assert len(orders) == 120
    ends = 0
    for number, three in enumerate(orders):
        twice = [tuple(one for one in three for _ in range(2)), three + three]
        for order in twice if number % 2 else reversed(twice):
            ends += 1
            status, plan = ("active", "pro") if ends % 2 else ("canceled", "free")
            shop.stripe.change(subscription, status=status)
            assert [shop.deliver(bodies[kind]) for kind in order] == [204] * 6
            assert (payer := shop.payer(account)).paid == payer.plan == plan.replace("free", ""), order
            assert payer.untold is None
    assert shop.plan(headers) == "free" and ends == 240
    told = shop.changes(account)
    assert told == [("stripe", "", "pro"), ("stripe", "pro", "")] * 120  # and nothing for repetitions


def test_what_happens_between_events_is_followed_whatever_their_order(shop: Shop) -> None:
    """Paid, changed to another plan, ended; after each an event arrives, once or twice, that tells of any of them: 48
    ways. So some tell what has not happened yet, and some what is long past."""
    for order, times in product(permutations((CREATED, UPDATED, DELETED)), product((1, 2), repeat=3)):
        account, _, page_id = shop.begin()
        subscription = shop.stripe.pay(page_id)
        shown = dict(shop.stripe.subscriptions[subscription])
        for step, (kind, count) in enumerate(zip(order, times, strict=True)):
            if step == 1:
                shop.stripe.change(subscription, price=TEAM)
            elif step == 2:
                shop.stripe.change(subscription, status="canceled")
            assert [shop.send(kind, {**shown, "status": STATUS[kind]}) for _ in range(count)] == [204] * count
        assert [change[1:] for change in shop.changes(account)] == [("", "pro"), ("pro", "team"), ("team", "")]


# --- two at once


def held_up(stripe: FakeStripe, path: str, run: Callable[[], int], meanwhile: Callable[[], None]) -> int:
    """`run` asks Stripe, and `meanwhile` happens between the answer and its arrival. → what `run` returns."""
    reached, go = threading.Event(), threading.Event()
    first = [True]

    def slow(call: str) -> None:
        if call == path and first.pop(0) if first else False:
            reached.set()
            assert go.wait(60)

    stripe.slow = slow
    result: list[int] = []
    thread = threading.Thread(target=lambda: result.append(run()))
    thread.start()
    assert reached.wait(60)
    meanwhile()
    go.set()
    thread.join()
    stripe.slow = lambda call: None
    return result[0]


@pytest.mark.parametrize("before", ["free", "pro"])
def test_an_answer_that_is_older_by_now_overwrites_nothing(shop: Shop, before: str) -> None:
    """One handler has asked while the subscription was live, and is held up. It ends, and another handler is told. With
    `free` that one finds the plan as it should be and changes nothing: it must hold the first one off all the same."""
    account, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    shown = shop.stripe.subscriptions[subscription]
    if before == "pro":
        assert shop.send(CREATED, shown) == 204

    def ends() -> None:
        shop.stripe.change(subscription, status="canceled")
        assert shop.send(DELETED, shown) == 204

    path = f"GET /v1/customers/{shown['customer']}"
    assert held_up(shop.stripe, path, lambda: shop.send(UPDATED, shown), ends) == 204
    assert shop.plan(headers) == "free" and shop.payer(account).paid == ""


def test_many_at_once_end_with_what_is_subscribed_to(shop: Shop) -> None:
    account, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    shown = dict(shop.stripe.subscriptions[subscription])

    def deliver(place: int) -> Callable[[], int]:
        def run() -> int:
            if place % 3 == 0:
                shop.stripe.change(subscription, price=PRO if place % 2 else TEAM)
            kind = KINDS[place % 6]
            body = event(kind, about(kind, shop.stripe.pages[page_id], shown))
            for _ in range(20):  # Stripe repeats what gets a 503
                if (status := shop.deliver(body)) != 503:
                    return status
            return 503

        return run

    assert set(at_once(*map(deliver, range(12)))) == {204}
    last = shop.stripe.subscriptions[subscription]["items"]["data"][0]["price"]["id"]
    assert shop.send(UPDATED, shown) == 204
    assert shop.plan(headers) == {PRO: "pro", TEAM: "team"}[last]
    changes = [change[1:] for change in shop.changes(account)]
    assert changes[0][0] == "" and changes[-1][1] == shop.plan(headers)
    assert sorted(before for before, _ in changes[1:]) == sorted(after for _, after in changes[:-1])


# --- what fails


def test_what_fails_is_sent_again_and_nothing_is_lost(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    account, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    shown = shop.stripe.subscriptions[subscription]
    shop.stripe.down = True
    assert shop.send(CREATED, shown) == 503 and shop.payer(account).paid == ""
    shop.stripe.down = False

    def gone(*_: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as patch:
        patch.setattr(stores.payer_store(), "write", gone)
        assert shop.send(CREATED, shown) == 503 and shop.payer(account).paid == ""
    with monkeypatch.context() as patch:  # killed between the change and its event
        patch.setattr(stores.audit_log(), "put", gone)
        assert shop.send(CREATED, shown) == 503
    assert shop.plan(headers) == "pro" and shop.changes(account) == [] and shop.payer(account).untold
    assert shop.send(CREATED, shown) == 204
    assert shop.changes(account) == [("stripe", "", "pro")] and shop.payer(account).untold is None


def test_an_event_told_twice_by_two_is_one_event(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made the change is interrupted after telling it, before noting that."""
    account, _, page_id = shop.begin()
    shown = shop.stripe.subscriptions[shop.stripe.pay(page_id)]
    put = stores.audit_log().put

    def put_and_die(one: Any) -> None:
        put(one)
        raise StoreUnavailable()

    with monkeypatch.context() as patch:
        patch.setattr(stores.audit_log(), "put", put_and_die)
        assert shop.send(CREATED, shown) == 503
    assert [shop.send(UPDATED, shown) for _ in range(2)] == [204, 204]
    assert shop.changes(account) == [("stripe", "", "pro")]


def test_only_stripe_is_heard(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    _, headers, page_id = shop.begin()
    body = event(CREATED, shop.stripe.subscriptions[shop.stripe.pay(page_id)])
    client = shop.world.app.test_client(use_cookies=False)
    before = sum(shop.stripe.asked.values())

    def post(body: str | bytes, headers: dict[str, str]) -> int:
        return int(client.post("/payments/stripe", data=body, headers=headers).status_code)

    assert shop.deliver(body, age_s=301) == 401, "an old one, which somebody may have kept"
    assert post(body, signed(body, "whsec_another")) == 401
    assert post(body.replace("active", "unpaid"), signed(body)) == 401
    assert post(body, {}) == 401 and post(body, {"Stripe-Signature": "t=x,v1="}) == 401
    assert post(body, {"Stripe-Signature": f"t={int(time.time())},v1=\xe9"}) == 401
    assert post(b"\xff\xfe", signed("x")) == 401
    for garbage in ("", "[]", "{}", "null", "x", '{"data": {"object": []}, "type": 1}', "[" * 100_000, '"' + "é" * 9):
        assert post(garbage, signed(garbage)) == 400, garbage[:40]
    large = json.dumps({"type": CREATED, "data": {"object": {"x": "x" * 1_100_000}}})
    assert post(large, signed(large)) == 413
    assert sum(shop.stripe.asked.values()) == before and shop.plan(headers) == "free"
    assert SECRET not in caplog.text
    assert shop.deliver(body, age_s=200) == 204 and shop.plan(headers) == "pro"


def test_events_of_no_account_and_of_other_kinds_are_dropped(shop: Shop) -> None:
    _, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    shown = shop.stripe.subscriptions[subscription]
    before = sum(shop.stripe.asked.values())
    assert shop.send("product.updated", {"id": "prod_1", "object": "product"}) == 204
    assert shop.send("charge.succeeded", {"id": "ch_1", "object": "charge", "customer": shown["customer"]}) == 204
    assert sum(shop.stripe.asked.values()) == before and shop.plan(headers) == "free"
    for kind, one in (
        ("invoice.paid", {"customer": "cus_nobody"}),
        ("invoice.paid", {"customer": None}),
        ("invoice.paid", {"customer": 5, "metadata": None}),
        (CREATED, {"customer": "cus_x", "metadata": {"sluice_account": "usr_" + "0" * 16}}),
        (CREATED, {"customer": "cus_x", "metadata": {"sluice_account": "../grants"}}),
        ("customer.deleted", {"object": "customer", "id": "cus_nobody"}),
    ):
        assert shop.send(kind, one) == 204, one
    other = shop.account()[0]  # never began to pay
    assert shop.send(CREATED, {**shown, "metadata": {"sluice_account": other.account_id}}) == 204
    assert shop.payer(other).customer == "" and shop.changes(other) == []


# --- what a subscription means


def test_each_status_has_the_plan_that_is_documented(shop: Shop) -> None:
    _, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    shown = shop.stripe.subscriptions[subscription]
    for status, plan in {
        "trialing": "pro", "incomplete": "free", "active": "pro", "unpaid": "free", "past_due": "pro", "paused": "free",
        "incomplete_expired": "free", "some_new_one": "free", "canceled": "free",
    }.items():  # fmt: skip
        shop.stripe.change(subscription, status=status)
        assert shop.send(UPDATED, shown) == 204 and shop.plan(headers) == plan, status


def test_a_price_of_no_plan_keeps_the_plan_and_is_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    account, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    shown = shop.stripe.subscriptions[subscription]
    assert shop.send(CREATED, shown) == 204
    shop.stripe.change(subscription, price=FOREIGN)
    with caplog.at_level(logging.ERROR, "sluice.payments"):
        assert shop.send(UPDATED, shown) == 204
    assert shop.plan(headers) == "pro" and "a price of no plan" in caplog.text
    second = shop.stripe.subscribe(shown["customer"], TEAM)  # two, as the owner may make them: the newest counts
    assert shop.send(CREATED, shop.stripe.subscriptions[second]) == 204 and shop.plan(headers) == "team"
    shop.stripe.change(second, status="canceled")
    shop.stripe.change(subscription, price=PRO)
    assert shop.send(UPDATED, shown) == 204 and shop.plan(headers) == "pro"
    assert len(shop.changes(account)) == 3


def test_what_an_admin_chose_stays_until_the_subscription_changes(shop: Shop) -> None:
    account, headers, page_id = shop.begin()
    subscription = shop.stripe.pay(page_id)
    shown = shop.stripe.subscriptions[subscription]
    assert shop.send(CREATED, shown) == 204
    admin = shop.world.login(shop.world.account(role="admin"))
    at = f"/admin/users/{account.account_id}"
    assert shop.post(f"{at}/plan", admin, {"plan": "gift"}).status_code == 200
    for kind in ("invoice.paid", UPDATED):  # the next month
        assert shop.send(kind, about(kind, {}, shown)) == 204 and shop.plan(headers) == "gift"
    shop.stripe.change(subscription, price=TEAM)
    assert shop.send(UPDATED, shown) == 204 and shop.plan(headers) == "team"
    client = shop.world.client
    assert client.put(f"{at}/limits", json={"rpm": 7}, headers=admin).status_code == 200
    assert shop.send("invoice.paid", about("invoice.paid", {}, shown)) == 204
    assert stores.hot_store().grant(account.account_id).own == {"rpm": 7}  # type: ignore[union-attr]
    shop.stripe.change(subscription, status="canceled")
    assert shop.send(DELETED, shown) == 204 and shop.plan(headers) == "free"
    assert stores.hot_store().grant(account.account_id).own == {}  # type: ignore[union-attr]


def test_an_admins_change_in_between_is_not_overwritten_unseen(shop: Shop) -> None:
    account, headers, page_id = shop.begin()
    shown = shop.stripe.subscriptions[shop.stripe.pay(page_id)]
    path = f"GET /v1/customers/{shown['customer']}"
    chosen = lambda: stores.grant_store().set_plan(account.account_id, "gift")  # noqa: E731
    assert held_up(shop.stripe, path, lambda: shop.send(CREATED, shown), chosen) == 204
    assert shop.changes(account) == [("stripe", "gift", "pro")] and shop.plan(headers) == "pro"


def test_who_began_to_pay_after_the_backup_is_found_by_the_next_event(shop: Shop) -> None:
    """The store was restored as it was before, and Stripe was not."""
    account, headers, page_id = shop.begin()
    shown = shop.stripe.subscriptions[shop.stripe.pay(page_id)]
    customer = shop.payer(account).customer
    stores.payer_store().forget(account.account_id)
    invoice = about("invoice.paid", {}, shown)
    assert [shop.send("invoice.paid", invoice) for _ in range(2)] == [204, 204]
    assert shop.plan(headers) == "pro" and shop.payer(account).customer == customer
    stores.payer_store().forget(account.account_id)
    stores.grant_store().close(account.account_id)  # as of a deleted account
    assert shop.send("invoice.paid", invoice) == 204 and shop.payer(account).customer == ""


def test_a_deleted_customer_pays_for_nothing(shop: Shop) -> None:
    """The owner deletes one in Stripe's dashboard."""
    account, headers, page_id = shop.begin()
    shown = dict(shop.stripe.subscriptions[shop.stripe.pay(page_id)])
    assert shop.send(CREATED, shown) == 204 and shop.plan(headers) == "pro"
    customer = dict(shop.stripe.customers[shown["customer"]])
    shop.stripe.delete(shown["customer"])
    assert shop.send("customer.deleted", customer) == 204 and shop.plan(headers) == "free"
    assert shop.ask(headers) in shop.stripe.pages
    assert shop.payer(account).customer not in ("", shown["customer"])


def test_the_plans_limits_hold_from_the_next_request_on(shop: Shop) -> None:
    account, headers, page_id = shop.begin()
    shop.stripe.pay(page_id)
    assert shop.world.client.get("/account", headers=headers).json["limits"]["rpm"] == 10
    assert payments().follow(account.account_id)
    assert shop.world.client.get("/account", headers=headers).json["limits"]["rpm"] == 100
