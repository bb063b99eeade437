"""How many layers fit into the video memory limit; the CPU computes the rest."""

from pathlib import Path
from typing import Any

import llama_cpp

from functions.inference.llama.runtime import LoadOptions, load_model
from functions.inference.models.memory import context_bytes

RESERVE_BYTES = 300 << 20
"""The driver's context and llama.cpp's compute buffers."""


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
    fitting = int(max(0, vram_bytes - RESERVE_BYTES) * (layers + 1) // max(1, needed_bytes))
    wanted = layers + 1 if wanted_layers < 0 else wanted_layers
    return min(fitting, wanted, layers + 1)
