"""What /healthz answers, and how often it may wake the model."""

from collections.abc import Iterator
from typing import Any

import pytest

from sluice import settings
from sluice.domain.errors import ModelUnavailable, StoreUnavailable
from sluice.domain.settings.versions import InForce
from sluice.http import health
from sluice.wiring import peers, stores


class Model:
    def __init__(self) -> None:
        self.told: dict[str, Any] = {"status": "ready", "model": "demo", "http_status": 200}
        self.down, self.asked = False, 0

    def health(self) -> dict[str, Any]:
        self.asked += 1
        if self.down:
            raise ModelUnavailable()
        return self.told

    def models(self) -> list[dict[str, Any]]:
        return [{"id": "llama-3"}]


class Grants:
    down = False

    def grant(self, account_id: str) -> None:
        if self.down:
            raise StoreUnavailable()


class Owners:
    """The owner's settings. `problem`: why the newest are not in force."""

    problem = ""

    def current(self) -> InForce:
        return InForce(2, 1, None, self.problem)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    made = Model()
    monkeypatch.setattr(peers, "model_health", lambda: made)
    monkeypatch.setattr(stores, "hot_store", Grants)
    monkeypatch.setattr(health, "settings_in_force", Owners)
    monkeypatch.setattr(Grants, "down", False)
    monkeypatch.setattr(health, "_last", None)
    monkeypatch.delenv("SLUICE_LOCAL", raising=False)
    settings.common.cache_clear()
    yield made
    settings.common.cache_clear()


def said() -> tuple[int, dict[str, Any]]:
    told, status = health.check()
    return status, told.model_dump()


def test_health_is_ok_when_store_and_model_answer(model: Model) -> None:
    assert said() == (200, {"status": "ok", "model": "demo"})


def test_broken_settings_are_a_warning_without_details(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Owners, "problem", "Version 2 of the settings is broken: …")
    assert said() == (200, {"status": "ok", "model": "demo", "warnings": ["settings"]})


def test_a_loading_model_makes_the_health_starting(model: Model) -> None:
    model.told = {"status": "loading", "http_status": 503}
    assert said() == (503, {"status": "starting", "model": None, "waiting_for": ["inference"]})


def test_the_health_is_degraded_when_store_and_model_are_down(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.down = True
    monkeypatch.setattr(Grants, "down", True)
    assert said() == (503, {"status": "degraded", "model": None, "waiting_for": ["store", "inference"]})


def test_another_kind_of_model_server_is_healthy_when_it_lists_its_models(model: Model) -> None:
    model.told = {"http_status": 404}
    assert said() == (200, {"status": "ok", "model": "llama-3"})


def test_repeated_health_checks_ask_the_model_once(model: Model) -> None:
    for _ in range(50):
        assert said()[0] == 200
    assert model.asked == 1


def test_on_a_local_run_every_health_check_asks_again(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_LOCAL", "true")
    settings.common.cache_clear()
    assert said()[0] == 200
    model.down = True
    assert said()[0] == 503
