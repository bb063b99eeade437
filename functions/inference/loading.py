"""From settings to models that answer: resolve, check, load, warm up. Runs after the fork, in the decode process."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functions.inference.catalogue import CatalogueModel, resolve
from functions.inference.chat import CHATML, ChatTemplate
from functions.inference.engine import Engine, EngineLimits
from functions.inference.errors import ModelFileError
from functions.inference.jobs import Failed, Finished, Job
from functions.inference.llama_backend import LlamaBackend
from functions.inference.llama_runtime import LoadOptions, load_model
from functions.inference.modelfile import check_model_file, expected_sha256
from functions.inference.prompts import PromptTokenizer
from functions.inference.settings import InferenceSettings, usable_cpus

TINY_MODEL_BYTES = 64 << 20
"""Below this a second thread costs more in waiting than it brings."""
WARM_UP_S = 60.0


@dataclass(frozen=True)
class ChatModel:
    """A model that generates."""

    entry: CatalogueModel
    engine: Engine
    vocab: LlamaBackend
    template: ChatTemplate
    prompts: PromptTokenizer
    created_s: int

    @property
    def context_tokens(self) -> int:
        return self.vocab.context_tokens


def threads_for(path: Path, settings: InferenceSettings) -> int:
    """Threads of llama.cpp for this file."""
    if settings.threads:
        return settings.threads
    return 1 if path.stat().st_size < TINY_MODEL_BYTES else usable_cpus()


def checked_file(name_or_path: str, settings: InferenceSettings) -> tuple[CatalogueModel, Path]:
    """The entry and its file, verified. Raises ModelFileError."""
    entry, path = resolve(name_or_path, settings.models_dir)
    check_model_file(path, sha256=expected_sha256(path, entry.sha256), size_bytes=entry.size_bytes)
    return entry, path


def open_model(path: Path, settings: InferenceSettings) -> Any:
    """llama.cpp's handle of a checked file."""
    return load_model(path, LoadOptions(mmap=settings.mmap, gpu_layers=settings.gpu_layers))


def load_chat_model(settings: InferenceSettings, on_crash: Any = None) -> ChatModel:
    """The model of `SLUICE_MODEL`, warmed up and decoding. Raises ModelFileError."""
    entry, path = checked_file(settings.model, settings)
    backend = LlamaBackend(
        open_model(path, settings),
        sequences=settings.slots,
        context_tokens=settings.context_tokens,
        batch_tokens=settings.batch_tokens,
        threads=threads_for(path, settings),
    )
    limits = EngineLimits(
        slots=settings.slots,
        batch_tokens=settings.batch_tokens,
        step_target_ms=settings.step_target_ms,
        queue_places=settings.queue_size,
        queue_wait_s=settings.queue_wait_ms / 1000,
    )
    engine = Engine(backend, limits, on_crash=on_crash)
    template = ChatTemplate(
        backend.chat_template() or CHATML, bos=backend.special_text("bos"), eos=backend.special_text("eos")
    )
    prompts = PromptTokenizer(backend, backend.control_texts())
    model = ChatModel(entry, engine, backend, template, prompts, int(path.stat().st_mtime))
    engine.start()
    warm_up(model)
    return model


def warm_up(model: ChatModel) -> None:
    """One token: pages the weights in and shows that the model can answer at all. Raises ModelFileError."""
    job = model.engine.submit(Job((model.vocab.start_token,), max_tokens=1))
    until = time.monotonic() + WARM_UP_S
    while time.monotonic() < until:
        match job.next_event(1.0):
            case Finished():
                return
            case Failed(error):
                raise ModelFileError(f"The model {model.entry.name} loads but does not answer: {error}")
    raise ModelFileError(f"The model {model.entry.name} loads but gave no answer within {WARM_UP_S:.0f} s.")
