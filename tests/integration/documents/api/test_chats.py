"""Documents in the playground, through the JSON API and on the page without JavaScript."""

import json
from typing import Any

from sluice.domain.documents.retrieval import NOTHING_FOUND
from sluice.domain.documents.uploads import own_store_id
from tests.integration.accounts.world import PASSWORD
from tests.integration.documents.api.conftest import TEA, Library, Reader, refused
from tests.integration.documents.api.test_page import read
from tests.integration.pages.browser import Browser

QUESTION = "Where is tea grown?"
HILLS = TEA.split("\n\n")[0]


def say(reader: Reader, chat: str, content: str = QUESTION, **more: Any) -> Any:
    answer = reader.call("POST", f"/chats/{chat}/messages", json={"content": content, **more})
    answer.get_data()
    return answer


def begin(reader: Reader) -> str:
    return str(reader.call("POST", "/chats", json={}).json["id"])  # type: ignore[index]


def kept(reader: Reader, chat: str) -> dict[str, Any]:
    return dict(reader.call("GET", f"/chats/{chat}").json["messages"][-1])  # type: ignore[index]


def test_a_chat_answers_from_its_owners_documents_and_saves_the_citations(reader: Reader) -> None:
    file = reader.file()
    store, chat = reader.store_of(file), begin(reader)
    answer = say(reader, chat, retrieval={"vector_store_ids": [store]})
    last = [json.loads(line[6:]) for line in answer.data.decode().splitlines() if line.startswith("data: {")][-1]
    assert [cited["passage"] for cited in last["citations"]] == [HILLS]
    assert HILLS in reader.upstream.calls[-1].body["messages"][-1]["content"]
    assert kept(reader, chat)["citations"] == [{"file_id": file, "filename": "tea.txt", "position": 0}]
    say(reader, chat, "And why?")
    assert kept(reader, chat)["citations"] is None
    assert HILLS not in json.dumps(reader.upstream.calls[-1].body["messages"])


def test_retrieval_true_searches_all_stores_and_without_a_result_asks_no_model(reader: Reader, other: Reader) -> None:
    reader.store_of(reader.file())
    chat, theirs = begin(reader), begin(other)
    say(reader, chat, retrieval=True)
    assert len(kept(reader, chat)["citations"]) == 1
    calls = len(reader.upstream.calls)
    for someone, place, content in ((other, theirs, QUESTION), (reader, chat, "Who wrote Faust?")):
        say(someone, place, content, retrieval=True)
        answer = kept(someone, place)
        assert (answer["content"], answer["citations"], answer["status"]) == (NOTHING_FOUND, [], "complete")
        assert (answer["prompt_tokens"], answer["completion_tokens"]) == (0, 0)
    assert len(reader.upstream.calls) == calls


def test_a_store_of_another_account_is_not_found_and_the_chat_does_not_change(reader: Reader, other: Reader) -> None:
    store, chat = reader.store_of(reader.file()), begin(other)
    answer = say(other, chat, retrieval={"vector_store_ids": [store]})
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert other.call("GET", f"/chats/{chat}").json["messages"] == []  # type: ignore[index]
    assert other.search.asked == []


def test_an_unavailable_search_does_not_change_the_chat(reader: Reader) -> None:
    reader.store_of(reader.file())
    chat = begin(reader)
    reader.search.down = True
    assert say(reader, chat, retrieval=True).status_code == 503
    assert reader.call("GET", f"/chats/{chat}").json["messages"] == []  # type: ignore[index]
    assert reader.grant().leases == {}
    assert refused(reader.v1("GET", "/files/file_x")) == (404, "not_found")


def test_the_switch_of_the_page_and_the_way_from_a_citation_to_its_passage(library: Library) -> None:
    from sluice.wiring import documents

    account = library.world.account()
    browser = Browser(library.world.app.test_client())
    browser.log_in(account.email, PASSWORD)
    documents.my_documents().keep(account.account_id, "tea.txt", TEA.encode(), 1_795_000_000_000)
    read(account)
    begun = browser.post("/my/chats", browser.get("/my/chats").form("/logout").fields)
    began = browser.get(begun.answer.headers["Location"])
    action = next(form.action for form in began.forms if form.action.endswith("/messages"))
    answered = browser.submit(began, action, content=QUESTION, retrieval="true")
    assert "1 tea.txt, passage 1" in answered.text
    (link,) = [link for link in answered.links if "#passage-" in link]
    assert HILLS in browser.get(link.split("#")[0]).text
    assert ("input", "retrieval") in [(tag, has.get("name")) for tag, has in answered.tags if "checked" in has]
    assert library.search.asked[-1].store_ids == (own_store_id(account.account_id),)
    changed = browser.submit(answered, action, content="Why?")  # the first form there edits the first message
    assert "tea.txt" not in changed.text
    assert "checked" not in [name for tag, has in changed.tags if has.get("name") == "retrieval" for name in has]
