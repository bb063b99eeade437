"""Loads the models that the settings name: resolve, check, load, warm up. Runs after the fork."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import llama_cpp

from functions.inference.engine.engine import Engine, EngineLimits
from functions.inference.engine.jobs import Failed, Finished, Job
from functions.inference.errors import ModelFileError
from functions.inference.llama.backend import LlamaBackend
from functions.inference.llama.embedder import Embedder
from functions.inference.llama.runtime import LoadOptions, load_model
from functions.inference.models.catalogue import DEFAULT_EMBEDDING_MODEL, CatalogueModel, resolve
from functions.inference.models.chat_template import ChatTemplate
from functions.inference.models.gguf_header import read_header
from functions.inference.models.memory import available_bytes, context_bytes, require_room
from functions.inference.models.model_file import check_model_file, expected_sha256, sha256_of
from functions.inference.models.prompt_tokenizer import PromptTokenizer
from functions.inference.models.s3_model import bring, is_s3
from functions.inference.models.vector_cache import VectorCache
from functions.inference.models.video_memory import VideoMemory
from functions.inference.settings import InferenceSettings, usable_cpus

log = logging.getLogger(__name__)

TINY_MODEL_BYTES = 64 << 20
"""For smaller models a second thread costs more in synchronisation than it gains."""
VERSION_DIGITS = 16
WARM_UP_S = 60.0
WARM_UP_TOKENS = 32


@dataclass(frozen=True)
class EmbeddingModel:
    """A model that turns text into vectors."""

    entry: CatalogueModel
    path: Path
    embedder: Embedder
    created_s: int
    prefixes: Mapping[str, str]
    """What the model wants before a text, by `input_type`."""
    version: str
    """Of two that differ in it, vectors cannot be compared."""
    cache: VectorCache

    @property
    def context_tokens(self) -> int:
        return self.embedder.context_tokens

    @property
    def described(self) -> dict[str, Any]:
        """What its row in the list of models says beside that of others."""
        known = {"version": self.version, "dimensions": self.embedder.dimensions}
        return {"embedding": known | {"floor": self.entry.floor, "unrelated": self.entry.unrelated}}


@dataclass(frozen=True)
class ChatModel:
    """A model that generates."""

    entry: CatalogueModel
    path: Path
    engine: Engine
    vocab: LlamaBackend
    template: ChatTemplate
    prompts: PromptTokenizer
    created_s: int
    described: ClassVar[dict[str, Any]] = {}

    @property
    def context_tokens(self) -> int:
        return self.vocab.context_tokens


def threads_for(path: Path, settings: InferenceSettings) -> int:
    """The number of llama.cpp threads for this model file."""
    if settings.threads:
        return settings.threads
    return 1 if path.stat().st_size < TINY_MODEL_BYTES else usable_cpus()


def checked_file(name_or_path: str, settings: InferenceSettings) -> tuple[CatalogueModel, Path]:
    """The entry and its verified file. Raises ModelFileError."""
    if is_s3(name_or_path):
        name_or_path = str(bring(name_or_path, settings.model_sha256, settings.models_dir))
    entry, path = resolve(name_or_path, settings.models_dir)
    check_model_file(path, sha256=expected_sha256(path, entry.sha256), size_bytes=entry.size_bytes)
    return entry, path


def require_text(entry: CatalogueModel, path: Path) -> None:
    """Raises ModelFileError for a file that generates no text, because llama.cpp would end the process."""
    header = read_header(path)
    if header.use in ("chat", "completions") and {"chat", "completions"} & set(entry.capabilities):
        return
    use = "scores texts" if header.ranks else "makes embeddings"
    raise ModelFileError(
        f"The model {entry.name} ({path}, architecture {header.architecture}) {use} and does not generate text: choose "
        "another for SLUICE_MODEL. An embedding model is named by SLUICE_INFERENCE_EMBEDDINGS_MODEL."
    )


def require_embeddings(entry: CatalogueModel, path: Path) -> None:
    """Raises ModelFileError for a file that is no embedding model."""
    header = read_header(path)
    if header.use != "embeddings":
        use = "scores texts" if header.ranks else "generates text"
        raise ModelFileError(
            f"The model {entry.name} ({path}, architecture {header.architecture}) {use} and makes no embeddings: "
            f"choose another for SLUICE_INFERENCE_EMBEDDINGS_MODEL, such as {DEFAULT_EMBEDDING_MODEL}, or `off`."
        )


def version_of(path: Path, sha256: str | None, own_prefix: str) -> str:
    """Names the file's content, and the owner's prefix of passages if that is not the catalogue's."""
    content = (expected_sha256(path, sha256) or sha256_of(path))[:VERSION_DIGITS]
    return f"{content}-{hashlib.sha256(own_prefix.encode()).hexdigest()[:8]}" if own_prefix else content


