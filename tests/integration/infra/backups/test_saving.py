"""Backups of a store that is written, of documents that come and go, and of a process that is killed."""

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from infra.backup import archive, saving, store_copy
from infra.backup.errors import BackupRefused
from infra.backup.places import Folder
from infra.backup.saving import back_up
from infra.commands.backup import command
from infra.local import same_keys, stop_signals
from sluice.adapters.tokens.keys import ensure_keys
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.backups.conftest import PASSPHRASE, PREFIX, Stopped
from tests.store_process import ROOT, running_store
from tests.waiting import eventually

OLD = ("sluice-backup-20200101T000000Z.tar.gz.age", "sluice-backup-20210101T000000Z.tar.gz")
OTHERS = ("sluice-backup-notes.txt", "sluice-backup-20200101T000000Z.tar.gz.age.bak", "x.tar.gz")


def names(backup: Path) -> dict[str, str]:
    with backup.open("rb") as file:
        return dict(archive.read(file, lambda: PASSPHRASE, lambda name: None).files)


def test_a_backup_has_the_store_the_keys_and_the_documents_and_nothing_of_the_processes(system: Stopped) -> None:
    system.put_document("files/usr_a/file_a")
    system.put_document("files/usr_a/file_b.0123456789ab.part")
    system.put_document("changes/usr_a/vs_a/file_a", b"")
    backup, manifest = system.back_up()
    assert sorted(names(backup)) == [
        "documents/files/usr_a/file_a",
        "documents/index/usr_a/vs_a.db",
        "keys/jwks.json",
        "keys/mailed-code.key",
        "keys/token-signing.pem",
        "store.db",
    ]
    assert backup.stat().st_mode & 0o777 == 0o600
    assert manifest.schema == 1 and manifest.rows["sluice-accounts"] == 4
    assert manifest.ledger == {"requests": 3, "prompt_tokens": 63, "completion_tokens": 33}
    assert list((system.data / "run" / "backup").iterdir()) == []


def test_a_backup_of_a_shared_store_says_that_the_keys_are_elsewhere(system: Stopped, tmp_path: Path) -> None:
    ensure_keys(tmp_path / "machine")

    def warnings() -> list[str]:
        said: list[str] = []
        shutil.rmtree(system.backups, ignore_errors=True)  # two of one second would have one name
        back_up(system.data, PREFIX, Folder(system.backups), PASSPHRASE, said.append)
        return [one for one in said if "have other keys" in one]

    assert warnings() == []
    with running_store(system.data / "store.db") as (url, _):
        client = slow_client(url)
        same_keys.check(client, PREFIX, tmp_path / "machine")
        client.close()
    assert len(warnings()) == 1
    shutil.copytree(tmp_path / "machine" / "keys", system.data / "keys", dirs_exist_ok=True)
    assert warnings() == []


def test_a_backup_of_a_store_that_is_written_has_one_moment(system: Stopped) -> None:
    """Each write adds a row to two tables in one transaction, so that at every moment both have as many."""
    with running_store(system.data / "store.db") as (url, _):
        over = threading.Event()
        written = [0]

        def write() -> None:
            client = slow_client(url)
            while not over.is_set():
                puts = [
                    {"Put": {"TableName": f"sluice-{table}", "Item": {key: {"S": f"k{written[0]}"}, **more}}}
                    for table, key, more in (
                        ("sessions", "session_id", {"account_id": {"S": "usr_a"}, "x": {"S": "y" * 3000}}),
                        ("throttles", "throttle_key", {}),
                    )
                ]
                client.transact_write_items(TransactItems=puts)
                written[0] += 1
            client.close()

        before = store_copy.StoreCopy(system.data / "store.db", "sluice-").rows()
        writer = threading.Thread(target=write)
        writer.start()
        counts = []
        try:
            for number in range(5):
                system.backups.mkdir(exist_ok=True)
                eventually(lambda seen=written[0]: written[0] > seen)  # type: ignore[misc]
                copied = store_copy.StoreCopy(system.backups / f"{number}.db", "sluice-")
                acknowledged = written[0]
                store_copy.copy(system.data / "store.db", copied.path)
                copied.check()
                rows = copied.rows()
                counts.append(rows["sluice-sessions"] - before["sluice-sessions"])
                assert counts[-1] == rows["sluice-throttles"] - before["sluice-throttles"]
                assert counts[-1] >= acknowledged
        finally:
            over.set()
            writer.join()
        assert counts[-1] > counts[0] >= 0 and written[0] >= counts[-1]


