"""Checks that models fit into memory, so that they are refused at start instead of killed under load."""

from pathlib import Path
from typing import Any

import llama_cpp

from functions.inference.errors import ModelFileError

BYTES_PER_VALUE = 2
"""Keys and values are 16-bit floats."""
OVERHEAD_BYTES = 64 << 20
"""Compute buffers and the interpreter."""


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
