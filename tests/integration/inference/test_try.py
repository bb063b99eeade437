"""`sluice model try` with real files in a real child process."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from functions.inference.models.catalogue import CatalogueModel, catalogue
from infra.commands.model import command
from infra.models.trying import TryError, attempt, described, subject, summary
from tests.gguf import gguf

BUNDLED = Path(__file__).parents[3] / "model" / "demo-model-q8_0.gguf"
HERE = CatalogueModel(name="mine")


@pytest.fixture
def sluice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`sluice model …`, on a data directory of its own."""
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path / "data"))

    def run(*words: str, code: int = 0, input: str | None = None) -> str:
        result = CliRunner().invoke(command, words, input=input)
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_a_model_answers_and_its_speed_and_memory_are_told(sluice: Callable[..., str]) -> None:
    said = sluice("try", "demo", "What is the capital of France?")
    assert "demo: qwen2, 1 million parameters, Q8_0, context 512 tokens, licence CC0-1.0, with a chat template" in said
    assert "Paris" in said
    last = said.splitlines()[-1]
    assert all(part in last for part in ("loaded in", "first token after", "prompt", "answer", "tokens/s", "MiB")), last


def test_a_path_is_tried_where_it_is(sluice: Callable[..., str], tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(BUNDLED.read_bytes())
    assert "Rome" in sluice("try", str(mine), "What is the capital of Italy?")
    assert not (tmp_path / "data").exists()


def test_a_file_without_a_template_completes_and_says_so(tmp_path: Path) -> None:
    bare = tmp_path / "bare.gguf"
    bare.write_bytes(BUNDLED.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.chat_templatX"))
    what = subject(HERE, bare, "one, two,")
    assert described(what).endswith("without a chat template, so it completes text and does not chat")
    said: list[str] = []
    figures = attempt(what, said.append)
    assert "".join(said) and figures["completion_tokens"] > 0 and figures["peak_memory_bytes"] > BUNDLED.stat().st_size


def test_an_embedding_model_orders_sentences(tmp_path: Path) -> None:
    entry = next(model for model in catalogue().values() if model.bundled and model.capabilities == ("embeddings",))
    said: list[str] = []
    figures = attempt(subject(entry, entry.path(tmp_path), None), said.append)
    cosines = [float(line.split()[0]) for line in "".join(said).splitlines()]
    assert len(cosines) == 4 and cosines == sorted(cosines, reverse=True)
    assert "dimensions" in summary(figures)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>sign in</html>", "a web page"),
        (gguf({"general.architecture": "bert", "bert.pooling_type": 4}), "is a reranker"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_a_process_is_started(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    with pytest.raises(TryError, match=words):
        subject(HERE, path, None)


@pytest.mark.parametrize("content", [gguf({"general.architecture": "qwen2"}), BUNDLED.read_bytes()[:-5000]])
def test_a_file_that_does_not_load_is_reported_with_llama_cpps_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    with pytest.raises(TryError, match=r"odd\.gguf"):
        attempt(subject(HERE, path, "x"), lambda _text: None)


@pytest.mark.parametrize(("said", "when"), [("", "while it loaded"), ('{"loaded_s": 1.5}', "while it answered")])
def test_a_crash_is_said_in_words(said: str, when: str) -> None:
    script = f"import os, sys; print({said!r} or '{{}}', flush=True); sys.stderr.write('GGML_ASSERT'); os.abort()"
    with pytest.raises(TryError, match=f"was ended by SIGABRT {when}.*GGML_ASSERT"):
        attempt(subject(HERE, BUNDLED, "x"), lambda _text: None, (sys.executable, "-c", script))


def test_a_killed_child_is_said_in_words() -> None:
    script = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    with pytest.raises(TryError, match="was ended by SIGKILL"):
        attempt(subject(HERE, BUNDLED, "x"), lambda _text: None, (sys.executable, "-c", script))


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    script = f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(str(os.getpid()))\n"
    script += 'print(\'{"text": "a"}\', flush=True); time.sleep(600)'

    def stopped(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(subject(HERE, BUNDLED, "x"), stopped, (sys.executable, "-c", script))
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


def test_a_licence_that_is_not_open_is_shown_and_nobody_accepts_it_without_a_word(
    sluice: Callable[..., str], tmp_path: Path
) -> None:
    said = sluice("pull", "llama-3.2-1b-instruct", code=1)
    assert "https://www.llama.com/llama3_2/license/" in said and "--accept-licence" in said
    assert not (tmp_path / "data").exists()


def test_the_list_says_what_each_model_is(sluice: Callable[..., str]) -> None:
    lines = {line.split()[0]: line for line in sluice("list").splitlines() if line}
    assert "Gemma" in lines["gemma-3-270m"] and "completions" in lines["gemma-3-270m"]
    assert "not pulled" in lines["qwen3-0.6b"] and "32,768 tokens" in lines["qwen3-0.6b"]
    assert "bundled" in lines["demo"] and "Q8_0" in lines["demo"]
