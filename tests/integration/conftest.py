"""`fresh`: what nearly every fixture of an app begins with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.adapters.aws import json_service
from sluice.adapters.tokens.keys import ensure_keys
from tests.conftest import Store
from tests.integration.accounts.world import forget_everything
from tests.store_clients import PATIENT

VARIABLES = {"SLUICE_AUTH_THROTTLE": "off", "SLUICE_BASE_URL": "http://127.0.0.1:8080"}


@pytest.fixture
def fresh(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store, for a process that has keys in a data directory of its own, and no setting read or client built."""
    for name, value in {**VARIABLES, "SLUICE_DATA_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(json_service, "HOT", PATIENT)
    forget_everything(but_current=True)
    ensure_keys(tmp_path)
    yield store
    forget_everything(but_current=True)
