"""The README's four pictures: a real system, its demo model, and a person who uses them.

To renew them: `make test-browser PYTEST_ARGS="-k pictures"`, then `python -m tests.browser.pictures`.
"""

from tests.browser.conftest import Newcomer, NewTab
from tests.browser.tab import Tab
from tests.e2e.people import Person, ask
from tests.e2e.system import System

QUESTIONS = ("What is an API?", "What is the capital of France?")


def frame(tab: Tab, name: str, *, dark: bool, phone: bool = False) -> None:
    """A picture of a window of that size."""
    tab.page.set_viewport_size({"width": 390, "height": 760} if phone else {"width": 1080, "height": 700})
    tab.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
    tab.page.wait_for_timeout(300)  # a plot is drawn again in other colours
    file = tab.shoot(f"readme-{name}", whole=False)
    assert file.stat().st_size < 200_000


def test_pictures_of_the_playground_tokens_usage_and_the_admins_view(
    newcomer: Newcomer, new_tab: NewTab, admin: Person, system: System
) -> None:
    ann = newcomer()
    tab = new_tab(ann)
    tab.go("/my/chats")
    tab.press("New chat")
    for number, question in enumerate(QUESTIONS, 1):
        tab.page.fill("#content", question)
        tab.page.keyboard.press("Enter")
        tab.page.locator("#turns > li.assistant").nth(number - 1).wait_for()
        tab.page.locator("#turns > li.assistant:last-child form.again").wait_for()
    frame(tab, "playground", dark=False)

    ann.mint(name="laptop", expires_in="7d")
    ann.mint(name="nightly report", expires_in="1y", scopes=["inference"])
    tab.go("/my/tokens")
    frame(tab, "tokens-phone", dark=True, phone=True)

    for number in range(12):
        assert ask(ann, f"What is {number} + {number % 5}?").status_code == 200
    texts = {"model": "all-minilm-l6-v2", "input": ["one text", "and another"]}
    for _ in range(5):
        assert ann.v1("POST", "/v1/embeddings", json=texts).status_code == 200
    tab.go("/my/usage?split=model")
    tab.page.locator(".plots canvas").nth(2).wait_for()
    tab.page.locator("#used").evaluate("it => it.scrollIntoView()")
    frame(tab, "usage", dark=True)

    office = new_tab(admin)
    office.go("/manage/audit")
    office.go(f"/manage/users/{ann.call('GET', '/account').json()['id']}")
    frame(office, "admin", dark=False)
