"""How many layers of each model go to the GPU, so that all of them together stay within one cap on its memory.

The processor computes the other layers.
"""

from pathlib import Path

import llama_cpp

RESERVE_BYTES = 300 << 20
"""Of each model: llama.cpp's compute buffers; and of the first one the driver's context."""


class VideoMemory:
    """The video memory that SLUICE_INFERENCE_VRAM_MIB allows. Used by one thread."""

    def __init__(self, cap_bytes: int, has_gpu: bool | None = None) -> None:
        """`cap_bytes`: 0 is no limit. `has_gpu`: None asks llama.cpp, which may be built without."""
        self._cap_bytes = cap_bytes
        self._has_gpu = llama_cpp.llama_supports_gpu_offload() if has_gpu is None else has_gpu
        self._taken: dict[Path, int] = {}

    @property
    def free_bytes(self) -> int:
        """What is left of the cap."""
        return self._cap_bytes - sum(self._taken.values())

    def take(self, path: Path, *, layers: int, wanted_layers: int, needed_bytes: int) -> int:
        """The layers of a model that go to the GPU: `wanted_layers` (-1: all), as far as they fit beside the others.

        `layers`: of the whole model. `needed_bytes`: its weights and contexts. The memory is counted as taken.
        """
        if wanted_layers == 0 or not self._has_gpu:
            return 0
        if self._cap_bytes == 0:
            return wanted_layers
        fitting = layers_within(self.free_bytes, needed_bytes=needed_bytes, layers=layers, wanted_layers=wanted_layers)
        if fitting:
            self._taken[path] = RESERVE_BYTES + needed_bytes * fitting // (layers + 1)
        return fitting

    def give_back(self, path: Path) -> None:
        """The model was freed."""
        self._taken.pop(path, None)


def layers_within(free_bytes: int, *, needed_bytes: int, layers: int, wanted_layers: int) -> int:
    """Assumes that weights and context are spread evenly over the layers; the output counts as one layer."""
    fitting = int(max(0, free_bytes - RESERVE_BYTES) * (layers + 1) // max(1, needed_bytes))
    wanted = layers + 1 if wanted_layers < 0 else wanted_layers
    return min(fitting, wanted, layers + 1)
