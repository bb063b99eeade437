"""The twelve pictures of the documentation: a real system, its demo model, and people who use them.

Only the mathematics and the code are a scripted model's, because the demo model knows neither. To renew them:
`make test-browser PYTEST_ARGS="-k pictures"`, then `python -m tests.browser.pictures`.
"""

from pathlib import Path

from tests.browser.conftest import Newcomer, NewTab
from tests.browser.stage import Model, Stage
from tests.browser.tab import Tab
from tests.browser.test_playground import model, send, settled  # noqa: F401 (fixtures)
from tests.e2e.people import Person, ask
from tests.e2e.system import System

QUESTIONS = ("What is an API?", "What is the capital of France?")
ANSWER = (
    "The sum of the first $n$ odd numbers is a square:\n\n$$\\sum_{k=1}^{n} (2k - 1) = n^2$$\n\n",
    "```python\ndef odd_sum(n: int) -> int:\n    return sum(2 * k - 1 for k in range(1, n + 1))\n\n\n",
    "assert odd_sum(10) == 10**2  # 100\n```\n",
)


def frame(tab: Tab, name: str, *, dark: bool = False, phone: bool = False) -> None:
    """A picture of a window of that size."""
    tab.page.set_viewport_size({"width": 390, "height": 760} if phone else {"width": 1280, "height": 800})
    tab.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
    tab.page.wait_for_timeout(300)  # a plot is drawn again in other colours
    file = tab.shoot(f"readme-{name}", whole=False)
    assert file.stat().st_size < 200_000


def test_pictures_of_chat_and_documents(newcomer: Newcomer, new_tab: NewTab, tmp_path: Path) -> None:
    tab = new_tab(newcomer())
    tab.go("/")
    frame(tab, "start")
    tab.go("/my/chats")
    for question in QUESTIONS:
        send(tab, question)
        settled(tab)
    frame(tab, "playground")
    frame(tab, "playground-phone", dark=True, phone=True)
    files = [tmp_path / name for name in ("harvest.md", "tea.txt")]
    for file in files:
        file.write_text("The harvest of the tea begins in March, on the hills of Darjeeling.\n")
    tab.go("/my/documents")
    tab.page.set_input_files("#field-file", files)
    tab.page.locator(".status", has_text="ready").nth(1).wait_for(timeout=60_000)
    frame(tab, "documents")
    tab.go("/docs#gateway_chat_completions")
    frame(tab, "api")


def test_pictures_of_tokens_usage_and_the_admins_view(
    newcomer: Newcomer, new_tab: NewTab, admin: Person, system: System
) -> None:
    ann = newcomer()
    tab = new_tab(ann)
    ann.mint(name="laptop", expires_in="7d")
    ann.mint(name="nightly report", expires_in="1y", scopes=["inference"])
    tab.go("/my/tokens")
    frame(tab, "tokens")
    frame(tab, "tokens-phone", dark=True, phone=True)
    for number in range(12):
        assert ask(ann, f"What is {number} + {number % 5}?").status_code == 200
    texts = {"model": "all-minilm-l6-v2", "input": ["one text", "and another"]}
    for _ in range(5):
        assert ann.v1("POST", "/v1/embeddings", json=texts).status_code == 200
    tab.go("/my/usage?split=model")
    tab.page.locator(".plots canvas").nth(2).wait_for()
    frame(tab, "usage", dark=True)
    tab.go("/my/usage/log")
    tab.page.locator(".log summary").nth(1).click()
    frame(tab, "log")
    office = new_tab(admin)
    for name, path in (("admin", "/manage"), ("users", "/manage/users")):
        office.go(path)
        frame(office, name)


def test_picture_of_mathematics_and_code(stage: Stage, model: Model, new_tab: NewTab) -> None:  # noqa: F811
    person, _ = stage.person()
    tab = new_tab(person, at=stage.url)
    model.says(*ANSWER)
    tab.go("/my/chats")
    send(tab, "What is the sum of the first odd numbers? Show it in Python, too.")
    settled(tab)
    tab.page.locator(".said math").first.wait_for()
    frame(tab, "answers")
