"""The one-machine app: the blueprints of every HTTP function, the metrics and the outbox in one process."""

import importlib
import importlib.util
from typing import TYPE_CHECKING

from sluice import settings
from sluice.http.app import create_app as create_sluice_app
from sluice.http.lazy_model import prepare_all
from sluice.http.logging import configure
from sluice.http.metrics import install as install_metrics
from sluice.wiring import peers

if TYPE_CHECKING:
    from flask import Blueprint, Flask

BLUEPRINTS = (
    ("functions.registration.app", "blueprint"),
    ("functions.verification.app", "blueprint"),
    ("functions.accounts.app", "blueprint"),
    ("functions.usage.app", "blueprint"),
    ("functions.tokens.app", "blueprint"),
    ("functions.chats.app", "blueprint"),
    ("functions.gateway.app", "blueprint"),
    ("functions.files.app", "blueprint"),
    ("functions.admin.app", "blueprint"),
    ("functions.web.app", "blueprint"),
    ("infra.local.metrics", "blueprint"),
    ("infra.local.outbox", "blueprint"),
)


def create_app() -> "Flask":
    configure()
    app = create_sluice_app(_blueprints(), https=settings.common().https)
    install_metrics(app, peers.metrics())
    prepare_all()  # here, so that two request threads do not do it at once
    return app


def _blueprints() -> list["Blueprint"]:
    """The blueprints of the modules that exist. A module that exists and cannot be imported is an error."""
    return [getattr(importlib.import_module(module), attribute) for module, attribute in BLUEPRINTS if _exists(module)]


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package does not exist
        return False
