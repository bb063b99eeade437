"""API tokens by forms: issued, shown once, listed, revoked, deleted, and private."""

import re

import pytest

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.settings.checking import check
from sluice.services.operations.admin import Actor
from sluice.wiring.settings import owners_terms
from tests.integration.pages.browser import Browser, Page
from tests.integration.usage.world import UsageWorld, now_ms


def made(browser: Browser, name: str = "laptop", **fields: object) -> Page:
    return browser.submit(browser.get("/my/tokens/new"), "/my/tokens", name=name, **fields)


def token_in(page: Page) -> str:
    return re.search(r"<textarea[^>]*>([\w.-]+)</textarea>", page.html)[1]  # type: ignore[index]


def detail_path(browser: Browser) -> str:
    return next(link for link in browser.get("/my/tokens").links if link.startswith("/my/tokens/tok_"))


def test_a_new_token_is_shown_once_with_samples_that_name_this_server(member: Browser) -> None:
    shown = made(member)
    token = token_in(shown)
    assert shown.status == 200 and token.count(".") == 2
    assert "curl -s http://127.0.0.1:8080/v1/chat/completions" in shown.html
    assert 'base_url="http://127.0.0.1:8080/v1"' in shown.html
    assert shown.answer.headers["Cache-Control"] == "private, no-store"
    for path in ("/my/tokens", detail_path(member)):
        assert token not in member.get(path).html
        assert token[-6:] in member.get(path).html


@pytest.mark.parametrize("deed", ["issue", "rotate"])
def test_a_reload_makes_no_second_token_and_shows_the_first_no_more(
    member: Browser, stranger: Browser, ann: Account, deed: str
) -> None:
    from sluice.wiring import stores

    if deed == "rotate":
        made(member, "old")
        path = detail_path(member)
        sent = member.post(path + "/rotate", {**member.get(path).form(path + "/rotate").fields, "grace_seconds": "0"})
    else:
        sent = member.post("/my/tokens", {**member.get("/my/tokens/new").form("/my/tokens").fields, "name": "once"})
    place, cookie = sent.answer.headers["Location"], sent.answer.headers["Set-Cookie"]
    assert sent.status == 303 and "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Max-Age=60" in cookie
    assert f"Path={place.partition('?')[0]};" in cookie + ";", "sent to no other page"
    token = token_in(member.get(place))
    reloaded = member.get(place)
    assert token not in reloaded.html and "It was shown once." in reloaded.text
    assert len(stores.grant_store().live(ann.account_id)) == 1
    assert stranger.get(place).status == 404


def test_a_token_that_another_site_planted_is_not_shown(member: Browser) -> None:
    made(member)
    path = detail_path(member)
    member.client.set_cookie("sluice_shown_once", "planted.by.another", path=path)
    assert "planted" not in member.get(path).html


def test_the_token_on_the_page_is_the_one_that_is_live(world: UsageWorld, member: Browser, ann: Account) -> None:
    from sluice.wiring import peers, stores

    claims = peers.token_verifier().verify(
        token_in(made(member, expires_in="1h", scopes=["embeddings"])), now_ms() // 1000
    )
    assert claims.account_id == ann.account_id and claims.scopes == {"embeddings"}
    assert claims.expires_s - claims.issued_s == 3600
    assert claims.token_id in stores.grant_store().live(ann.account_id)


def test_models_are_entered_as_names_with_commas(member: Browser) -> None:
    shown = made(member, models=" demo,  other-model ,")
    assert "&#34;demo&#34;" in shown.html or '"demo"' in shown.html
    assert "demo, other-model" in member.get(detail_path(member)).text


def test_models_are_check_boxes_if_their_list_is_available(member: Browser) -> None:
    made(member, model=["demo", "no-such"], models="")
    assert "demo, no-such" in member.get(detail_path(member)).text


