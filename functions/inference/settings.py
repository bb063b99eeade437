"""Settings of the inference server, read once from the environment."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Positive = Annotated[int, Field(ge=1)]


class InferenceSettings(BaseSettings):
    """Environment prefix `SLUICE_INFERENCE_`; those that users know have no such prefix."""

    model_config = SettingsConfigDict(
        env_prefix="SLUICE_INFERENCE_", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    model: str = Field("demo", validation_alias=AliasChoices("SLUICE_MODEL"))
    model_sha256: str | None = Field(None, validation_alias=AliasChoices("SLUICE_MODEL_SHA256"))
    """Vouches for a model from S3."""
    data_dir: Path = Field(Path(".sluice"), validation_alias=AliasChoices("SLUICE_DATA_DIR"))
    default_max_tokens: Positive = Field(512, validation_alias=AliasChoices("SLUICE_DEFAULT_MAX_TOKENS"))

    slots: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests that generate at once; each costs its context in memory."""
    context_tokens: Positive = 4096
    """Cap of one request's context; the model's own context caps it further."""
    threads: Annotated[int, Field(ge=0, le=512)] = 0
    """Threads of llama.cpp; 0 chooses: one for tiny models, else the processors this process may use."""
    batch_tokens: Annotated[int, Field(ge=8, le=8192)] = 512
    """Most tokens of one decode call."""
    step_target_ms: Positive = 100
    """Prompt chunks shrink until one decode call takes about this long: what a cancellation may have to wait."""
    gpu_layers: int = 0
    """Layers kept on a GPU (builds that have one); -1 means all that fit."""
    vram_mib: Annotated[int, Field(ge=0)] = 0
    """Cap on video memory: layers beyond it stay with the processor; 0 means none."""
    memory_mib: Annotated[int, Field(ge=0)] = 0
    """Budget for weights and contexts of all models together; 0 means what the machine has free."""
    load: Literal["eager", "lazy"] = "eager"
    """Load at start, or at the first request."""
    mmap: bool = True
    embeddings_model: str = "auto"
    """Catalogue name of the embeddings model; `auto`: the one the catalogue gives the chat model; `off`: none."""

    queue_size: Positive = 64
    """Requests that may wait for a slot."""
    queue_wait_ms: Positive = 30_000
    request_timeout_ms: Positive = 600_000
    """Deadline of a request that brings none."""
    drain_ms: Positive = 20_000
    """After SIGTERM, how long running requests may go on."""
    read_timeout_ms: Positive = 15_000
    """A caller who stops in the middle of a request is dropped."""
    write_timeout_ms: Positive = 30_000
    """A reader that takes nothing for this long is dropped."""

    @property
    def models_dir(self) -> Path:
        """Where pulled models lie."""
        return self.data_dir / "models"


def usable_cpus() -> int:
    """Processors this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
