"""The account pages: profile, password, sessions, deletion."""

import pytest

from sluice.domain.accounts.account import Account
from tests.integration.accounts.world import PASSWORD
from tests.integration.pages.browser import Browser
from tests.integration.pages.test_mailed import account_now
from tests.integration.usage.world import UsageWorld

NEW = "a whole new passphrase"


def test_the_profile_is_shown_and_changed(member: Browser, ann: Account) -> None:
    page = member.get("/my/account")
    assert "ann@example.com" in page.text
    assert page.form("/my/account/profile").fields["name"] == "Ann"
    after = member.submit(page, "/my/account/profile", name="Ann <i>B</i>", store_content=[])
    assert "Saved" in after.text and "i" not in [tag for tag, _ in after.tags]
    assert (account_now(ann).name, account_now(ann).store_content) == ("Ann <i>B</i>", False)
    assert after.form("/my/account/profile").fields["store_content"] == []


def test_mails_are_chosen_and_a_form_of_before_changes_none(member: Browser, ann: Account) -> None:
    page = member.get("/my/account")
    assert page.form("/my/account/profile").fields["mails"] == ["quota.reached", "token.expiring"]
    member.submit(page, "/my/account/profile", mails=["batch.completed"])
    assert account_now(ann).mails == "batch.completed"
    page.form("/my/account/profile").fields.pop("chooses_mails")
    member.submit(page, "/my/account/profile", mails=[])
    assert account_now(ann).mails == "batch.completed"
    assert member.submit(member.get("/my/account"), "/my/account/profile", mails=["no.such"]).status == 422
    member.submit(member.get("/my/account"), "/my/account/profile", mails=[])
    assert account_now(ann).mails == ""


def test_a_name_that_is_too_long_is_refused_and_kept_in_the_form(member: Browser, ann: Account) -> None:
    refused = member.submit(member.get("/my/account"), "/my/account/profile", name="x" * 101)
    assert refused.status == 422 and "#field-name" in refused.links
    assert refused.form("/my/account/profile").fields["name"] == "x" * 101 and account_now(ann).name == "Ann"


def test_a_new_password_ends_other_sessions_and_invalidates_old_forms(
    world: UsageWorld, member: Browser, ann: Account
) -> None:
    other = Browser(world.app.test_client())
    other.log_in(ann.email, PASSWORD)
    after = member.submit(
        member.get("/my/account"), "/my/account/password", current_password=PASSWORD, new_password=NEW
    )
    assert after.status == 200 and "Your password is changed" in after.text
    assert other.get("/my/account").status == 303
    assert other.log_in(ann.email, NEW).status == 200


@pytest.mark.parametrize(
    ("current", "new", "status", "field"),
    [("wrong wrong wrong", NEW, 401, "current_password"), (PASSWORD, "short", 422, "new_password")],
)
def test_a_refused_password_changes_nothing(
    member: Browser, ann: Account, current: str, new: str, status: int, field: str
) -> None:
    page = member.get("/my/account")
    refused = member.submit(page, "/my/account/password", current_password=current, new_password=new)
    assert refused.status == status and f"#field-{field}" in refused.links
    assert current not in refused.html and new not in refused.html
    assert account_now(ann).password_hash == ann.password_hash


def test_another_session_of_the_account_can_be_ended(world: UsageWorld, member: Browser, ann: Account) -> None:
    other = Browser(world.app.test_client())
    other.log_in(ann.email, PASSWORD)
    own_id = member.session_cookie().partition(".")[0]
    page = member.get("/my/account")
    actions = [form.action for form in page.forms if form.action.endswith("/end")]
    assert len(actions) == 2 and "this device" in page.text
    after = member.submit(page, next(action for action in actions if own_id not in action))
    assert "The device is logged out" in after.text
    assert other.get("/my/account").status == 303


def test_ending_this_session_is_a_logout(member: Browser) -> None:
    own_id = member.session_cookie().partition(".")[0]
    after = member.submit(member.get("/my/account"), f"/my/account/sessions/{own_id}/end")
    assert "that was this session" in after.text and member.session_cookie() == ""


def test_a_session_of_another_account_is_not_found(member: Browser, stranger: Browser) -> None:
    theirs = stranger.session_cookie().partition(".")[0]
    form_token = member.get("/my/account").form("/my/account/profile").fields["form_token"]
    assert member.post(f"/my/account/sessions/{theirs}/end", {"form_token": form_token}).status == 404
    assert stranger.get("/my/account").status == 200


def test_markup_in_a_browsers_name_stays_text(world: UsageWorld, ann: Account) -> None:
    browser = Browser(world.app.test_client())
    browser.client.environ_base["HTTP_USER_AGENT"] = "<img src=x onerror=alert(1)>"
    browser.log_in(ann.email, PASSWORD)
    page = browser.get("/my/account")
    assert "<img src=x onerror=alert(1)>" in page.text and "x" not in [has.get("src") for _, has in page.tags]


def test_a_change_of_address_needs_the_password(member: Browser, ann: Account) -> None:
    page = member.get("/my/account")
    refused = member.submit(page, "/my/account/email", new_email="ann2@example.com", password="wrong wrong wrong")
    assert refused.status == 401 and "#field-password" in refused.links
    assert refused.form("/my/account/email").fields["new_email"] == "ann2@example.com"
    assert "change_email" not in account_now(ann).codes


def test_deleting_an_account_needs_its_password(member: Browser, browser: Browser, ann: Account) -> None:
    page = member.get("/my/account/delete")
    assert member.submit(page, "/my/account/delete", password="wrong wrong wrong").status == 401
    assert member.get("/my/account").status == 200
    after = member.submit(page, "/my/account/delete", password=PASSWORD)
    assert "Your account is deleted" in after.text and member.session_cookie() == ""
    assert browser.log_in(ann.email, PASSWORD).status == 401
