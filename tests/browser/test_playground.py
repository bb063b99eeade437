"""The playground by clicking: streamed, stopped, repeated, edited, broken and refused answers; hostile content."""

import re
import threading
from typing import Any

import pytest

from tests.browser.conftest import Newcomer, NewTab
from tests.browser.stage import Model, Stage
from tests.browser.tab import Tab

EVIL = (
    "<img src=x onerror=alert(1)> ![p](http://evil.example/p.png) [a](javascript:alert(1)) [b](data:text/html,x) "
    "[c](/logout) <javascript:alert(1)> <script>alert(1)</script> [good](https://example.com/) "
    '<a href="x" hx-get="/logout" data-hx-trigger="load">d</a>\n\n# Big\n\n| a | b |\n| - | - |\n| 1 | **2** |\n'
)


@pytest.fixture
def model(stage: Stage) -> Model:
    stage.model.says("The capital of ", "France is ", "Paris.")
    stage.model.asked.clear()
    return stage.model


@pytest.fixture
def chat(stage: Stage, model: Model, new_tab: NewTab) -> Tab:
    """A new chat of a new person."""
    person, _ = stage.person()
    tab = new_tab(person, at=stage.url)
    tab.go("/my/chats")
    return tab.press("New chat")


def send(tab: Tab, words: str) -> None:
    tab.page.fill("#content", words)
    tab.page.keyboard.press("Enter")


def state(tab: Tab, words: str) -> None:
    """Wait for this state of the page."""
    tab.page.locator("#state", has_text=words).wait_for()


def said(tab: Tab) -> list[tuple[str, str]]:
    turns = tab.page.locator("#turns > li:visible")
    return [
        ("you" if "user" in (turn.get_attribute("class") or "") else "model", turn.locator(".said").inner_text())
        for turn in turns.all()
    ]


def settled(tab: Tab) -> None:
    """The answer is there, and the page has the server's own copy of it."""
    tab.page.locator("#turns > li.assistant:last-child form.again").wait_for()


def answered(tab: Tab, words: str) -> None:
    tab.page.locator(".turn.assistant .said", has_text=words).wait_for()
    settled(tab)


PARIS = ("model", "The capital of France is Paris.")


def test_an_answer_appears_in_pieces_while_the_send_button_is_disabled(chat: Tab, model: Model) -> None:
    go_on, end = threading.Event(), threading.Event()
    model.says("**The** capital ", go_on, "of France ", end, "is Paris.")
    send(chat, "Capital of France?")
    answer = chat.page.locator(".turn.assistant .said")
    chat.page.get_by_text("The capital", exact=True).wait_for()
    assert chat.page.locator("#send").is_disabled() and chat.page.locator("#stop").is_visible()
    assert answer.locator("strong").inner_text() == "The"
    send(chat, "At once!")  # the button is disabled, so nothing happens
    go_on.set()
    chat.page.get_by_text("The capital of France", exact=True).wait_for()
    end.set()
    settled(chat)
    assert said(chat) == [("you", "Capital of France?"), PARIS] and len(model.asked) == 1
    assert chat.page.locator("#send").is_enabled() and chat.page.locator("#stop").is_hidden()
    assert re.search(r"12 in · 3 out\s+\d", chat.page.locator(".amounts:visible").inner_text())
    assert chat.heading == "Capital of France?" and "Capital of France?" in chat.page.title()


def test_stop_ends_the_answer_and_the_partial_answer_is_saved(chat: Tab, model: Model) -> None:
    model.says("The capital ", threading.Event(), "never said")
    send(chat, "Capital of France?")
    chat.page.get_by_text("The capital", exact=True).wait_for()
    chat.page.click("#stop")
    state(chat, "Stopped. The partial answer was saved.")
    settled(chat)
    assert said(chat) == [("you", "Capital of France?"), ("model", "The capital")]
    chat.page.reload()
    assert said(chat) == [("you", "Capital of France?"), ("model", "The capital")]
    assert "Stopped" in chat.page.locator(".amounts:visible").inner_text()


