"""An upgrade of the embedded store: whole, or not at all, and back again."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.commands.upgrade import _follow, command
from infra.local import expiry
from infra.local.datadir import DataDir
from infra.local.errors import LaunchError
from infra.local.holder import Holder
from infra.migrations import record
from infra.migrations.record import NewerStore
from infra.migrations.steps import CURRENT
from infra.setup.console import SetupError
from sluice.adapters.aws import dynamo
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.migrate import old_store
from tests.integration.infra.upgrades.conftest import PREFIX, Stopped, items
from tests.rounds import rounds
from tests.store_process import running_store

Make = Callable[[int], Stopped]
BEGIN = (
    ("infra.upgrading.fold", 1),
    ("infra.backup.store_copy.copy", 1),
    ("infra.local.tables_ready.ensure", 1),
    ("infra.migrations.record.write", 2),
    ("infra.upgrading.fold", 2),
    ("infra.upgrading.write_whole", 1),
    ("os.link", 1),
    ("os.utime", 1),
    ("infra.upgrading.put", 1),
    ("infra.upgrading.sync_folder", 1),
)
FAIL = (
    ("os.replace", 1),
    ("pathlib.Path.unlink", 1),
    ("infra.upgrading.queue_again", 1),
    ("infra.local.tables_ready.note", 1),
    ("infra.upgrading.put", 1),
    ("infra.upgrading.sync_folder", 1),
    ("pathlib.Path.unlink", 2),
)
WHEN = ("before", "after")[: rounds(2, 1)]


def kill(stopped: Stopped, what: str, when: str, step: tuple[str, int]) -> None:
    words = (str(stopped.data), what, when, step[0], str(step[1]))
    module = "tests.integration.infra.upgrades.killed"
    assert subprocess.run([sys.executable, "-m", module, *words], timeout=100).returncode == -signal.SIGKILL


def add_an_account(old: Stopped) -> None:
    with running_store(old.store.path) as (url, _pid):
        client = slow_client(url)
        later = {"pk": "email#later@example.org", "account_id": "usr_later", "email": "later@example.org", "schema": 1}
        client.put_item(TableName=PREFIX + "accounts", Item=dynamo.item(later))
        client.close()


@pytest.mark.parametrize("schema", old_store.SCHEMAS)
def test_the_store_of_every_version_is_upgraded_kept_and_accepted(stopped: Make, schema: int) -> None:
    old = stopped(schema)
    ledger = old.store.ledger()
    assert old.upgrade.begin() and old.upgrade.trial.exists()
    assert old.store.record().is_current and old.store.ledger() == ledger and ledger["requests"] == 3
    assert old.said == [found for found in old.said if found.startswith(f"brought the store from schema {schema} to")]
    (kept,) = old.upgrade.kept()
    assert items(kept) == old.before
    old.upgrade.accept()
    assert not old.upgrade.begin(), "nothing is left to do"


def test_every_version_that_there_was_has_a_sample() -> None:
    """Whoever adds a version lets the code of the one before write its sample first (write_store.py)."""
    assert set(old_store.SCHEMAS) == set(range(1, CURRENT + 1)) - {2}
    assert {int(path.stem.removeprefix("schema-")) for path in old_store.STORES.iterdir()} == set(old_store.SCHEMAS)


@pytest.mark.long
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("step", BEGIN, ids=lambda step: f"{step[0].rpartition('.')[2]}-{step[1]}")
def test_killed_at_a_step_the_store_is_whole_and_the_next_start_upgrades_it(
    stopped: Make, when: str, step: tuple[str, int]
) -> None:
    old = stopped(1)
    ledger = old.store.ledger()
    kill(old, "begin", when, step)
    old.store.check()
    if old.store.record() == record.Record():
        assert items(old.store.path) == old.before, "of the earlier version, all of it"
    else:
        assert old.store.record().is_current and old.store.ledger() == ledger, "of this version, all of it"
    assert old.upgrade.begin()
    assert old.store.record().is_current and old.store.ledger() == ledger
    (kept,) = old.upgrade.kept()
    assert items(kept) == old.before
    assert "it did not start" in old.upgrade.fail("it did not start")
    assert items(old.store.path) == old.before


@pytest.mark.long
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("step", FAIL, ids=lambda step: f"{step[0].rpartition('.')[2]}-{step[1]}")
def test_killed_while_going_back_the_next_start_ends_that_first(
    stopped: Make, when: str, step: tuple[str, int]
) -> None:
    old = stopped(1)
    position = old.leave_position()
    old.upgrade.begin()
    kill(old, "fail", when, step)
    goes_on = old.upgrade.trial.exists()  # killed before it was noted that the trial had failed
    assert old.upgrade.begin()
    assert position.exists() == goes_on and old.store.record().is_current
    (kept,) = old.upgrade.kept()
    assert items(kept) == old.before


def test_what_the_earlier_version_wrote_between_two_kills_is_kept(stopped: Make) -> None:
    """Killed when it had gone back but not noted that, then the earlier version ran."""
    old = stopped(1)
    old.upgrade.begin()
    kill(old, "fail", "after", ("infra.upgrading.put", 1))
    assert (old.upgrade.folder / "back").exists() and items(old.store.path) == old.before
    add_an_account(old)
    old.upgrade.begin()
    assert any('"later@example.org"' in text for text in items(old.store.path)[PREFIX + "accounts"])


def test_an_upgrade_waits_for_a_backup_that_copies_the_store(stopped: Make) -> None:
    old = stopped(1)
    copying = threading.Event()

    def copy() -> None:
        with closing(sqlite3.connect(f"{old.store.path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT * FROM _tables").fetchall()
            copying.set()
            time.sleep(1)

    with closing(sqlite3.connect(old.store.path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # as the store leaves it when it is killed
    backup = threading.Thread(target=copy)
    backup.start()
    copying.wait()
    assert old.upgrade.begin() and old.store.record().is_current
    backup.join()


def test_a_trial_that_fails_puts_everything_back_and_names_the_way(stopped: Make) -> None:
    old = stopped(3)
    (old.data / "sluice.version").write_text("0.2.0")
    old.upgrade.begin()
    position = old.leave_position()
    mine = old.data / "store.db-mine"
    mine.touch()
    add_an_account(old)  # as the sweeper of the new version may write
    told = old.upgrade.fail("inference cannot start")
    assert items(old.store.path) == old.before and not position.exists()
    assert (old.data / "store.schema").read_text() == "3\n"
    assert "inference cannot start" in told and "0.2.0" in told and old.upgrade.failure.read_text() == told
    assert not old.upgrade.trial.exists() and old.upgrade.kept() == [] and mine.exists()


def test_a_start_that_fails_without_an_upgrade_names_the_version_before(stopped: Make) -> None:
    old = stopped(4)
    old.upgrade.begin()
    old.upgrade.accept()
    assert old.upgrade.fail("the port is taken") == "the port is taken", "this version was healthy here"
    (old.data / "sluice.version").write_text("0.0.9")
    told = old.upgrade.fail("the engine cannot start")
    assert "0.0.9" in told and old.store.record().is_current


@pytest.mark.parametrize("text", ["store-schema-1-20260101T000000Z.db", "nonsense"])
def test_a_trial_without_its_store_is_none(stopped: Make, text: str) -> None:
    old = stopped(3)
    old.upgrade.folder.mkdir()
    old.upgrade.trial.write_text(text)
    assert old.upgrade.begin() and old.store.record().is_current
    assert items(old.upgrade.kept()[0]) == old.before


def test_a_trial_of_another_version_is_undone_before_this_one_begins(
    stopped: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = stopped(1)
    old.upgrade.begin()
    monkeypatch.setattr(record, "fingerprint", lambda: "another")
    monkeypatch.setattr("infra.migrations.run.record.fingerprint", lambda: "another")
    assert old.upgrade.begin()
    (kept,) = old.upgrade.kept()
    assert items(kept) == old.before


def test_only_the_newest_kept_stores_stay_and_none_for_longer_than_its_days(stopped: Make) -> None:
    old = stopped(4)
    old.upgrade.folder.mkdir()
    for day in range(5):
        (old.upgrade.folder / f"store-schema-1-2026010{day}T000000Z.db").write_bytes(b"")
    old.upgrade.accept()
    newest = [f"store-schema-1-2026010{day}T000000Z.db" for day in (4, 3)]
    assert [path.name for path in old.upgrade.kept()] == newest
    os.utime(old.upgrade.kept()[1], (0, 0))
    old.upgrade.trial.write_text(newest[0])
    expiry.forget_stores(old.upgrade.folder)
    assert len(old.upgrade.kept()) == 2, "a trial may need them"
    old.upgrade.trial.unlink()
    expiry.forget_stores(old.upgrade.folder)
    assert [path.name for path in old.upgrade.kept()] == newest[:1]


def test_without_second_names_a_whole_copy_is_kept(stopped: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    old = stopped(3)
    monkeypatch.setattr(os, "link", refuse)
    old.upgrade.begin()
    (kept,) = old.upgrade.kept()
    assert items(kept) == old.before


def test_a_full_disk_is_refused_and_the_store_stays(stopped: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    old = stopped(3)
    monkeypatch.setattr("infra.backup.saving.SPARE_DISK_BYTES", 1 << 60)
    with pytest.raises(LaunchError, match="MiB beside it"):
        old.upgrade.begin()
    assert items(old.store.path) == old.before and not old.upgrade.trial.exists()


def test_a_new_or_empty_directory_needs_no_upgrade(stopped: Make, tmp_path: Path) -> None:
    new = Stopped(tmp_path, {})
    assert not new.upgrade.begin()
    new.store.path.touch()
    assert not new.upgrade.begin()


def test_a_store_that_cannot_be_installed_is_said_before_the_run_is_asked(
    stopped: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = stopped(CURRENT)
    data, asked = DataDir(old.data), list[int]()
    data.take()
    data.note(Holder.of("http://127.0.0.1:8080").note())

    def install(tools: Path, python: Path) -> Path:
        raise SetupError("there is no room")

    monkeypatch.setattr("infra.setup.store.install", install)
    monkeypatch.setattr(os, "kill", lambda pid, number: asked.append(number))
    status, told = run(old)
    assert (status, asked) == (1, []) and "there is no room" in told


def test_the_run_that_is_there_after_the_check_is_asked(stopped: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    old, asked = stopped(CURRENT), list[int]()
    data = DataDir(old.data)
    data.take()
    data.note(replace(Holder.of("http://127.0.0.1:1"), pid=1).note())
    now = Holder.of("http://127.0.0.1:1")
    monkeypatch.setattr("infra.commands.upgrade._rehearse", lambda *_: data.note(now.note()))
    monkeypatch.setattr("infra.commands.upgrade._follow", lambda *_: None)
    monkeypatch.setattr(os, "kill", lambda pid, number: asked.append(pid))
    assert run(old)[0] == 0 and asked == [now.pid]


def test_who_waits_for_the_run_does_not_take_its_lock(stopped: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two executions nobody has it, and a run that then finds it taken would end."""
    old = stopped(CURRENT)
    data = DataDir(old.data)
    before = Holder.of("http://127.0.0.1:1")
    (data.run / "lock").write_text(replace(before, since_ns=before.since_ns + 1).note())
    monkeypatch.setattr("fcntl.flock", lambda *_: pytest.fail("it asked for the lock"))
    monkeypatch.setattr("infra.local.readiness.health", lambda url: {"status": "ok"})
    _follow(data, old.upgrade, before)


