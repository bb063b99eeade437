"""The page of plans: what each allows, and forms that lead to Stripe."""

from collections.abc import Iterator

import pytest

from tests.fakes.stripe import KEY, SECRET, FakeStripe
from tests.integration.accounts.world import World
from tests.integration.pages.browser import Browser, Page
from tests.integration.payments.shop import Shop
from tests.integration.usage.world import UsageWorld

HERE = "/my/plan"


@pytest.fixture
def shop(world: UsageWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("SLUICE_STRIPE_KEY", KEY)
    monkeypatch.setenv("SLUICE_STRIPE_WEBHOOK_SECRET", SECRET)
    stripe = FakeStripe()
    made = Shop(World(world.app, world.client), stripe)
    made.configure()
    yield made
    stripe.close()


def press(member: Browser, page: Page, **fields: str) -> Page:
    """A form of the page, without following where it leads."""
    return member.post(HERE, {"form_token": page.form(HERE).fields["form_token"], **fields})


def test_a_plan_is_bought_and_managed_without_script(shop: Shop, member: Browser) -> None:
    page = member.get(HERE)
    assert page.status == 200 and "€ 20 a month" in page.text and "Requests a minute" in page.text
    assert "gift" not in page.text and "your plan" in page.text
    assert HERE in member.get("/my/account").links and HERE in member.get("/my/tokens").links
    led = press(member, page, plan="pro")
    address = led.answer.headers["Location"]
    assert led.status == 303 and address.startswith("https://checkout.stripe.com/c/pay/cs_test_")
    policy = page.answer.headers["Content-Security-Policy"]
    assert "form-action 'self' https://checkout.stripe.com https://billing.stripe.com;" in policy
    shop.stripe.pay(address.rpartition("/")[2])
    back = member.get(HERE + "?note=paid")  # no event has come yet
    assert "Thank you" in back.text and "You pay for the plan pro." in back.text
    assert "Subscribe" not in back.text
    led = press(member, back)
    assert led.status == 303 and led.answer.headers["Location"].startswith("https://billing.stripe.com/")


def test_what_cannot_be_bought_now_is_said_on_the_page(shop: Shop, member: Browser) -> None:
    page = member.get(HERE)
    refused = press(member, page, plan="gift")
    assert refused.status == 422 and "No such plan is sold. These are: pro, team." in refused.text
    shop.stripe.down = True
    refused = press(member, page, plan="pro")
    assert refused.status == 503 and "Payment is not available at the moment. Nothing was charged." in refused.text
    assert member.get(HERE + "?note=paid").status == 200


def test_without_a_key_there_is_no_page_and_no_link(shop: Shop, member: Browser) -> None:
    page = member.get(HERE)
    assert "subscription" in member.get("/my/account/delete").text
    shop.configure(sells=False)
    assert member.get(HERE).status == 404 and press(member, page, plan="pro").status == 404
    for path in ("/my/account", "/my/tokens"):
        assert HERE not in member.get(path).links
    assert "subscription" not in member.get("/my/account/delete").text


def test_an_admin_sees_who_changed_a_plan(shop: Shop, member: Browser) -> None:
    led = press(member, member.get(HERE), plan="pro")
    shop.stripe.pay(led.answer.headers["Location"].rpartition("/")[2])
    member.get(HERE + "?note=paid")
    admin = Browser(shop.world.app.test_client())
    boss = shop.world.account("boss@example.com", role="admin")
    admin.log_in(boss.email, "correct horse battery staple")
    assert "a subscription, by Stripe" in admin.get("/manage/audit").text
