"""openai-python against the demo model: every resource that Sluice has, as the SDK's own methods call it."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from tests.clients.conftest import Newest
from tests.e2e.people import Person

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
TRUE = "The capital of France is Paris."
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class City(BaseModel):
    name: Literal["Paris", "Rome"]
    capital: bool


@pytest.fixture(scope="module")
def client(person: Person) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=person.base_url + "/v1", api_key=person.api_token, max_retries=0) as made:
        yield made


def test_chat_and_its_stream_answer_and_count_the_same(client: openai.OpenAI, newest: Newest) -> None:
    whole = client.chat.completions.create(model="demo", messages=QUESTION)
    with client.chat.completions.stream(
        model="demo", messages=QUESTION, stream_options={"include_usage": True}
    ) as stream:
        streamed = stream.get_final_completion()
    assert whole.choices[0].message.content == streamed.choices[0].message.content == TRUE
    assert whole.usage and streamed.usage and whole.usage.total_tokens == streamed.usage.total_tokens
    assert [each["total_tokens"] for each in newest(2)] == [whole.usage.total_tokens] * 2


def test_parse_fills_a_pydantic_model(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model="demo", messages=QUESTION, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)
    response = client.responses.parse(model="demo", input=QUESTION, text_format=City)
    assert isinstance(response.output_parsed, City)


def test_tools_are_called_whole_and_streamed(client: openai.OpenAI) -> None:
    forced: Any = {"type": "function", "function": {"name": "weather"}}
    whole = client.chat.completions.create(model="demo", messages=QUESTION, tools=[WEATHER], tool_choice=forced)
    with client.chat.completions.stream(
        model="demo", messages=QUESTION, tools=[WEATHER], tool_choice="required"
    ) as stream:
        streamed = stream.get_final_completion()
    for message in (whole.choices[0].message, streamed.choices[0].message):
        assert message.tool_calls and message.tool_calls[0].function.name == "weather"  # type: ignore[union-attr]


def test_a_tools_result_is_taken_back(client: openai.OpenAI) -> None:
    called = client.chat.completions.create(model="demo", messages=QUESTION, tools=[WEATHER], tool_choice="required")
    message = called.choices[0].message
    assert message.tool_calls
    result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Sunny."}
    history: Any = [*QUESTION, message.model_dump(), result]
    assert client.chat.completions.create(model="demo", messages=history, tools=[WEATHER]).choices[0].finish_reason


def test_responses_are_streamed_stored_continued_and_deleted(client: openai.OpenAI) -> None:
    with client.responses.stream(model="demo", input="What is the capital of France?") as stream:
        first = stream.get_final_response()
    assert first.output_text == TRUE
    second = client.responses.create(model="demo", input="What is the capital of Italy?", previous_response_id=first.id)
    assert client.responses.retrieve(second.id).output_text == second.output_text
    assert len(client.responses.input_items.list(second.id).data) == 3
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)


def test_completions_several_choices_and_log_probabilities(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="demo", prompt=["One, two,", "Red,"], max_tokens=4, n=2)
    assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]
    chat = client.chat.completions.create(model="demo", messages=QUESTION, n=2, logprobs=True, top_logprobs=2)
    assert len(chat.choices) == 2 and chat.choices[0].logprobs and chat.choices[0].logprobs.content


def test_embeddings_as_floats_and_as_base64(client: openai.OpenAI) -> None:
    floats = client.embeddings.create(model="all-minilm-l6-v2", input=["tea", "cups"], encoding_format="float")
    packed = client.embeddings.create(model="all-minilm-l6-v2", input=["tea", "cups"])  # the SDK asks for base64
    assert len(floats.data) == 2 and packed.data[1].embedding == pytest.approx(floats.data[1].embedding, abs=1e-6)


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert "demo" in [model.id for model in client.models.list()]
    assert client.models.retrieve("demo").id == "demo"


def test_files_are_searched_in_a_vector_store(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="teas")
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id,
        file=("tea.txt", io.BytesIO(b"The oolong is kept in the blue tin.")),
        poll_interval_ms=200,
    )
    assert file.status == "completed"
    hits = client.vector_stores.search(store.id, query="blue tin")
    assert "oolong" in hits.data[0].content[0].text
    client.vector_stores.delete(store.id)
    client.files.delete(file.id)


def test_errors_are_the_sdks_own(client: openai.OpenAI, person: Person) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="other", messages=QUESTION)
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="demo", messages=QUESTION, temperature=9)
    with pytest.raises(openai.AuthenticationError) as stranger:
        client.with_options(api_key="sk-none").models.list()
    assert (unknown.value.code, wrong.value.param) == ("model_not_found", "temperature")
    assert stranger.value.code == "invalid_api_key" and stranger.value.request_id


async def _async_answer(person: Person) -> str:
    async with openai.AsyncOpenAI(base_url=person.base_url + "/v1", api_key=person.api_token) as made:
        stream = await made.chat.completions.create(model="demo", messages=QUESTION, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


def test_the_asynchronous_client_streams(person: Person) -> None:
    import asyncio

    assert asyncio.run(_async_answer(person)) == TRUE


def row(number: int, text: str) -> bytes:
    body = {"model": "demo", "messages": [{"role": "user", "content": text}], "max_tokens": 20}
    given = {"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(given).encode() + b"\n"


def ended(client: openai.OpenAI, batch_id: str) -> Any:
    until = time.monotonic() + 120
    while (batch := client.batches.retrieve(batch_id)).status in ("validating", "in_progress", "finalizing"):
        assert time.monotonic() < until, batch
        time.sleep(0.2)
    return batch


def test_a_batch_is_made_waited_for_and_its_output_read(client: openai.OpenAI) -> None:
    rows = b"".join(row(number, QUESTION[0]["content"]) for number in range(3))
    file = client.files.create(file=("rows.jsonl", rows), purpose="batch")
    assert file.status == "processed"
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"of": "me"}
    )
    batch = ended(client, batch.id)
    assert batch.status == "completed" and batch.request_counts and batch.request_counts.completed == 3
    results = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert sorted(one["custom_id"] for one in results) == ["row-0", "row-1", "row-2"]
    assert {one["response"]["body"]["choices"][0]["message"]["content"] for one in results} == {TRUE}
    assert batch.id in [one.id for one in client.batches.list(limit=1)]
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


def test_a_large_file_is_uploaded_whole_and_its_batch_cancelled(client: openai.OpenAI) -> None:
    rows = b"".join(row(number, "x" * 30_000) for number in range(700))  # 21 MB
    file = client.files.create(file=("rows.jsonl", rows), purpose="batch")
    assert file.bytes == len(rows)
    assert client.files.content(file.id).read() == rows
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("rows.jsonl", rows), purpose="assistants")
    assert refused.value.status_code == 413
    client.files.delete(file.id)


def test_the_command_runs_a_file_and_resumes_by_the_batchs_id(person: Person, tmp_path: Path) -> None:
    given = tmp_path / "rows.jsonl"
    given.write_bytes(b"".join(row(number, QUESTION[0]["content"]) for number in range(5)))
    env = {**os.environ, "SLUICE_API_TOKEN": person.api_token, "SLUICE_URL": person.base_url}
    command = str(Path(sys.executable).with_name("sluice"))
    done = subprocess.run([command, "batch", "run", given], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    output = (tmp_path / "rows.output.jsonl").read_text()
    assert len(output.splitlines()) == 5 and "5 of 5 answered" in done.stderr

    batch_id, again = done.stderr.split()[0], tmp_path / "again.jsonl"
    words = [command, "batch", "resume", batch_id, "--output", again]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and again.read_text() == output
    words = [command, "batch", "resume", "batch_x"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "no batch" in done.stderr
