"""Documents from outside: the official SDK's `files` and `vector_stores`, and answers that cite them."""

import io
import json
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from sluice.domain.documents.retrieval import NOTHING_FOUND
from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.place import Place
from tests.waiting import eventually

pytestmark = pytest.mark.e2e
SET = Path(__file__).parents[1] / "data" / "documents"
TEA = "# Tea\n\nOur tea is grown on the hills of Darjeeling. The harvest begins in March.\n"
SECONDS = 60.0


@pytest.fixture(scope="module")
def person(system: Place) -> Person:
    return people.newcomer(system.base_url)


@pytest.fixture(scope="module")
def other(system: Place) -> Person:
    return people.newcomer(system.base_url)


def named(text: str, name: str) -> tuple[str, io.BytesIO]:
    return name, io.BytesIO(text.encode())


def test_the_sdk_uploads_lists_reads_and_deletes(person: Person) -> None:
    client = person.openai
    made = client.files.create(file=named(TEA, "tea.md"), purpose="assistants")
    assert (made.object, made.filename, made.bytes) == ("file", "tea.md", len(TEA))
    assert client.files.wait_for_processing(made.id, poll_interval=0.1).status == "processed"
    assert client.files.retrieve(made.id).id == made.id
    assert client.files.content(made.id).read() == TEA.encode()
    second = client.files.create(file=named("x", "x.txt"), purpose="user_data")
    assert [file.id for file in client.files.list(limit=1, order="asc")] == [made.id, second.id], "over two pages"
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    client.files.delete(second.id)


def test_the_sdk_fills_and_searches_a_vector_store(person: Person, other: Person) -> None:
    client = person.openai
    store = client.vector_stores.create(name="papers", metadata={"team": "a"})
    attached = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=named(TEA, "tea.md"), poll_interval_ms=100
    )
    assert (attached.status, attached.last_error) == ("completed", None)
    batch = client.vector_stores.file_batches.upload_and_poll(
        store.id, files=[named(f"Paper {n} is about coffee.", f"{n}.txt") for n in range(3)], poll_interval_ms=100
    )
    assert (batch.status, batch.file_counts.completed) == ("completed", 3)
    results = client.vector_stores.search(store.id, query="Where is our tea grown?").data
    assert results[0].filename == "tea.md" and "Darjeeling" in results[0].content[0].text
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 4
    assert client.vector_stores.update(store.id, name="books").name == "books"
    assert store.id in [one.id for one in client.vector_stores.list()]
    assert len(list(client.vector_stores.files.list(store.id, limit=2))) == 4
    client.vector_stores.files.delete(attached.id, vector_store_id=store.id)
    left = client.vector_stores.search(store.id, query="Where is our tea grown?").data  # the nearest, however far
    assert "tea.md" not in {one.filename for one in left}
    for call in (
        lambda: other.openai.vector_stores.retrieve(store.id),
        lambda: other.openai.vector_stores.search(store.id, query="coffee"),
        lambda: other.openai.files.content(attached.id),
    ):
        with pytest.raises(openai.NotFoundError):
            call()
    assert client.vector_stores.delete(store.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.retrieve(store.id)


def test_a_file_that_is_too_large_and_a_damaged_pdf(person: Person) -> None:
    for size in (4 * 1024 * 1024 + 1, 5 * 1024 * 1024, 30 * 1024 * 1024):
        with pytest.raises(openai.APIStatusError) as caught:
            person.openai.files.create(file=("big.txt", io.BytesIO(b"x" * size)), purpose="assistants")
        assert caught.value.status_code == 413
    client = person.openai
    store = client.vector_stores.create(name="bad")
    bad = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("a.pdf", io.BytesIO(b"%PDF-1.7 nothing")), poll_interval_ms=100
    )
    assert bad.status == "failed" and bad.last_error is not None and bad.last_error.message
    eventually(lambda: client.files.retrieve(bad.id).status == "error")  # the upload has an event of its own
    assert client.vector_stores.retrieve(store.id).file_counts.failed == 1


@pytest.fixture(scope="module")
def library(person: Person) -> str:
    """A vector store with the fixed set of 60 documents."""
    client = person.openai
    store = client.vector_stores.create(name="set")
    paths = sorted((SET / "files").iterdir())
    began = time.monotonic()
    batch = client.vector_stores.file_batches.upload_and_poll(
        store.id, files=[(path.name, path.read_bytes()) for path in paths], poll_interval_ms=200
    )
    print(f"{len(paths)} documents uploaded and searchable in {time.monotonic() - began:.1f} s")
    assert batch.file_counts.completed == len(paths)
    return store.id


