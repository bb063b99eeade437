"""The process: the models it serves, and its state (loading, ready, draining or failed)."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

from functions.inference.errors import Draining, InvalidRequest, ModelFileError, ModelUnavailable, UnknownModel
from functions.inference.llama.runtime import start_library
from functions.inference.models.catalogue import Capability
from functions.inference.models.loading import ChatModel, EmbeddingModel, Loader
from functions.inference.settings import InferenceSettings

log = logging.getLogger(__name__)

State = Literal["loading", "ready", "draining", "failed"]
CRASH_EXIT_CODE = 70
LAZY_LOAD_WAIT_S = 120.0


def fail_start(error: ModelFileError) -> None:
    """Print the error and exit with code 3, which makes gunicorn stop instead of starting another worker."""
    print(f"sluice inference: {error}", file=sys.stderr, flush=True)
    os._exit(3)


def die(error: BaseException) -> None:
    """Exit after a failure of the decode thread, so that gunicorn starts a new worker."""
    print(f"sluice inference: the decode thread failed: {error!r}", file=sys.stderr, flush=True)
    os._exit(CRASH_EXIT_CODE)


class InferenceService:
    """Created before the fork, started after it."""

    def __init__(
        self,
        settings: InferenceSettings,
        on_bad_model: Callable[[ModelFileError], None] = fail_start,
        on_crash: Callable[[BaseException], None] = die,
    ) -> None:
        self.settings = settings
        self._on_bad_model = on_bad_model
        self._on_crash = on_crash
        self.on_loaded: Callable[[], None] = lambda: None
        """Called when the models are loaded."""
        self._chat: ChatModel | None = None
        self._embedding: EmbeddingModel | None = None
        self._draining = self._failed = False
        self._stop_asked = threading.Event()
        self._lock = threading.Lock()
        self._loader: threading.Thread | None = None

    @property
    def state(self) -> State:
        """The current state. With lazy loading it is "ready" also before the first request."""
        if self._draining:
            return "draining"
        if self._failed or (self._chat is not None and not self._chat.engine.alive):
            return "failed"
        lazy_idle = self.settings.load == "lazy" and self._loader is None
        return "ready" if self._chat is not None or lazy_idle else "loading"

    def start(self) -> None:
        """Load in a background thread, so that /healthz can answer. Idempotent."""
        with self._lock:
            if self._loader is None:
                self._loader = threading.Thread(target=self._load, name="model-loader", daemon=True)
                self._loader.start()
                threading.Thread(target=self._drain_when_asked, name="drain", daemon=True).start()

    def wait_loaded(self, timeout_s: float) -> None:
        """Wait until loading succeeded or failed, `timeout_s` seconds at most."""
        if self._loader is not None:
            self._loader.join(timeout_s)

    def chat_model(self, name: str, capability: Capability = "chat") -> ChatModel:
        """The chat model, if it has this name. Raises UnknownModel, ModelUnavailable, Draining, and InvalidRequest if
        it lacks the capability: a file without a chat template only completes text."""
        model = self.loaded()
        if self._embedding is not None and name == self._embedding.entry.name != model.entry.name:
            raise InvalidRequest(f"The model `{name}` makes embeddings only; it generates no text.", "model")
        if name != model.entry.name:
            raise UnknownModel(name)
        if capability not in model.entry.capabilities:
            raise InvalidRequest(f"The file of the model `{name}` has no chat template: use /v1/completions.", "model")
        return model

    def embedding_model(self, name: str) -> EmbeddingModel:
        """The embeddings model, if it has this name. Raises as `chat_model`."""
        chat, embedding = self.loaded(), self._embedding
        if embedding is not None and name == embedding.entry.name:
            return embedding
        if name == chat.entry.name:
            raise InvalidRequest(f"The model `{name}` makes no embeddings.", "model")
        raise UnknownModel(name)

    def loaded(self) -> ChatModel:
        """The chat model; the first call loads it if so configured. Raises ModelUnavailable or Draining."""
        if self.settings.load == "lazy" and self._chat is None:
            self.start()
            self.wait_loaded(LAZY_LOAD_WAIT_S)
        if self._draining:
            raise Draining("The model server is shutting down; try again.")
        if self._chat is None or self.state == "failed":
            raise ModelUnavailable("The model is still being loaded; try again.")
        return self._chat

    def model_list(self) -> list[dict[str, Any]]:
        """The rows of GET /v1/models."""
        models: list[ChatModel | EmbeddingModel] = [self.loaded()]
        if self._embedding is not None:
            models.append(self._embedding)
        return [
            {
                "id": model.entry.name,
                "object": "model",
                "created": model.created_s,
                "owned_by": "sluice",
                "context_window": model.context_tokens,
                "capabilities": list(model.entry.capabilities),
            }
            | model.described
            for model in models
        ]

    def report(self) -> dict[str, Any]:
        """Figures of the ready process."""
        if self._chat is None:
            return {"model": None}
        return {"model": self._chat.entry.name} | asdict(self._chat.engine.stats())

    def begin_drain(self) -> None:
        """Refuse new requests and end the running ones after `drain_ms`. A signal handler may call it."""
        self._draining = True
        if self._chat is not None:
            self._chat.engine.begin_drain()
        self._stop_asked.set()

    def drain(self) -> bool:
        """Wait `drain_ms` for running requests. Returns whether all of them completed."""
        self.begin_drain()
        if self._embedding is not None:
            self._embedding.embedder.close()
        return self._chat is None or self._chat.engine.drain(self.settings.drain_ms / 1000)

    def _drain_when_asked(self) -> None:
        """Thread that drains after the signal, because a signal handler must not start threads or take locks."""
        self._stop_asked.wait()
        self.drain()

    def _load(self) -> None:
        try:
            start_library()
            loader = Loader(self.settings)
            chat = loader.chat_model(self._on_crash)
            self._embedding = loader.embedding_model()
            self._chat = chat
            self.on_loaded()
            log.info("model %s is ready", self._chat.entry.name)
        except ModelFileError as error:
            self._failed = True
            self._on_bad_model(error)
        except Exception as error:
            self._failed = True
            self._on_crash(error)
