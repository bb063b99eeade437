"""The models of the start page, with their contexts and prices: what is known now, because a visitor does not wait."""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

from sluice import settings
from sluice.domain.usage.pricing import Prices, dollars
from sluice.once import once
from sluice.wiring.settings import settings_in_force

log = logging.getLogger("sluice.pages")

FRESH_SECONDS = 10.0
DEADLINE_SECONDS = 0.4
WORDS = {"chat": "chat", "embeddings": "embeddings", "rerank": "reranking", "infill": "infilling", "run": "prediction"}
UNITS = {"cached": "cached prompt tokens", "request": "a request", "second": "a second"}


class Offered(NamedTuple):
    """A model. `context`: in tokens; None where it is not known. Prices are texts such as `$0.10`; empty for none."""

    name: str
    does: str = ""
    context: int | None = None
    prompt: str = ""
    completion: str = ""
    more: str = ""

    @property
    def is_priced(self) -> bool:
        return bool(self.prompt or self.completion or self.more)


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
    does = ", ".join(word for kind, word in WORDS.items() if kind in row.get("capabilities", ()))
    context = row.get("context_window") or None
    if prices is None:
        return Offered(str(row["id"]), does, context)
    given = {what: getattr(prices, f"{what}_micro_usd") for what in ("prompt", "completion", *UNITS)}
    texts = {what: _short(micro_usd) for what, micro_usd in given.items() if micro_usd is not None}
    more = ", ".join(f"{texts[what]} {unit}" for what, unit in UNITS.items() if what in texts)
    return Offered(str(row["id"]), does, context, texts.get("prompt", ""), texts.get("completion", ""), more)


def _short(micro_usd: int) -> str:
    """`$0.10`: at least two decimals, and no zeros after them."""
    whole, _, fraction = dollars(micro_usd).partition(".")
    return f"${whole}.{fraction[:2]}{fraction[2:].rstrip('0')}"
