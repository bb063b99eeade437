"""`make up` upgrades a data directory of an earlier version, and keeps everything in it."""

import time
from pathlib import Path
from typing import Any

import pytest

from infra.local.store_address import use_running_store
from infra.migrations import record
from infra.migrations.steps import CURRENT
from sluice.adapters.tokens.jwt_tokens import sign
from sluice.adapters.tokens.keys import ensure_keys, parse_signing_key
from sluice.domain.tokens import Claims
from tests.e2e.conftest import NewSystem
from tests.e2e.people import ask, code_in, log_in, mails_to, newcomer, post
from tests.integration.gateway.admission.world import slow_client
from tests.integration.infra.migrate import old_store
from tests.store_process import running_store

pytestmark = pytest.mark.slow
PREFIX = "sluice-"


def leave_old_store(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700, parents=True)
    with running_store(data_dir / "store.db") as (url, _pid):
        client = slow_client(url)
        old_store.build(client, PREFIX)
        client.close()


def old_api_token(data_dir: Path) -> str:
    """Signs the token again as that version issued it, with the id in the fixture and the keys of the directory."""
    ensure_keys(data_dir)
    file = data_dir / "keys" / "token-signing.pem"
    now_s = int(time.time())
    claims = Claims(old_store.TOKEN, old_store.account_id(), now_s - 60, now_s + 3600, frozenset({"inference"}), None)
    return sign(claims, parse_signing_key(file.read_bytes(), str(file)), "sluice")


def test_an_old_data_directory_is_upgraded_by_the_start_and_the_whole_path_works_on_it(new_system: NewSystem) -> None:
    system = new_system()
    leave_old_store(system.data_dir)
    api_token = old_api_token(system.data_dir)
    system.start()
    assert f"brought the store from schema 1 to {CURRENT}" in system.output()

    ada = log_in(system.base_url, old_store.EMAIL, old_store.PASSWORD)
    [row] = ada.call("GET", "/tokens").json()["data"]
    assert (row["id"], row["name"], row["status"]) == (old_store.TOKEN, "old laptop", "active")

    ada.api_token = api_token
    assert "Paris" in ask(ada, "What is the capital of France?").json()["choices"][0]["message"]["content"]

    # three from the fixture, one whose holder had died and which the sweeper settles, and the one just made
    system.wait_until(lambda: usage(ada)["requests"] == 5)
    assert usage(ada)["prompt_tokens"] >= 20 + 21 + 22
    logs = ada.call("GET", "/usage/logs").json()["data"]
    assert any(entry.get("prompt") == "What?" and entry.get("response") == "That." for entry in logs)

    assert post(system.base_url, "/auth/resend-verification", {"email": old_store.UNVERIFIED}).status_code == 202
    system.wait_until(lambda: redeems_newest_code(system.base_url))  # the first mail may be old, with a dead code
    log_in(system.base_url, old_store.UNVERIFIED, old_store.PASSWORD)

    assert ada.call("POST", f"/tokens/{old_store.TOKEN}/revoke").status_code == 200
    assert ask(ada, "Still there?").status_code == 401
    assert ask(newcomer(system.base_url), "What is 9 + 8?").status_code == 200
    assert ada.call("DELETE", "/account", json={"password": old_store.PASSWORD}).status_code == 204

    assert items_without_schema(system.data_dir) == []
    assert (system.data_dir / "store.schema").read_text() == f"{CURRENT}\n"
    system.ctrl_c()
    system.start()
    assert "brought the store" not in system.output()


def redeems_newest_code(base_url: str) -> bool:
    code = code_in(mails_to(base_url, old_store.UNVERIFIED, "verify_email")[0])
    return post(base_url, "/auth/verify-email", {"token": code}).status_code == 200


def items_without_schema(data_dir: Path) -> list[Any]:
    """All items in the store without a schema number."""
    environment = {"SLUICE_DATA_DIR": str(data_dir)}
    use_running_store(environment)
    client = slow_client(environment["AWS_ENDPOINT_URL_DYNAMODB"], environment["SLUICE_STORE_SOCKET"])
    dumped = old_store.dump(client, PREFIX)
    client.close()
    assert sum(map(len, dumped.values())) > 20
    return [(table, item) for table, items in dumped.items() for item in items if "schema" not in item]


def usage(person: Any) -> dict[str, Any]:
    return dict(person.call("GET", "/usage").json()["total"])


def test_a_newer_store_is_refused_in_one_sentence_and_left_alone(new_system: NewSystem) -> None:
    system = new_system()
    system.data_dir.mkdir(mode=0o700, parents=True)
    with running_store(system.data_dir / "store.db") as (url, _pid):
        client = slow_client(url)
        old_store.build(client, PREFIX)
        record.write(client, PREFIX, record.Record(CURRENT + 1))
        before = old_store.dump(client, PREFIX)
        client.close()
    (system.data_dir / "store.schema").write_text(f"{CURRENT + 1}\n")  # as the newer version would leave it
    system.launch()
    assert system.wait_ended() != 0
    assert f"This store was written by a newer Sluice: its schema is {CURRENT + 1}" in system.output()
    with running_store(system.data_dir / "store.db") as (url, _pid):
        client = slow_client(url)
        assert old_store.dump(client, PREFIX) == before
        client.close()


def test_a_newer_store_without_its_file_is_refused_by_its_record(new_system: NewSystem) -> None:
    system = new_system()
    system.data_dir.mkdir(mode=0o700, parents=True)
    with running_store(system.data_dir / "store.db") as (url, _pid):
        client = slow_client(url)
        old_store.build(client, PREFIX)
        record.write(client, PREFIX, record.Record(CURRENT + 1))
        client.close()
    system.launch()
    assert system.wait_ended() != 0
    assert f"its schema is {CURRENT + 1}, this version knows {CURRENT}" in system.output()