def test_an_answer_can_be_repeated_and_a_message_edited(chat: Tab, model: Model) -> None:
    send(chat, "Capital of France?")
    settled(chat)
    model.says("Still Paris.")
    chat.page.get_by_role("button", name="Answer again").click()
    answered(chat, "Still Paris.")
    assert said(chat) == [("you", "Capital of France?"), ("model", "Still Paris.")]
    assert chat.page.evaluate("() => document.activeElement.id") == "content"  # the pressed button no longer exists
    send(chat, "And of Spain?")
    chat.page.locator("#turns > li").nth(3).locator("form.again").wait_for()
    model.says("Rome.")
    chat.page.locator(".edit summary").first.click()
    chat.page.locator(".edit textarea").first.fill("Capital of Italy?")
    chat.page.click("text=Send edit")
    answered(chat, "Rome.")
    assert said(chat) == [("you", "Capital of Italy?"), ("model", "Rome.")]
    chat.page.reload()
    assert said(chat) == [("you", "Capital of Italy?"), ("model", "Rome.")]
    assert [message["content"] for message in model.asked[-1]["messages"]] == ["Capital of Italy?"]


@pytest.mark.parametrize("end", ["break", "error"])
def test_after_an_error_of_the_model_the_partial_answer_is_saved_and_marked(chat: Tab, model: Model, end: str) -> None:
    model.says("The capital ", end=end)
    send(chat, "Capital of France?")
    trouble = chat.page.locator("#trouble", has_text="The partial answer was saved.")
    trouble.wait_for()
    settled(chat)
    assert said(chat) == [("you", "Capital of France?"), ("model", "The capital")]
    assert re.fullmatch(r"[^.]+\. The partial answer was saved\.", trouble.inner_text())
    assert chat.page.locator("#send").is_enabled()
    assert "Interrupted" in chat.page.locator(".amounts:visible").inner_text()


