"""openai-node against the demo model. `openai_node.mjs` does the calls."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients import run
from tests.clients.install import node_modules
from tests.clients.test_openai_python import TRUE
from tests.e2e.people import Person
from tests.e2e.test_pages import Visitor, sample_in


@pytest.fixture(scope="module")
def got(env: dict[str, str]) -> dict[str, Any]:
    return run.node_script("openai_node", env)


def test_chat_and_its_stream_answer_and_count_the_same(got: dict[str, Any]) -> None:
    assert got["whole"] == got["streamed"] == TRUE
    assert got["usage"][0] == got["usage"][1] > 0


def test_zod_schemas_hold(got: dict[str, Any]) -> None:
    for parsed in (got["parsed"], got["responseParsed"]):
        assert parsed["name"] in ("Paris", "Rome") and parsed["capital"] in (True, False)


def test_tools_are_called_and_run(got: dict[str, Any]) -> None:
    assert got["called"]["name"] == "weather" and got["ran"].startswith("Sunny in ")


def test_responses_answer_and_stream(got: dict[str, Any]) -> None:
    assert got["response"] == TRUE
    assert got["events"][0] == "response.created" and got["events"][-1] == "response.completed"


def test_embeddings_and_models(got: dict[str, Any]) -> None:
    assert len(set(got["embedded"])) == 1 and "demo" in got["models"]


def test_errors_are_the_sdks_own(got: dict[str, Any]) -> None:
    assert got["refused"]["model"] == ["NotFoundError", 404, "model_not_found"]
    assert got["refused"]["form"][:2] == ["BadRequestError", 400]
    assert got["refused"]["key"] == ["AuthenticationError", 401, "invalid_api_key"]


def test_the_sample_of_the_page_of_a_new_token_runs_as_pasted(person: Person, tmp_path: Path) -> None:
    visitor = Visitor(person.base_url, person)
    wanted = {"name": "js", "expires_in": "1d", "scopes": ["inference"]}
    page = visitor.submit(visitor.get(person.base_url + "/my/tokens/new"), "/my/tokens", **wanted)
    visitor.close()
    words = ("node", "--input-type=module", "-")
    said = run.finished(words, run.environment(tmp_path), node_modules().parent, sample_in(page, "JavaScript"))
    assert said == "The capital of France is Paris.\n"
