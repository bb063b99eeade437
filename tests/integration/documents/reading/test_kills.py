"""`kill -9` of the ingestion and its children at random moments: no file is stuck and none is doubled."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sluice.adapters.documents.search.database import opened, rows
from sluice.domain.documents.keys import index_key
from tests.integration.documents.reading.place import ADA, Place

FILES = 24
KILLS = 12
SECONDS = 150
ROOT = Path(__file__).parents[4]


def _start(place: Place) -> "subprocess.Popen[bytes]":
    """The program of a local run, in its own process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "infra.local.ingestion"],
        env={
            **os.environ,
            "SLUICE_EMBEDDING_MODEL": "",
            "SLUICE_DATA_DIR": str(place.data_dir),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT}/layers/core",
        },
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.long
def test_an_ingestion_killed_at_random_loses_and_doubles_no_file(place: Place) -> None:
    dice, store = random.Random(20261121), place.store()
    files = [
        place.put(
            store, f"f{number}.md", "".join(f"# part {part}\nbeacon number{number}\n" for part in range(9)).encode()
        )
        for number in range(FILES)
    ]
    process = _start(place)
    try:
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.3, 1.5))
            _kill(process)
            process = _start(place)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and not _all_done(place, store):
            time.sleep(0.2)
    finally:
        _kill(process)
    statuses = {one.file_id: (one.status, one.error) for one in place.store_rows.attachments(ADA, store)}
    assert statuses == {file.file_id: ("completed", None) for file in files}
    with opened(place.blobs.root / index_key(ADA, store), shared=True) as connection:
        held = rows(connection, "SELECT file_id, count(*), count(DISTINCT position) FROM chunks GROUP BY file_id")
        assert sorted(held) == sorted((file.file_id, 9, 9) for file in files)
        assert rows(connection, "SELECT count(*) FROM words WHERE words MATCH 'beacon'") == [(9 * FILES,)]
        connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        assert rows(connection, "PRAGMA integrity_check") == [("ok",)]
    assert {place.files.get(ADA, file.file_id).status for file in files} == {"processed"}
    assert list((place.data_dir / "documents-events").glob("*.json")) == []


def _all_done(place: Place, store: str) -> bool:
    waiting = any(one.status == "in_progress" for one in place.store_rows.attachments(ADA, store))
    return not waiting and not list((place.data_dir / "documents-events").glob("*.json"))
