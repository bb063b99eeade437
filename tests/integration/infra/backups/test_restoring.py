"""A restore makes all of a data directory of this version, or nothing."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.backup import restoring, saving
from infra.backup.store_copy import StoreCopy
from infra.cli import main
from infra.migrations import record
from infra.migrations.steps import CURRENT
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.backups.conftest import PASSPHRASE, PREFIX, Stopped
from tests.integration.infra.migrate import old_store
from tests.store_process import ROOT, running_store

pytestmark = pytest.mark.slow


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\r\nnot this\n")
    return str(tmp_path / "passphrase")


def sluice(target: Path, *words: str, **environment: str) -> "subprocess.Popen[str]":
    """A process of its own, because a restore leads this process's clients to the restored store."""
    return subprocess.Popen(
        [sys.executable, "-c", "from infra.cli import main; main()", "restore", *words],
        cwd=ROOT,
        env={**os.environ, "SLUICE_DATA_DIR": str(target), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def restored(target: Path, *words: str) -> str:
    with sluice(target, *words) as process:
        told = process.communicate(timeout=250)[1]
    assert process.returncode == 0, told
    return told


def refused(target: Path, *words: str, **environment: str) -> str:
    environment = {"SLUICE_DATA_DIR": str(target), **environment}
    done = CliRunner().invoke(main, ["restore", *words], env=environment)
    assert done.exit_code == 1 and "nothing was restored: " in done.stderr and "Traceback" not in done.output
    return done.stderr


def partitioned(by: str) -> dict[str, Any]:
    """The definition of a table of accounts' items."""
    return {
        "KeySchema": [{"AttributeName": a, "KeyType": t} for a, t in (("account_id", "HASH"), (by, "RANGE"))],
        "AttributeDefinitions": [{"AttributeName": a, "AttributeType": "S"} for a in ("account_id", by)],
        "BillingMode": "PAY_PER_REQUEST",
    }


def test_an_older_store_is_restored_and_has_this_version(system: Stopped, tmp_path: Path, secret: str) -> None:
    named = system.put_document("files/usr_a/file_a")
    backup, manifest = system.back_up()
    target = tmp_path / "far" / "away"
    told = restored(target, str(backup), "--passphrase-file", secret)
    assert f"brought the store from schema 1 to {CURRENT}" in told and "--revoke-all-tokens" in told
    copied = StoreCopy(target / "store.db", PREFIX)
    assert copied.schema() == CURRENT and copied.ledger() == manifest.ledger
    assert (target / "store.schema").read_text() == f"{CURRENT}\n"
    for name in ("token-signing.pem", "jwks.json", "mailed-code.key"):
        assert (target / "keys" / name).read_bytes() == (system.data / "keys" / name).read_bytes()
    assert target.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in target.iterdir()} - {"store.db-wal", "store.db-shm"} == {
        *("documents", "keys", "store.db", "store.schema")
    }
    assert {path.name for path in target.parent.iterdir()} == {"away"}
    assert not (target / "documents" / named.relative_to(system.data / "documents")).exists(), "no row names it"
    with running_store(target / "store.db") as (url, _):
        client = slow_client(url)
        assert record.read(client, PREFIX).is_current
        client.close()


def test_documents_are_left_out_unless_a_row_names_them(system: Stopped, tmp_path: Path, secret: str) -> None:
    with running_store(system.data / "store.db") as (url, _):
        client = slow_client(url)
        definition: dict[str, Any] = {
            "KeySchema": [
                {"AttributeName": a, "KeyType": t} for a, t in (("account_id", "HASH"), ("item_id", "RANGE"))
            ],
            "AttributeDefinitions": [{"AttributeName": a, "AttributeType": "S"} for a in ("account_id", "item_id")],
            "BillingMode": "PAY_PER_REQUEST",
        }
        client.create_table(TableName="sluice-documents", **definition)
        for item_id in ("file#file_a", "gone#file_b", "in#vs_a#file_b", "held"):
            client.put_item(
                TableName="sluice-documents", Item={"account_id": {"S": "usr_a"}, "item_id": {"S": item_id}}
            )
        client.close()
    kept = {
        "files/usr_a/file_a",
        "texts/usr_a/file_a",
        "vectors/usr_a/file_a/0f",
        "vectors/_/model",
        "runs/usr_a/req/0",
    }
    for key in (*kept, "files/usr_a/file_b", "texts/usr_b/file_a", "vectors/usr_a/file_b/0f"):
        system.put_document(key)
    old = time.time() - 5000
    os.utime(system.data / "documents" / "runs" / "usr_a" / "req" / "0", (old, old))
    backup, _ = system.back_up()
    restored(tmp_path / "new", str(backup), "--passphrase-file", secret)
    documents = tmp_path / "new" / "documents"
    found = {str(path.relative_to(documents)) for path in documents.rglob("*") if path.is_file()}
    assert found == kept | {"index/usr_a/vs_a.db"}
    assert abs((documents / "runs" / "usr_a" / "req" / "0").stat().st_mtime - old) < 2, "it is deleted when it is due"


def test_responses_that_wait_for_their_message_get_it_again(system: Stopped, tmp_path: Path, secret: str) -> None:
    with running_store(system.data / "store.db") as (url, _):
        client = slow_client(url)
        client.create_table(TableName="sluice-runs", **partitioned("run_id"))
        for run_id, status in (
            ("req_A", "queued"),
            ("req_B", "in_progress"),
            ("req_C", "completed"),
            ("key#x", "queued"),
        ):
            item = {"account_id": {"S": "usr_a"}, "run_id": {"S": run_id}, "status": {"S": status}}
            client.put_item(TableName="sluice-runs", Item=item)
        client.close()
    restored(tmp_path / "new", str(system.back_up()[0]), "--passphrase-file", secret)
    messages = [json.loads(path.read_text()) for path in (tmp_path / "new" / "runs-queue").iterdir()]
    assert messages == [{"account_id": "usr_a", "run_id": "req_A"}]


def test_the_passphrase_can_be_typed_and_a_wrong_one_is_refused(
    system: Stopped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup, _ = system.back_up()
    done = CliRunner().invoke(
        main, ["restore", str(backup)], input="something else\n", env={"SLUICE_DATA_DIR": str(tmp_path / "new")}
    )
    assert done.exit_code == 1 and "the passphrase does not open this backup" in done.stderr
    assert "something else" not in done.output and not (tmp_path / "new").exists()


def test_what_is_there_already_is_never_touched(system: Stopped, tmp_path: Path, secret: str) -> None:
    backup, _ = system.back_up()
    words = (str(backup), "--passphrase-file", secret)
    before = sorted(system.data.rglob("*"))
    assert "is not empty, and nothing in it is overwritten" in refused(system.data, *words)
    (tmp_path / "file").write_text("mine")
    assert "is not empty" in refused(tmp_path / "file", *words)
    (system.data / "run" / "lock").write_text("")
    with (system.data / "run" / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "Sluice runs on" in refused(system.data, *words)
    assert sorted(set(system.data.rglob("*")) - {system.data / "run" / "lock"}) == before
    assert "AWS_ENDPOINT_URL" in CliRunner().invoke(main, ["restore", "x"], env={"AWS_ENDPOINT_URL": "http://x"}).stderr


def test_refusals_leave_no_folder_behind(system: Stopped, tmp_path: Path, secret: str) -> None:
    backup, _ = system.back_up()
    target = tmp_path / "place" / "new"
    raw = backup.read_bytes()
    (tmp_path / "cut").write_bytes(raw[:-1])
    (tmp_path / "changed").write_bytes(raw[:-99] + bytes([raw[-99] ^ 1]) + raw[-98:])
    words = ("--passphrase-file", secret)
    for name in ("cut", "changed"):
        assert "was cut off or changed" in refused(target, str(tmp_path / name), *words)
    assert "no backup of Sluice" in refused(target, secret, *words)
    assert "No such file" in refused(target, str(tmp_path / "absent"), *words)
    assert "set SLUICE_TABLE_PREFIX to that" in refused(target, str(backup), *words, SLUICE_TABLE_PREFIX="other-")
    assert list((tmp_path / "place").iterdir()) == []


def test_a_newer_store_is_refused_in_words(system: Stopped, tmp_path: Path, secret: str) -> None:
    with running_store(system.data / "store.db") as (url, _):
        client = slow_client(url)
        record.write(client, PREFIX, record.Record(CURRENT + 1))
        client.close()
    with pytest.raises(record.NewerStore):  # not even a backup is made by an older version
        system.back_up()


def test_a_manifest_that_speaks_of_other_rows_is_refused(
    system: Stopped, tmp_path: Path, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = StoreCopy.ledger
    with monkeypatch.context() as lying:
        lying.setattr(StoreCopy, "ledger", lambda self: {**ledger(self), "requests": 4})
        lying.setattr(saving, "check_store", lambda *_: None)
        backup, _ = system.back_up()
    assert "other rows than its manifest" in refused(tmp_path / "new", str(backup), "--passphrase-file", secret)


@pytest.mark.long
def test_a_killed_restore_leaves_no_data_directory_and_the_next_one_works(
    system: Stopped, tmp_path: Path, secret: str
) -> None:
    system.put_document("runs/usr_a/req/1", os.urandom(32 << 20))
    backup, _ = system.back_up()
    words = (str(backup), "--passphrase-file", secret)
    began = time.monotonic()
    restored(tmp_path / "whole", *words)
    took = time.monotonic() - began
    target, killed = tmp_path / "new", 0
    for tenth in (3, 5, 6, 7, 8, 9):
        with sluice(target, *words) as process:
            time.sleep(took * tenth / 10)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if target.exists():  # all of it, although the process had not ended
            break
    assert killed
    if not target.exists():
        restored(target, *words)
    assert StoreCopy(target / "store.db", PREFIX).schema() == CURRENT
    assert {path.name for path in tmp_path.iterdir()} == {"data", "backups", "passphrase", "whole", "new"}


def test_two_restores_at_once_make_one(system: Stopped, tmp_path: Path, secret: str) -> None:
    backup, _ = system.back_up()
    words = (str(backup), "--passphrase-file", secret)
    with sluice(tmp_path / "new", *words) as one, sluice(tmp_path / "new", *words) as other:
        told = [process.communicate(timeout=250)[1] for process in (one, other)]
    assert sorted((one.returncode, other.returncode)) == [0, 1], told
    assert StoreCopy(tmp_path / "new" / "store.db", PREFIX).schema() == CURRENT


def test_tokens_and_sessions_can_be_ended(system: Stopped, tmp_path: Path, secret: str) -> None:
    backup, _ = system.back_up()
    told = restored(tmp_path / "new", str(backup), "--passphrase-file", secret, "--revoke-all-tokens", "--end-sessions")
    assert "revoked 1 API tokens" in told and "ended every session" in told and "lives again" not in told
    with running_store(tmp_path / "new" / "store.db") as (url, _):
        client = slow_client(url)
        dumped = old_store.dump(client, PREFIX)
        client.close()
    assert old_store.old_items("sessions") and dumped["sessions"] == []
    assert {key for grant in dumped["grants"] for key in grant.get("live", {"M": {}})["M"]} == {
        "playground"
    }  # for sessions
    (row,) = [item for item in dumped["tokens"] if item["token_id"] == {"S": old_store.TOKEN}]
    assert "revoked_ms" in row


def test_a_folder_that_fills_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    for name in ("draft", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "target" / "run").mkdir()
    with pytest.raises(saving.BackupRefused, match="not empty any more"):
        restoring._put(tmp_path / "draft", tmp_path / "target")
    assert (tmp_path / "target" / "run").is_dir()
