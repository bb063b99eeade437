"""`system`: a data directory with an old store, keys, documents and an index, as a stopped run leaves it."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.backup import age
from infra.backup.archive import Manifest
from infra.backup.places import Folder
from infra.backup.saving import back_up, delete_older
from sluice.adapters.documents.search.database import opened
from sluice.adapters.tokens.keys import ensure_keys
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.migrate import old_store
from tests.store_process import running_store

PASSPHRASE = "a quiet green harbour"
PREFIX = "sluice-"


@dataclass
class Stopped:
    """A machine with a data directory, and a folder for its backups."""

    data: Path
    backups: Path

    def back_up(self, keep: int | None = None) -> tuple[Path, Manifest]:
        place = Folder(self.backups)
        name, manifest = back_up(self.data, PREFIX, place, PASSPHRASE, lambda said: None)
        if keep:
            delete_older(place, name, keep, lambda said: None)
        return self.backups / name, manifest

    def put_document(self, key: str, content: bytes = b"tea") -> Path:
        path = self.data / "documents" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age, "WORK", 2)
    monkeypatch.setattr(os, "nice", lambda by: 0)  # the tests' own process stays as it is
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "SLUICE_TABLE_PREFIX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def system(tmp_path: Path) -> Stopped:
    data = tmp_path / "data"
    data.mkdir()
    with running_store(data / "store.db") as (url, _):
        client = slow_client(url)
        old_store.build(client, PREFIX)
        client.close()
    ensure_keys(data)
    made = Stopped(data, tmp_path / "backups")
    index = data / "documents" / "index" / "usr_a" / "vs_a.db"
    index.parent.mkdir(parents=True)
    with opened(index, shared=True):
        pass
    for name in ("logs/app.log", "relay/sluice-mails.json", "runs-queue/1.json", "documents-events/1.json"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_text("{}")
    return made