@pytest.mark.parametrize(
    ("count", "unit", "seconds"), [("90", "minutes", 5400), ("36", "hours", 129_600), ("2", "days", 172_800)]
)
def test_a_custom_lifetime_is_accepted(member: Browser, count: str, unit: str, seconds: int) -> None:
    from sluice.wiring import peers

    shown = made(member, expires_in="custom", custom_count=count, custom_unit=unit)
    claims = peers.token_verifier().verify(token_in(shown), now_ms() // 1000)
    assert claims.expires_s - claims.issued_s == seconds


def test_a_number_of_minutes_counts_whatever_the_list_of_lifetimes_says(member: Browser) -> None:
    from sluice.wiring import peers

    shown = made(member, expires_in="30d", custom_count="10", custom_unit="minutes")
    claims = peers.token_verifier().verify(token_in(shown), now_ms() // 1000)
    assert claims.expires_s - claims.issued_s == 600
    refused = made(member, expires_in="30d", custom_count="ten")
    assert refused.status == 422 and "#field-expires_in" in refused.links


@pytest.mark.parametrize(
    ("count", "unit"), [("", "days"), ("0", "days"), ("366", "days"), ("1.5", "hours"), ("-1", "days"), ("5", "years"),
                        ("9" * 30, "days")]
)  # fmt: skip
def test_an_invalid_lifetime_is_shown_at_its_field(member: Browser, count: str, unit: str) -> None:
    refused = made(member, expires_in="custom", custom_count=count, custom_unit=unit)
    assert refused.status == 422 and "#field-expires_in" in refused.links
    assert "Lifetime: Choose a lifetime from 1 minute to 365 days" in refused.text and "31536000" not in refused.text
    fields = refused.form("/my/tokens").fields
    assert fields["expires_in"] == "custom" and fields["custom_count"] == count


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"expires_in": "never"}, "expires_in"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes"),
        ({"models": "a b\x00"}, "models"),
    ],
)
def test_problems_are_listed_at_the_top_and_linked_to_their_fields(
    member: Browser, fields: dict[str, object], field: str
) -> None:
    refused = made(member, **fields)  # type: ignore[arg-type]
    assert refused.status == 422 and f"#field-{field}" in refused.links
    assert any(attributes.get("id") == f"field-{field}" for _, attributes in refused.tags)
    assert "Error: Create an API token" in refused.text
    assert "No API tokens yet" in member.get("/my/tokens").text


def test_a_revoked_token_is_refused_and_stays_on_the_list(member: Browser, ann: Account) -> None:
    from sluice.wiring import stores

    made(member)
    path = detail_path(member)
    after = member.submit(member.get(path), path + "/revoke")
    assert after.status == 200 and "Token revoked" in after.text and "revoked" in after.text
    assert stores.grant_store().live(ann.account_id) == {}
    assert path + "/revoke" not in [form.action for form in member.get(path).forms]


def test_a_deleted_token_is_refused_and_not_listed(member: Browser, ann: Account) -> None:
    from sluice.wiring import stores

    made(member)
    path = detail_path(member)
    after = member.submit(member.get(path), path + "/delete")
    assert "Token revoked and deleted" in after.text and "No API tokens yet" in after.text
    assert stores.grant_store().live(ann.account_id) == {}
    assert member.get(path).status == 404


def test_all_tokens_can_be_revoked_at_once(member: Browser, ann: Account) -> None:
    from sluice.wiring import stores

    made(member, "one")
    made(member, "two")
    after = member.submit(member.get("/my/tokens"), "/my/tokens/revoke-all")
    assert "All tokens revoked" in after.text
    assert stores.grant_store().live(ann.account_id) == {}


def test_the_limit_of_live_tokens_is_explained_in_the_form(member: Browser, world: UsageWorld, ann: Account) -> None:
    headers = world.login(ann)
    for _ in range(25):
        world.issue(headers)
    refused = made(member)
    assert refused.status == 409 and "as many live API tokens as it may have" in refused.text


def test_a_token_of_another_account_is_not_found(member: Browser, stranger: Browser, ann: Account) -> None:
    from sluice.wiring import stores

    made(member)
    path = detail_path(member)
    made(stranger)
    own_form = stranger.get("/my/tokens/new").form("/my/tokens").fields
    assert stranger.get(path).status == 404
    for deed in ("/revoke", "/delete"):
        assert stranger.post(path + deed, {"form_token": own_form["form_token"]}).status == 404
    assert len(stores.grant_store().live(ann.account_id)) == 1


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "{{ 7*7 }}"])
def test_markup_in_a_name_stays_text(member: Browser, name: str) -> None:
    shown = made(member, name)
    pages = [shown, member.get("/my/tokens"), member.get(detail_path(member)), member.get("/my/usage/log")]
    for page in pages:
        assert name in page.text or name in str(page.tags)
        assert [has["alt"] for tag, has in page.tags if tag == "img"] == [""], "the mark alone"
        assert not [tag for tag, has in page.tags if tag == "script" and "src" not in has]
        assert not [attributes for _, attributes in page.tags if any(key.startswith("on") for key in attributes)]


