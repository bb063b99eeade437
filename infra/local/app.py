"""The one-machine app: the blueprints of every HTTP function, the metrics and the outbox in one process."""

import gc
import importlib
from typing import TYPE_CHECKING

from infra.local import gate
from sluice import settings
from sluice.http.app import create_app as create_sluice_app
from sluice.http.lazy_model import prepare_all
from sluice.http.logging import configure
from sluice.http.metrics import install as install_metrics
from sluice.http.tracing import install as install_tracing
from sluice.wiring import peers

if TYPE_CHECKING:
    from flask import Flask

COLLECTED_AFTER = 10_000  # objects; Python's own figure makes two or three collections a request
BLUEPRINTS = (
    "functions.factors.app",
    "functions.webhooks.app",
    "functions.registration.app",
    "functions.verification.app",
    "functions.accounts.app",
    "functions.usage.app",
    "functions.tokens.app",
    "functions.chats.app",
    "functions.gateway.app",
    "functions.files.app",
    "functions.admin.app",
    "functions.bounces.app",
    "functions.web.app",
    "infra.local.metrics",
    "infra.local.outbox",
)


def create_app() -> "Flask":
    configure()
    blueprints = [importlib.import_module(module).blueprint for module in BLUEPRINTS]
    app = create_sluice_app(blueprints, https=settings.common().https)
    install_metrics(app, peers.metrics())
    install_tracing(app, peers.tracing())
    gate.close_if(settings.common().data_dir / "run" / gate.CLOSED, app)
    prepare_all()  # here, so that two request threads do not do it at once
    return app


def collect_seldom() -> None:
    """What a start has made stays, so no collection need look at it; and a request leaves nearly nothing to collect."""
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)
