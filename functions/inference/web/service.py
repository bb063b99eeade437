"""The process: the models it serves, and its state (loading, ready, draining or failed)."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

from functions.inference.engine.engine import EngineStats
from functions.inference.errors import Draining, InvalidRequest, ModelFileError, ModelUnavailable, UnknownModel
from functions.inference.llama.runtime import start_library
from functions.inference.models.catalogue import Capability
from functions.inference.models.loading import ChatModel, EmbeddingModel, Loader
from functions.inference.models.memory import available_bytes
from functions.inference.models.served import served_models
from functions.inference.models.swapping import Models, Place, Use
from functions.inference.settings import InferenceSettings

log = logging.getLogger(__name__)

State = Literal["loading", "ready", "draining", "failed"]
CRASH_EXIT_CODE = 70
LAZY_START_WAIT_S = 120.0
"""Until the names are known, which takes long only for a model from S3."""


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
        """Called when the models are loaded that are loaded at start, if any."""
        self._models: Models | None = None
        self._draining = self._failed = False
        self._known, self._started, self._stop_asked = threading.Event(), threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._loader: threading.Thread | None = None

    @property
    def state(self) -> State:
        """The current state. With lazy loading it is "ready" also before the first request."""
        if self._draining:
            return "draining"
        if self._failed or not all(model.engine.alive for model in self._generating):
            return "failed"
        return "ready" if self._started.is_set() or self.settings.load == "lazy" else "loading"

    def start(self) -> None:
        """Load in a background thread, so that /healthz can answer. Idempotent."""
        with self._lock:
            if self._loader is None:
                self._loader = threading.Thread(target=self._load, name="model-loader", daemon=True)
                self._loader.start()
                threading.Thread(target=self._drain_when_asked, name="drain", daemon=True).start()

    def chat(self, name: str, capability: Capability = "chat", account: str = "", *, low: bool = False) -> Use:
        """A claim on a generating model; `low`: of a row of a batch. Raises UnknownModel, ModelUnavailable, Overloaded,
        Draining, and InvalidRequest if the model lacks the capability: a file without a chat template only completes
        text."""
        models = self._served()
        place = _named(models, name)
        can = place.served.entry.capabilities
        if place.served.embeds:
            raise InvalidRequest(f"The model `{name}` makes embeddings only; it generates no text.", "model")
        if can and capability not in can:
            raise InvalidRequest(f"The file of the model `{name}` has no chat template: use /v1/completions.", "model")
        return models.ask(place, account, low=low)

    def embeddings(self, name: str, account: str = "", *, low: bool = False) -> Use:
        """A claim on an embedding model. Raises as `chat`."""
        models = self._served()
        place = _named(models, name)
        if not place.served.embeds and place.served.entry.capabilities:
            raise InvalidRequest(f"The model `{name}` makes no embeddings.", "model")
        return models.ask(place, account, low=low)

    def _served(self) -> Models:
        if self._draining:
            raise Draining("The model server is shutting down; try again.")
        if self.settings.load == "lazy":
            self.start()
            self._known.wait(LAZY_START_WAIT_S)
        if self._models is None or self.state == "failed":
            raise ModelUnavailable("The model is still being loaded; try again.")
        return self._models

    def model_list(self) -> list[dict[str, Any]]:
        """The rows of GET /v1/models, loaded or not."""
        return [
            {
                "id": served.name,
                "object": "model",
                "created": served.created_s,
                "owned_by": "sluice",
                "context_window": served.context_tokens or None,
                "capabilities": list(served.entry.capabilities),
            }
            | served.described
            for served in (place.served for place in self._served().places)
        ]

    @property
    def _generating(self) -> list[ChatModel]:
        return [model for model in self._models.loaded if isinstance(model, ChatModel)] if self._models else []

    def report(self) -> dict[str, Any]:
        """Figures of the ready process. `model`: the first that generates and is loaded."""
        if self._models is None:
            return {"model": None, "models": []}
        loaded = self._generating
        together = _together([model.engine.stats() for model in loaded])
        together["waiting"] += self._models.waiting
        now_s = time.monotonic()
        models = [_told(place, now_s) for place in self._models.places]
        return {"model": loaded[0].entry.name if loaded else None, "models": models} | together

    def begin_drain(self) -> None:
        """Refuse new requests and end the running ones after `drain_ms`. A signal handler may call it."""
        self._draining = True
        for model in self._generating:
            model.engine.begin_drain()
        self._stop_asked.set()

    def drain(self) -> bool:
        """Wait `drain_ms` for running requests. Returns whether all of them completed."""
        self.begin_drain()
        if self._models is None:
            return True
        self._models.stop()
        until_s = time.monotonic() + self.settings.drain_ms / 1000
        for model in self._models.loaded:
            if isinstance(model, EmbeddingModel):
                model.embedder.close()
        if self._loader is not None:
            self._loader.join(max(0.0, until_s - time.monotonic()))  # a load cannot be interrupted
        return all([model.engine.drain(max(0.0, until_s - time.monotonic())) for model in self._generating])

    def _drain_when_asked(self) -> None:
        """Thread that drains after the signal, because a signal handler must not start threads or take locks."""
        self._stop_asked.wait()
        self.drain()

    def _load(self) -> None:
        settings = self.settings
        try:
            budget_bytes = settings.memory_mib << 20 if settings.memory_mib else available_bytes()
            served = served_models(settings, budget_bytes)
            for fault in (model.fault for model in served if model.fault):
                print(f"sluice inference: {fault}", file=sys.stderr, flush=True)
            start_library()
            self._models = Models(served, Loader(settings, self._on_crash), budget_bytes, settings.queue_size)
            self._known.set()
            if settings.load == "eager":
                self._models.load_what_fits()
                self._refuse_if_nothing_loads(self._models)
            self.on_loaded()
            self._started.set()
            self._models.run()
        except ModelFileError as error:
            self._failed = True
            self._on_bad_model(error)
        except Exception as error:
            self._failed = True
            self._on_crash(error)

    def _refuse_if_nothing_loads(self, models: Models) -> None:
        """With one model, the first failure is the whole server's."""
        faults = [place.fault for place in models.places if place.fault]
        if faults and (not self.settings.models or all(one.fault for one in models.places if one.served.named)):
            raise ModelFileError(faults[0])


def _named(models: Models, name: str) -> Place:
    for place in models.places:
        if name in (place.served.name, place.served.given):
            return place
    raise UnknownModel(name)


def _together(stats: list[EngineStats]) -> dict[str, int]:
    every = [asdict(one) for one in stats]
    found = {
        name: sum(one[name] for one in every) for name in ("slots", "running", "waiting", "steps", "decoded_tokens")
    }
    return found | {"retry_after_s": max((one["retry_after_s"] for one in every), default=1)}


def _told(place: Place, now_s: float) -> dict[str, Any]:
    fault = place.served.fault or (place.fault if now_s < place.fault_until_s else "")
    state = "loaded" if place.model else "loading" if place.loading else "failed" if fault else "unloaded"
    told = {"id": place.served.name, "state": state, "requests": place.uses, "waiting": len(place.waiting)}
    return told | ({"fault": fault} if state == "failed" else {})
