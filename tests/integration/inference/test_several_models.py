"""Several models in one real process, of which not all fit into the memory."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.inference.server import ROOT, Server, launch, running
from tests.ports import free_port

DEMO = ROOT / "model" / "demo-model-q8_0.gguf"
ONE_MODEL_MIB = "100"
"""Room for one copy of the demo model, which takes 73."""
LONG = {"max_tokens": 400, "temperature": 2.0, "logit_bias": {"958": -100}}
"""Makes the end of the turn impossible, so that the answer has max_tokens."""


def copies(folder: Path, *names: str) -> str:
    paths = [shutil.copy(DEMO, folder / f"{name}.gguf") for name in names]
    return ",".join(map(str, paths))


def body(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "What is 3 + 4?"}], "temperature": 0} | fields


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two models and memory for one."""
    folder = tmp_path_factory.mktemp("two")
    with running(
        folder,
        SLUICE_INFERENCE_EMBEDDINGS_MODEL="off",
        SLUICE_MODELS=copies(folder, "one", "two"),
        SLUICE_INFERENCE_MEMORY_MIB=ONE_MODEL_MIB,
    ) as it:
        yield it


def test_all_are_listed_and_health_says_which_are_loaded(two: Server) -> None:
    assert [(model["id"], model["context_window"]) for model in two.models()] == [("one", 512), ("two", 512)]
    assert sorted(two.states().values()) == ["loaded", "unloaded"]


def test_asked_in_turns_each_answers(two: Server) -> None:
    for name in ("one", "two", "one", "two"):
        answer = two.post("/v1/chat/completions", body(name)).json()
        assert (answer["model"], answer["choices"][0]["message"]["content"]) == (name, "7")
        assert two.states()[name] == "loaded"


def test_a_swap_under_load_fails_no_stream(two: Server) -> None:
    ends: list[str] = []

    def ask(name: str, number: int) -> None:
        for _ in range(3):
            ends.append(two.events("/v1/chat/completions", body(name, **LONG), **{"x-sluice-account": str(number)})[-1])

    threads = [threading.Thread(target=ask, args=(name, n)) for n in range(3) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == ["data: [DONE]"] * 18
    assert two.health()["running"] + two.health()["waiting"] == 0


def test_a_caller_who_leaves_while_its_model_is_not_there_leaves_nothing(two: Server) -> None:
    two.post("/v1/chat/completions", body("one"))
    hog = two.post("/v1/chat/completions", body("one", **LONG, stream=True), stream=True)
    with pytest.raises(requests.ReadTimeout):
        requests.post(two.url + "/v1/chat/completions", json=body("two"), timeout=0.05)
    assert hog.content.endswith(b"data: [DONE]\n\n")
    two.wait_idle()
    assert [model["requests"] + model["waiting"] for model in two.health()["models"]] == [0, 0]


def test_an_unknown_name_and_a_wrong_use_are_refused_without_loading(two: Server) -> None:
    assert two.post("/v1/chat/completions", body("three")).status_code == 404
    assert two.post("/v1/embeddings", {"model": "one", "input": "x"}).status_code == 400


def test_a_damaged_file_is_an_error_of_its_own_model_only(tmp_path: Path) -> None:
    names = copies(tmp_path, "good", "bad", "gone")
    (tmp_path / "bad.gguf").write_bytes(DEMO.read_bytes()[:500_000])
    (tmp_path / "gone.gguf").unlink()
    with running(tmp_path, SLUICE_INFERENCE_EMBEDDINGS_MODEL="off", SLUICE_MODELS=names) as server:
        assert server.post("/v1/chat/completions", body("good")).status_code == 200
        for name, words in (("bad", "cannot be loaded"), (str(tmp_path / "gone.gguf"), "cannot be read")):
            refused = server.post("/v1/chat/completions", body(name))
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (503, "model_unavailable") and words in error["message"]
        assert server.states() == {"good": "loaded", "bad": "failed", "gone": "failed"}


def test_a_file_on_which_llama_cpp_aborts_ends_no_process(tmp_path: Path) -> None:
    names = copies(tmp_path, "good", "bad")
    content = bytearray(DEMO.read_bytes())
    at = content.index(key := b"qwen2.block_count") + len(key) + 4
    content[at : at + 4] = bytes(4)
    (tmp_path / "bad.gguf").write_bytes(content)
    with running(
        tmp_path, SLUICE_INFERENCE_EMBEDDINGS_MODEL="off", SLUICE_MODELS=names, SLUICE_INFERENCE_LOAD="lazy"
    ) as server:
        assert server.post("/v1/chat/completions", body("good")).status_code == 200
        refused = server.post("/v1/chat/completions", body("bad"))
        assert refused.status_code == 503 and "ended its process" in refused.json()["error"]["message"]
        assert server.states() == {"good": "loaded", "bad": "failed"}


def test_a_file_with_a_chat_template_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    names = copies(tmp_path, "good", "bad")
    (tmp_path / "bad.gguf").write_bytes(
        DEMO.read_bytes().replace(b"{% for", b"{% foo", 1).replace(b"{%- for", b"{%- foo", 1)
    )
    with running(tmp_path, SLUICE_INFERENCE_EMBEDDINGS_MODEL="off", SLUICE_MODELS=names) as server:
        assert server.states() == {"good": "loaded", "bad": "failed"}
        assert server.post("/v1/chat/completions", body("good")).status_code == 200


def test_a_model_that_can_never_fit_is_said_at_start_and_the_others_serve(tmp_path: Path) -> None:
    large = tmp_path / "large.gguf"
    names = copies(tmp_path, "small", "large")
    with large.open("ab") as file:
        file.truncate(200 << 20)
    with running(
        tmp_path,
        SLUICE_INFERENCE_EMBEDDINGS_MODEL="off",
        SLUICE_MODELS=names,
        SLUICE_INFERENCE_MEMORY_MIB=ONE_MODEL_MIB,
    ) as server:
        assert "The model large does not fit" in (tmp_path / "inference.log").read_text()
        assert server.post("/v1/chat/completions", body("small")).status_code == 200
        assert "does not fit" in server.post("/v1/chat/completions", body("large")).json()["error"]["message"]


def test_a_start_where_nothing_can_be_loaded_is_refused(tmp_path: Path) -> None:
    process = launch(
        tmp_path / "log",
        free_port(),
        SLUICE_INFERENCE_EMBEDDINGS_MODEL="off",
        SLUICE_MODELS="no-such-name,/nowhere/x.gguf",
    )
    try:
        assert process.wait(60) == 3
    finally:
        process.kill()
    assert "no-such-name" in (tmp_path / "log").read_text()


def test_a_pinned_model_never_goes(tmp_path: Path) -> None:
    names = copies(tmp_path, "one", "two", "three")
    room = {"SLUICE_INFERENCE_MEMORY_MIB": "160", "SLUICE_INFERENCE_PINNED": names.split(",")[0]}
    with running(tmp_path, SLUICE_INFERENCE_EMBEDDINGS_MODEL="off", SLUICE_MODELS=names, **room) as server:
        for name in ("two", "three", "two", "three"):
            assert server.post("/v1/chat/completions", body(name)).status_code == 200
            assert server.states()["one"] == "loaded"
