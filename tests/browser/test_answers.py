"""What a model writes, as the playground shows it: mathematics, code, and attacks by either."""

import re
import threading

import pytest
from playwright.sync_api import CDPSession

from tests.browser.conftest import NewTab
from tests.browser.stage import Stage
from tests.browser.tab import Tab
from tests.browser.test_playground import send, settled
from tests.slowness import within

MATHS = r"""The roots of $ax^2 + bx + c = 0$ are \(x_{1,2}\), for $a \ne 0$:

$$
x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}
- 0
$$

\[
\begin{align*} f(x) &= \begin{cases} 1 & x \in \mathbb{R} \\
0 & \text{otherwise} \end{cases} \\ &= \mathbf{v} \end{align*}
\]

1. In a list: $$\int_0^\infty e^{-t}\,dt = 1$$
2. $\boxed{x = 1}$

> $$
> y = 1
> - 2
> $$

It costs $5 and $6, or US$7 and 8$, $HOME/$USER is a path, `$a$` is code, and this has no end: $x + y.
"""
CODE = '''Install it first:

```bash
pip install openai  # once
```

```python
from dataclasses import dataclass

@dataclass
class Point:
    """A point."""
    x: float = 0.5

def distance(a: Point, b: Point) -> float:
    return abs(a.x - b.x)  # <b>not bold</b>
```

```json
{"model": "demo", "stream": true, "n": 1}
```

```
no language
```

```brainfuck
+++
```
'''
BOMBS = {
    "braces": "$" + "{" * 10_000 + "}" * 10_000 + "$",
    "fractions": "$$" + r"\frac1{" * 120 + "x" + "}" * 120 + "$$",
    "definitions": "\n\n".join(r"$\def\a{" + f"{place}" + "x" * 800 + r"}" + r"\a" * 60 + "$" for place in range(20)),
    "loop": r"$\def\a{\a\a}\a$",
    "tables": "$$" + r"\begin{matrix}" * 30 + "x" + r"\end{matrix}" * 30 + "$$",
    "no end": "$x " * 4_000 + r"\(" * 4_000,
    "code": "```python\n" + "'''" * 3_000 + "(" * 9_000 + "\n```",
}
EVIL = r"""$\href{javascript:alert(1)}{x}$ $\htmlStyle{position:fixed}{y}$ $\includegraphics{http://evil.example/x.png}$
$\url{javascript:alert(1)}$ $\class{active}{z}$ $\text{<img src=x onerror=alert(1)>}$ $</math><script>alert(1)</script>$
$\fcolorbox{red}{blue}{q}\color{white}w$ $\kern-999em{ghost}\raisebox{999em}{up}\rule{9999em}{9999em}$

```html"onmouseover="alert(1)
<img src=x onerror=alert(1)><style>*{display:none}</style>
```
"""


@pytest.fixture
def chat(stage: Stage, new_tab: NewTab) -> Tab:
    person, _ = stage.person()
    tab = new_tab(person, at=stage.url)
    tab.go("/my/chats")
    return tab.press("New chat")


def ask(chat: Tab, stage: Stage, *pieces: str | threading.Event) -> None:
    stage.model.says(*pieces)
    send(chat, "Go on.")


def test_formulas_are_mathematics_and_prices_stay_text(chat: Tab, stage: Stage) -> None:
    ask(chat, stage, MATHS)
    settled(chat)
    said = chat.page.locator(".turn.assistant .said")
    said.locator("math").first.wait_for()
    assert said.locator("math").count() == 8 and said.locator("math[display=block]").count() == 4
    assert (
        said.locator("mfrac").count() == 1
        and said.locator("msqrt").count() == 1
        and "ℝ" in said.inner_text()
        and "𝐯" in said.inner_text()
    )
    assert said.locator("annotation, semantics + *").count() == 0 and said.locator("ul").count() == 0
    last = said.locator("p").last
    assert last.inner_text().startswith("It costs $5 and $6, or US$7 and 8$, $HOME/$USER is a path, $a$ is code, and")
    assert last.inner_text().endswith("and this has no end: $x + y.")
    assert said.locator("blockquote mo").all_text_contents() == ["=", "−"]
    chat.check("answer-maths")


