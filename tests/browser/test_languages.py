"""From sign-up to a document in each language, and typing with an input method."""

from pathlib import Path

import pytest

from sluice.catalogues import catalogue
from sluice.domain.languages import LANGUAGES
from tests.browser.conftest import NewTab
from tests.browser.outbox import link
from tests.browser.stage import Stage
from tests.e2e.people import PASSWORD, mails_to, new_address

LOCALES = {"en": "en-GB", "zh-Hant": "zh-TW", "ja": "ja-JP"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_person_signs_up_and_uses_everything_in_their_language(
    language: str, new_tab: NewTab, tmp_path: Path
) -> None:
    said, address = catalogue(language).gettext, new_address()
    tab = new_tab(locale=LOCALES[language])
    tab.go("/sign-up")
    assert tab.page.locator("html").get_attribute("lang") == language
    tab.fill(email="x", password=PASSWORD).press(said("Sign up"))
    if language != "en":
        assert said("This email address is not valid.") in tab.text
    tab.fill(email=address, password=PASSWORD).press(said("Sign up"))
    assert tab.heading == said("Check your email")
    (mail,) = mails_to(tab.base_url, address, "verify_email")
    assert mail["subject"] == said("Verify your email address") and f'lang="{language}"' in mail["html"]
    tab.go(link(tab.base_url, address, "verify_email"))
    tab.press(said("Verify my address")).press(said("Log in"))
    tab.fill(email=address, password=PASSWORD).press(said("Log in"))

    tab.page.fill("#content", "What is the capital of France?")
    tab.page.keyboard.press("Enter")
    tab.page.locator("#turns > li.assistant:last-child form.again").wait_for()
    tab.check(f"{language}-chat")

    tab.go("/my/tokens/new")
    tab.fill(name="notes").press(said("Create token"))
    assert tab.heading == said("Your new API token")
    tab.check(f"{language}-token-shown")

    file = tmp_path / "harvest.md"
    file.write_text("# Harvest\n\nThe harvest begins in March.\n")
    tab.go("/my/documents")
    tab.page.set_input_files("#field-file", file)
    tab.page.get_by_text(said("ready"), exact=True).wait_for()
    tab.check(f"{language}-documents")


def test_the_switch_changes_the_page_and_stays(new_tab: NewTab) -> None:
    tab = new_tab(script=False)
    tab.go("/login")
    tab.page.get_by_role("button", name="日本語").click()
    assert tab.page.locator("html").get_attribute("lang") == "ja" and tab.path == "/login"
    tab.go("/")
    assert tab.page.locator("html").get_attribute("lang") == "ja"


def test_the_start_page_in_another_language_is_for_everybody(new_tab: NewTab) -> None:
    tab = new_tab(locale="ja-JP")
    tab.go("/")
    tab.check("ja-start")


def test_enter_that_chooses_a_word_of_an_input_method_sends_nothing(stage: Stage, new_tab: NewTab) -> None:
    person, _ = stage.person()
    tab = new_tab(person, at=stage.url, locale="ja-JP")
    tab.go("/my/chats")
    tab.page.focus("#content")
    devtools = tab.page.context.new_cdp_session(tab.page)
    devtools.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", "key": "Process", "windowsVirtualKeyCode": 229})
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    devtools.send("Input.insertText", {"text": "日本"})
    assert tab.page.locator("#content").input_value() == "日本" and not tab.page.locator("#turns > li").count()
    tab.page.keyboard.press("Enter")
    tab.page.locator("#turns > li.user .said", has_text="日本").wait_for()
