"""Wrote `stores/schema-3.json` and `schema-4.json`; not part of the suite. It asks a run of that version by HTTP:

    git worktree add /tmp/old 15312c36   # schema 3; 3411cb14: schema 4, whose later tables are added without a number
    SLUICE_DATA_DIR=/tmp/data SLUICE_AUTH_THROTTLE=off sluice up          # there, with its packages
    .venv/bin/python -m tests.integration.infra.migrate.write_store 15312c36 http://127.0.0.1:8080 /tmp/data > FILE

It kills that run, so that one request is left running.
"""

import json
import os
import signal
import sqlite3
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import requests

from infra.local.processes import recorded, stop_recorded
from tests.e2e.people import Person, ask, log_in, register, verify
from tests.e2e.system import NAMES
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.migrate import old_store
from tests.integration.infra.migrate.write_old_store import dump
from tests.store_process import running_store
from tests.waiting import eventually

PREFIX = "sluice-"


def main(commit: str, url: str, data: Path) -> None:
    register(url, old_store.EMAIL, old_store.PASSWORD)
    verify(url, old_store.EMAIL)
    register(url, old_store.UNVERIFIED, old_store.PASSWORD)
    ada = log_in(url, old_store.EMAIL, old_store.PASSWORD)
    ada.api_token = ada.mint(name="old laptop")["token"]
    for question in ("What?", "What is the capital of Peru?"):
        assert ask(ada, question).status_code == 200
    chat = ada.call("POST", "/chats", json={"title": "old"}).json()
    assert ada.call("POST", f"/chats/{chat['id']}/messages", json={"content": "What is 3 + 4?"}).status_code == 200
    eventually(lambda: ada.call("GET", "/usage").json()["total"]["requests"] == 3)
    leave_running(ada, data)
    with running_store(data / "store.db") as (store, _pid):
        client = slow_client(store)
        names = sorted(name for name in client.list_tables()["TableNames"] if name.startswith(PREFIX))
        tables = [dump(client, PREFIX, name.removeprefix(PREFIX)) for name in names]
        client.close()
    json.dump({"commit": commit, "prefix": PREFIX, "tables": tables}, sys.stdout, indent=1, sort_keys=True)


def leave_running(ada: Person, data: Path) -> None:
    """The engine is silent, so the request runs until everything is killed."""
    run = data / "run"
    engine = recorded(run, "inference")
    assert engine
    os.killpg(engine, signal.SIGSTOP)

    def hang() -> None:
        with suppress(requests.ConnectionError):
            ask(ada, "Still there?")

    caller = threading.Thread(target=hang)
    caller.start()
    eventually(lambda: runs_a_request(data / "store.db"))
    stop_recorded(run, ("supervisor", *reversed(NAMES)), patience_seconds=0)
    caller.join()


def runs_a_request(database: Path) -> bool:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute(f'SELECT item_json FROM "{PREFIX}grants"').fetchall()
    return any(json.loads(text)["leases"]["M"] for (text,) in rows)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
