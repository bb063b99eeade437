"""The models of one process, of which as many are loaded as fit: a request gets its model, and others go for it.

A model that is not loaded is loaded at its first request. Where it does not fit, the one that was used longest ago and
has no request goes. Where all have requests, that one takes no new ones: its running requests end first, and new ones
wait behind those of the model that comes. All that wait for a model get it together, and models come in the order in
which they were first asked for. So two models that are asked for in turns both answer (ADR 17).
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from functions.inference.engine.queueing import FairQueue
from functions.inference.errors import Draining, InferenceError, ModelFileError, ModelUnavailable, Overloaded
from functions.inference.models.loading import Loaded
from functions.inference.models.memory import fit, to_evict
from functions.inference.models.served import Served

log = logging.getLogger(__name__)

FAULT_KEPT_S = 60.0
"""After a failed load. So a model that cannot be loaded does not cost the others their memory with each request."""
FULL_RETRY_S = 5


class ModelLoader(Protocol):
    """`models.loading.Loader`. Errors: ModelFileError."""

    def check(self, served: Served) -> None: ...
    def load(self, served: Served) -> Loaded: ...
    def free(self, served: Served, model: Loaded) -> None: ...


@dataclass(eq=False)
class Place:
    """One model, loaded or not. Only `Models` changes it."""

    served: Served
    model: Loaded | None = None
    loading: bool = False
    leaving: bool = False
    """It stays until its requests have ended, and takes no new ones."""
    uses: int = 0
    waiting: "list[Use]" = field(default_factory=list)
    used_at: int = 0
    """The turn of its last request."""
    fault: str = ""
    fault_until_s: float = 0.0


class Use:
    """A request's claim on a model. Whoever asked for it calls `leave` in the end, whatever happened."""

    def __init__(self, models: "Models", place: Place, account: str, *, low: bool) -> None:
        self._models, self.place, self.account, self.low = models, place, account, low
        self._decided = threading.Event()
        self._error: InferenceError | None = None
        self.model: Loaded | None = None

    def wait(self, seconds: float) -> Loaded | None:
        """The model, or None if it is not there after `seconds`. Raises ModelUnavailable, also as Draining."""
        self._decided.wait(seconds)
        if self._error is not None:
            raise self._error
        return self.model

    def leave(self) -> None:
        """The model may go now. Idempotent."""
        self._models.left(self)

    def decide(self, model: Loaded | None, error: InferenceError | None = None) -> None:
        """Only for `Models`: end the wait."""
        self.model, self._error = model, error
        self._decided.set()