def test_after_a_lost_connection_nothing_is_promised_that_is_not_stored(chat: Tab, model: Model, stage: Stage) -> None:
    """Between browser and server, in the middle of the answer, of which the server has nothing."""
    body = b'data: {"choices":[{"delta":{"content":"The capital "}}]}\n\n'
    chat.page.route("**/messages", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    send(chat, "Capital of France?")
    chat.page.locator("#trouble", has_text="The connection was lost. Copy what you need").wait_for()
    assert said(chat) == [("you", "Capital of France?"), ("model", "The capital")]
    chat.page.unroute("**/messages")
    refusal = {"status": 429, "json": {"detail": "Too much."}}
    chat.page.route("**/messages", lambda route: route.fulfill(**refusal))  # type: ignore[arg-type]
    send(chat, "And of Spain?")
    chat.page.locator("#trouble", has_text="Too much.").wait_for()
    assert chat.page.locator("#nothing-yet").is_hidden()


def test_if_the_server_is_unreachable_the_message_stays_in_the_box(chat: Tab, model: Model) -> None:
    chat.expects("ERR_FAILED")
    chat.page.route("**/messages", lambda route: route.abort())
    send(chat, "Capital of France?")
    chat.page.locator("#trouble", has_text="cannot be reached").wait_for()
    assert said(chat) == [] and chat.page.input_value("#content") == "Capital of France?"
    chat.page.unroute("**/messages")
    chat.page.click("#send")
    settled(chat)
    assert said(chat) == [("you", "Capital of France?"), PARIS] and chat.page.locator("#trouble").inner_text() == ""


@pytest.mark.parametrize(
    ("status", "seconds", "words"),
    [(429, 60, r"\d\d seconds"), (503, 119, r"\d+ seconds"), (429, 200_000, "3 days")],  # a slow test is still in time
)
def test_a_refusal_is_explained_with_the_wait(chat: Tab, status: int, seconds: int, words: str) -> None:
    refusal = {"status": status, "headers": {"Retry-After": str(seconds)}, "json": {"detail": "Too much."}}
    chat.page.route("**/messages", lambda route: route.fulfill(**refusal))  # type: ignore[arg-type]
    send(chat, "Capital of France?")
    chat.page.locator("#trouble", has_text=re.compile(rf"^Too much\. You can send again in {words}\.$")).wait_for()
    assert chat.page.input_value("#content") == "Capital of France?" and said(chat) == []
    assert chat.page.locator("#send").is_disabled() == (seconds <= 120)


def test_a_message_too_long_for_the_model_is_to_be_shortened(chat: Tab, model: Model) -> None:
    refusal = {"status": 400, "json": {"code": "context_length_exceeded", "detail": "512 tokens at most."}}
    refuse = lambda route: route.fulfill(**refusal)  # noqa: E731
    chat.page.route("**/messages", refuse)
    trouble = chat.page.locator("#trouble")
    send(chat, "One very long message")
    trouble.get_by_text(
        "Your message is too long for the model. Shorten it, or send a part of it.", exact=True
    ).wait_for()
    assert chat.page.input_value("#content") == "One very long message"


def test_a_limit_of_0_promises_no_wait(chat: Tab, model: Model, stage: Stage) -> None:
    send(chat, "one")
    settled(chat)
    (account_id,) = {chat.page.evaluate("() => fetch('/account').then((it) => it.json()).then((it) => it.id)")}
    grant = stage.world.item("grants", account_id=account_id)
    stage.world.set_grant(account_id, limits={**grant["limits"], "rpm": 0})
    send(chat, "two")
    chat.page.locator("#trouble", has_text="Waiting won't help: ask the operator").wait_for()
    assert "again in" not in chat.page.locator("#trouble").inner_text() and chat.page.locator("#send").is_enabled()
    assert [role for role, _ in said(chat)] == ["you", "model"]


def test_after_the_session_ended_a_link_leads_to_the_login_and_the_message_stays(chat: Tab) -> None:
    chat.page.locator("#field-model option", has_text="demo").last.wait_for(
        state="attached"
    )  # no request is still running
    chat.page.context.clear_cookies()
    send(chat, "Capital of France?")
    chat.page.locator("#trouble a", has_text="Log in again").wait_for()
    assert chat.page.input_value("#content") == "Capital of France?"


def test_a_hostile_answer_runs_no_script_loads_nothing_and_has_no_harmful_link(chat: Tab, model: Model) -> None:
    """Both streamed and as the page shows it after a reload."""
    chat.page.on("dialog", lambda dialog: chat.complaints.append(f"a dialog: {dialog.message}"))
    model.says(*[EVIL[place : place + 7] for place in range(0, len(EVIL), 7)])
    send(chat, EVIL)
    settled(chat)
    for _ in range(2):
        answer = chat.page.locator(".turn.assistant .said")
        assert answer.locator("img, script, iframe, form, input").count() == 0
        assert chat.page.locator(".turn img").count() == 0
        links = {link.get_attribute("href"): link for link in answer.locator("a").all()}
        assert set(links) == {"http://evil.example/p.png", "https://example.com/"}  # the image is shown as a link only
        assert "noopener" in (links["https://example.com/"].get_attribute("rel") or "")
        attributes = "(all) => all.flatMap((it) => it.getAttributeNames())"
        seen: list[Any] = answer.locator("*").evaluate_all(attributes)
        assert set(seen) <= {"href", "rel", "target", "tabindex"}
        assert answer.locator("h1, h2").count() == 0 and answer.locator("h3").inner_text() == "Big"
        assert answer.locator("td strong").inner_text() == "2"
        assert "<img src=x onerror=alert(1)>" in answer.inner_text()
        assert EVIL.strip() in chat.page.locator(".turn.user .said").inner_text()
        chat.page.reload()


def test_settings_are_saved_by_their_form_and_models_come_from_the_server(chat: Tab, model: Model) -> None:
    """Of a chat that is not stored yet, and of one that is; what is in the box stays there."""
    chat.page.fill("#content", "Capital of France?")
    chat.page.click("#chosen")
    chat.page.locator("#field-model option", has_text="demo").last.wait_for(state="attached")
    chat.page.fill("#field-system", "Be brief.")
    chat.page.select_option("#field-model", "demo")
    chat.page.get_by_role("button", name="Save").click()
    chosen = chat.page.locator("#chosen .words")
    chosen.get_by_text("demo · system prompt", exact=True).wait_for()
    chat.page.click("#chosen")
    chat.page.fill("#field-title", "Facts")
    chat.page.fill("#field-temperature", "0.5")
    chat.page.fill("#field-max_tokens", "9")
    chat.page.get_by_role("button", name="Save").click()
    chosen.get_by_text("demo · temperature 0.5 · max 9 tokens · system prompt", exact=True).wait_for()
    assert chat.heading == "Facts" and chat.page.input_value("#content") == "Capital of France?"
    chat.page.focus("#content")
    chat.page.keyboard.press("Enter")
    settled(chat)
    asked = model.asked[-1]
    assert (asked["temperature"], asked["max_tokens"], asked["messages"][0]["content"]) == (0.5, 9, "Be brief.")


def test_without_script_a_chat_works_by_forms(stage: Stage, model: Model, new_tab: NewTab) -> None:
    person, _ = stage.person()
    tab = new_tab(person, script=False, at=stage.url)
    tab.go("/my/chats")
    tab.press("New chat")
    tab.fill(content="Capital of France?")
    tab.press("Send")  # begins the chat and sends the message on to it
    assert said(tab) == [("you", "Capital of France?"), PARIS] and tab.path.endswith("#newest")
    model.says("Still Paris.")
    tab.press("Answer again")
    assert said(tab) == [("you", "Capital of France?"), ("model", "Still Paris.")]
    assert tab.page.locator("#stop").is_hidden()
    tab.shoot("chat-without-script")


def test_the_demo_model_answers_in_the_running_system(newcomer: Newcomer, new_tab: NewTab) -> None:
    """The whole system of `make up`: pages, gateway, engine, ledger."""
    tab = new_tab(newcomer())
    tab.go("/my/chats")
    tab.press("New chat")
    send(tab, "What is the capital of France?")
    answered(tab, "Paris")
    tab.go("/my/usage/log")
    tab.page.locator(".log summary", has_text="demo").first.click()
    assert all(word in tab.text for word in ("chats, streamed", "playground", "stop"))


def test_older_chats_are_a_click_away(stage: Stage, model: Model, new_tab: NewTab) -> None:
    from sluice.wiring.chats import chats

    person, account_id = stage.person()
    for place in range(45):
        chats().create(account_id, {"title": f"Chat {place:02d}"}, place)
    tab = new_tab(person, at=stage.url)
    tab.go("/my/chats")
    tab.page.get_by_role("link", name="Older chats").click()
    tab.page.get_by_role("link", name="Chat 09", exact=True).wait_for()
    assert "Chat 44" not in tab.text
    tab.check("chats-older")
    tab.page.get_by_role("link", name="Chat 09", exact=True).click()
    tab.page.locator("#chats").get_by_role("link", name="Older chats").click()
    assert "Chat 09" in tab.text


def options(tab: Tab, title: str) -> None:
    """Open the menu of this chat of the list."""
    row = tab.page.locator("#chat-list li", has_text=title)
    row.hover()
    row.locator(".more").click()
    tab.page.locator("#chat-menu [name=title]").wait_for()


def test_two_people_never_see_each_others_chats(chat: Tab, stage: Stage, new_tab: NewTab) -> None:
    send(chat, "My secret plan")
    settled(chat)
    other, _ = stage.person()
    tab = new_tab(other, at=stage.url)
    assert tab.go(chat.path) == 404 and "secret" not in tab.text
    tab.go("/my/chats")
    assert "secret" not in tab.text
    theirs = chat.path.rpartition("/")[2]
    tried = tab.page.evaluate(
        """(id) => Promise.all([
             fetch(`/chats/${id}`),
             fetch(`/chats/${id}`, {method: "DELETE"}),
             fetch(`/chats/${id}/messages`, {method: "POST", body: '{"content": "x"}',
                    headers: {"Content-Type": "application/json"}}),
           ]).then((answers) => answers.map((it) => it.status))""",
        theirs,
    )
    assert tried == [404, 404, 404]
    chat.page.reload()
    assert said(chat)[0] == ("you", "My secret plan")


def test_chats_are_listed_found_and_deleted(chat: Tab) -> None:
    send(chat, "The first one")
    settled(chat)
    chat.press("New chat")
    send(chat, "The second one")
    settled(chat)
    chat.press("The first one")
    assert chat.heading == "The first one" and said(chat)[0] == ("you", "The first one")
    options(chat, "The first one")
    with chat.page.expect_download() as download:
        chat.page.click("text=as Markdown")
    assert "Paris." in download.value.path().read_text()
    chat.page.fill("#chat-menu [name=title]", "The oldest")
    chat.page.get_by_role("button", name="Rename").click()
    chat.page.locator("h1", has_text="The oldest").wait_for()
    options(chat, "The second one")
    chat.page.click("text=Delete…")
    with chat.timers_wait():
        chat.page.get_by_role("button", name="Delete chat").click()
        chat.page.locator("#toast", has_text="Chat deleted").wait_for()
    assert [it.inner_text() for it in chat.page.locator(".chat-link").all()] == ["The oldest"]
    chat.page.locator(".chat-head .more").click()
    chat.page.click("text=Delete…")
    chat.press("Delete chat")
    assert "The chat is deleted" in chat.text and "The oldest" not in chat.text and chat.heading == "New chat"


def test_the_list_is_searched_while_one_types(stage: Stage, model: Model, new_tab: NewTab) -> None:
    from sluice.wiring.chats import chats

    person, account_id = stage.person()
    for title in ("Tea in Darjeeling", "Bread", "Green tea"):
        chats().create(account_id, {"title": title}, 0)
    tab = new_tab(person, at=stage.url)
    tab.go("/my/chats")
    tab.page.get_by_role("searchbox", name="Search chats").press_sequentially("tea")
    tab.page.locator("#chat-list", has_not_text="Bread").wait_for()
    assert sorted(it.inner_text() for it in tab.page.locator(".chat-link").all()) == ["Green tea", "Tea in Darjeeling"]
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/my/chats?q=tea")
    tab.check("chats-found")


def test_the_playground_is_accessible_in_both_widths_and_colour_schemes(chat: Tab, model: Model) -> None:
    model.says(
        "An **API** is an agreement between two programs:\n\n",
        "1. one sends a request in a fixed form,\n2. the other sends back an answer.\n\n",
        "```python\nanswer = ask('What_is_the_capital_of_France_and_of_every_other_country_there_is?')\n```",
    )
    send(chat, "What is an API?")
    settled(chat)
    model.says("Paris is the capital of France.")
    send(chat, "And the capital of France?")
    chat.page.locator("#turns > li").nth(3).locator("form.again").wait_for()
    chat.check("playground")
    chat.page.click("#chosen")
    chat.check("playground-settings")
    chat.page.keyboard.press("Escape")
    chat.page.locator(".edit summary").first.click()
    chat.page.locator(".chat-head .more").click()
    chat.page.click("text=Delete…")
    chat.check("playground-open")
    chat.page.keyboard.press("Escape")
    chat.page.set_viewport_size({"width": 360, "height": 740})
    chat.page.get_by_role("button", name="Your chats").click()
    chat.check("playground-chats")
    chat.go("/my/chats")
    chat.check("chats")