class Loader:
    """Loads the models of one process. A file that two models share is loaded once; all share one memory budget."""

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings
        self._handles: dict[Path, Any] = {}
        self._video = VideoMemory(settings.vram_mib << 20)
        self._budget_bytes = settings.memory_mib << 20 if settings.memory_mib else available_bytes()

    def chat_model(self, on_crash: Callable[[BaseException], None] | None = None) -> ChatModel:
        """The model of `SLUICE_MODEL`, warmed up, its decode thread running. Raises ModelFileError."""
        settings = self._settings
        entry, path = checked_file(settings.model, settings)
        require_text(entry, path)
        handle = self._open(entry, path)
        self._reserve(entry, handle, settings.slots * settings.context_tokens)
        backend = LlamaBackend(
            handle,
            sequences=settings.slots,
            context_tokens=settings.context_tokens,
            batch_tokens=settings.batch_tokens,
            threads=threads_for(path, settings),
        )
        engine = Engine(backend, limits_of(settings), on_crash=on_crash)
        prompts = PromptTokenizer(backend, backend.control_tokens())
        if not backend.chat_template():
            log.warning("%s has no chat template: it completes text, and does not chat", path)
            entry = entry.model_copy(update={"capabilities": ("completions",)})
        template = template_of(backend, prompts)
        model = ChatModel(entry, path, engine, backend, template, prompts, int(path.stat().st_mtime))
        engine.start()
        warm_up(model)
        return model

    def embedding_model(self) -> EmbeddingModel | None:
        """The model of `SLUICE_INFERENCE_EMBEDDINGS_MODEL`; None if that is `off`. Raises ModelFileError."""
        settings = self._settings
        name = settings.embeddings_model
        if name == "off":
            return None
        entry, path = checked_file(DEFAULT_EMBEDDING_MODEL if name == "auto" else name, settings)
        require_embeddings(entry, path)
        handle = self._open(entry, path)
        self._reserve(entry, handle, settings.context_tokens)
        embedder = Embedder(
            handle,
            context_tokens=settings.context_tokens,
            threads=threads_for(path, settings),
            queue_places=settings.queue_size,
        )
        chosen = {"query": settings.query_prefix, "passage": settings.passage_prefix}
        usual = {"query": entry.query_prefix, "passage": entry.passage_prefix}
        prefixes = usual | {kind: prefix for kind, prefix in chosen.items() if prefix is not None}
        version = version_of(path, entry.sha256, "" if prefixes == usual else prefixes["passage"])
        cache = VectorCache(settings.embeddings_cache_mib << 20)
        return EmbeddingModel(entry, path, embedder, int(path.stat().st_mtime), prefixes, version, cache)

    def _open(self, entry: CatalogueModel, path: Path) -> Any:
        if path not in self._handles:
            verified = expected_sha256(path, entry.sha256) is not None
            if not verified:
                log.warning("%s is not verified: there is no SHA-256 to compare it with", path)
            require_room(entry.name, path.stat().st_size, self._budget_bytes)
            settings = self._settings
            header = read_header(path)
            tokens = settings.slots * header.context_within(settings.context_tokens)
            layers = self._video.take(
                path,
                layers=header.layers,
                wanted_layers=settings.gpu_layers,
                needed_bytes=path.stat().st_size + tokens * header.token_bytes,
            )
            options = LoadOptions(settings.mmap, layers, check_tensors=not verified)
            self._handles[path] = load_model(path, options)
            self._spend(path.stat().st_size)
        return self._handles[path]

    def _reserve(self, entry: CatalogueModel, handle: Any, tokens: int) -> None:
        """Count the context's memory, limited to the context the model was trained with."""
        trained = llama_cpp.llama_model_n_ctx_train(handle)
        slots = max(1, tokens // self._settings.context_tokens)
        needed = context_bytes(handle, slots * min(self._settings.context_tokens, trained or tokens))
        require_room(entry.name, needed, self._budget_bytes)
        self._spend(needed)

    def _spend(self, count: int) -> None:
        if self._budget_bytes is not None:
            self._budget_bytes -= count


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
    )


def warm_up(model: ChatModel) -> None:
    """Generate one token, to page the weights in and measure the speed. Raises ModelFileError if that fails."""
    prompt = (model.vocab.start_token,) * min(WARM_UP_TOKENS, model.context_tokens - 1)
    job = model.engine.submit(Job(prompt, max_tokens=1))
    until = time.monotonic() + WARM_UP_S
    while time.monotonic() < until:
        match job.next_event(1.0):
            case Finished():
                return
            case Failed(error):
                raise ModelFileError(f"The model {model.entry.name} loads but does not answer: {error}")
    raise ModelFileError(f"The model {model.entry.name} loads but gave no answer within {WARM_UP_S:.0f} s.")
