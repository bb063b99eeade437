"""Whether the store and the model answer: `GET /healthz`, on one machine and on AWS."""

import time
from dataclasses import dataclass

from sluice import settings
from sluice.domain.errors import SluiceError
from sluice.http.lazy_model import BaseModel
from sluice.wiring import peers, stores

# On AWS each look at the model may start its function, and anyone may call /healthz, so one look is valid for this
# long. On one machine every request looks again.
LOOK_SECONDS = 10.0


class Health(BaseModel):
    status: str
    model: str | None


class Unhealthy(Health):
    waiting_for: list[str]


@dataclass(frozen=True)
class _Look:
    """`name`: the model's name, once it is ready. `said`: the status that the model server reports."""

    name: str | None
    said: str
    at_seconds: float


_last: _Look | None = None  # always replaced as a whole, so that threads need no lock


def look() -> tuple[Health, int]:
    model = _model()
    well = {"store": _store_answers(), "inference": model.name is not None}
    waiting_for = [name for name, answers in well.items() if not answers]
    if not waiting_for:
        return Health(status="ok", model=model.name), 200
    status = "starting" if model.said == "loading" else "degraded"
    return Unhealthy(status=status, model=model.name, waiting_for=waiting_for), 503


def _model() -> _Look:
    global _last
    now = time.monotonic()
    if settings.common().local or _last is None or now - _last.at_seconds > LOOK_SECONDS:
        _last = _ask(now)
    return _last


def _ask(now: float) -> _Look:
    server = peers.model_health()
    try:
        told = server.health()
        if told["http_status"] == 404:  # another OpenAI-compatible server: report its first model
            return _Look(str(next(iter(server.models()), {}).get("id", "none")), "ready", now)
    except SluiceError:
        return _Look(None, "unreachable", now)
    said = str(told.get("status"))
    return _Look(str(told.get("model") or "not loaded yet") if said == "ready" else None, said, now)


def _store_answers() -> bool:
    """One consistent read of an item that does not exist, on the path that every request uses."""
    try:
        stores.hot_store().grant("usr_healthz")
    except SluiceError:
        return False
    return True
