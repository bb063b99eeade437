"""What `/metrics` says of this machine, also when parts of it do not answer."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local import figures
from infra.watching.reading import Reading, _by_name
from sluice import settings
from sluice.domain.errors import StoreUnavailable
from sluice.http import health
from sluice.wiring import stores, upstreams

REPORT = {
    "http_status": 200,
    "status": "ready",
    "models": [{"id": "demo", "state": "loaded"}, {"id": "big", "state": "failed", "fault": "too big"}],
} | {"slots": 8, "running": 2, "waiting": 1, "decoded_tokens": 99}


class Mails:
    def overdue(self, before_ms: int, limit: int) -> list[str]:
        return ["mail_a", "mail_b"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the parts answer; a test changes it. An exception is raised, an event waited for."""
    parts: dict[str, Any] = {"model": REPORT, "store": True}

    def answer(name: str) -> Any:
        found = parts[name]
        if isinstance(found, threading.Event):
            found.wait(60)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(figures, "PATIENCE_SECONDS", 60.0)  # a busy machine may begin late with what answers at once
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SLUICE_MAIL", "smtp://user:hunter2@mail.example.org")
    monkeypatch.setattr(upstreams.ModelHealth, "health", lambda self: answer("model"))
    monkeypatch.setattr(health, "store_answers", lambda: answer("store"))
    monkeypatch.setattr(stores, "mail_store", lambda: Mails() if answer("store") else None)
    settings.common.cache_clear()
    settings.mailer.cache_clear()
    yield parts
    settings.common.cache_clear()
    settings.mailer.cache_clear()


def now() -> Reading:
    return Reading(0, "", Path(), _by_name(figures.exposition().decode()))


def test_it_tells_what_the_parts_say(machine: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "relay").mkdir()
    (tmp_path / "relay" / "dead-letters.jsonl").write_text("{}\n{}\n{}\n")
    found = now()
    assert found.of("sluice_part_up") == 2 and found.of("sluice_late_mails") == 2
    assert found.by("sluice_model_state", "state") == {"loaded": 1, "failed": 1}
    assert found.of("sluice_engine_slots") == 8 and found.of("sluice_engine_decoded_tokens_total") == 99
    assert found.of("sluice_dead_letters") == 3 and (found.of("sluice_disk_free_bytes") or 0) > 0


def test_the_password_of_the_mail_server_is_not_told(machine: dict[str, Any]) -> None:
    text = figures.exposition().decode()
    assert 'mail="smtp"' in text and "hunter2" not in text


def test_a_model_server_of_another_kind_is_up_and_has_no_slots(machine: dict[str, Any]) -> None:
    machine["model"] = {"http_status": 404}
    assert now().of("sluice_part_up", part="model") == 1 and now().of("sluice_engine_slots") is None


@pytest.mark.parametrize("how", ["fails", "hangs"])
@pytest.mark.parametrize("part", ["model", "store"])
def test_a_part_that_is_away_is_said_and_the_rest_is_told(
    machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch, part: str, how: str
) -> None:
    if how == "hangs":
        monkeypatch.setattr(figures, "PATIENCE_SECONDS", 5.0)
    hung = threading.Event()
    machine[part] = StoreUnavailable() if how == "fails" else hung
    found = now()
    hung.set()
    other = "store" if part == "model" else "model"
    assert (found.of("sluice_part_up", part=part), found.of("sluice_part_up", part=other)) == (0, 1)
    assert (found.of("sluice_late_mails") is None) == (part == "store")
    assert (found.of("sluice_engine_slots") is None) == (part == "model")
    assert found.of("sluice_disk_bytes") is not None
