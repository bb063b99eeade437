"""What a model file says of itself, without llama.cpp."""

import random
from pathlib import Path

import pytest

from functions.inference.errors import ModelFileError
from functions.inference.models.gguf_metadata import kind_of, metadata
from infra.model_sources.gguf_writer import F32, Tensor, Value, write

MODELS = Path(__file__).parents[3] / "model"


@pytest.mark.parametrize(
    ("architecture", "pooling", "kind"),
    [
        ("qwen2", None, "text"),
        ("llama", 0, "text"),
        ("bert", None, "embeddings"),
        ("nomic-bert", 0, "embeddings"),
        ("gemma-embedding", None, "embeddings"),
        ("qwen3", 3, "embeddings"),
        ("bert", 4, "ranking"),
    ],
)
def test_a_files_kind_is_read_from_its_architecture_and_pooling(
    tmp_path: Path, architecture: str, pooling: int | None, kind: str
) -> None:
    values = {"general.architecture": Value("text", architecture), "tokens": Value("text", ["a", "bc"], many=True)}
    values |= {} if pooling is None else {f"{architecture}.pooling_type": Value("u32", pooling)}
    write(tmp_path / "m.gguf", values, {"t": Tensor(0, 2, F32, bytes(8))})
    assert kind_of(tmp_path / "m.gguf") == (kind, architecture)


def test_the_bundled_models_are_what_they_are_used_for() -> None:
    assert kind_of(MODELS / "demo-model-q8_0.gguf") == ("text", "qwen2")
    assert kind_of(MODELS / "all-minilm-l6-v2-q8_0.gguf") == ("embeddings", "bert")
    assert metadata(MODELS / "all-minilm-l6-v2-q8_0.gguf")["tokenizer.ggml.tokens"] == 30_522


def test_damaged_files_are_refused_in_words(tmp_path: Path) -> None:
    whole = (MODELS / "demo-model-q8_0.gguf").read_bytes()[:40_000]
    dice = random.Random(7)
    for size in (0, 3, 4, 5, 20, 24, 100, 1000):
        (tmp_path / "m.gguf").write_bytes(whole[:size])
        with pytest.raises(ModelFileError):
            metadata(tmp_path / "m.gguf")
    for _ in range(200):
        spoilt = bytearray(whole)
        for _ in range(4):
            spoilt[dice.randrange(4, 2000)] = dice.randrange(256)
        (tmp_path / "m.gguf").write_bytes(spoilt)
        try:
            metadata(tmp_path / "m.gguf")
        except ModelFileError as error:
            assert str(tmp_path) in str(error)
