"""What a GGUF file says about itself, also when it is garbage."""

import random
import struct
from pathlib import Path

import llama_cpp
import pytest

from functions.inference.errors import ModelFileError
from functions.inference.models.gguf_header import QUANTISATIONS, read_header
from tests.gguf import gguf

BUNDLED = Path(__file__).parents[3] / "model" / "demo-model-q8_0.gguf"
BASE = {"general.architecture": "gemma3", "general.file_type": 15, "gemma3.context_length": 32768}


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "some.gguf"
    path.write_bytes(content)
    return path


def test_the_bundled_models_file_says_what_it_is() -> None:
    header = read_header(BUNDLED)
    assert (header.architecture, header.quantisation, header.context_tokens) == ("qwen2", "Q8_0", 512)
    assert (header.license, header.use, header.adds_bos, header.files) == ("CC0-1.0", "chat", False, 1)
    assert header.parameters == 977_408


@pytest.mark.parametrize(
    ("more", "use"),
    [
        ({}, "completions"),
        ({"tokenizer.chat_template": "{{ messages }}"}, "chat"),
        ({"general.architecture": "bert"}, "embeddings"),
        ({"gemma3.pooling_type": 1, "tokenizer.chat_template": "{{ messages }}"}, "embeddings"),
        ({"gemma3.pooling_type": 4}, "rerank"),
        ({"gemma3.pooling_type": 0}, "completions"),
    ],
)
def test_a_file_is_for_what_its_header_says(tmp_path: Path, more: dict[str, object], use: str) -> None:
    assert read_header(written(tmp_path, gguf(BASE | more))).use == use


def test_vocabularies_are_skipped_and_what_follows_is_read(tmp_path: Path) -> None:
    values = BASE | {"tokenizer.ggml.tokens": ["a", "", "é" * 1000], "tokenizer.ggml.add_bos_token": True}
    header = read_header(written(tmp_path, gguf(values, tensors={"token_embd.weight": (3, 5), "output.weight": (2,)})))
    assert (header.adds_bos, header.parameters) == (True, 17)


def test_a_whole_file_has_the_bytes_that_its_header_says(tmp_path: Path) -> None:
    assert read_header(BUNDLED).whole_bytes == BUNDLED.stat().st_size
    assert read_header(written(tmp_path, BUNDLED.read_bytes()[:-1])).whole_bytes == BUNDLED.stat().st_size
    unknown = gguf(BASE, tensors={"weight": (3, 5)}, tensor_type=999)
    assert read_header(written(tmp_path, unknown)).whole_bytes == len(unknown) + -len(unknown) % 32


def test_values_of_another_type_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    odd = {"general.architecture": 7, "general.license": ["a"], "tokenizer.chat_template": True, "split.count": "2"}
    header = read_header(written(tmp_path, gguf(odd)))
    assert (header.architecture, header.license, header.chat_template, header.files) == ("", "", "", 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut off or damaged"),
        (b"<!DOCTYPE html><title>Sign in", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a pointer of Git LFS"),
        (b"PK\x03\x04...", "an archive"),
        (b'{"error": "gated"}', "JSON"),
        (gguf({}, version=1), "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(64), "version 50331648"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "cut off or damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "cut off or damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 63), "cut off or damaged"),
        (gguf(BASE)[:-3], "cut off or damaged"),
    ],
)
def test_what_is_no_model_is_refused_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ModelFileError, match=words) as refused:
        read_header(written(tmp_path, content))
    assert "some.gguf" in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_header(tmp_path / "none.gguf")


def test_any_damage_of_a_header_is_read_or_refused(tmp_path: Path) -> None:
    whole = bytearray(gguf(BASE | {"tokens": ["a", "b"]}, tensors={"weight": (2, 3)}))
    rng = random.Random(5)
    for _ in range(500):
        damaged = bytearray(whole[: rng.randint(4, len(whole))])
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(4, len(damaged)) if len(damaged) > 4 else 0] = rng.randrange(256)
        try:
            read_header(written(tmp_path, bytes(damaged)))
        except ModelFileError:
            continue


def test_quantisations_are_those_of_llama_cpp() -> None:
    theirs = {
        getattr(llama_cpp, name): name.removeprefix("LLAMA_FTYPE_").removeprefix("MOSTLY_").removeprefix("ALL_")
        for name in dir(llama_cpp)
        if name.startswith("LLAMA_FTYPE_") and name != "LLAMA_FTYPE_GUESSED"
    }
    assert theirs == QUANTISATIONS
