"""How models fit into memory: which must go for another, and which never fit, so that they are refused at start instead
of killed under load."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

OVERHEAD_BYTES = 64 << 20
"""Of each model: compute buffers."""


class Sized(Protocol):
    """What a model takes. Models of one file share its weights."""

    @property
    def path(self) -> Path: ...
    @property
    def weights_bytes(self) -> int: ...
    @property
    def context_bytes(self) -> int: ...


S = TypeVar("S", bound=Sized)


def spent_bytes(models: Collection[Sized]) -> int:
    """Memory of all of them together."""
    files = {model.path: model.weights_bytes for model in models}
    return sum(files.values()) + sum(model.context_bytes + OVERHEAD_BYTES for model in models)


def fit(models: Collection[Sized], budget_bytes: int | None) -> bool:
    """`budget_bytes`: None if nothing is known of the memory."""
    return budget_bytes is None or spent_bytes(models) <= budget_bytes


def to_evict(wanted: S, loaded: Sequence[S], may_go: Collection[S], budget_bytes: int | None) -> list[S] | None:
    """Which of the `loaded` models go, so that `wanted` fits: the first ones of those that `may_go`, and none that
    need not. None: it does not fit even so."""
    going: list[S] = []
    for model in (one for one in loaded if one in may_go):
        if fit([wanted, *_without(loaded, going)], budget_bytes):
            break
        going.append(model)
    if not fit([wanted, *_without(loaded, going)], budget_bytes):
        return None
    for model in list(going):
        others = [one for one in going if one is not model]
        if fit([wanted, *_without(loaded, others)], budget_bytes):
            going = others
    return going


def _without(models: Sequence[S], going: Collection[S]) -> list[S]:
    return [model for model in models if model not in going]


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


def why_too_large(name: str, needed_bytes: int, room_bytes: int) -> str:
    """The sentence about a model that never fits. `room_bytes`: without what pinned models take."""
    return (
        f"The model {name} does not fit: it needs about {needed_bytes >> 20} MiB and may have "
        f"{max(0, room_bytes) >> 20} MiB. "
        "Lower SLUICE_INFERENCE_SLOTS or _CONTEXT_TOKENS, or take a smaller model."
    )
