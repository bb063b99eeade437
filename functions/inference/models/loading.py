"""Loads a model and frees it: check, load, warm up. Runs after the fork."""

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from functions.inference.engine.engine import Engine, EngineLimits
from functions.inference.engine.jobs import Failed, Finished, Job
from functions.inference.errors import InferenceError, ModelFileError
from functions.inference.llama.backend import LlamaBackend
from functions.inference.llama.embedder import Embedder
from functions.inference.llama.runtime import LoadOptions, free_model, load_model
from functions.inference.models.apart import try_apart
from functions.inference.models.catalogue import CatalogueModel
from functions.inference.models.chat_template import ChatTemplate
from functions.inference.models.model_file import check_model_file, expected_sha256
from functions.inference.models.prompt_tokenizer import PromptTokenizer
from functions.inference.models.served import Served
from functions.inference.models.vector_cache import VectorCache
from functions.inference.models.video_memory import VideoMemory
from functions.inference.settings import InferenceSettings, usable_cpus

log = logging.getLogger(__name__)

TINY_MODEL_BYTES = 64 << 20
"""For smaller models a second thread costs more in synchronisation than it gains."""
WARM_UP_S = 60.0
WARM_UP_TOKENS = 32


@dataclass(frozen=True, eq=False)
class EmbeddingModel:
    """A model that turns text into vectors."""

    entry: CatalogueModel
    embedder: Embedder
    prefixes: Mapping[str, str]
    """What the model wants before a text, by `input_type`."""
    version: str
    """Of two that differ in it, vectors cannot be compared."""
    cache: VectorCache

    @property
    def context_tokens(self) -> int:
        return self.embedder.context_tokens


@dataclass(frozen=True, eq=False)
class ChatModel:
    """A model that generates."""

    entry: CatalogueModel
    engine: Engine
    vocab: LlamaBackend
    template: ChatTemplate
    prompts: PromptTokenizer

    @property
    def context_tokens(self) -> int:
        return self.vocab.context_tokens


Loaded = ChatModel | EmbeddingModel


class Threads(NamedTuple):
    """llama.cpp's, of a call with one token, and of one with more: prompts, and answers of several requests."""

    one: int
    more: int


def threads_for(size_bytes: int, settings: InferenceSettings, cpus: int) -> Threads:
    """For a model of this size (docs/adr/0018-threads-on-a-shared-machine.md)."""
    if settings.threads:
        return Threads(settings.threads, settings.threads)
    return Threads(1, 1) if size_bytes < TINY_MODEL_BYTES else Threads(max(1, cpus - 1), cpus)


