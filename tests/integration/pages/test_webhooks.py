"""The pages of webhooks: made, shown once, tested, repeated, disabled, deleted, without script."""

import pytest

from sluice.wiring import stores
from sluice.wiring.webhooks import own_webhooks
from tests.integration.pages.browser import Browser, Page

HERE = "/my/account/webhooks"
URL = "https://ada.example/hook"


def made(member: Browser, url: str = URL, **fields: object) -> Page:
    return member.submit(member.get(HERE), HERE, url=url, **fields)


def place(member: Browser) -> str:
    return next(link for link in member.get(HERE).links if link.startswith(f"{HERE}/whk_"))


def press(member: Browser, page: Page, path: str, do: str, **fields: str) -> Page:
    return member.submit(page, path, do=do, **fields)


def test_a_webhook_is_made_and_its_secret_shown_once(member: Browser) -> None:
    shown = made(member)
    assert shown.status == 200 and "whsec_" in shown.text and URL in shown.text
    assert f"{HERE}" in member.get("/my/account").links
    path = place(member)
    page = member.get(path)
    assert "whsec_" not in page.html + member.get(HERE).html
    assert "response.completed" in page.text and "Nothing yet" in page.text
    renewed = press(member, page, path, "rotate")
    assert "whsec_" in renewed.text and "each delivery is signed with the old secret, too" in renewed.text


def test_wrong_addresses_and_missing_events_are_said_beside_the_field(member: Browser) -> None:
    refused = made(member, "http://10.0.0.1/")
    assert refused.status == 422 and "begins with https://" in refused.text and "http://10.0.0.1/" in refused.html
    refused = made(member, "https://10.0.0.1/")
    assert refused.status == 422 and "not on the public internet" in refused.text
    refused = made(member, events=[])
    assert refused.status == 422 and "Choose one or more" in refused.text
    for _ in range(5):
        assert made(member).status == 200
    assert HERE not in [form.action for form in member.get(HERE).forms]


def test_its_buttons_do_what_they_say(member: Browser) -> None:
    made(member)
    path = place(member)
    webhook_id = path.rpartition("/")[2]
    page = press(member, member.get(path), path, "test")
    assert "A test event is on its way" in page.text and "webhook.test" in page.text and "waiting" in page.text
    account_id = next(one["account_id"]["S"] for one in stores_scan() if one["item_id"]["S"].endswith(webhook_id))
    store = stores.webhook_store()
    hook = store.get(account_id, webhook_id)
    (delivery,) = store.waiting(hook, 10)
    store.end(hook, delivery)
    page = press(member, member.get(path), path, "repeat", event=delivery.event.event_id)
    assert "on its way once more" in page.text
    page = press(member, page, path, "repeat", event="evt_none")
    assert page.status == 404
    page = press(member, member.get(path), path, "disable")
    assert "You disabled it" in page.text and "Send a test" not in page.text
    page = press(member, page, path, "test")
    assert "could not be done" in page.text
    page = press(member, page, path, "enable")
    assert "Enabled." in page.text
    page = press(member, page, path, "change", events="batch.completed")  # type: ignore[arg-type]
    assert own_webhooks().get(account_id, webhook_id).events == ("batch.completed",)
    page = press(member, page, path, "delete")
    assert "Webhook deleted." in page.text and own_webhooks().all(account_id) == []


def stores_scan() -> list[dict[str, dict[str, str]]]:
    from sluice import settings
    from sluice.adapters.aws.model_store import client

    return list(client().scan(TableName=settings.common().table_prefix + "webhooks")["Items"])


def test_another_member_finds_nothing(member: Browser, stranger: Browser) -> None:
    made(member)
    path = place(member)
    assert stranger.get(path).status == 404
    made(stranger)
    own = stranger.get(place(stranger))
    answered = stranger.post(path, {**own.forms[0].fields, "do": "delete"})
    assert answered.status == 404 and member.get(path).status == 200


@pytest.mark.parametrize("language", ["ja", "zh-Hant"])
def test_it_speaks_the_readers_language(member: Browser, language: str) -> None:
    made(member)
    for path in (HERE, place(member)):
        page = member.get(path, **{"Accept-Language": language})
        assert page.status == 200 and "Last deliveries" not in page.text and "Add a webhook" not in page.text
