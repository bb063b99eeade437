"""Usage pages show the ledger's numbers, one's own only, and page through the log."""

import re

import pytest

from sluice.domain.accounts import Account
from tests.integration.usage.world import UsageWorld, now_ms
from tests.integration.web.browser import Browser


def test_limits_and_what_is_left_of_them(world: UsageWorld, member: Browser, ann: Account) -> None:
    now = now_ms()
    world.set_grant(ann.account_id, tat_requests_ns=(now + 30_000) * 1_000_000)
    page = member.get("/my/usage")
    meters = {attributes["aria-label"] for tag, attributes in page.tags if tag == "meter"}
    assert "Tokens a minute: 40,000 of 40,000 left" in meters
    assert "Tokens a month: 1,000,000 of 1,000,000 left" in meters
    left = next(label for label in meters if label.startswith("Requests a minute"))
    assert 30 <= int(re.search(r": (\d+) of 60 left", left)[1]) <= 45  # type: ignore[index]


def test_sums_by_day_model_and_token_are_the_ledgers(world: UsageWorld, member: Browser, ann: Account) -> None:
    issued = world.issue(world.login(ann), name="laptop")
    records = [
        world.record(ann.account_id, token_id=issued["id"], model=model) for model in ("demo", "demo", "big<model>")
    ]
    world.deliver(records[:1])  # the rest metering has not got to yet
    page = member.get("/my/usage")
    prompt, completion = (sum(getattr(r, f"{kind}_tokens") for r in records) for kind in ("prompt", "completion"))
    assert f"3 requests, {prompt + completion} tokens" in page.text.replace(" ,", ",")
    assert "big<model>" in page.text and f"laptop (…{issued['hint']})" in page.text


def test_a_span_is_chosen_by_its_days(world: UsageWorld, member: Browser, ann: Account) -> None:
    world.record(ann.account_id)
    page = member.get("/my/usage?from=2020-01-01&to=2020-01-31")
    assert "0 requests" in page.text and page.form("/my/usage").fields == {"from": "2020-01-01", "to": "2020-01-31"}


@pytest.mark.parametrize(
    ("query", "field"), [("from=yesterday", "from"), ("to=2020-02-31", "to"), ("from=2020-02-01&to=2020-01-01", "to")]
)
def test_a_wrong_day_is_said_at_its_field(member: Browser, query: str, field: str) -> None:
    page = member.get("/my/usage?" + query)
    assert page.status == 422 and f"#field-{field}" in page.links


def test_the_log_pages_back_to_the_first_request(world: UsageWorld, member: Browser, ann: Account) -> None:
    now = now_ms()
    written = [world.record(ann.account_id, at_ms=now - place).request_id for place in range(45)]
    seen: list[str] = []
    page = member.get("/my/usage/log")
    for _ in range(5):
        seen += re.findall(r"<code>(req_\w+)</code>", page.html)
        older = [link for link in page.links if "cursor=" in link]
        if not older:
            break
        page = member.get(older[0])
    assert seen == written


def test_the_log_is_filtered_by_token_and_model(world: UsageWorld, member: Browser, ann: Account) -> None:
    issued = world.issue(world.login(ann))
    world.record(ann.account_id, token_id=issued["id"], model="demo")
    world.record(ann.account_id, token_id=issued["id"], model="other")
    world.record(ann.account_id, token_id="playground", model="demo")
    assert member.get("/my/usage/log").html.count("<code>req_") == 3
    filtered = member.get(f"/my/usage/log?token_id={issued['id']}&model=demo")
    assert filtered.html.count("<code>req_") == 1
    assert filtered.form("/my/usage/log").fields == {"token_id": issued["id"], "model": "demo"}
    assert "playground" in member.get("/my/usage/log?token_id=playground").text


def test_prompts_and_answers_are_shown_as_text(world: UsageWorld, member: Browser, ann: Account) -> None:
    from sluice import wiring
    from sluice.domain.contents import Exchange

    now, evil = now_ms(), '<img src=x onerror=alert(1)><a href="javascript:alert(1)">x</a>'
    record = world.record(ann.account_id)
    wiring.hot_store().put_content(
        ann.account_id, record.request_id, Exchange("Ask " + evil, "Say " + evil), now, now // 1000 + 60
    )
    page = member.get("/my/usage/log")
    assert f"Ask {evil}" in page.text and f"Say {evil}" in page.text
    assert "img" not in [tag for tag, _ in page.tags] and not [link for link in page.links if "javascript" in link]


def test_anothers_requests_are_nowhere(world: UsageWorld, member: Browser, stranger: Browser, ann: Account) -> None:
    now = now_ms()
    for place in range(21):
        world.record(ann.account_id, at_ms=now - place, model="anns-model")
    older = next(link for link in member.get("/my/usage/log").links if "cursor=" in link)
    assert stranger.get(older).status == 422
    for path in ("/my/usage", "/my/usage/log"):
        assert "anns-model" in member.get(path).text and "anns-model" not in stranger.get(path).text