def test_what_comes_and_goes_meanwhile_is_there(system: Stopped, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted, copy = system.put_document("files/usr_a/file_deleted"), store_copy.copy

    def meanwhile(database: Path, target: Path) -> None:
        copy(database, target)
        if database.name == "store.db":
            deleted.unlink()
            system.put_document("files/usr_a/file_late")

    monkeypatch.setattr(store_copy, "copy", meanwhile)
    found = names(system.back_up()[0])
    assert {"documents/files/usr_a/file_deleted", "documents/files/usr_a/file_late"} <= set(found)


def test_a_damaged_index_is_left_out_and_a_damaged_store_refused(system: Stopped) -> None:
    (system.data / "documents" / "index" / "usr_a" / "bad.db").write_bytes(b"no database" * 999)
    backup, _ = system.back_up()
    assert not any("bad.db" in name for name in names(backup))
    backup.unlink()
    with closing(sqlite3.connect(system.data / "store.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray((system.data / "store.db").read_bytes())
    raw[8 * 4096 : 12 * 4096] = os.urandom(4 * 4096)
    (system.data / "store.db").write_bytes(raw)
    with pytest.raises(BackupRefused):
        system.back_up()
    assert list(system.backups.iterdir()) == []


def test_older_backups_go_only_after_a_good_one_and_nothing_else_does(
    system: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.backups.mkdir()
    for name in (*OLD, *OTHERS):
        (system.backups / name).write_text("")
    with monkeypatch.context() as broken:
        broken.setattr(saving, "check_store", lambda *_: (_ for _ in ()).throw(BackupRefused("no")))
        with pytest.raises(BackupRefused):
            system.back_up(keep=1)
    assert {path.name for path in system.backups.iterdir()} == {*OLD, *OTHERS}
    newest, _ = system.back_up(keep=2)
    assert {path.name for path in system.backups.iterdir()} == {OLD[1], *OTHERS, newest.name}


def test_a_backup_never_deletes_itself_where_a_clock_was_wrong(system: Stopped) -> None:
    system.backups.mkdir()
    later = [f"sluice-backup-20{year}0101T000000Z.tar.gz" for year in (90, 91, 92)]
    for name in later:
        (system.backups / name).write_text("")
    system.back_up(keep=2)
    made = {path.name for path in system.backups.iterdir()} - set(later)
    assert len(made) == 1 and {path.name for path in system.backups.iterdir()} == made | {later[-1]}


def test_a_full_disk_is_left_alone(system: Stopped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda path: SimpleNamespace(free=200 << 20))
    with pytest.raises(BackupRefused, match="the disk has 200 MiB"):
        system.back_up()


def test_two_names_of_one_file_are_two_files(system: Stopped) -> None:
    os.link(system.put_document("files/usr_a/file_a"), system.data / "documents" / "files" / "usr_a" / "file_b")
    assert {"documents/files/usr_a/file_a", "documents/files/usr_a/file_b"} <= set(names(system.back_up()[0]))


def test_two_backups_at_once_are_refused(system: Stopped) -> None:
    scratch = system.data / "run" / "backup"
    scratch.mkdir(parents=True)
    lock = os.open(scratch, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(BackupRefused, match="another backup"):
        system.back_up()
    os.close(lock)
    system.back_up()


def sluice(system: Stopped, *words: str) -> "subprocess.Popen[str]":
    program = "import infra.backup.age; infra.backup.age.WORK = 2; from infra.cli import main; main()"
    environment = {**os.environ, "SLUICE_DATA_DIR": str(system.data)}
    return subprocess.Popen(
        [sys.executable, "-c", program, *words], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_backup_is_none_and_the_next_one_works(system: Stopped, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    words = ("backup", "--to", str(system.backups), "--passphrase-file", str(secret), "--keep", "1")
    for number in range(4):
        system.put_document(f"files/usr_a/file_{number}", os.urandom(2 << 20))
    began = time.monotonic()
    with sluice(system, *words) as whole:
        assert whole.wait(100) == 0
    took = time.monotonic() - began
    (first,) = system.backups.iterdir()
    killed = 0
    for tenth in (5, 6, 7, 8):
        with sluice(system, *words) as process:
            time.sleep(took * tenth / 10)
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        backups = [path for path in system.backups.iterdir() if path.suffix != ".part"]
        assert len(backups) == 1
        assert len(names(backups[0])) == len(names(first) if first.exists() else names(backups[0]))
        for draft in system.backups.glob(".*.part"):
            os.utime(draft, (0, 0))
    assert killed
    with sluice(system, *words) as last:
        assert last.wait(100) == 0
    (backup,) = system.backups.iterdir()
    assert "documents/files/usr_a/file_3" in names(backup)
    assert list((system.data / "run" / "backup").iterdir()) == []


def run(system: Stopped, *words: str, typed: str = "", **environment: str) -> Any:
    return CliRunner().invoke(command, words, input=typed, env={"SLUICE_DATA_DIR": str(system.data), **environment})


def test_it_repeats_until_a_signal_and_goes_on_after_a_failure(
    system: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    class Signals:
        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            if len(waits) == 1:
                (system.data / "store.db").rename(system.data / "store.away")
            else:
                (system.data / "store.away").rename(system.data / "store.db")
            return len(waits) == 2

    monkeypatch.setattr(stop_signals, "StopSignals", Signals)
    done = run(system, "--to", str(system.backups), "--no-encryption", "--every", "6h")
    assert done.exit_code == 0 and all(0 < seconds <= 6 * 3600 for seconds in waits)
    assert "read it back" in done.stderr and "holds no store" in done.stderr and "tried in 360 minutes" in done.stderr
    (backup,) = system.backups.iterdir()
    assert backup.name.endswith(".tar.gz")


@pytest.mark.parametrize(
    ("words", "typed", "environment", "says"),
    [
        ((), "short\nshort\n", {}, "needs 12 characters"),
        ((), "", {}, "Passphrase: nobody can be asked for it here, so give --passphrase-file FILE"),
        (("--passphrase-file", "latin"), "", {}, "is not a text in UTF-8"),
        (("--passphrase-file", "file"), "", {}, "needs 12 characters"),
        (("--to", "data/backups", "--no-encryption"), "", {}, "in the data directory"),
        (("--to", "ftp://x", "--no-encryption"), "", {}, "neither a folder nor"),
        (("--to", "file", "--no-encryption"), "", {}, "no backup was made: "),
        (("--no-encryption",), "", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "not in the data directory"),
        (("--no-encryption",), "", {"SLUICE_DATA_DIR": "/nowhere"}, "/nowhere holds no store"),
    ],
)
def test_refusals_say_why(
    system: Stopped,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    typed: str,
    environment: dict[str, str],
    says: str,
) -> None:
    monkeypatch.chdir(system.data.parent)
    Path("file").write_text("")
    Path("latin").write_bytes(b"gr\xfcn" * 5)
    done = run(system, *words, typed=typed, **environment)
    assert done.exit_code == 1 and says in done.stderr and "Traceback" not in done.output


@pytest.mark.parametrize("every", ["0h", "6", "h", "-1h", "6w", "٣h"])
def test_other_intervals_are_a_wrong_use(system: Stopped, every: str) -> None:
    assert run(system, "--every", every, "--no-encryption").exit_code == 2
