"""The health page's figures: the model's state, running and orphaned requests, waiting mails, failed events."""

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.domain.errors import ModelUnavailable
from sluice.domain.settings.owners import OwnersSettings
from sluice.domain.settings.versions import InForce
from sluice.services.operations.health import LOOKED_AT, DayOfUpstream, HealthCheck, SystemHealth

NOW_MS = 1_800_000_000_000
READY = {"status": "ready", "model": "demo", "running": 2, "waiting": 3, "decoded_tokens": 9, "http_status": 200}


class Model:
    def __init__(self, told: Mapping[str, Any] | None) -> None:
        self._told = told

    def health(self) -> dict[str, Any]:
        if self._told is None:
            raise ModelUnavailable()
        return dict(self._told)

    def models(self) -> list[dict[str, Any]]:
        return [{"id": "theirs"}]


class Stores:
    """`grants`: account → the expiry of its leases in ms from now."""

    def __init__(self, grants: Mapping[str, list[int]], mails: int = 0, letters: int = 0) -> None:
        self._grants, self._mails, self._letters = grants, mails, letters

    def accounts(self, shard: str) -> Iterator[str]:
        return iter(self._grants if shard == "0" else ())

    def grant(self, account_id: str) -> Any:
        leases = {str(n): SimpleNamespace(expires_ms=NOW_MS + ms) for n, ms in enumerate(self._grants[account_id])}
        return SimpleNamespace(leases=leases)

    def overdue(self, before_ms: int, limit: int) -> list[str]:
        assert before_ms < NOW_MS
        return ["mail_x"] * self._mails

    def deletions(self) -> dict[str, int]:
        return {}

    def waiting(self) -> dict[str, int]:
        return {"queue": self._letters}

    def spent(self, upstream: str, now_ms: int) -> int:
        assert now_ms == NOW_MS
        return {"cloud": 120_000}[upstream]


def look(
    model: Mapping[str, Any] | None = READY, settings: Callable[[], InForce] = InForce, **stores: Any
) -> SystemHealth:
    each: Any = Stores(**{"grants": {}, **stores})
    return HealthCheck(Model(model), each, each, each, each, each, settings, each).look(NOW_MS)


def test_broken_settings_are_part_of_the_systems_health() -> None:
    found = look(settings=lambda: InForce(8, 7, None, "Version 8 of the settings is broken."))
    assert not found.is_well
    assert found.settings.problem


def test_the_day_of_each_upstream_with_a_bound_is_shown_against_it() -> None:
    about = {"kind": "openai", "url": "https://api.example.com/v1", "prompt_usd": "1"}
    upstreams = [{"name": "cloud", "daily_usd": "5", **about}, {"name": "other", **about}]
    settings = OwnersSettings.model_validate({"upstreams": upstreams})
    found = look(settings=lambda: InForce(1, 1, settings))
    assert found.days == [DayOfUpstream("cloud", 120_000, 5_000_000)] and found.is_well


def test_the_system_is_healthy_when_nothing_is_wrong() -> None:
    found = look()
    assert found.is_well and (found.model.name, found.model.running, found.model.waiting) == ("demo", 2, 3)


def test_running_and_orphaned_requests_are_counted_separately() -> None:
    found = look(grants={"usr_a": [5_000, -1], "usr_b": [1], "usr_c": []})
    assert (found.leases, found.abandoned, found.accounts, found.is_bounded) == (2, 1, 2, False)


def test_the_number_of_accounts_read_for_a_page_is_limited() -> None:
    found = look(grants={f"usr_{n}": [1] for n in range(LOOKED_AT + 50)})
    assert found.leases == LOOKED_AT and found.is_bounded


@pytest.mark.parametrize(
    ("told", "said"),
    [(None, "unreachable"), ({"status": "loading", "http_status": 503}, "loading"), ({"http_status": 500}, "unknown")],
)
def test_a_model_that_is_not_ready_is_unhealthy_and_not_an_error(told: Mapping[str, Any] | None, said: str) -> None:
    found = look(told)
    assert not found.is_well and (found.model.said, found.model.name) == (said, "")


def test_another_kind_of_model_server_is_shown_by_its_first_model() -> None:
    found = look({"http_status": 404})
    assert found.is_well and found.model.name == "theirs" and found.model.waiting is None


@pytest.mark.parametrize("stuck", [{"mails": 1}, {"letters": 1}])
def test_overdue_mails_or_failed_events_are_unhealthy(stuck: dict[str, int]) -> None:
    assert not look(**stuck).is_well