class Models:
    """`run` is the one thread that loads and frees; any thread may call the rest. `queue_places`: requests that may
    wait for a model."""

    def __init__(
        self,
        served: Sequence[Served],
        loader: ModelLoader,
        budget_bytes: int | None,
        queue_places: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loader, self._budget_bytes, self._clock = loader, budget_bytes, clock
        self.places = [Place(one) for one in served]
        self._changed = threading.Condition()
        self._wanted: list[Place] = []
        self._queue: FairQueue[Use] = FairQueue(queue_places)
        self._turn = 0
        self._stopped = False

    # ---- from any thread

    def ask(self, place: Place, account: str = "", *, low: bool = False) -> Use:
        """Raises Draining, ModelUnavailable (the model cannot be loaded) and Overloaded (too many wait, or it is a row
        of a batch and other models have requests, one of which might have to go)."""
        use = Use(self, place, account, low=low)
        with self._changed:
            if self._stopped:
                raise _draining()
            if place.model is not None and not place.leaving:
                self._give(use)
                return use
            if fault := place.served.fault or (place.fault if self._clock() < place.fault_until_s else ""):
                raise ModelUnavailable(fault)
            if low and any(one.uses or one.waiting for one in self.places if one is not place):
                raise Overloaded("Other models are in use.", FULL_RETRY_S)
            if not self._queue.offer(use):
                raise Overloaded("Too many requests wait for a model to be loaded.", FULL_RETRY_S)
            place.waiting.append(use)
            if place not in self._wanted:
                self._wanted.append(place)
            self._changed.notify_all()
        return use

    def left(self, use: Use) -> None:
        """See `Use.leave`."""
        place = use.place
        with self._changed:
            if use in place.waiting:
                place.waiting.remove(use)
                self._queue.remove(use)
            elif use.model is not None:
                use.model = None
                place.uses -= 1
            self._changed.notify_all()

    @property
    def loaded(self) -> list[Loaded]:
        """In the order of the settings."""
        return [place.model for place in self.places if place.model is not None]

    @property
    def waiting(self) -> int:
        """Requests that wait for a model."""
        return len(self._queue)

    def stop(self) -> None:
        """Load no more, and fail what waits. Running requests go on."""
        with self._changed:
            self._stopped = True
            for place in self.places:
                self._refuse(place, _draining)
            self._changed.notify_all()

    # ---- the loading thread

    def load_what_fits(self) -> None:
        """At start: each model that fits beside those before it."""
        for place in self.places:
            with self._changed:
                together = [place.served, *(one.served for one in self.places if one.model is not None)]
                wanted = not place.served.fault and not self._stopped and fit(together, self._budget_bytes)
                place.loading = wanted
            if wanted:
                self._bring(place)
            elif not place.served.fault:
                log.warning("model %s does not fit beside the others; its first request loads it", place.served.name)

    def run(self) -> None:
        """Load what is asked for, until `stop`."""
        while (place := self._next()) is not None:
            self._bring(place)

    def _next(self) -> Place | None:
        with self._changed:
            while not self._stopped:
                self._wanted = [place for place in self._wanted if place.waiting]
                if self._wanted:
                    self._wanted[0].loading = True
                    return self._wanted[0]
                self._changed.wait()
            return None

    def _bring(self, place: Place) -> None:
        served = place.served
        try:
            self._loader.check(served)  # first, so that nothing goes for a damaged file
            if not self._make_room(place):
                return
            began_s = self._clock()
            model = self._loader.load(served)
        except ModelFileError as error:
            self._failed(place, str(error))
            return
        except Exception as error:  # a chat template that jinja refuses, for example
            log.exception("model %s", served.name)
            self._failed(place, f"The model {served.name} cannot be loaded: {error}")
            return
        finally:
            place.loading = False
        log.info("model %s is ready after %.1f s", served.name, self._clock() - began_s)
        with self._changed:
            place.model, place.fault = model, ""
            self._give_all(place)

    def _make_room(self, place: Place) -> bool:
        """Wait until those that must go have no requests, and free them. False: nobody waits for `place` any more."""
        going = self._wait_for_room(place)
        for other, model in going or ():
            log.info("model %s goes for %s", other.served.name, place.served.name)
            self._loader.free(other.served, model)
        return going is not None

    def _wait_for_room(self, place: Place) -> list[tuple[Place, Loaded]] | None:
        with self._changed:
            while not self._stopped:
                going = self._going(place)
                self._let_stay([one for one in self.places if one not in going])
                if not any(one.uses for one in going):
                    return [(one, model) for one in going if (model := self._taken_away(one)) is not None]
                if not place.waiting:
                    break
                for one in going:
                    one.leaving = True
                self._changed.wait()
            self._let_stay(self.places)
            return None

    def _going(self, place: Place) -> list[Place]:
        """Those that go for `place`, if it can be without running requests. Raises ModelFileError."""
        loaded = sorted((one for one in self.places if one.model is not None), key=lambda one: one.used_at)
        by_served = {one.served: one for one in loaded}
        free_to_go = [one.served for one in loaded if not one.served.pinned]
        idle = [served for served in free_to_go if not by_served[served].uses]
        for may_go in (idle, free_to_go):
            going = to_evict(place.served, list(by_served), may_go, self._budget_bytes)
            if going is not None:
                return [by_served[served] for served in going]
        raise ModelFileError(f"The model {place.served.name} does not fit beside the pinned ones.")

    def _let_stay(self, places: Sequence[Place]) -> None:
        for place in places:
            if place.leaving:
                place.leaving = False
                self._give_all(place)

    def _taken_away(self, place: Place) -> Loaded | None:
        model, place.model, place.leaving = place.model, None, False
        return model

    def _failed(self, place: Place, fault: str) -> None:
        log.error("%s", fault)
        with self._changed:
            place.fault, place.fault_until_s = fault, self._clock() + FAULT_KEPT_S
            self._refuse(place, lambda: ModelUnavailable(fault))

    # ---- with the lock held

    def _give_all(self, place: Place) -> None:
        for use in place.waiting:
            self._queue.remove(use)
            self._give(use)
        place.waiting.clear()

    def _give(self, use: Use) -> None:
        self._turn += 1
        use.place.uses, use.place.used_at = use.place.uses + 1, self._turn
        use.decide(use.place.model)

    def _refuse(self, place: Place, error: Callable[[], InferenceError]) -> None:
        for use in place.waiting:
            self._queue.remove(use)
            use.decide(None, error())
        place.waiting.clear()


def _draining() -> Draining:
    return Draining("The model server is shutting down; try again.")