def run(stopped: Stopped, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, words, env={"SLUICE_DATA_DIR": str(stopped.data)})
    return result.exit_code, result.output


def test_a_check_migrates_a_copy_and_changes_nothing(stopped: Make) -> None:
    old = stopped(1)
    status, told = run(old, "--check")
    assert status == 0 and f"brought the store from schema 1 to {CURRENT}" in told and "nothing runs on it" in told
    assert items(old.store.path) == old.before and not old.upgrade.folder.exists()
    old.upgrade.begin()
    assert "needs no migration" in run(old, "--check")[1]


def test_a_newer_store_is_refused_in_words(stopped: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by the version before, whose number is one lower."""
    old = stopped(4)
    old.upgrade.begin()
    now = items(old.store.path)
    monkeypatch.setattr(record, "CURRENT", CURRENT - 1)
    status, told = run(old, "--check")
    assert (
        status == 1 and f"written by a newer Sluice: its schema is {CURRENT}, this version knows {CURRENT - 1}" in told
    )
    with pytest.raises(NewerStore):
        old.upgrade.needed()
    assert items(old.store.path) == now


def test_an_accepted_upgrade_can_be_taken_back_by_hand(stopped: Make) -> None:
    old = stopped(3)
    assert run(old, "--back", "--yes")[0] == 1, "nothing is kept"
    old.upgrade.begin()
    old.upgrade.accept()
    status, told = run(old, "--back", "--yes")
    assert status == 0 and "What was written since is lost" in told
    assert items(old.store.path) == old.before


def test_nothing_is_put_back_under_a_run(stopped: Make) -> None:
    old = stopped(3)
    old.upgrade.begin()
    old.upgrade.accept()
    now = items(old.store.path)
    held = DataDir(old.data)
    held.take()
    status, told = run(old, "--back", "--yes")
    assert status == 1 and "another `sluice up` runs" in told and items(old.store.path) == now
