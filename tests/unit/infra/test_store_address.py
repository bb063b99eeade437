"""A command beside a running system finds its store, and never goes elsewhere than it was told."""

from pathlib import Path

import pytest

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
    assert env["AWS_REGION"]
    assert env["AWS_ACCESS_KEY_ID"]


def test_without_a_run_nothing_is_reached(tmp_path: Path) -> None:
    env = {"SLUICE_DATA_DIR": str(tmp_path / "nowhere")}
    use_running_store(env)
    assert env["AWS_ENDPOINT_URL_DYNAMODB"] == NO_RUN


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"])
def test_what_the_environment_says_stays(tmp_path: Path, name: str) -> None:
    env = {"SLUICE_DATA_DIR": str(tmp_path), name: "theirs"}
    before = dict(env)
    use_running_store(env)
    assert env == before
