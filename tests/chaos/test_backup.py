"""A machine is backed up under load, destroyed, and restored: it is as it was at that moment.

`SLUICE_BACKUPS` sets how many backups are made under the load (6 in `make test-full`, else 2); the last is restored.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.backup import archive
from infra.backup.store_copy import StoreCopy
from sluice.adapters.gateway.grant_item import grant_from
from tests.books import Books, disagreements, kill_group, reconciled, settled
from tests.chaos.conftest import SWEEP_SECONDS
from tests.chaos.load import Load
from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.system import ROOT, System
from tests.rounds import rounds
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]

BACKUPS = int(os.environ.get("SLUICE_BACKUPS", rounds(6, 2)))
ACCOUNTS, CALLERS = 3, 2
PASSPHRASE = "a quiet green harbour"
TEA = b"# Tea\n\nOur tea is grown on the hills of Darjeeling. The harvest begins in March.\n"


def sluice(system: System, *words: str) -> str:
    command = [str(Path(sys.executable).with_name("sluice")), *words]
    done = subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def killed_store(system: System, *words: str) -> None:
    """A backup, during which the store is killed."""
    command = [str(Path(sys.executable).with_name("sluice")), *words]
    with subprocess.Popen(command, cwd=ROOT, env=system.environment, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: list((system.data_dir / "run" / "backup").glob("store.db*")), 120)
        system.wait_restarted("store", kill_group(system, "store"), 120)
        told = process.communicate(timeout=300)[1]
    assert process.returncode == 0, told


def with_documents(person: Person) -> tuple[str, str]:
    """A vector store and a file in it."""
    store = person.openai.vector_stores.create(name="papers")
    added = person.openai.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("tea.md", TEA), poll_interval_ms=100
    )
    assert added.status == "completed"
    return store.id, added.id


def api_status(person: Person, token: str) -> int:
    return people.ask(Person(person.base_url, "", "", "", token), "What is 3 + 4?", max_tokens=5).status_code


def leases(data_dir: Path) -> set[str]:
    """The ids of the requests that ran."""
    grants = StoreCopy(data_dir / "store.db", "sluice-")._items("grants")
    return {request_id for grant in grants for request_id in grant_from(grant).leases}


def test_a_destroyed_machine_is_restored_as_it_was_under_load(
    system: System, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret, backups = tmp_path / "passphrase", tmp_path / "backups"
    secret.write_text(PASSPHRASE)
    persons = [people.newcomer(system.base_url) for _ in range(ACCOUNTS)]
    reader = people.newcomer(system.base_url)
    store_id, file_id = with_documents(reader)
    revoked, late = reader.mint(), reader.mint()
    assert reader.call("POST", f"/tokens/{revoked['id']}/revoke").status_code == 200
    unverified = people.register(system.base_url)
    code = people.code_in(people.mails_to(system.base_url, unverified, "verify_email")[0])

    model = os.getpgid(system.pid("inference"))
    load = Load(persons, CALLERS, 1).start()
    try:
        system.wait_until(lambda: sum(one.count(200) for one in load.answers.values()) > 20, 120)
        words = ("backup", "--to", str(backups), "--passphrase-file", str(secret), "--keep", str(BACKUPS))
        killed_store(system, *words)
        for name in ("relay", "worker"):  # so that a mail and a response wait
            os.kill(system.pid(name), signal.SIGSTOP)
        waiting_mail = people.register(system.base_url)
        response = reader.openai.responses.create(model="demo", input="What is 3 + 4?", background=True)
        for _ in range(BACKUPS):
            assert "read it back" in sluice(system, *words)
        os.killpg(model, signal.SIGSTOP)  # so that requests certainly run at the moment of the last one
        system.wait_until(lambda: any(grant.leases for grant in Books(system).grants()), 120)
        seen = {one: dict(answers.whole_tokens) for one, answers in load.answers.items()}
        assert "read it back" in sluice(system, *words)
    finally:
        os.killpg(model, signal.SIGCONT)
        load.stop()
    assert reader.call("POST", f"/tokens/{late['id']}/revoke").status_code == 200
    system.discard()
    shutil.rmtree(system.data_dir)

    backup = sorted(backups.iterdir())[-1]
    assert len(list(backups.iterdir())) == BACKUPS
    with backup.open("rb") as file:
        manifest = archive.read(file, lambda: PASSPHRASE, lambda name: None)
    sluice(system, "restore", str(backup), "--passphrase-file", str(secret))
    assert StoreCopy(system.data_dir / "store.db", "sluice-").ledger() == manifest.ledger
    running = leases(system.data_dir)
    system.start()

    assert api_status(reader, revoked["token"]) == 401
    assert api_status(reader, late["token"]) == 200, "it was revoked after the backup"
    assert all(api_status(person, person.api_token) == 200 for person in persons)
    assert people.log_in(system.base_url, reader.email).call("GET", "/account").status_code == 200
    assert people.post(system.base_url, "/auth/verify-email", {"token": code}).status_code == 200
    people.verify(system.base_url, waiting_mail)
    assert reader.openai.files.content(file_id).read() == TEA
    found = reader.openai.vector_stores.search(store_id, query="Where is our tea grown?").data
    assert "Darjeeling" in found[0].content[0].text
    eventually(lambda: reader.openai.responses.retrieve(response.id).status == "completed", 180)

    books = settled(system, SWEEP_SECONDS)
    ledger = books.ledger()
    recorded = {record.request_id: record.total_tokens for record in ledger}
    acknowledged = {identifier: tokens for answers in seen.values() for identifier, tokens in answers.items()}
    assert acknowledged.items() <= recorded.items(), "an answer that ended before the backup is charged as it was"
    assert running and running <= recorded.keys(), "requests that ran at that moment are settled"
    assert disagreements(ledger, books.grants(), books.rolled_up()) == []
    assert "0 differences" in reconciled(system)
    with capsys.disabled():
        size = backup.stat().st_size / 1e6
        print(
            f"\n  {BACKUPS} backups under load, {size:.1f} MB; restored with {manifest.ledger}, {len(running)} leases"
        )
