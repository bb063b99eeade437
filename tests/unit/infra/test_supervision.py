"""The configuration written for supervisord is read by supervisord itself."""

import shlex
import tempfile
from pathlib import Path

import pytest

from infra.local import config
from infra.local.datadir import DataDir
from infra.local.errors import LaunchError
from infra.local.holder import Holder
from infra.local.programs import programs, stopping_order, store_command
from infra.local.supervision import configuration


def test_supervisord_reads_paths_with_spaces_and_quotes(tmp_path: Path) -> None:
    from supervisor.options import ServerOptions

    folder = tmp_path / "a b'c\"d"
    data = DataDir(folder)
    data.take()
    asked = config.read({"SLUICE_DATA_DIR": str(folder)})
    file = data.run / "supervisord.conf"
    file.write_text(
        configuration(
            data,
            programs(store_command(Path("/bin/dynoxide"), asked.data_dir / "store.db", 8000, data.socket("store"))),
        )
    )
    options = ServerOptions()
    options.realize(["--configuration", str(file)])
    groups = {group.name: group.process_configs[0] for group in options.process_group_configs}
    assert sorted(groups) == ["app", "inference", "ingestion", "relay", "schedule", "store", "worker"]
    assert groups["store"].stdout_logfile == str(folder / "logs" / "store.log")
    assert shlex.split(groups["store"].command)[-1] == str(folder / "store.db")


def test_app_stops_first_and_the_store_last() -> None:
    order = stopping_order(programs(("/bin/dynoxide",)))
    assert order == ["app", "worker", "ingestion", "relay", "schedule", "inference", "store"]


def test_users_own_store_is_not_started() -> None:
    names = [program.name for program in programs(None)]
    assert "store" not in names


def test_second_run_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path / "d"), DataDir(tmp_path / "d")
    first.take()
    first.note(Holder(7, "http://127.0.0.1:8080", "0.2.0", 1_796_092_069_283_300_061).note())
    with pytest.raises(LaunchError, match=r"another `sluice up` runs on .* \(process 7, http://127.0.0.1:8080\)"):
        second.take()


def test_the_socket_path_is_short_enough_for_the_kernel_and_nothing_of_it_stays(tmp_path: Path) -> None:
    data = DataDir(tmp_path / ("x" * 60) / ("y" * 60))
    socket = data.socket("store")
    assert len(str(socket)) <= 90 and socket == data.socket("store") != data.socket("inference")
    assert not socket.parent.exists()  # a command that only asks leaves nothing behind
    data.take()
    socket.touch()
    data.leave()
    assert not socket.parent.exists() and data.run.is_dir()


def test_a_folder_of_sockets_that_is_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = DataDir(tmp_path / ("x" * 60) / ("y" * 60))
    data.socket("store").parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LaunchError, match="belongs to another user"):
        data.take()
