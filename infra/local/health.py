"""`GET /healthz` of a local run: 200 once everything answers, else 503 and what is waited for."""

from functools import cache

from flask import Blueprint
from pydantic import BaseModel

from sluice import settings, wiring
from sluice.adapters.upstream import HttpUpstream
from sluice.domain.errors import SluiceError
from sluice.http.operation import operation

blueprint = Blueprint("health", __name__)


class Health(BaseModel):
    status: str
    model: str | None


class Unhealthy(Health):
    waiting_for: list[str]


@blueprint.get("/healthz")
@operation("Whether everything answers", tag="Operation", answers={200: Health, 503: Unhealthy})
def healthz() -> tuple[Health, int]:
    model, model_status = _model()
    waiting_for = [name for name, well in (("store", _store_answers()), ("inference", model is not None)) if not well]
    if not waiting_for:
        return Health(status="ok", model=model), 200
    status = "starting" if model_status == "loading" else "degraded"
    return Unhealthy(status=status, model=model, waiting_for=waiting_for), 503


@cache
def _inference() -> HttpUpstream:
    wanted = settings.gateway()
    return HttpUpstream(wanted.inference_url, connect_seconds=wanted.upstream_connect_seconds, idle_seconds=2.0)


def _model() -> tuple[str | None, str]:
    """Its name once it answers, and what the model server says of itself."""
    try:
        told = _inference().health()
    except SluiceError:
        return None, "unreachable"
    ready = told.get("status") == "ready"
    return (told.get("model") or "not loaded yet" if ready else None), str(told.get("status"))


def _store_answers() -> bool:
    """One strongly consistent read of an item that never is: as far as any request goes."""
    try:
        wiring.hot_store().grant("usr_healthz")
    except SluiceError:
        return False
    return True
