"""Models without weights, and a loader whose loads a test begins and ends."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from functions.inference.errors import ModelFileError
from functions.inference.models.catalogue import CatalogueModel
from functions.inference.models.loading import Loaded
from functions.inference.models.memory import OVERHEAD_BYTES
from functions.inference.models.served import Served
from functions.inference.models.swapping import Models, Place, Use

MIB = 1 << 20


def served(name: str, size_mib: int = 100, **more: Any) -> Served:
    """One that takes `size_mib` in all."""
    weights_bytes = size_mib * MIB - OVERHEAD_BYTES
    return Served(name, CatalogueModel(name=name), Path(name), weights_bytes=weights_bytes, **more)


@dataclass
class FakeLoader:
    """A loaded model is its name. `done`: what happened, in order."""

    done: list[str] = field(default_factory=list)
    held: dict[str, threading.Event] = field(default_factory=dict)
    """Loads that wait until their event is set."""
    damaged: dict[str, str] = field(default_factory=dict)
    """By name: whether `check` or `load` fails."""
    began: threading.Event = field(default_factory=threading.Event)

    def check(self, one: Served) -> None:
        if self.damaged.get(one.name) == "check":
            raise ModelFileError(f"{one.name} is damaged.")

    def load(self, one: Served) -> Loaded:
        self.done.append(f"load {one.name}")
        self.began.set()
        if one.name in self.held:
            assert self.held[one.name].wait(10)
        if self.damaged.get(one.name) == "load":
            raise ModelFileError(f"{one.name} is damaged.")
        model: Any = one.name
        return model  # type: ignore[no-any-return]

    def free(self, one: Served, model: Loaded) -> None:
        self.done.append(f"free {one.name}")


def has(use: Use, seconds: float = 10) -> Any:
    """The name of the model, None if it is not there after `seconds`."""
    return use.wait(seconds)


class Running:
    """Models, and the thread that loads them."""

    def __init__(
        self, *models: Served, budget_mib: int | None = 250, queue_places: int = 100, clock: Any = None
    ) -> None:
        self.loader = FakeLoader()
        budget = None if budget_mib is None else budget_mib * MIB
        more = {"clock": clock} if clock else {}
        self.models = Models(models, self.loader, budget, queue_places, **more)
        self._thread = threading.Thread(target=self.models.run, daemon=True)

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for event in self.loader.held.values():
            event.set()
        self.models.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def place(self, name: str) -> Place:
        return next(place for place in self.models.places if place.served.name == name)

    def ask(self, name: str, account: str = "", *, low: bool = False) -> Use:
        return self.models.ask(self.place(name), account, low=low)

    def got(self, name: str) -> Use:
        """A use whose model is there."""
        use = self.ask(name)
        assert has(use) == name
        return use

    def touch(self, name: str) -> None:
        self.got(name).leave()
