"""Several models under one cap on video memory. Without a GPU: only the sums are tried."""

from pathlib import Path

import pytest

from functions.inference.models.video_memory import RESERVE_BYTES, VideoMemory, layers_within

MIB = 1 << 20
FIRST, SECOND = Path("first.gguf"), Path("second.gguf")
MODEL = {"layers": 24, "wanted_layers": -1, "needed_bytes": 1000 * MIB}


@pytest.mark.parametrize(
    ("vram_mib", "wanted", "layers"),
    [(0, -1, 0), (300, -1, 0), (800, -1, 12), (800, 5, 5), (9000, -1, 25), (9000, 99, 25)],
)
def test_layers_stay_within_the_cap_on_video_memory(vram_mib: int, wanted: int, layers: int) -> None:
    assert layers_within(vram_mib * MIB, needed_bytes=1000 * MIB, layers=24, wanted_layers=wanted) == layers


def test_several_models_share_one_cap() -> None:
    memory = VideoMemory(1900 * MIB, has_gpu=True)
    assert memory.take(FIRST, **MODEL) == 25
    assert memory.take(SECOND, **MODEL) == 7
    assert 0 <= memory.free_bytes < 1000 * MIB // 25


def test_a_full_card_takes_no_layer_of_a_further_model() -> None:
    memory = VideoMemory(RESERVE_BYTES + 1000 * MIB, has_gpu=True)
    assert memory.take(FIRST, **MODEL) == 25
    assert memory.free_bytes == 0
    assert memory.take(SECOND, **MODEL) == 0


def test_what_a_freed_model_took_goes_to_the_next() -> None:
    memory = VideoMemory(RESERVE_BYTES + 1000 * MIB, has_gpu=True)
    memory.take(FIRST, **MODEL)
    memory.give_back(FIRST)
    memory.give_back(FIRST)
    assert memory.take(SECOND, **MODEL) == 25


def test_without_a_cap_the_wish_is_passed_on() -> None:
    memory = VideoMemory(0, has_gpu=True)
    assert [memory.take(path, **MODEL) for path in (FIRST, SECOND)] == [-1, -1]


def test_a_build_without_a_gpu_counts_nothing() -> None:
    memory = VideoMemory(500 * MIB, has_gpu=False)
    assert memory.take(FIRST, **MODEL) == 0
    assert memory.free_bytes == 500 * MIB
