"""Files and vector stores over a real store and real files; the search and the model are scripted."""

from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.test import TestResponse

from functions.accounts import app as accounts
from functions.chats import app as chats
from functions.files import app as files
from functions.gateway import app as gateway
from functions.tokens import app as tokens
from functions.usage import app as usage
from sluice.domain.accounts.account import Account
from tests.apps import app_of
from tests.conftest import Store
from tests.fakes.search import FakeSearch
from tests.fakes.upstream import FakeUpstream
from tests.integration.accounts.world import PASSWORD, World
from tests.integration.gateway.conftest import ANSWER, Person
from tests.integration.pages.browser import Browser

BOUNDARY = "a-line-that-is-in-no-file"
TEA = "Tea is grown on hills in Darjeeling.\n\nThe harvest begins in March."


@dataclass
class Reader(Person):
    """A person with documents."""

    search: FakeSearch = None  # type: ignore[assignment]

    def v1(self, method: str, path: str, **arguments: Any) -> TestResponse:
        headers = {**self.api_token, **arguments.pop("headers", {})}
        return self.client.open("/v1" + path, method=method, headers=headers, **arguments)

    def upload(self, text: str | bytes = TEA, name: str = "tea.txt", **fields: str) -> TestResponse:
        body = text.encode() if isinstance(text, str) else text
        data = multipart({"purpose": "assistants", **fields}, name, body)
        return self.v1("POST", "/files", data=data, content_type=f"multipart/form-data; boundary={BOUNDARY}")

    def file(self, text: str | bytes = TEA, name: str = "tea.txt") -> str:
        return str(ok(self.upload(text, name))["id"])

    def store_of(self, *file_ids: str, name: str = "papers") -> str:
        """A vector store that holds these files."""
        return str(ok(self.v1("POST", "/vector_stores", json={"name": name, "file_ids": list(file_ids)}))["id"])


def multipart(fields: dict[str, str], filename: str, body: bytes) -> bytes:
    """A multipart body, built here because Flask's test client puts large ones into files and leaves those open."""
    named = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts = [*named, (f'name="file"; filename="{filename}"', body)]
    made = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    )
    return made + f"--{BOUNDARY}--\r\n".encode()


def ok(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return dict(answer.json)  # type: ignore[arg-type]


def refused(answer: TestResponse) -> tuple[int, str]:
    assert answer.json is not None
    return answer.status_code, answer.json["error"]["code"]


@dataclass
class Library:
    world: World
    upstream: FakeUpstream
    store: Store
    search: FakeSearch

    def reader(self, **token: Any) -> Reader:
        account = self.world.account()
        session = self.world.login(account)
        issued = self.world.issue(session, **token)
        bearer = {"Authorization": f"Bearer {issued['token']}"}
        made = Reader(self.world.client, self.upstream, self.store, account.account_id, session, bearer, issued["id"])
        made.search = self.search
        return made


@pytest.fixture
def library(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> Library:
    from sluice.wiring import documents, peers, stores

    monkeypatch.setenv("SLUICE_DEFAULT_STORAGE_MB", "6")
    upstream = FakeUpstream(*ANSWER)
    monkeypatch.setattr(peers, "upstream", lambda: upstream)
    search = FakeSearch(stores.file_store(), stores.vector_store_store(), stores.blobs())
    monkeypatch.setattr(documents, "search", lambda: search, raising=False)
    app = app_of(each.blueprint for each in (accounts, tokens, usage, chats, gateway, files))
    return Library(World(app, app.test_client(use_cookies=False)), upstream, fresh, search)


@pytest.fixture
def reader(library: Library) -> Reader:
    return library.reader()


@pytest.fixture
def other(library: Library) -> Reader:
    return library.reader()


@pytest.fixture
def ann(library: Library) -> Account:
    return library.world.account()


@pytest.fixture
def member(library: Library, ann: Account) -> Browser:
    return logged_in(library, ann)


def logged_in(library: Library, account: Account) -> Browser:
    made = Browser(library.world.app.test_client())
    made.log_in(account.email, PASSWORD)
    return made
