"""Every call to Stripe that we make, against stripe-mock, which checks it by Stripe's own OpenAPI document: names and
types of what is sent, and answers of the real form. It has no state: whoever asks has one live subscription."""

from collections.abc import Iterator

import pytest
import requests

from sluice.adapters.payments.stripe_service import Stripe
from sluice.domain.errors import PaymentUnavailable
from sluice.domain.payments import Payer
from tests.e2e import people
from tests.e2e.people import TIMEOUT_SECONDS, Person
from tests.fakes.stripe import SECRET, event, signed
from tests.peers.conftest import NewHome
from tests.peers.stripe_mock import KEY, PRICE, Running

SETTINGS = """
[payment]
key = "env:SLUICE_STRIPE_KEY"
webhook_secret = "env:SLUICE_STRIPE_WEBHOOK_SECRET"
api = "{api}"

[[plans]]
name = "free"
default = true
rpm = 10

[[plans]]
name = "pro"
rpm = 100
price = "€ 20 a month"
stripe_price = "{price}"
"""
BACK = "http://127.0.0.1:8080/my/plan"


@pytest.fixture(scope="module")
def person(stripe_mock: Running, new_home: NewHome) -> Iterator[Person]:
    env = {"SLUICE_STRIPE_KEY": KEY, "SLUICE_STRIPE_WEBHOOK_SECRET": SECRET}
    home = new_home(SETTINGS.format(api=stripe_mock.url, price=PRICE), env)
    yield people.newcomer(home.base_url)


def test_each_call_has_the_form_that_stripe_wants(stripe_mock: Running) -> None:
    stripe = Stripe(stripe_mock.url, lambda: KEY, lambda: SECRET)
    customer = stripe.new_customer("usr_1", "ann@example.com", "a-key")
    assert customer.startswith("cus_")
    (subscription,) = stripe.subscriptions(customer)
    assert (subscription.status, subscription.prices) == ("active", (PRICE,)) and subscription.is_live
    assert stripe.account_of(customer) == ""  # its customers have no metadata
    (page,) = stripe.open_checkouts(customer)
    assert page.url.startswith("https://checkout.stripe.com/")
    for language in ("en", "ja", "zh-Hant", ""):  # stripe-mock knows the languages that Stripe has
        made = stripe.new_checkout(Payer("usr_1", customer), PRICE, BACK, language)
        assert made.price == PRICE and made.url.startswith("https://checkout.stripe.com/")
        assert stripe.portal(customer, BACK, language).startswith("https://")
    stripe.expire(page.checkout_id)
    stripe.delete_customer(customer)
    assert set(stripe_mock.calls) >= {
        "POST /v1/customers", "GET /v1/customers/ID", "DELETE /v1/customers/ID", "GET /v1/checkout/sessions",
        "POST /v1/checkout/sessions", "POST /v1/checkout/sessions/ID/expire", "POST /v1/billing_portal/sessions",
    }  # fmt: skip


def test_stripe_mock_notices_a_call_of_the_wrong_form(stripe_mock: Running) -> None:
    """Else the test above would show nothing."""
    for wrong in ({"mode": "nonsense"}, {"mode": "subscription", "nonsense": "1"}, {"locale": "tlh"}):
        at = f"{stripe_mock.url}/v1/checkout/sessions"
        answer = requests.post(at, data=wrong, headers={"Authorization": f"Bearer {KEY}"}, timeout=TIMEOUT_SECONDS)
        assert answer.status_code == 400, wrong
    with pytest.raises(PaymentUnavailable):
        Stripe(stripe_mock.url, lambda: "", lambda: SECRET).new_customer("usr_1", "ann@example.com", "a-key")


def test_a_running_system_sells_a_plan(person: Person) -> None:
    before = person.call("GET", "/account/plan").json()
    assert (before["plan"], before["paid"]) == ("free", None)
    led = person.call("POST", "/account/plan", json={"plan": "pro"})
    assert led.status_code == 200 and led.json()["url"].startswith("https://"), led.text
    account_id = person.call("GET", "/account").json()["id"]
    about = {"id": "sub_1", "object": "subscription", "metadata": {"sluice_account": account_id}}
    body = event("customer.subscription.created", about)
    for _ in range(2):
        heard = requests.post(
            f"{person.base_url}/payments/stripe", data=body, headers=signed(body), timeout=TIMEOUT_SECONDS
        )
        assert heard.status_code == 204, heard.text
    after = person.call("GET", "/account/plan").json()
    assert (after["plan"], after["paid"]) == ("pro", "pro")
    assert person.call("GET", "/account").json()["limits"]["rpm"] == 100
    assert person.call("POST", "/account/plan", json={}).json()["url"].startswith("https://")
    refused = requests.post(f"{person.base_url}/payments/stripe", data=body, timeout=TIMEOUT_SECONDS)
    assert refused.status_code == 401
