"""Settings of the inference server, read once from the environment."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Prefix = Annotated[str, Field(pattern=r"^[ -~]{0,64}$")]
Positive = Annotated[int, Field(ge=1)]


class InferenceSettings(BaseSettings):
    """Environment variables `SLUICE_INFERENCE_…`; those with an alias are shared with the rest of the system."""

    model_config = SettingsConfigDict(
        env_prefix="SLUICE_INFERENCE_", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    model: str = Field("demo", validation_alias=AliasChoices("SLUICE_MODEL"))
    models: str = Field("", validation_alias=AliasChoices("SLUICE_MODELS"))
    """Names or paths, comma-separated, of several models that share the memory. Empty: `model` alone."""
    model_sha256: str | None = Field(None, validation_alias=AliasChoices("SLUICE_MODEL_SHA256"))
    """Expected SHA-256 of a model from S3, in hex."""
    data_dir: Path = Field(Path(".sluice"), validation_alias=AliasChoices("SLUICE_DATA_DIR"))
    default_max_tokens: Positive = Field(512, validation_alias=AliasChoices("SLUICE_DEFAULT_MAX_TOKENS"))

    slots: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests that generate at the same time. Each needs memory for its context."""
    context_tokens: Positive = 4096
    """Limit of one request's context; the model's own limit also applies."""
    kv_type: Literal["f16", "q8_0", "q4_0"] = "f16"
    """How keys and values of contexts are kept. `q8_0` takes 0.53 of the memory of `f16`, `q4_0` 0.28."""
    threads: Annotated[int, Field(ge=0, le=512)] = 0
    """Threads of llama.cpp. 0: one for tiny models; else one per CPU that this process may use, and one fewer for an
    answer that is generated alone."""
    batch_tokens: Annotated[int, Field(ge=8, le=8192)] = 512
    """Most tokens of one decode call."""
    step_target_ms: Positive = 100
    """Prompt chunks are sized so that one decode call takes about this long, because cancellations wait for it."""
    guess: bool = True
    """Whether tokens of an answer that repeats what was before are guessed, and computed several at once (ADR 118)."""
    gpu_layers: int = 0
    """Layers on a GPU, in builds that support one. -1: all that fit."""
    vram_mib: Annotated[int, Field(ge=0)] = 0
    """Limit of video memory; further layers stay on the CPU. 0: no limit."""
    memory_mib: Annotated[int, Field(ge=0)] = 0
    """Memory for weights and contexts of the models that are loaded at the same time. 0: what is free at start."""
    pinned: str = ""
    """Those of `models`, comma-separated, that are never evicted for another."""
    load: Literal["eager", "lazy"] = "eager"
    """Load at start what fits, or each model at its first request."""
    mmap: bool = True
    embeddings_model: str = "auto"
    """Catalogue name or path of the embedding model. `auto`: all-minilm-l6-v2, which comes with Sluice; `off`: none."""
    embeddings_cache_mib: Annotated[int, Field(ge=0, le=65_536)] = 64
    """Memory for the vectors of inputs that come again. 0: none are kept."""
    query_prefix: Prefix | None = None
    """What the embeddings model wants before a question, with its blank, where a request has an `input_type`. Empty: as
    the catalogue says."""
    passage_prefix: Prefix | None = None
    """The same before a text that is searched."""

    queue_size: Positive = 64
    """Requests that may wait for a slot."""
    queue_wait_ms: Positive = 30_000
    request_timeout_ms: Positive = 600_000
    """Deadline of a request without the header x-sluice-deadline-ms."""
    drain_ms: Positive = 20_000
    """How long running requests may continue after SIGTERM."""
    read_timeout_ms: Positive = 15_000
    """A caller that stops sending in the middle of a request is disconnected after this time."""
    write_timeout_ms: Positive = 30_000
    """A caller that stops reading is disconnected after this time."""

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models to serve, each once, as they are written."""
        return names_in(self.models) or (self.model,)

    @property
    def from_s3(self) -> bool:
        """Whether a model must be downloaded before anything is known of it."""
        return any(name.startswith("s3://") for name in self.model_names)

    @property
    def models_dir(self) -> Path:
        """The folder of pulled models."""
        return self.data_dir / "models"


def names_in(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def usable_cpus() -> int:
    """The number of CPUs this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