def test_code_is_coloured_named_and_copied(chat: Tab, stage: Stage) -> None:
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(chat, stage, CODE)
    settled(chat)
    said = chat.page.locator(".turn.assistant .said")
    said.locator(".hljs-keyword", has_text="def").wait_for()
    assert said.locator(".code-bar span").all_inner_texts() == ["bash", "python", "json", "code", "brainfuck"]
    assert said.locator("pre b").count() == 0 and "# <b>not bold</b>" in said.inner_text()
    copy = said.get_by_role("button", name="Copy code").nth(1)
    copied = said.get_by_role("button", name="Copied")
    with chat.timers_wait():
        copy.focus()
        chat.page.keyboard.press("Enter")
        copied.wait_for()
        text = chat.page.evaluate("() => navigator.clipboard.readText()")
        assert text.startswith("from dataclasses import dataclass\n")
        assert chat.page.get_by_role("status").filter(has_text="Copied").count() == 1
    said.get_by_role("button", name="Copied").wait_for(state="detached")
    assert chat.page.evaluate("() => document.activeElement.ariaLabel") == "Copy code"
    chat.check("answer-code")


def test_code_above_can_be_copied_while_the_answer_goes_on(chat: Tab, stage: Stage) -> None:
    """The elements stay the same ones, so that the focus, a selection and a press outlive each redraw."""
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    first, end = threading.Event(), threading.Event()
    words = [piece for place in range(30) for piece in (f"and ${place}^2$ ", "**more** ")]
    ask(chat, stage, "```python\nx = 1\n```\n\n$a^2$ is ", first, *words, "\n\n```js\nlet y = 2;\n", end, "y();\n```\n")
    said = chat.page.locator(".turn.assistant .said")
    said.locator(".hljs-number").wait_for()
    said.locator("math").first.wait_for()
    chat.page.evaluate("""() => {
        window.kept = [...document.querySelectorAll(".turn.assistant .said :is(.code, math)")];
        document.querySelector(".copy-code").focus();
    }""")
    first.set()
    said.locator(".code").nth(1).wait_for()
    with chat.timers_wait():
        chat.page.keyboard.press("Enter")
        said.get_by_role("button", name="Copied").wait_for()
    assert chat.page.evaluate("() => kept.length === 2 && kept.every((it) => it.isConnected)")
    assert chat.page.evaluate("() => navigator.clipboard.readText()") == "x = 1\n"
    end.set()
    settled(chat)
    assert said.locator("math").count() == 31


def cpu_s(devtools: CDPSession) -> float:
    """Of the thread that runs the page's scripts."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "ThreadTime")


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bomb_of_a_formula_or_of_code_does_not_stop_the_page(name: str, chat: Tab, stage: Stage) -> None:
    ask(chat, stage, r"$a$ ", BOMBS[name])
    settled(chat)
    devtools = chat.page.context.new_cdp_session(chat.page)
    devtools.send("Performance.enable")
    began_s = cpu_s(devtools)
    chat.page.evaluate("""(text) => {
        const element = document.body.querySelector("main").appendChild(document.createElement("div"));
        Sluice.markdown(element, text);
        element.getBoundingClientRect();
    }""", "$b$ " + BOMBS[name].replace("x", "y"))  # fmt: skip
    took_s = cpu_s(devtools) - began_s
    assert within(took_s, 1.5), took_s
    assert chat.page.locator(".said math", has_text=re.compile("^a$")).count() == 1


def test_an_attack_by_a_formula_or_by_code_does_nothing(chat: Tab, stage: Stage) -> None:
    chat.page.on("dialog", lambda dialog: chat.complaints.append(f"a dialog: {dialog.message}"))
    ask(chat, stage, *[EVIL[place : place + 7] for place in range(0, len(EVIL), 7)])
    settled(chat)
    said = chat.page.locator(".turn.assistant .said")
    said.locator("math").first.wait_for()
    assert said.locator("a, img, script, style, iframe, mglyph, annotation, .active").count() == 0
    seen = said.locator("*").evaluate_all("(all) => all.flatMap((it) => it.getAttributeNames())")
    assert not {name for name in seen if name.startswith("on") or name in ("style", "href", "src", "id", "mathcolor")}
    beyond = (
        """() => [[5, 5], [640, 5], [5, 600]].some(([x, y]) => document.elementFromPoint(x, y)?.closest(".said"))"""
    )
    assert not chat.page.evaluate(beyond)
    chat.shoot("answer-attack")


def test_the_libraries_are_loaded_only_where_a_message_needs_them(chat: Tab, stage: Stage) -> None:
    asked: list[str] = []
    chat.page.on("request", lambda request: asked.append(request.url))
    ask(chat, stage, "Plain **words**, $5 and $6, and `code`.")
    settled(chat)
    assert not [url for url in asked if "katex" in url or "highlight" in url]
    ask(chat, stage, "```sh\nls\n```\n$x$")
    chat.page.locator(".said math").wait_for()
    loaded = [re.sub(r".*/static/|\?.*", "", url) for url in asked]
    assert [loaded.count(name) for name in ("katex.js", "highlight.js")] == [1, 1]
