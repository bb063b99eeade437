"""Whether the store and the model answer: `GET /healthz`, on one machine and on AWS."""

import time
from dataclasses import dataclass

from pydantic import Field

from sluice import settings
from sluice.domain.errors import SluiceError
from sluice.http.lazy_model import BaseModel
from sluice.wiring import stores, upstreams
from sluice.wiring.settings import settings_in_force

# On AWS a check may start the model's function, and anyone may request one, so a result is reused for this long.
# On one machine each request checks again.
FRESH_SECONDS = 10.0


class Health(BaseModel):
    status: str
    model: str | None


class Warned(Health):
    warnings: list[str] = Field(description="what an admin should look at, although everything answers")


class Unhealthy(Health):
    waiting_for: list[str]


@dataclass(frozen=True)
class _ModelCheck:
    """`name`: the model's, or None if it does not answer. `status`: as the model server reports it."""

    name: str | None
    status: str
    at_seconds: float


_last: _ModelCheck | None = None  # replaced as one object, so that threads need no lock


def check() -> tuple[Health, int]:
    model = _model()
    well = {"store": store_answers(), "inference": model.name is not None}
    waiting_for = [name for name, answers in well.items() if not answers]
    if not waiting_for and settings_in_force().current().problem:
        return Warned(status="ok", model=model.name, warnings=["settings"]), 200
    if not waiting_for:
        return Health(status="ok", model=model.name), 200
    status = "starting" if model.status == "loading" else "degraded"
    return Unhealthy(status=status, model=model.name, waiting_for=waiting_for), 503


def _model() -> _ModelCheck:
    global _last
    now = time.monotonic()
    if settings.common().local or _last is None or now - _last.at_seconds > FRESH_SECONDS:
        _last = _ask(now)
    return _last


def _ask(now: float) -> _ModelCheck:
    server = upstreams.ModelHealth()
    try:
        report = server.health()
        if report["http_status"] == 404:  # not our engine but OpenAI-compatible: show its first model
            return _ModelCheck(str(next(iter(server.models()), {}).get("id", "none")), "ready", now)
    except SluiceError:
        return _ModelCheck(None, "unreachable", now)
    status = str(report.get("status"))
    return _ModelCheck(str(report.get("model") or "not loaded yet") if status == "ready" else None, status, now)


def store_answers() -> bool:
    """One strongly consistent read of an item that does not exist."""
    try:
        stores.hot_store().grant("usr_healthz")
    except SluiceError:
        return False
    return True
