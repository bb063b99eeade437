"""The local queue of uploads delivers at least once, oldest first, and puts aside what fails too often."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from functions.ingestion import app as function
from infra.local import ingestion
from infra.local.ingestion import DEAD, MAX_TRIES, Spool, step
from sluice.adapters.documents.blobs_folder import SPOOL, FolderBlobs
from sluice.domain.errors import StoreUnavailable
from sluice.wiring import documents
from tests.waiting import eventually

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    blobs = FolderBlobs(tmp_path)
    for number in range(3):
        blobs.put(f"files/usr_a/file_{number}", b"x")
    return tmp_path / SPOOL


def key_of(event: dict[str, Any]) -> str:
    (record,) = event["Records"]
    assert record["eventSource"] == "aws:sqs"
    return str(json.loads(record["body"])["Records"][0]["s3"]["object"]["key"])


def test_events_are_delivered_oldest_first_and_once(folder: Path) -> None:
    seen: list[str] = []
    spool = Spool(folder)
    while step(spool, lambda event, _: seen.append(key_of(event))):
        pass
    assert seen == [f"files/usr_a/file_{number}" for number in range(3)]
    assert list(folder.iterdir()) == []


def test_an_event_whose_handler_died_is_delivered_again_after_a_restart(folder: Path) -> None:
    def die(_event: dict[str, Any], _context: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step(Spool(folder), die)
    seen: list[str] = []
    spool = Spool(folder)
    while step(spool, lambda event, _: seen.append(key_of(event))):
        pass
    assert seen == [f"files/usr_a/file_{number}" for number in range(3)]


@pytest.mark.parametrize("answer", [{"batchItemFailures": [{"itemIdentifier": "x"}]}, None])
def test_an_event_that_keeps_failing_is_put_aside_and_the_others_are_handled(
    folder: Path, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "FIRST_BACKOFF_SECONDS", 0.0)
    tried: list[str] = []

    def handle(event: dict[str, Any], _context: object) -> object:
        tried.append(key_of(event))
        if not tried[-1].endswith("_1"):
            return {"batchItemFailures": []}
        if answer is None:
            raise ValueError("broken")
        return answer

    spool = Spool(folder)
    while step(spool, handle):
        pass
    assert tried.count("files/usr_a/file_1") == MAX_TRIES
    assert tried.count("files/usr_a/file_0") == tried.count("files/usr_a/file_2") == 1
    assert [path.parent.name for path in folder.rglob("*.json")] == [DEAD]


def test_two_workers_never_take_the_same_event(folder: Path) -> None:
    for number in range(40):
        FolderBlobs(folder.parent).put(f"files/usr_b/file_{number}", b"x")
    seen: list[str] = []
    spool, lock = Spool(folder), threading.Lock()

    def handle(event: dict[str, Any], _context: object) -> None:
        with lock:
            seen.append(key_of(event))

    def work() -> None:
        while step(spool, handle):
            pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len(set(seen)) == 43


def test_one_accounts_slow_files_do_not_delay_other_accounts(folder: Path) -> None:
    blobs, spool = FolderBlobs(folder.parent), Spool(folder)
    blobs.put("changes/usr_b/vs_1/file_9", b"")
    first, second = spool.take(), spool.take()
    assert first is not None and "usr_a" in first.name
    assert second is not None and "usr_b" in second.name, "younger, but of somebody who waits for nothing else"
    third = spool.take()
    assert third is not None and "usr_a" in third.name, "nobody else waits"


def test_two_accounts_with_many_slow_files_do_not_delay_a_third(folder: Path) -> None:
    blobs, spool = FolderBlobs(folder.parent), Spool(folder)
    for number in range(3):
        blobs.put(f"files/usr_b/file_{number}", b"x")
    blobs.put("files/usr_c/file_9", b"x")
    first, second = spool.take(), spool.take()
    assert first is not None and second is not None and {"usr_a", "usr_b"} == {name(first), name(second)}
    spool.done(first)
    third = spool.take()
    assert third is not None and name(third) == "usr_c", "younger than the rest of both, but not served yet"


def name(path: Path) -> str:
    return ingestion.owner(ingestion.stem_of(path))


def test_a_worker_survives_events_that_others_removed(folder: Path) -> None:
    stopping, spool = threading.Event(), Spool(folder)
    seen: list[str] = []

    def handle(event: dict[str, Any], _context: object) -> None:
        seen.append(key_of(event))
        for path in folder.glob("*.json"):
            path.unlink()

    worker = threading.Thread(target=ingestion.work, args=(spool, handle, stopping))
    worker.start()
    eventually(lambda: seen)
    FolderBlobs(folder.parent).put("files/usr_b/file_9", b"x")
    eventually(lambda: "files/usr_b/file_9" in seen)
    assert worker.is_alive()
    stopping.set()
    worker.join()


def test_old_drafts_of_dead_writers_are_deleted(folder: Path) -> None:
    old, young = folder / "a.json.0.part", folder / "b.json.0.part"
    for draft in (old, young):
        draft.write_text("half")
    os.utime(old, (0, 0))
    ingestion.clear_drafts(folder)
    assert not old.exists() and young.exists()


# --- the handler itself


class Looked:
    def __init__(self) -> None:
        self.at: list[tuple[str, ...]] = []
        self.away = False

    def uploaded(self, *names: str) -> None:
        self._look(names)

    changed = uploaded

    def _look(self, names: tuple[str, ...]) -> None:
        if self.away:
            raise StoreUnavailable()
        self.at.append(names)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Looked:
    made = Looked()
    monkeypatch.setattr(documents, "ingestion", lambda: made)
    return made


def sqs(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]}


def s3(*keys: str) -> str:
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": key}}} for key in keys]})


def test_each_kind_of_event_is_handled_by_its_key(looked: Looked) -> None:
    answer = function.handler(
        sqs(s3("files/usr_a/file_1"), s3("changes/usr_a/vs_1/file_1", "changes/usr_a/vs_1/_")), None
    )
    assert answer == {"batchItemFailures": []}
    assert looked.at == [("usr_a", "file_1"), ("usr_a", "vs_1", "file_1"), ("usr_a", "vs_1", "_")]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "7",
        "{}",
        '{"Event": "s3:TestEvent"}',
        '{"Records": [{}]}',
        '{"Records": 3}',
        s3("other/x"),
        s3("files"),
    ],
)
def test_a_malformed_event_is_not_delivered_again(looked: Looked, body: str) -> None:
    assert function.handler(sqs(body), None) == {"batchItemFailures": []}
    assert looked.at == []


def test_only_failed_events_are_delivered_again(looked: Looked) -> None:
    looked.away = True
    answer = function.handler(sqs(s3("files/usr_a/file_1"), s3("other/x")), None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_an_s3_key_is_url_decoded(looked: Looked) -> None:
    function.handler(sqs(s3("files/usr%5Fa/file_1")), None)
    assert looked.at == [("usr_a", "file_1")]
