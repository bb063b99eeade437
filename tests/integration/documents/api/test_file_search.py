"""`file_search` in the Responses API: the search comes before the model call and is reported in OpenAI's format."""

import json
from typing import Any

import pytest

from sluice.domain.documents.retrieval import QUERY_CHARACTERS
from tests.integration.documents.api.conftest import TEA, Library, Reader, ok, refused

QUESTION = "Where is tea grown?"
HILLS = TEA.split("\n\n")[0]
FUNCTION = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}


def respond(reader: Reader, *stores: str, **fields: Any) -> Any:
    tool = {"type": "file_search", "vector_store_ids": list(stores), **fields.pop("tool", {})}
    tools = [*fields.pop("more_tools", []), tool]
    return reader.v1("POST", "/responses", json={"model": "demo", "input": QUESTION, "tools": tools, **fields})


def events(answer: Any) -> list[dict[str, Any]]:
    lines = answer.data.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


@pytest.fixture
def file(reader: Reader) -> str:
    return reader.file()


@pytest.fixture
def papers(reader: Reader, file: str) -> str:
    return reader.store_of(file)


def test_the_search_is_an_output_item_and_the_text_cites_its_files(reader: Reader, papers: str, file: str) -> None:
    answer = ok(respond(reader, papers))
    search, message = answer["output"]
    assert search == {
        "type": "file_search_call",
        "id": search["id"],
        "status": "completed",
        "queries": [QUESTION],
        "results": None,
    }
    (part,) = message["content"]
    assert part["text"] == "Paris"
    assert part["annotations"] == [{"type": "file_citation", "file_id": file, "filename": "tea.txt", "index": 5}]
    assert answer["tools"][0]["type"] == "file_search"
    assert HILLS in reader.upstream.calls[-1].body["messages"][-1]["content"]
    assert "tools" not in reader.upstream.calls[-1].body and "tool_choice" not in reader.upstream.calls[-1].body


def test_results_are_returned_on_request_and_not_stored(reader: Reader, papers: str, file: str) -> None:
    answer = ok(respond(reader, papers, include=["file_search_call.results"]))
    assert answer["output"][0]["results"] == [
        {"file_id": file, "filename": "tea.txt", "score": 1.0, "attributes": {}, "text": HILLS}
    ]
    kept = ok(reader.v1("GET", f"/responses/{answer['id']}"))
    assert kept["output"][0]["results"] is None
    assert HILLS not in json.dumps(kept)
    assert kept["output"][1] == answer["output"][1]


def test_a_stream_has_the_events_of_the_search_before_those_of_the_text(reader: Reader, papers: str, file: str) -> None:
    found = events(respond(reader, papers, stream=True, include=["file_search_call.results"]))
    assert [event["type"] for event in found] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in found] == list(range(16))
    search, text = found[6], found[11]
    assert (search["item"]["results"][0]["text"], search["output_index"]) == (HILLS, 0)
    assert (text["annotation"]["file_id"], text["annotation_index"], text["output_index"]) == (file, 0, 1)
    assert found[-1]["response"]["output"][0]["type"] == "file_search_call"
    assert found[-1]["response"]["output"][1]["content"][0]["annotations"] == [text["annotation"]]


def test_without_a_result_the_question_is_asked_unchanged_and_cites_nothing(reader: Reader, papers: str) -> None:
    answer = ok(respond(reader, papers, input="Who wrote Faust?", include=["file_search_call.results"]))
    assert answer["output"][0]["results"] == []
    assert answer["output"][1]["content"][0]["annotations"] == []
    assert reader.upstream.calls[-1].body["messages"] == [{"role": "user", "content": "Who wrote Faust?"}]


def test_other_tools_go_to_the_model_but_not_file_search(reader: Reader, papers: str) -> None:
    ok(respond(reader, papers, more_tools=[FUNCTION], tool_choice="auto"))
    body = reader.upstream.calls[-1].body
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look_up"]
    assert body["tool_choice"] == "auto"
    ok(respond(reader, papers, tool_choice={"type": "file_search"}))
    ok(respond(reader, papers, tool_choice="required"))
    assert "tool_choice" not in reader.upstream.calls[-1].body


def test_tool_choice_none_searches_nothing(reader: Reader, papers: str) -> None:
    answer = ok(respond(reader, papers, tool_choice="none"))
    assert [item["type"] for item in answer["output"]] == ["message"]
    assert reader.search.asked == []


def test_filters_and_score_thresholds_select_the_results(reader: Reader, papers: str, file: str) -> None:
    wanted = {"filters": {"type": "eq", "key": "year", "value": 2024}}
    show = {"include": ["file_search_call.results"]}
    assert ok(respond(reader, papers, tool=wanted, **show))["output"][0]["results"] == []
    high = {"ranking_options": {"score_threshold": 5}}
    assert ok(respond(reader, papers, tool=high, **show))["output"][0]["results"] == []
    few = ok(respond(reader, papers, input="tea harvest", tool={"max_num_results": 1}, **show))
    assert len(few["output"][0]["results"]) == 1


def test_a_continued_conversation_does_not_repeat_old_passages(reader: Reader, papers: str) -> None:
    first = ok(respond(reader, papers))
    ok(reader.v1("POST", "/responses", json={"model": "demo", "input": "Why?", "previous_response_id": first["id"]}))
    assert reader.upstream.calls[-1].body["messages"] == [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "Paris"},
        {"role": "user", "content": "Why?"},
    ]
    items = [{"role": "user", "content": QUESTION}, *first["output"], {"role": "user", "content": "Why?"}]
    ok(reader.v1("POST", "/responses", json={"model": "demo", "input": items, "store": False}))
    assert [message["content"] for message in reader.upstream.calls[-1].body["messages"]] == [QUESTION, "Paris", "Why?"]


def test_a_store_of_another_account_is_not_found(reader: Reader, other: Reader, papers: str) -> None:
    assert refused(respond(other, papers)) == (404, "not_found")
    assert (other.search.asked, other.upstream.calls) == ([], [])


def test_a_token_without_the_scope_files_cannot_search(library: Library) -> None:
    narrow = library.reader(scopes=["inference"])
    assert refused(respond(narrow, "vs_" + "0" * 26)) == (403, "insufficient_scope")


def test_an_unavailable_search_releases_the_reservation(reader: Reader, papers: str) -> None:
    reader.search.down = True
    for stream in (False, True):
        assert refused(respond(reader, papers, stream=stream)) == (503, "unavailable")
        assert (reader.log()[0]["status"], reader.grant().leases) == (503, {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": [{"type": "file_search"}]},
        {"tools": [{"type": "file_search", "vector_store_ids": []}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_x"], "max_num_results": 51}]},
        {"tools": [{"type": "file search"}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_x"]}] * 2},
    ],
)
def test_a_tool_of_the_wrong_shape_is_a_400(reader: Reader, wrong: dict[str, Any]) -> None:
    answer = reader.v1("POST", "/responses", json={"model": "demo", "input": QUESTION, **wrong})
    assert answer.status_code == 400
    assert answer.json["error"]["param"].startswith("tools")  # type: ignore[index]


def test_only_the_beginning_of_a_long_question_is_searched_for(reader: Reader, papers: str) -> None:
    ok(respond(reader, papers, input="tea " * 3000))
    (asked,) = reader.search.asked
    assert len(asked.query) == QUERY_CHARACTERS
