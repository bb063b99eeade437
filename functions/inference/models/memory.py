"""Checks that models fit into memory, so that they are refused at start instead of killed under load; and how many
layers fit into the video memory limit (the CPU computes the rest)."""

from pathlib import Path
from typing import Any

import llama_cpp

from functions.inference.errors import ModelFileError
from functions.inference.llama.runtime import LoadOptions, load_model

BYTES_PER_VALUE = 2
"""Keys and values are 16-bit floats."""
OVERHEAD_BYTES = 64 << 20
"""Compute buffers and the interpreter."""
VRAM_RESERVE_BYTES = 300 << 20
"""The driver's context and llama.cpp's compute buffers."""


def context_bytes(model: Any, tokens: int) -> int:
    """Bytes of the keys and values of `tokens` tokens."""
    heads = max(1, llama_cpp.llama_model_n_head(model))
    per_head = llama_cpp.llama_model_n_embd(model) // heads
    per_layer = 2 * per_head * max(1, llama_cpp.llama_model_n_head_kv(model)) * BYTES_PER_VALUE
    return int(tokens * llama_cpp.llama_model_n_layer(model) * per_layer)


def available_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that this process may still allocate; None when unknown."""
    found: list[int] = []
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        found.append(int(text) - int(used.read_text()))
    return min(found, default=None)


def require_room(name: str, needed_bytes: int, budget_bytes: int | None) -> None:
    """Raises ModelFileError when a model does not fit the budget."""
    if budget_bytes is not None and needed_bytes + OVERHEAD_BYTES > budget_bytes:
        raise ModelFileError(
            f"The model {name} does not fit: it needs about {needed_bytes + OVERHEAD_BYTES >> 20} MiB and may have "
            f"{max(0, budget_bytes) >> 20} MiB. "
            "Lower SLUICE_INFERENCE_SLOTS or _CONTEXT_TOKENS, or take a smaller model."
        )


def capped_layers(path: Path, *, wanted_layers: int, vram_bytes: int, context_tokens: int) -> int:
    """`wanted_layers` (-1: all), reduced to the number that fits `vram_bytes` (0: no limit)."""
    if wanted_layers == 0 or vram_bytes == 0 or not llama_cpp.llama_supports_gpu_offload():
        return wanted_layers
    probe: Any = load_model(path, LoadOptions(mmap=False, metadata_only=True))
    try:
        layers = llama_cpp.llama_model_n_layer(probe)
        needed = path.stat().st_size + context_bytes(probe, context_tokens)
    finally:
        llama_cpp.llama_model_free(probe)
    return layers_within(vram_bytes, needed_bytes=needed, layers=layers, wanted_layers=wanted_layers)


def layers_within(vram_bytes: int, *, needed_bytes: int, layers: int, wanted_layers: int) -> int:
    """Assumes that weights and context are spread evenly over the layers; the output counts as one layer."""
    fitting = int(max(0, vram_bytes - VRAM_RESERVE_BYTES) * (layers + 1) // max(1, needed_bytes))
    wanted = layers + 1 if wanted_layers < 0 else wanted_layers
    return min(fitting, wanted, layers + 1)