class Loader:
    """Loads models and frees them; used by one thread. A file that two models share is loaded once."""

    def __init__(self, settings: InferenceSettings, on_crash: Callable[[BaseException], None] | None = None) -> None:
        self._settings = settings
        self._on_crash = on_crash
        self._handles: dict[Path, Any] = {}
        self._users: Counter[Path] = Counter()
        self._video = VideoMemory(settings.vram_mib << 20)
        self._checked: dict[Path, tuple[int, int]] = {}
        self._sound: set[Path] = set()
        """Files whose weights were looked through; that takes longer than to load them."""

    def check(self, served: Served) -> None:
        """Compare the file with what is known of it, unless it is as it was then. Raises ModelFileError."""
        path, entry = served.path, served.entry
        try:
            state = (path.stat().st_mtime_ns, path.stat().st_size)
        except OSError as exc:
            raise ModelFileError(f"The model file {path} cannot be read: {exc.strerror or exc}.") from exc
        if self._checked.get(path) != state:
            check_model_file(path, sha256=expected_sha256(path, entry.sha256), size_bytes=entry.size_bytes)
            if self._settings.models and entry.sha256 is None:  # others would end with it, if llama.cpp aborts
                try_apart(path)
            self._checked[path] = state
            self._sound.discard(path)

    def load(self, served: Served) -> Loaded:
        """The model, ready to serve. Raises ModelFileError."""
        gc.collect()  # models that were freed are parts of circles, with what they knew of their vocabularies
        handle = self._open(served)
        try:
            return self._embedding(served, handle) if served.embeds else self._chat(served, handle)
        except BaseException:
            self._release(served.path)
            raise

    def free(self, served: Served, model: Loaded) -> None:
        """Give its memory back. No thread may use it any more."""
        if isinstance(model, ChatModel):
            model.engine.close()
            model.vocab.close()
        else:
            model.embedder.close()
            model.embedder.free()
        self._release(served.path)

    def _chat(self, served: Served, handle: Any) -> ChatModel:
        """A generating model, warmed up, its decode thread running."""
        settings = self._settings
        threads = threads_for(served.weights_bytes, settings, usable_cpus())
        backend = LlamaBackend(
            handle,
            sequences=settings.slots,
            context_tokens=settings.context_tokens,
            batch_tokens=settings.batch_tokens,
            threads=threads.one,
            batch_threads=threads.more,
            kv_type=settings.kv_type,
        )
        engine = Engine(backend, limits_of(settings), on_crash=self._on_crash)
        prompts = PromptTokenizer(backend, backend.control_tokens())
        if "chat" not in served.entry.capabilities:
            log.warning("%s has no chat template: it completes text, and does not chat", served.path)
        model = ChatModel(served.entry, engine, backend, template_of(backend, prompts), prompts)
        engine.start()
        try:
            warm_up(model)
        except BaseException:
            engine.close()
            backend.close()
            raise
        return model

    def _embedding(self, served: Served, handle: Any) -> EmbeddingModel:
        settings = self._settings
        embedder = Embedder(
            handle,
            context_tokens=settings.context_tokens,
            threads=threads_for(served.weights_bytes, settings, usable_cpus()).more,
            queue_places=settings.queue_size,
        )
        cache = VectorCache(settings.embeddings_cache_mib << 20)
        return EmbeddingModel(served.entry, embedder, served.prefixes, served.version, cache)

    def _open(self, served: Served) -> Any:
        path, settings = served.path, self._settings
        if path not in self._handles:
            unknown = expected_sha256(path, served.entry.sha256) is None and path not in self._sound
            if unknown:
                log.warning("%s is not verified: there is no SHA-256 to compare it with", path)
            assert served.header is not None, "a model without a header has a fault"
            layers = self._video.take(
                path,
                layers=served.header.layers,
                wanted_layers=settings.gpu_layers,
                needed_bytes=served.weights_bytes + served.context_bytes,
            )
            try:
                self._handles[path] = load_model(path, LoadOptions(settings.mmap, layers, check_tensors=unknown))
            except ModelFileError:
                self._video.give_back(path)
                raise
            self._sound.add(path)
        self._users[path] += 1
        return self._handles[path]

    def _release(self, path: Path) -> None:
        self._users[path] -= 1
        if not self._users[path]:
            free_model(self._handles.pop(path))
            self._video.give_back(path)


def template_of(backend: LlamaBackend, prompts: PromptTokenizer) -> ChatTemplate:
    """The file's own; an empty one where it has none, for a model that does not chat."""
    bos, eos = backend.special_text("bos"), backend.special_text("eos")
    return ChatTemplate(backend.chat_template() or "", mark=prompts.mark, bos=bos, eos=eos)


def limits_of(settings: InferenceSettings) -> EngineLimits:
    """The engine's part of the settings."""
    return EngineLimits(
        slots=settings.slots,
        batch_tokens=settings.batch_tokens,
        step_target_ms=settings.step_target_ms,
        queue_places=settings.queue_size,
        queue_wait_s=settings.queue_wait_ms / 1000,
        guess=settings.guess,
    )


def warm_up(model: ChatModel) -> None:
    """Generate one token, to page the weights in and measure the speed. Raises ModelFileError if that fails."""
    prompt = (model.vocab.start_token,) * min(WARM_UP_TOKENS, model.context_tokens - 1)
    try:
        job = model.engine.submit(Job(prompt, max_tokens=1))
    except InferenceError as exc:  # a context of one token, for example
        raise ModelFileError(f"The model {model.entry.name} loads but does not answer: {exc}") from exc
    until = time.monotonic() + WARM_UP_S
    while time.monotonic() < until:
        match job.next_event(1.0):
            case Finished():
                return
            case Failed(error):
                raise ModelFileError(f"The model {model.entry.name} loads but does not answer: {error}")
    raise ModelFileError(f"The model {model.entry.name} loads but gave no answer within {WARM_UP_S:.0f} s.")
