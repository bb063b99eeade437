"""The models of the start page, with their contexts and prices: what is known now, because a visitor does not wait."""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

from sluice import settings
from sluice.domain.usage.pricing import Prices
from sluice.once import once
from sluice.pages.words import later
from sluice.wiring.settings import settings_in_force

log = logging.getLogger("sluice.pages")

FRESH_SECONDS = 10.0
DEADLINE_SECONDS = 0.4
WORDS = {
    "chat": later("chat"),
    "embeddings": later("embeddings"),
    "rerank": later("reranking"),
    "infill": later("infilling"),
    "run": later("prediction"),
}
UNITS = {
    "cached": later("%(price)s cached prompt tokens"),
    "request": later("%(price)s a request"),
    "second": later("%(price)s a second"),
}


class Offered(NamedTuple):
    """A model. `does`: values of `WORDS`. `context`: in tokens, if it is known. Prices are in micro-dollars.
    `more`: further ones, each after its text of `UNITS`."""

    name: str
    does: tuple[str, ...] = ()
    context: int | None = None
    prompt: int | None = None
    completion: int | None = None
    more: tuple[tuple[str, int], ...] = ()

    @property
    def is_priced(self) -> bool:
        return self.prompt is not None or self.completion is not None or bool(self.more)


class Offer:
    """Asked for again in a thread of its own, one at a time and at most every `FRESH_SECONDS`. Thread-safe."""

    def __init__(self, read: Callable[[], Sequence[Offered]]) -> None:
        self._read = read
        self._known: Sequence[Offered] = ()
        self._asked_s, self._lock, self._done = float("-inf"), Lock(), Event()
        self._done.set()

    def known(self) -> Sequence[Offered]:
        """Not older than `FRESH_SECONDS`, or what was known before if the answer takes longer than the deadline."""
        with self._lock:
            if self._done.is_set() and time.monotonic() - self._asked_s >= FRESH_SECONDS:
                self._asked_s, self._done = time.monotonic(), Event()
                Thread(target=self._ask, args=(self._done,), daemon=True).start()
            done = self._done
        done.wait(DEADLINE_SECONDS)
        return self._known

    def _ask(self, done: Event) -> None:
        try:
            self._known = self._read()
        except Exception:
            log.warning("the start page shows the models that it knew before", exc_info=True)
        finally:
            done.set()


@once
def offer() -> Offer:
    return Offer(_read)


def for_chat(models: Sequence[Offered]) -> str:
    """The name of the first that may chat, or empty."""
    return next((one.name for one in models if "chat" in one.does or not one.does), "")


def _read() -> Sequence[Offered]:
    """The model servers are asked on one machine only: on AWS the start page's function has no way to them. Errors:
    ModelUnavailable."""
    now = settings_in_force().current()
    prices = now.terms.prices
    if not settings.common().local:
        named = [{"id": model.id} for model in now.settings.models] if now.settings else []
        return [_offered(row, prices.get(str(row["id"]))) for row in named]
    from sluice.wiring import upstreams

    return [_offered(row, prices.get(str(row["id"]))) for row in upstreams.routes().all()]


def _offered(row: dict[str, Any], prices: Prices | None) -> Offered:
    does = tuple(word for kind, word in WORDS.items() if kind in row.get("capabilities", ()))
    context = row.get("context_window") or None
    if prices is None:
        return Offered(str(row["id"]), does, context)
    given = {what: getattr(prices, f"{what}_micro_usd") for what in ("prompt", "completion", *UNITS)}
    more = tuple((unit, given[what]) for what, unit in UNITS.items() if given[what] is not None)
    return Offered(str(row["id"]), does, context, given["prompt"], given["completion"], more)