def test_a_token_without_a_name_is_asked_for_one(member: Browser) -> None:
    refused = made(member, "  ")
    assert refused.status == 422 and "Enter a name." in refused.text


def test_local_models_only_is_offered_where_an_upstream_leaves_home(member: Browser) -> None:
    assert "Local models only" not in member.get("/my/tokens/new").text
    cloud = {"name": "cloud", "kind": "openai", "url": "https://api.example.com/v1", "leaves_home": True}
    owners_terms().change(Actor(OPERATOR), 0, check({"upstreams": [cloud]}), 1)
    assert "Local models only" in member.get("/my/tokens/new").text


def test_limits_are_given_changed_and_removed_by_forms(world: UsageWorld, member: Browser, ann: Account) -> None:
    from sluice.wiring import stores

    made(member, rpm="5", monthly_usd="0.30", local_only="on")
    path = detail_path(member)
    page = member.get(path)
    assert "Local models only" in page.text
    fields = page.form(path + "/change").fields
    assert [fields[name] for name in ("rpm", "tpm", "monthly_usd")] == ["5", "", "0.300000"]
    changed = member.submit(page, path + "/change", name="desk", rpm="", tpm="700", monthly_usd="1")
    assert '<h1 class="long" dir="auto">desk</h1>' in changed.html and "Token changed" in changed.text
    (limits,) = stores.grant_store().live_with_limits(ann.account_id)[1].values()
    assert (limits.rpm, limits.tpm, limits.monthly_micro_usd) == (None, 700, 1_000_000)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"rpm": "-1"}, "rpm"),
        ({"tpm": "many"}, "tpm"),
        ({"monthly_usd": "0.0000001"}, "monthly_usd"),
        ({"name": ""}, "name"),
    ],
)
def test_a_wrong_limit_is_shown_at_its_field_with_what_was_typed(
    member: Browser, fields: dict[str, str], field: str
) -> None:
    refused = made(member, **fields)
    assert refused.status == 422 and f"#field-{field}" in refused.links
    assert field != "rpm" or "Requests a minute: must be at least 0" in refused.text
    assert refused.form("/my/tokens").fields[field] == fields[field]
    made(member)
    path = detail_path(member)
    refused = member.submit(member.get(path), path + "/change", **fields)
    assert refused.status == 422 and f"#field-{field}" in refused.links
    assert refused.form(path + "/change").fields[field] == fields[field]


def test_a_rotated_token_is_shown_once_and_the_old_one_ends(member: Browser) -> None:
    old = token_in(made(member))
    path = detail_path(member)
    shown = member.submit(member.get(path), path + "/rotate", grace_seconds="3600")
    new = token_in(shown)
    assert shown.status == 200 and new != old and new not in member.get("/my/tokens").html
    assert "Rotate token" not in member.get(path).text, "it was rotated already"
    assert "Replaces" in member.get(detail_path(member)).text
    again = member.get(detail_path(member))
    ended = member.submit(again, detail_path(member) + "/rotate", grace_seconds="0")
    assert ended.status == 200 and "2 active" in member.get("/my/tokens").text
    late = member.submit(again, again.form(path_of(again)).action, grace_seconds="0")
    assert late.status == 409 and "only an active one can be rotated" in late.text


def path_of(page: Page) -> str:
    return next(form.action for form in page.forms if form.action.endswith("/rotate"))


def test_a_grace_that_is_none_is_shown_at_its_field(member: Browser) -> None:
    made(member)
    path = detail_path(member)
    refused = member.submit(member.get(path), path + "/rotate", grace_seconds="soon")
    assert refused.status == 422 and "#field-grace_seconds" in refused.links
