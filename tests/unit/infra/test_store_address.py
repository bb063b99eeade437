"""A command finds the store of the running system, unless the environment names another."""

import os
from pathlib import Path

import pytest
from botocore.session import get_session

from infra.local import supervision
from infra.local.config import LocalConfig
from infra.local.datadir import DataDir
from infra.local.programs import programs
from infra.local.store_address import NO_RUN, use_running_store


def test_the_port_of_this_run_is_found(tmp_path: Path) -> None:
    config = LocalConfig("127.0.0.1", 8080, tmp_path, "http://127.0.0.1:8080", "outbox", None)
    data = DataDir(tmp_path)
    data.run.mkdir()
    written = supervision.configuration(data, programs(config, Path("/opt/dynoxide"), 43210))
    (data.run / "supervisord.conf").write_text(written)
    env = {"SLUICE_DATA_DIR": str(tmp_path)}
    use_running_store(env)
    assert env["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:43210"
    assert env["AWS_ACCESS_KEY_ID"]


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


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"])
def test_settings_of_the_environment_are_kept(tmp_path: Path, name: str) -> None:
    env = {"SLUICE_DATA_DIR": str(tmp_path), name: "theirs"}
    before = dict(env)
    use_running_store(env)
    assert env == before
