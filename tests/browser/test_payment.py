"""The page of plans, in each language and by keyboard, and the way to Stripe's pages and back, in Chromium, which holds
a form's redirects to the page's policy. Stripe's API is a fake with a state, and its pages are the test's."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Route

from infra.words import TRANSLATED
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.settings.checking import check
from sluice.services.operations.admin import Actor
from sluice.wiring.settings import owners_terms
from tests.browser.conftest import NewTab
from tests.browser.stage import Stage, opened
from tests.browser.tab import Tab
from tests.browser.walk import Measure, by_keyboard, named, still
from tests.e2e.people import Person
from tests.fakes.stripe import KEY, PRO, SECRET, TEAM, FakeStripe

SETTLED_SECONDS = 60  # settings are in force within 10
PLANS = [
    {"name": "free", "default": True, "rpm": 10, "monthly_tokens": 100_000},
    {"name": "pro", "rpm": 100, "monthly_usd": "50", "storage_mb": 500, "price": "€ 20 a month", "stripe_price": PRO},
    {"name": "a-team-with-a-very-long-name-that-somebody-thought-was-good", "stripe_price": TEAM},
]
Shop = tuple[Stage, FakeStripe]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder, stripe = tmp_path_factory.mktemp("payment"), FakeStripe()
    places = {}
    for name, secret in (("key", KEY), ("webhook_secret", SECRET)):
        (folder / name).write_text(secret)
        places[name] = f"file:{folder / name}"
    with opened(folder) as stage:
        wanted = check({"plans": PLANS, "payment": {**places, "api": stripe.url}})
        owners_terms().change(Actor(OPERATOR), 0, wanted, 1)
        person, until = stage.person()[0], time.monotonic() + SETTLED_SECONDS
        while person.call("GET", "/account/plan").status_code != 200:
            assert time.monotonic() < until, "the settings are not in force"
            time.sleep(0.2)
        yield stage, stripe
    stripe.close()


def open_plans(shop: Shop, new_tab: NewTab, *, script: bool = True, pays: bool = False) -> Tab:
    stage, stripe = shop
    person: Person = stage.person()[0]
    if pays:
        page = person.call("POST", "/account/plan", json={"plan": "pro"}).json()["url"]
        stripe.pay(page.rpartition("/")[2])
    tab = new_tab(person, at=stage.url, script=script)
    tab.go("/my/plan?note=paid" if pays else "/my/plan")
    return tab


@pytest.mark.parametrize("pays", [False, True])
def test_the_page_of_plans_is_for_everybody(shop: Shop, new_tab: NewTab, pays: bool) -> None:
    tab = open_plans(shop, new_tab, pays=pays)
    tab.page.emulate_media(reduced_motion="reduce")
    with Measure(tab) as measure:
        tab.go("/my/plan")
    measure.check("/my/plan")
    still(tab, "/my/plan")
    named(tab, "/my/plan")
    tab.accessible("/my/plan")
    tab.zoomed("/my/plan")
    by_keyboard(tab, "/my/plan")
    tab.check("plan-paid" if pays else "plan")


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_language_of_it_is_cut_off(shop: Shop, new_tab: NewTab, language: str) -> None:
    for pays in (False, True):
        tab = open_plans(shop, new_tab, pays=pays).plant("sluice_language", language)
        tab.go("/my/plan")
        assert tab.page.locator("html").get_attribute("lang") == language
        tab.narrow(f"/my/plan in {language}")
        tab.shoot(f"{language}-plan{'-paid' if pays else ''}")


@pytest.mark.parametrize("script", [True, False])
def test_a_form_leads_to_stripe_and_stripe_leads_back(shop: Shop, new_tab: NewTab, script: bool) -> None:
    stage, stripe = shop
    tab = open_plans(shop, new_tab, script=script)

    def answer(route: Route) -> None:
        """Stripe's pages: the one that sells is paid at once, and leads back."""
        page_id = route.request.url.rpartition("/")[2]
        if "checkout" in route.request.url:
            stripe.pay(page_id)
        body = f"<title>Stripe</title><a href='{stage.url}/my/plan?note=paid'>Back</a>"
        route.fulfill(body=body, content_type="text/html")

    tab.visits("https://checkout.stripe.com").visits("https://billing.stripe.com")
    tab.page.context.route("https://*.stripe.com/**", answer)
    tab.page.get_by_role("button", name="Subscribe to pro").click()
    tab.page.wait_for_url("https://checkout.stripe.com/**")
    tab.page.get_by_role("link", name="Back").click()
    tab.page.wait_for_url(f"{stage.url}/my/plan?note=paid")
    assert "You pay for the plan pro." in tab.text
    tab.page.get_by_role("button", name="Manage subscription").click()
    tab.page.wait_for_url("https://billing.stripe.com/**")


def test_the_policy_holds_the_form_to_stripe(shop: Shop, new_tab: NewTab) -> None:
    """Else the test above would show nothing."""
    _, stripe = shop
    tab = open_plans(shop, new_tab).expects("form-action")
    tab.page.context.route("https://evil.example/**", lambda route: route.fulfill(body="taken"))
    made = stripe._new_page
    stripe._new_page = lambda form: {**made(form), "url": "https://evil.example/pay"}  # type: ignore[method-assign]
    with tab.page.expect_console_message(lambda said: "form-action" in said.text):
        tab.page.get_by_role("button", name="Subscribe to pro").click()
    assert not tab.page.url.startswith("https://evil.example")
    stripe._new_page = made  # type: ignore[method-assign]
