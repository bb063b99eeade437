"""A command finds the store of the running system, unless the environment names another."""

import os
from pathlib import Path

import pytest
from botocore.session import get_session

from infra.local import supervision
from infra.local.datadir import DataDir
from infra.local.gate import CLOSED
from infra.local.programs import programs, store_command
from infra.local.store_address import BY_SOCKET, NO_RUN, use_running_store
from sluice.domain.errors import Unavailable


def test_the_port_of_this_run_is_found(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.run.mkdir()
    command = store_command(Path("/opt/dynoxide"), tmp_path / "store.db", 43210, None)
    written = supervision.configuration(data, programs(command))
    (data.run / "supervisord.conf").write_text(written)
    env = {"SLUICE_DATA_DIR": str(tmp_path)}
    use_running_store(env)
    assert env["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:43210"
    assert env["AWS_ACCESS_KEY_ID"]
    assert env["SLUICE_STORE_SOCKET"] == ""


def test_the_port_in_the_stores_own_network_is_not_taken_for_one_of_this_machine(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.run.mkdir()
    command = store_command(Path("/opt/dynoxide"), tmp_path / "store.db", 8000, data.socket("store"))
    (data.run / "supervisord.conf").write_text(supervision.configuration(data, programs(command)))
    env = {"SLUICE_DATA_DIR": str(tmp_path)}  # the socket is not there yet
    use_running_store(env)
    assert env["AWS_ENDPOINT_URL_DYNAMODB"] == NO_RUN


def test_the_socket_of_this_run_is_found(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.take()
    socket = data.socket("store")
    socket.touch()
    env = {"SLUICE_DATA_DIR": str(tmp_path)}
    use_running_store(env)
    assert (env["AWS_ENDPOINT_URL_DYNAMODB"], env["SLUICE_STORE_SOCKET"]) == (BY_SOCKET, str(socket))
    data.leave()


def test_all_settings_that_botocore_needs_are_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    env = dict(os.environ)
    use_running_store(env)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    client = get_session().create_client("dynamodb")
    assert client.meta.endpoint_url == NO_RUN
    client.close()


def test_without_a_running_system_no_store_is_found(tmp_path: Path) -> None:
    env = {"SLUICE_DATA_DIR": str(tmp_path / "nowhere")}
    use_running_store(env)
    assert env["AWS_ENDPOINT_URL_DYNAMODB"] == NO_RUN


def test_a_store_that_an_upgrade_may_put_back_takes_no_command(tmp_path: Path) -> None:
    """`sluice users suspend` would say that it did, and the account would be active again."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / CLOSED).touch()
    with pytest.raises(Unavailable, match="being upgraded"):
        use_running_store({"SLUICE_DATA_DIR": str(tmp_path)})
    use_running_store({"SLUICE_DATA_DIR": str(tmp_path), "AWS_ENDPOINT_URL": "http://10.0.0.5:8000"})


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"])
def test_settings_of_the_environment_are_kept(tmp_path: Path, name: str) -> None:
    env = {"SLUICE_DATA_DIR": str(tmp_path), name: "theirs"}
    before = dict(env)
    use_running_store(env)
    assert env.items() >= before.items()
    completed = {"AWS_REGION", "AWS_DEFAULT_REGION", *KEYS} if "ENDPOINT" in name else set()
    assert env.keys() - before.keys() == completed


def test_amazons_own_store_gets_no_made_up_keys(tmp_path: Path) -> None:
    env = {"SLUICE_DATA_DIR": str(tmp_path), "AWS_ENDPOINT_URL_DYNAMODB": "https://dynamodb.eu-west-1.amazonaws.com"}
    use_running_store(env)
    assert not env.keys() & set(KEYS)
