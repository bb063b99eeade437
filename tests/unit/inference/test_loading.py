"""Loading and freeing real models."""

import ctypes
import gc
import re
import weakref
from pathlib import Path

import llama_cpp
import pytest

from benchmarks.engine import random_model
from benchmarks.engine.gguf_file import read_metadata, write
from functions.inference.errors import ModelFileError
from functions.inference.llama.runtime import start_library
from functions.inference.models.loading import ChatModel, Loader
from functions.inference.models.served import served_models
from functions.inference.settings import InferenceSettings


def test_a_model_that_went_leaves_nothing_when_the_next_comes(tmp_path: Path) -> None:
    settings = InferenceSettings(model="demo", slots=1, data_dir=tmp_path)
    (chat, embeddings) = served_models(settings, None)
    start_library()
    loader = Loader(settings)
    gc.disable()
    try:
        model = loader.load(chat)
        assert isinstance(model, ChatModel)
        left = [weakref.ref(model.vocab), weakref.ref(model.engine)]
        loader.free(chat, model)
        del model
        other = loader.load(embeddings)
        assert [one() for one in left] == [None, None]
        loader.free(embeddings, other)
    finally:
        gc.enable()


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_a_context_takes_the_memory_that_is_reckoned(tmp_path: Path, kv_type: str) -> None:
    settings = InferenceSettings(model="demo", slots=3, kv_type=kv_type, data_dir=tmp_path)  # type: ignore[arg-type]
    chat = served_models(settings, None)[0]
    start_library()
    said: list[str] = []
    listening = llama_cpp.llama_log_callback(lambda _level, text, _user: said.append(text.decode()))
    llama_cpp.llama_log_set(listening, ctypes.c_void_p(0))
    try:
        loader = Loader(settings)
        loader.free(chat, loader.load(chat))
    finally:
        start_library()
    (mib,) = re.findall(r"KV buffer size = +([0-9.]+) MiB", "".join(said))
    assert float(mib) == pytest.approx(chat.context_bytes / (1 << 20), abs=0.01)


def test_a_type_that_does_not_fit_the_models_heads_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = len(read_metadata(random_model.DEMO)["tokenizer.ggml.tokens"][1][1])
    shape = {"LAYERS": 1, "WIDTH": 96, "KV_WIDTH": 96, "FEED_FORWARD": 96, "HEADS": 2, "KV_HEADS": 2}
    for name, number in (shape | {"VOCABULARY": tokens}).items():
        monkeypatch.setattr(random_model, name, number)
    path = tmp_path / "heads-of-48.gguf"
    write(path, random_model.metadata(random_model.Q8_0), random_model.tensors(random_model.Q8_0))
    start_library()
    settings = InferenceSettings(model=str(path), slots=1, embeddings_model="off", data_dir=tmp_path)
    (sound,) = served_models(settings, None)
    loader = Loader(settings)
    loader.free(sound, loader.load(sound))
    with pytest.raises(ModelFileError, match=r"KV_TYPE=q8_0 is not possible for this model: .* n_embd_head_k=48"):
        Loader(settings.model_copy(update={"kv_type": "q8_0"})).load(sound)
