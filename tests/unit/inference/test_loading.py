"""Loading and freeing real models."""

import gc
import weakref
from pathlib import Path

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