def ask(person: Person, question: str, store: str, **fields: Any) -> Any:
    retrieval = {"vector_store_ids": [store], **fields.pop("retrieval", {})}
    return person.openai.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": question}],
        extra_body={"retrieval": retrieval},
        **fields,
    )


def questions(answerable: bool) -> list[dict[str, Any]]:
    every = json.loads((SET / "questions.json").read_text())
    return [one for one in every if ("file" in one) is answerable]


def test_an_answerable_question_cites_the_passage_that_answers(person: Person, library: str) -> None:
    for one in questions(answerable=True)[::15]:
        done = ask(person, one["question"], library, max_tokens=16)
        cited = done.model_extra["citations"]
        assert any(one["answer"] in each["passage"] for each in cited), one
        assert done.usage.prompt_tokens > 0


def test_an_unanswerable_question_gets_the_fixed_sentence_and_costs_nothing(person: Person, library: str) -> None:
    fixed = []
    for one in questions(answerable=False):
        done = ask(person, one["question"], library)
        if done.choices[0].message.content == NOTHING_FOUND and done.usage.total_tokens == 0:
            fixed.append(one["question"])
    print(f"{len(fixed)} of {len(questions(False))} unanswerable questions: the fixed sentence, no model asked")
    logged = person.call("GET", "/usage/logs?limit=100").json()["data"]  # with the questions' embeddings
    newest = [entry for entry in logged if entry["endpoint"] == "chat.completions"][: len(questions(False))]
    # 26 on an idle machine; a question whose vector comes too late is looked for by its words
    assert sum(entry["total_tokens"] == 0 for entry in newest) == len(fixed) >= 24


def test_the_demo_model_answers_from_a_document_what_it_cannot_know(person: Person) -> None:
    client = person.openai
    store = client.vector_stores.create(name="people")
    client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=named("Mia lives in Rome. Tom likes tea.", "people.txt"), poll_interval_ms=100
    )
    done = ask(person, "Where does Mia live?", store.id, temperature=0)
    assert done.choices[0].message.content == "Mia lives in Rome."
    assert [cited["filename"] for cited in done.model_extra["citations"]] == ["people.txt"]


def test_a_streamed_answer_ends_with_its_citations(person: Person, library: str) -> None:
    one = questions(answerable=True)[0]
    chunks = list(ask(person, one["question"], library, stream=True, max_tokens=16))
    assert any(one["answer"] in each["passage"] for each in chunks[-1].model_extra["citations"])
    assert all("citations" not in (chunk.model_extra or {}) for chunk in chunks[:-1])


def test_file_search_of_the_responses_api(person: Person, library: str) -> None:
    one = questions(answerable=True)[0]
    tool: Any = {"type": "file_search", "vector_store_ids": [library]}
    done = person.openai.responses.create(
        model="demo",
        input=one["question"],
        tools=[tool],
        include=["file_search_call.results"],
        max_output_tokens=16,
    )
    search, message = done.output[0], done.output[1]
    assert search.type == "file_search_call" and search.results
    assert any(one["answer"] in (result.text or "") for result in search.results)
    assert message.type == "message" and message.content[0].type == "output_text"
    assert any(note.type == "file_citation" for note in message.content[0].annotations)
    kinds = [
        event.type
        for event in person.openai.responses.create(
            model="demo", input=one["question"], tools=[tool], stream=True, max_output_tokens=16
        )
    ]
    assert "response.file_search_call.completed" in kinds
    assert kinds[-1] in ("response.completed", "response.incomplete")


def test_the_sdks_stream_helpers_take_citations_and_searches(person: Person, library: str) -> None:
    one = questions(answerable=True)[0]
    client = person.openai
    tool: Any = {"type": "file_search", "vector_store_ids": [library]}
    with client.responses.stream(model="demo", input=one["question"], tools=[tool], max_output_tokens=16) as stream:
        kinds = [event.type for event in stream]
        whole = stream.get_final_response() if kinds[-1] == "response.completed" else None
    assert "response.file_search_call.searching" in kinds
    assert whole is None or [item.type for item in whole.output] == ["file_search_call", "message"]
    messages: Any = [{"role": "user", "content": "Who wrote Faust?"}]
    retrieval = {"retrieval": {"vector_store_ids": [library]}}
    with client.chat.completions.stream(model="demo", messages=messages, extra_body=retrieval) as chat:
        for _ in chat:
            pass
        assert chat.get_final_completion().choices[0].message.content == NOTHING_FOUND
