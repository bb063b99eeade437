"""The start page: what the owner's settings say of the site and its models, at once whatever happens to the store."""

from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

import pytest

from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.errors import StoreUnavailable
from sluice.domain.settings.checking import check
from sluice.pages import offer
from sluice.pages.offer import Offer, Offered
from sluice.services.operations.admin import Actor
from sluice.wiring.settings import owners_terms
from tests.integration.pages.browser import Browser
from tests.integration.usage.world import UsageWorld
from tests.waiting import eventually

PRICED = {"id": "demo", "prompt_usd": "0.10", "completion_usd": "0.4075", "request_usd": "1"}


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    offer.offer.cache_clear()
    yield
    offer.offer.cache_clear()


def apply(**settings: Any) -> None:
    terms = owners_terms()
    terms.change(Actor(OPERATOR), terms.read().version, check(settings), 1)


def test_the_owners_name_contact_models_and_prices_are_shown(world: UsageWorld, browser: Browser) -> None:
    site = {"name": "Ann & Co", "contact": "help@example.org"}
    apply(site=site, models=[PRICED, {"id": "big"}])
    page = browser.get("/")
    assert "Ann & Co" in page.text and "mailto:help@example.org" in page.links
    assert "demo $0.10 $0.4075 + $1.00 a request" in page.text and "MODEL=demo" in page.text and "big" in page.text


def test_without_a_price_there_are_no_dollars(world: UsageWorld, browser: Browser) -> None:
    apply(models=[{"id": "demo"}])
    page = browser.get("/")
    assert "demo" in page.text and "$0" not in page.text and "a million tokens" not in page.text


def test_without_settings_the_page_is_whole(browser: Browser) -> None:
    page = browser.get("/")
    assert page.status == 200 and "Models" not in page.text and "/sign-up" in page.links
    assert "# the first available model" in page.text


def test_a_member_is_led_on_and_a_visitor_is_led_in(browser: Browser, member: Browser) -> None:
    assert {"/sign-up", "/my/chats"} <= set(browser.get("/").links)
    inside = member.get("/")
    assert "Open chat" in inside.text and "/my/tokens" in inside.links and "/sign-up" not in inside.links


def test_a_store_that_does_not_answer_costs_a_visitor_half_a_second_at_most() -> None:
    answered = Event()

    def read() -> Sequence[Offered]:
        answered.wait(60)
        return [Offered("demo")]

    slow = Offer(read)
    assert slow.known() == () and offer.DEADLINE_SECONDS < 0.5
    answered.set()
    assert eventually(slow.known) == [Offered("demo")]


def test_a_store_that_refuses_leaves_what_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Sequence[Offered]] = [[Offered("demo")]]

    def read() -> Sequence[Offered]:
        if not answers:
            raise StoreUnavailable()
        return answers.pop()

    monkeypatch.setattr(offer, "FRESH_SECONDS", 0.0)
    known = Offer(read)
    assert known.known() == known.known() == [Offered("demo")]


def test_while_one_read_hangs_no_other_begins_and_any_failure_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, reads = Event(), list[int]()

    def read() -> Sequence[Offered]:
        reads.append(1)
        assert go_on.wait(60)
        if len(reads) == 1:
            raise ValueError
        return [Offered("demo")]

    monkeypatch.setattr(offer, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(offer, "DEADLINE_SECONDS", 0.01)
    known = Offer(read)
    assert known.known() == () and eventually(lambda: reads)
    assert [known.known() for _ in range(4)] == [()] * 4 and len(reads) == 1
    go_on.set()
    eventually(known.known)
