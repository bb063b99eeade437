"""The demo model's vocabulary; and no time limits, so that no test fails on a slow machine."""

from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import pytest
from hypothesis import HealthCheck, settings

from functions.inference.llama.vocab import LlamaVocab

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def vocab() -> Iterator[LlamaVocab]:
    """The demo model's, without its weights."""
    options = llama_cpp.llama_model_default_params()
    options.vocab_only = True
    path = Path(__file__).parents[3] / "model/demo-model-q8_0.gguf"
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
    yield LlamaVocab(model)
    llama_cpp.llama_model_free(model)
