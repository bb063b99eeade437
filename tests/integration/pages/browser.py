"""A browser without JavaScript: it keeps cookies, fills in a page's real forms, and sends its Origin."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

OWN = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}


@dataclass
class FoundForm:
    action: str
    method: str
    fields: dict[str, Any] = field(default_factory=dict)


class PageParser(HTMLParser):
    """Forms with their fields as a browser would send them, links, and the text people read."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[FoundForm] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._select = self._textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.tags.append((tag, has))
        if tag == "form":
            self.forms.append(FoundForm(has["action"], has.get("method", "get")))
        elif tag == "a":
            self.links.append(has["href"])
        elif tag == "select":
            self._select = has["name"]
        elif tag == "option" and self.forms and ("selected" in has or self._select not in self.forms[-1].fields):
            self.forms[-1].fields[self._select] = has["value"]
        elif tag == "textarea" and "name" in has and self.forms:
            self._textarea = has["name"]
            self.forms[-1].fields[self._textarea] = ""
        elif tag == "input" and "name" in has and self.forms:
            self._input(has)

    def _input(self, has: dict[str, str]) -> None:
        fields, name = self.forms[-1].fields, has["name"]
        if has.get("type") == "checkbox":
            fields.setdefault(name, [])
            fields[name] += [has["value"]] if "checked" in has else []
        else:
            fields[name] = has.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._textarea:
            fields = self.forms[-1].fields
            fields[self._textarea] += data if fields[self._textarea] else data.removeprefix("\n")


class Page:
    def __init__(self, answer: TestResponse) -> None:
        self.answer, self.status, self.html = answer, answer.status_code, answer.get_data(as_text=True)
        parser = PageParser()
        parser.feed(self.html)
        self.forms, self.links, self.tags = parser.forms, parser.links, parser.tags
        self.text = " ".join(parser.text.split())

    def form(self, action: str) -> FoundForm:
        found = [form for form in self.forms if form.action == action]
        assert found, f"no form to {action}, only {[form.action for form in self.forms]}"
        return found[0]


class Browser:
    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, **headers: str) -> Page:
        with self.client.get(path, headers={"Accept": "text/html", **headers}) as answer:
            return Page(answer)  # type: ignore[arg-type]

    def post(self, path: str, data: dict[str, Any], headers: dict[str, str] | None = None) -> Page:
        with self.client.post(path, data=data, headers=OWN if headers is None else headers) as answer:
            return Page(answer)  # type: ignore[arg-type]

    def submit(self, page: Page, action: str, **fields: Any) -> Page:
        """Fill in and send a form of that page, then follow the redirect."""
        answered = self.post(action, {**page.form(action).fields, **fields})
        return self.get(answered.answer.headers["Location"]) if answered.status == 303 else answered

    def log_in(self, email: str, password: str) -> Page:
        return self.submit(self.get("/login"), "/login", email=email, password=password)

    def session_cookie(self) -> str:
        cookie = self.client.get_cookie("sluice_session")
        return cookie.value if cookie else ""
