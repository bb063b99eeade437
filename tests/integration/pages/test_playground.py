"""The playground without JavaScript: chats are started, continued, edited, exported, deleted, and private."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sluice.domain.accounts.account import Account
from sluice.domain.errors import ContextLengthExceeded, InsufficientBudget, ModelUnavailable
from tests.fakes.upstream import FakeUpstream, chunk
from tests.integration.pages.browser import Browser, Page
from tests.integration.usage.world import UsageWorld

EVIL = '<img src=x onerror=alert(1)></textarea><a href="javascript:alert(1)">x</a>'


def begun(browser: Browser) -> Page:
    answered = browser.post("/my/chats", browser.get("/my/chats").form("/logout").fields)
    return browser.get(answered.answer.headers["Location"]) if answered.status == 303 else answered


def path_of(page: Page) -> str:
    return next(form.action for form in page.forms if form.action.endswith("/settings")).removesuffix("/settings")


def say(browser: Browser, page: Page, content: str) -> Page:
    """Sends a message with the form at the end of the page."""
    path = path_of(page)
    fields = {"form_token": page.forms[0].fields["form_token"], "content": content}
    answered = browser.post(path + "/messages", fields)
    if answered.status != 303:
        return answered
    assert answered.answer.headers["Location"] == path + "#newest"
    return browser.get(path)


def said(page: Page) -> list[tuple[str, str]]:
    import re
    from html import unescape

    turns = page.html.split('<ol class="turns"')[1].split("</ol>")[0]
    found = re.findall(r'<li class="turn (\w+)[^"]*">.*?<div class="said[^>]*>(.*?)</div>', turns, re.DOTALL)
    return [(role, unescape(text)) for role, text in found]


def test_a_chat_is_started_answered_and_named_by_its_first_message(member: Browser) -> None:
    page = say(member, begun(member), "Capital of\r\nFrance?")
    assert said(page) == [("user", "Capital of\nFrance?"), ("assistant", "Paris")]
    assert "10 in · 2 out" in page.text and "<title>Capital of France? – Sluice</title>" in page.html
    listed = member.get("/my/chats")
    assert "Capital of France?" in listed.text and path_of(page) in listed.links


def test_two_pages_that_begin_a_chat_at_once_begin_two(member: Browser) -> None:
    first, second = begun(member), begun(member)
    assert path_of(second) != path_of(first)


def test_the_first_message_begins_its_chat(member: Browser, upstream: FakeUpstream) -> None:
    """Nothing is stored before it."""
    new = member.get("/my/chats")
    assert "What would you like to ask?" in new.text and member.get("/my/chats").links == new.links
    fields = {**new.form("/logout").fields, "content": "Capital of France?"}
    sent_on = member.post("/my/chats", fields)
    assert (sent_on.status, sent_on.answer.headers["Location"]) == (307, "/my/chats/new/messages")
    upstream.steps, answer = (ModelUnavailable(),), upstream.steps
    assert member.post("/my/chats/new/messages", fields).status == 503
    assert member.get("/my/chats").links == new.links, "a refused message leaves no chat"
    upstream.steps = answer
    path = member.post("/my/chats/new/messages", fields).answer.headers["Location"].removesuffix("#newest")
    assert said(member.get(path)) == [("user", "Capital of France?"), ("assistant", "Paris")]


def test_a_new_chat_can_begin_with_its_settings(member: Browser) -> None:
    token = member.get("/my/chats").form("/logout").fields
    begun_with = member.post("/my/chats", {**token, "system": "Be brief.", "temperature": "0.5", "max_tokens": "900"})
    page = member.get(begun_with.answer.headers["Location"])
    assert "Default model · temperature 0.5 · max 900 tokens · system prompt" in page.text
    refused = member.post("/my/chats", {**token, "temperature": "hot"})
    assert refused.status == 422 and "Temperature: must " in refused.text


def test_a_chat_is_found_by_its_title_and_renamed_from_the_list(member: Browser, ann: Account) -> None:
    from sluice.wiring.chats import chats

    for title in ("Tea in Darjeeling", "Bread"):
        chats().create(ann.account_id, {"title": title, "system": "Be brief."}, 0)
    found = member.get("/my/chats?q=tea")
    assert "Tea in Darjeeling" in found.text and "Bread" not in found.text
    assert "No matching chats" in member.get("/my/chats?q=coffee").text
    (options,) = [link for link in found.links if link.endswith("?manage=yes")]
    managed, path = member.get(options), options.removesuffix("?manage=yes")
    token = managed.form("/logout").fields
    assert member.post(path + "/settings", {**token, "title": "Tea"}).status == 303
    chat = chats().get(ann.account_id, path.rpartition("/")[2])
    assert (chat.title, chat.system) == ("Tea", "Be brief.")
    assert member.submit(managed, path + "/delete").text.count("The chat is deleted.") == 1
    assert "Tea" not in member.get("/my/chats?q=tea").text


def test_what_a_model_thought_is_folded_above_its_answer(member: Browser, upstream: FakeUpstream) -> None:
    thoughts = [json.dumps({"choices": [{"index": 0, "delta": {"reasoning_content": it}, "finish_reason": None}]})
                for it in ("France? ", "<Paris>.")]  # fmt: skip
    upstream.steps = (*(it.encode() for it in thoughts), chunk("Paris"), chunk(None, "stop"))
    page = say(member, begun(member), "Capital of France?")
    assert said(page) == [("user", "Capital of France?"), ("assistant", "Paris")]
    assert "Thought for 0 ms France? <Paris>." in page.text
    say(member, page, "And of Spain?")
    assert "France? " not in str([message["content"] for message in upstream.calls[-1].body["messages"][1:2]])


def test_a_message_is_admitted_and_charged_like_an_api_call(world: UsageWorld, member: Browser, ann: Account) -> None:
    from sluice.wiring import stores

    say(member, begun(member), "Capital of France?")
    (record,) = stores.ledger_reader().everything(ann.account_id)
    assert (record.endpoint, record.token_id, record.total_tokens) == ("chats", "playground", 12)
    assert stores.hot_store().grant(ann.account_id).leases == {}  # type: ignore[union-attr]
    assert "playground" in member.get("/my/usage/log").text


def test_a_chats_settings_are_used_for_its_messages(member: Browser, upstream: FakeUpstream) -> None:
    page = begun(member)
    path = path_of(page)
    wanted = {"title": "Facts", "system": "Be brief.", "model": "demo", "temperature": "0.5", "max_tokens": "7"}
    page = member.submit(page, path + "/settings", **wanted)
    assert "Saved." in page.text and page.form(path + "/settings").fields.items() >= wanted.items()
    say(member, page, "Capital of France?")
    asked = upstream.calls[-1].body
    assert (asked["temperature"], asked["max_tokens"], asked["model"]) == (0.5, 7, "demo")
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    page = member.submit(page, path + "/settings", system="", temperature="", max_tokens="")
    say(member, page, "And of Spain?")
    asked = upstream.calls[-1].body
    assert "temperature" not in asked and asked["max_tokens"] == 512 and asked["messages"][0]["role"] == "user"
    assert page.form(path + "/settings").fields["title"] == "Facts"


@pytest.mark.parametrize(
    ("field", "text"),
    [("temperature", "hot"), ("temperature", "3"), ("temperature", "nan"), ("max_tokens", "0"), ("max_tokens", "1.5"),
     ("title", "x" * 201), ("system", "x" * 8001)],
)  # fmt: skip
def test_an_invalid_setting_is_shown_at_its_field_and_changes_nothing(member: Browser, field: str, text: str) -> None:
    page = begun(member)
    path = path_of(page)
    refused = member.submit(page, path + "/settings", **{field: text})
    assert refused.status == 422 and f"#field-{field}" in refused.links
    label = {
        "title": "Name",
        "system": "System prompt",
        "temperature": "Temperature",
        "max_tokens": "Max output tokens",
    }
    assert f"{label[field]}: must " in refused.text
    assert refused.form(path + "/settings").fields[field] == text
    assert member.get(path).form(path + "/settings").fields[field] != text


def replaced_by(page: Page, content: str) -> dict[str, Any]:
    """The fields of the form that edits the message with that content."""
    form = next(form for form in page.forms if "replaces" in form.fields and form.fields.get("content") == content)
    return form.fields


def beside(page: Page) -> list[Any]:
    """The forms that show another branch."""
    return [form for form in page.forms if form.action.endswith("/shown") and "shown" in form.fields]


def test_an_edited_message_is_shown_and_the_earlier_one_is_kept_beside_it(member: Browser) -> None:
    page = say(member, say(member, begun(member), "\nfirst"), "second")
    path = path_of(page)
    assert member.post(path + "/messages", {**replaced_by(page, "\nfirst"), "content": "instead"}).status == 303
    edited = member.get(path)
    assert said(edited) == [("user", "instead"), ("assistant", "Paris")]
    (earlier,) = beside(edited)
    assert member.post(path + "/shown", earlier.fields).answer.headers["Location"].startswith(path + "#turn-msg_")
    assert [content for _, content in said(member.get(path))] == ["\nfirst", "Paris", "second", "Paris"]
    assert member.post(path + "/shown", {**earlier.fields, "shown": "msg_none"}).status == 422


def test_an_answer_can_be_generated_again(member: Browser, upstream: FakeUpstream) -> None:
    page = say(member, begun(member), "Capital of France?")
    again = next(form for form in page.forms if "replaces" in form.fields and "content" not in form.fields)
    upstream.steps = (chunk("Still Paris"), chunk(None, "length"))
    member.post(path_of(page) + "/messages", again.fields)
    page = member.get(path_of(page))
    assert said(page) == [("user", "Capital of France?"), ("assistant", "Still Paris")]
    assert "Reached max tokens" in page.text
    (earlier,) = beside(page)
    member.post(path_of(page) + "/shown", earlier.fields)
    assert said(member.get(path_of(page))) == [("user", "Capital of France?"), ("assistant", "Paris")]
    gone = {**again.fields, "replaces": "msg_none"}
    assert member.post(path_of(page) + "/messages", gone).status == 422


def test_the_partial_answer_is_saved_and_marked_as_broken_off(member: Browser, upstream: FakeUpstream) -> None:
    upstream.steps = (chunk("Pa"), ModelUnavailable())
    page = say(member, begun(member), "Capital of France?")
    assert said(page) == [("user", "Capital of France?"), ("assistant", "Pa")] and "Stopped" in page.text


def test_a_refused_message_does_not_change_the_chat(member: Browser, upstream: FakeUpstream) -> None:
    page = say(member, begun(member), "first")
    upstream.steps = (ModelUnavailable(),)
    refused = say(member, page, "second")
    assert refused.status == 503 and int(refused.answer.headers["Retry-After"]) >= 1
    member.post(path_of(page) + "/messages", {**replaced_by(page, "first"), "content": "instead"})
    assert said(member.get(path_of(page))) == [("user", "first"), ("assistant", "Paris")]


def test_a_rate_limit_is_explained_with_the_wait(world: UsageWorld, member: Browser, ann: Account) -> None:
    grant = world.item("grants", account_id=ann.account_id)
    world.set_grant(ann.account_id, limits={**grant["limits"], "rpm": 1})
    page = say(member, begun(member), "one")
    refused = say(member, page, "two")
    assert refused.status == 429 and f"Wait {refused.answer.headers['Retry-After']} second" in refused.text
    assert len(said(member.get(path_of(page)))) == 2


def test_a_limit_of_0_promises_no_wait(world: UsageWorld, member: Browser, ann: Account) -> None:
    grant = world.item("grants", account_id=ann.account_id)
    world.set_grant(ann.account_id, limits={**grant["limits"], "rpm": 0})
    refused = say(member, begun(member), "one")
    assert refused.status == 429 and "Waiting won't help" in refused.text and "Wait 60" not in refused.text


def test_dollars_used_up_are_explained_with_the_wait_in_days(
    world: UsageWorld, member: Browser, upstream: FakeUpstream
) -> None:
    upstream.steps = (InsufficientBudget(200_000),)
    refused = say(member, begun(member), "one")
    assert refused.status == 402 and "Wait 3 days, then go back" in refused.text


def test_a_message_too_long_for_the_model_is_to_be_shortened(member: Browser, upstream: FakeUpstream) -> None:
    upstream.steps = (ContextLengthExceeded(),)
    refused = say(member, begun(member), "Very long")
    assert refused.status == 400 and "Go back and shorten your message" in refused.text


@pytest.mark.parametrize(
    ("prompt_tokens", "left_out", "words"),
    [(300, None, ""), (400, None, "Soon its beginning is left out"), (400, 2, "no longer sent to the model")],
)
def test_a_chat_warns_before_its_beginning_is_left_out_and_says_so_then(
    member: Browser, ann: Account, prompt_tokens: int, left_out: int | None, words: str
) -> None:
    from sluice.wiring import stores

    path = path_of(say(member, say(member, begun(member), "first"), "second"))
    chat_id = path.rpartition("/")[2]
    last = stores.chat_store().messages(ann.account_id, chat_id)[-1]
    told = {"prompt_tokens": prompt_tokens, "left_out": left_out, "context_tokens": 512}
    answer = replace(last, message_id="msg_z", **told)  # type: ignore[arg-type]
    stores.chat_store().add(ann.account_id, chat_id, answer)
    page = member.get(path)
    found = [said for said in ("Soon its beginning is left out", "no longer sent to the model") if said in page.text]
    assert found == ([words] if words else [])


def test_an_empty_message_is_refused(member: Browser) -> None:
    page = begun(member)
    assert say(member, page, "").status == 422 and said(member.get(path_of(page))) == []


def test_a_chat_is_exported_in_both_formats(member: Browser) -> None:
    page = say(member, begun(member), "Capital of France? 🇫🇷")
    path = path_of(page)
    answer = member.get(path + "/export?as=json").answer
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    whole = json.loads(answer.get_data())
    assert [message["content"] for message in whole["messages"]] == ["Capital of France? 🇫🇷", "Paris"]
    assert whole["other_messages"] == []
    answer = member.get(path + "/export?as=markdown").answer
    assert answer.mimetype == "text/markdown" and answer.headers["Content-Disposition"] == (
        'attachment; filename="Capital of France.md"; '
        "filename*=UTF-8''Capital%20of%20France%20%F0%9F%87%AB%F0%9F%87%B7.md"
    )
    text = answer.get_data(as_text=True)
    assert text.startswith("# Capital of France? 🇫🇷\n") and "## Model, " in text and "\nParis\n" in text
    assert member.get(path + "/export?as=exe").status == 422


def test_a_deleted_chat_is_gone_with_its_messages(world: UsageWorld, member: Browser, ann: Account) -> None:
    from sluice.wiring import stores

    page = say(member, begun(member), "Capital of France?")
    path = path_of(page)
    after = member.submit(member.get(path + "?manage=yes"), path + "/delete")
    assert "The chat is deleted" in after.text and path not in after.links
    assert member.get(path).status == 404
    assert stores.chat_store().messages(ann.account_id, path.rpartition("/")[2]) == []


def test_a_chat_of_another_account_is_not_found(member: Browser, stranger: Browser) -> None:
    page = say(member, begun(member), "Capital of France?")
    path = path_of(page)
    own_form = begun(stranger).forms[0].fields["form_token"]
    for address in (path, path + "/export?as=json"):
        assert stranger.get(address).status == 404
    deeds = {"/shown": {"shown": "msg_x"}, "/settings": {"title": "mine"}, "/delete": {}, "/messages": {"content": "x"}}
    for deed, fields in deeds.items():
        assert stranger.post(path + deed, {"form_token": own_form, **fields}).status == 404, deed
    asked_again = {"form_token": own_form, "replaces": replaced_by(page, "Capital of France?")["replaces"]}
    assert stranger.post(path + "/messages", asked_again).status in (404, 422)
    assert "Capital" not in stranger.get("/my/chats").text
    assert said(member.get(path)) == [("user", "Capital of France?"), ("assistant", "Paris")]


def test_markup_in_titles_prompts_messages_and_answers_stays_text(member: Browser, upstream: FakeUpstream) -> None:
    upstream.steps = (chunk(EVIL), chunk(None, "stop"))
    page = begun(member)
    path = path_of(page)
    member.submit(page, path + "/settings", title=EVIL, system=EVIL, model="demo")
    page = say(member, page, EVIL)
    assert said(page) == [("user", EVIL), ("assistant", EVIL)]
    assert page.form(path + "/settings").fields["system"] == EVIL
    for shown in (page, member.get("/my/chats")):
        assert EVIL in shown.text
        assert not [tag for tag, _ in shown.tags if tag in ("iframe", "style")]
        assert not [has for tag, has in shown.tags if tag == "img" and "/favicon.svg" not in has["src"]]
        assert not [link for link in shown.links if "javascript" in link]


def test_the_list_of_models_is_a_fragment_of_the_page(member: Browser, upstream: FakeUpstream) -> None:
    options = member.get("/my/models?models=demo")
    assert [has.get("value") for tag, has in options.tags if tag == "option"] == ["", "demo"] and not options.forms
    assert "gone-model (not there now)" in member.get("/my/models?models=gone-model").text
    assert 'type="checkbox" name="model" value="demo"' in member.get("/my/models?as=ticks").html


def test_a_fragment_without_a_session_is_401_and_not_the_login_page(browser: Browser) -> None:
    """htmx would insert the login page in the place of the fragment."""
    refused = browser.get("/my/models", **{"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8080/my/usage"})
    assert (refused.status, refused.html) == (401, "")
    assert refused.answer.headers["HX-Redirect"] == "/login?next=usage"


def test_older_chats_are_a_link_away(member: Browser, ann: Account) -> None:
    from sluice.wiring.chats import chats

    for place in range(45):
        chats().create(ann.account_id, {"title": f"Chat {place:02d}"}, place)
    first = member.get("/my/chats")
    (older,) = [link for link in first.links if "cursor=" in link]
    assert "Chat 44" in first.text and "Chat 09" not in first.text
    second = member.get(older)
    assert "Chat 09" in second.text and "Chat 44" not in second.text and "cursor=" not in " ".join(second.links)
    newest = member.get(next(link for link in first.links if "/my/chats/chat_" in link))
    assert older in newest.links  # also beside a chat
    assert member.get("/my/chats?cursor=x").status == 422


def test_one_chat_too_many_is_a_page_that_says_so(member: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.adapters.aws.counted_rows import CountedRows
    from sluice.wiring import stores

    few = CountedRows(stores.chat_store()._table, "chat#", "chats", 1, "chats")  # type: ignore[attr-defined]
    monkeypatch.setattr(stores.chat_store(), "_chats", few)
    say(member, begun(member), "Capital of France?")
    refused = begun(member)
    assert refused.status == 409 and "the most it may have" in refused.text
