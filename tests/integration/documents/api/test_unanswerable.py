"""The fixed set over the real search and the gateway: a question that no document answers reaches no model."""

import json
import time
from pathlib import Path

import pytest

from sluice.adapters.documents.parsing import markdown
from sluice.domain.documents.passages import Block, chunks_of
from sluice.domain.documents.retrieval import NOTHING_FOUND
from tests.integration.documents.api.conftest import Library, Reader, ok
from tests.integration.documents.reading.test_fixed_set import ON_TOPIC, UNANSWERED

SET = Path(__file__).parents[3] / "data" / "documents"


@pytest.fixture
def asker(library: Library, monkeypatch: pytest.MonkeyPatch) -> tuple[Reader, str]:
    """A person with the set in a vector store, indexed as by `ingestion`."""
    from sluice.services.documents.search import SearchDocuments
    from sluice.wiring import documents, stores

    reader = library.reader()
    store = reader.store_of()
    now_ms = time.time_ns() // 1_000_000
    for path in sorted((SET / "files").iterdir()):
        file = documents.files().upload(reader.account_id, path.name, "assistants", path.read_bytes(), now_ms)
        documents.vector_stores().attach(reader.account_id, store, file.file_id, {}, now_ms)
        blocks = [Block(*block) for block in markdown.read(path.read_bytes())]
        stores.indexes().replace(reader.account_id, store, file.file_id, path.name, list(chunks_of(blocks)))
    search = SearchDocuments(stores.vector_store_store(), stores.indexes())
    monkeypatch.setattr(documents, "search", lambda: search)
    documents.retrieval.cache_clear()
    library.store.client.update_item(
        TableName=library.store.prefix + "grants",
        Key={"account_id": {"S": reader.account_id}},
        UpdateExpression="SET limits.rpm = :many",
        ExpressionAttributeValues={":many": {"N": "1000"}},
    )
    return reader, store


def test_an_unanswerable_question_gets_a_fixed_answer_and_reaches_no_model(asker: tuple[Reader, str]) -> None:
    """Four questions are exceptions: they ask about the documents' subjects, which word search cannot recognise. For
    these the model is asked, with the instruction to answer from the passages only."""
    reader, store = asker
    for question in UNANSWERED:
        before = len(reader.upstream.calls)
        messages = [{"role": "user", "content": question}]
        answer = ok(reader.ask(messages=messages, retrieval={"vector_store_ids": [store], "mode": "strict"}))
        if question in ON_TOPIC:
            continue
        assert answer["choices"][0]["message"]["content"] == NOTHING_FOUND, question
        assert answer["usage"]["total_tokens"] == 0 and answer["citations"] == []
        assert len(reader.upstream.calls) == before, question
    asked = [call.body["messages"] for call in reader.upstream.calls]
    assert all("Answer from them only" in messages[0]["content"] for messages in asked)
    assert len(asked) <= len(ON_TOPIC)


def test_an_answerable_question_brings_its_passage_into_the_prompt(asker: tuple[Reader, str]) -> None:
    reader, store = asker
    questions = [one for one in json.loads((SET / "questions.json").read_text()) if "file" in one]
    cited = 0
    for one in questions[::3]:
        messages = [{"role": "user", "content": one["question"]}]
        answer = ok(reader.ask(messages=messages, retrieval={"vector_store_ids": [store], "top_k": 5}))
        cited += any(one["answer"] in each["passage"] for each in answer["citations"])
    assert cited >= 0.8 * len(questions[::3]), "the fake model's context of 512 tokens holds few passages"
