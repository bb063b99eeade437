"""lm-evaluation-harness on two tiny tasks: its scores are those computed from the engine's own answers."""

import json
import shutil
import socket
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from functions.inference.llama.vocab import LlamaVocab
from infra.local.datadir import DataDir
from tests.clients import run
from tests.clients.catalogue import HERE, LM_EVAL, ROOT
from tests.clients.install import python
from tests.e2e.people import Person
from tests.e2e.system import System

TASKS = HERE / "lm_eval_tasks"
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


class Engine:
    """The model server of a running system, asked on its own socket."""

    def __init__(self, system: System) -> None:
        self._address = str(DataDir(system.data_dir).socket("inference"))

    def fetch(self, path: str, **body: Any) -> dict[str, Any]:
        with closing(HTTPConnection("localhost", timeout=60)) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self._address)
            connection.request(
                "POST", path, json.dumps({"model": "demo", **body}), {"content-type": "application/json"}
            )
            answer = json.load(connection.getresponse())
        assert "error" not in answer, answer
        return dict(answer)

    def says(self, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        answer = self.fetch("/v1/chat/completions", messages=messages, max_tokens=40, stop=["\n"], temperature=0)
        return str(answer["choices"][0]["message"]["content"])

    def likelihood(self, context: str, continuation: str) -> float:
        """The logarithm of the probability of the continuation."""
        before, whole = (self.fetch("/tokenize", text=text)["tokens"] for text in (context, context + continuation))
        scored = self.fetch("/v1/completions", prompt=whole, max_tokens=0, echo=True, logprobs=0)
        return float(sum(scored["choices"][0]["logprobs"]["token_logprobs"][len(before) :]))


@pytest.fixture(scope="module")
def engine(system: System) -> Engine:
    return Engine(system)


def rows(task: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (TASKS / f"{task}.jsonl").read_text().splitlines()]


def score(task: str, metric: str, env: dict[str, str], home: Path, *words: str) -> float:
    """What lm_eval reports."""
    shutil.copytree(TASKS, home, dirs_exist_ok=True)
    command = (python(LM_EVAL).with_name("lm_eval"), "run", "--tasks", task, "--include_path", ".")
    run.finished((*command, "--output_path", "out", *words), env | OFFLINE | {"HOME": str(home)}, home)
    (report,) = (home / "out").rglob("results_*.json")
    return float(json.loads(report.read_text())["results"][task][f"{metric},none"])


def test_the_score_of_chat_answers_is_the_engines_own(
    engine: Engine, person: Person, env: dict[str, str], tmp_path: Path
) -> None:
    place = f"model=demo,base_url={person.base_url}/v1/chat/completions,num_concurrent=2,max_retries=1"
    options = ("--model", "local-chat-completions", "--model_args", place, "--apply_chat_template")
    found = score("capitals", "exact_match", env, tmp_path, *options)
    expected = rows("capitals")
    assert 0 < found < 1
    assert found == sum(engine.says(row["question"]) == row["answer"] for row in expected) / len(expected)


def test_the_score_of_likelihoods_is_the_engines_own(
    engine: Engine, person: Person, env: dict[str, str], tmp_path: Path
) -> None:
    write_tokenizer(tmp_path / "tokenizer")
    place = f"model=demo,base_url={person.base_url}/v1/completions,tokenizer=tokenizer,tokenizer_backend=huggingface"
    found = score("choices", "acc", env, tmp_path, "--model", "local-completions", "--model_args", place)
    assert 0 < found < 1
    assert found == sum(likeliest(engine, row) == row["label"] for row in rows("choices")) / len(rows("choices"))


def likeliest(engine: Engine, row: dict[str, Any]) -> int:
    scores = [engine.likelihood(row["question"], " " + choice) for choice in row["choices"]]
    return scores.index(max(scores))


def write_tokenizer(folder: Path) -> None:
    """The demo model's vocabulary as transformers reads it, because lm_eval sends tokens."""
    options = llama_cpp.llama_model_default_params()
    options.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(ROOT / "model/demo-model-q8_0.gguf").encode(), options)
    vocab = LlamaVocab(model)
    tokens = [llama_cpp.llama_vocab_get_text(vocab.vocab, token).decode() for token in range(vocab.vocab_tokens)]
    controls = [{"id": token, "content": tokens[token], "special": True} for token in vocab.control_ids()]
    llama_cpp.llama_model_free(model)
    cuts = [(token[:at], token[at:]) for token in tokens for at in range(1, len(token))]
    merges = [pair for pair in cuts if set(pair) <= set(tokens)]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    pieces = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    folder.mkdir()
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [control | flags for control in controls],
                "pre_tokenizer": pieces,
                "decoder": pieces,
                "model": {"type": "BPE", "vocab": {token: at for at, token in enumerate(tokens)}, "merges": merges},
            }
        )
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
