"""`make up`: its output, the settings it refuses, the failures it survives, and that it leaves no process behind."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.processes import recorded
from tests.e2e.conftest import NewSystem
from tests.e2e.system import NAMES, ROOT, System, alive

pytestmark = [pytest.mark.slow, pytest.mark.one_machine("how it starts and stops")]


def test_ready_line_says_where_it_is_who_answers_and_what_next(system: System) -> None:
    output = system.output()
    assert f"sluice is ready at {system.base_url}" in output
    assert "demo model: knows capitals and sums; for a real one: `sluice model pull" in output
    assert f"SLUICE_DATA_DIR={system.data_dir} .venv/bin/sluice admin create you@" in output
    assert "make demo" in output and "/_local/outbox" in output and "/docs" in output


def test_healthz_names_the_model_once_everything_answers(system: System) -> None:
    status, health = system.get("/healthz")
    assert status == 200
    assert health["status"] == "ok"
    assert health["model"]


def test_data_directory_and_keys_are_private(system: System) -> None:
    assert stat.S_IMODE(system.data_dir.stat().st_mode) == 0o700
    for name in ("token-signing.pem", "mailed-code.key"):
        assert stat.S_IMODE((system.data_dir / "keys" / name).stat().st_mode) == 0o600


def test_second_run_on_the_same_data_is_refused_and_harms_nothing(system: System, new_system: NewSystem) -> None:
    second = new_system(env={"SLUICE_DATA_DIR": str(system.data_dir)})
    second.launch()
    assert second.wait_ended() != 0
    assert f"another `sluice up` runs on {system.data_dir}" in second.output()
    assert system.healthy()


def test_occupied_port_is_refused_with_another_to_try(new_system: NewSystem) -> None:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = occupied.getsockname()[1]
        system = new_system(port=port)
        system.launch()
        assert system.wait_ended() != 0
    assert f"port {port} is taken by another program. Choose another: PORT={port + 1}" in system.output()


def test_outbox_for_the_whole_network_is_refused(new_system: NewSystem) -> None:
    system = new_system(env={"SLUICE_HOST": "0.0.0.0"})
    system.launch()
    assert system.wait_ended() != 0
    assert "SLUICE_MAIL=outbox would show them everyone's mails" in system.output()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "eighty", "PORT has to be a number"),
        ("PORT", "70000", "PORT has to be a number"),
        ("SLUICE_DEFAULT_RPM", "many", "SLUICE_DEFAULT_RPM"),
        ("SLUICE_DEFAULT_CONCURRENCY", "-1", "SLUICE_DEFAULT_CONCURRENCY"),
        ("SLUICE_MAIL", "pigeon", "SLUICE_MAIL has to be outbox, ses, or a mail server"),
        ("SLUICE_BASE_URL", "example.org", "SLUICE_BASE_URL has to start with http"),
        ("SLUICE_DATA_DIR", "/dev/null/x", "the data directory /dev/null/x cannot be used"),
        ("SLUICE_MODEL", "no-such-model", "There is no model named 'no-such-model'"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_wrong_setting_ends_the_start_with_its_name(new_system: NewSystem, name: str, value: str, message: str) -> None:
    system = new_system(env={name: value})
    system.launch()
    assert system.wait_ended() != 0
    assert message in system.output()
    assert "Traceback" not in system.output()
    assert system.pids() == {}


@pytest.mark.long
def test_corrupted_model_refuses_to_start_and_names_the_file(new_system: NewSystem, tmp_path: Path) -> None:
    model = tmp_path / "demo-model-q8_0.gguf"
    shutil.copy(next((ROOT / "model").glob("*.gguf")), model)
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 0xFF
    model.write_bytes(content)
    system = new_system(env={"SLUICE_MODEL": str(model)})
    system.launch()
    assert system.wait_ended() != 0
    assert "inference cannot start" in system.output()
    assert str(model) in system.output() and "corrupted" in system.output()
    assert system.pids() == {}


def test_the_engine_serves_the_models_that_the_owners_file_names(new_system: NewSystem, tmp_path: Path) -> None:
    file, other = tmp_path / "sluice.toml", tmp_path / "other.gguf"
    shutil.copy(next((ROOT / "model").glob("*.gguf")), other)
    file.write_text(f'[[upstreams]]\nname = "local"\nkind = "engine"\nmodels = ["{other}"]\n')
    system = new_system(env={"SLUICE_CONFIG": str(file)})
    system.start()
    assert "model: other (from sluice.toml)" in system.output()


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system whose processes are killed; each test waits until it has recovered."""
    running = System(tmp_path_factory.mktemp("victim") / "data")
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.mark.parametrize("name", NAMES)
def test_crash_of_any_child_restarts_it_and_leaves_the_rest(victim: System, name: str) -> None:
    before = victim.pids()
    assert set(before) == set(NAMES)
    killed = victim.kill(name)
    victim.wait_restarted(name, killed)
    after = victim.pids()
    assert {other: after[other] for other in NAMES if other != name} == {
        other: pid for other, pid in before.items() if other != name
    }


def test_ctrl_c_leaves_no_process_and_the_next_start_finds_everything(new_system: NewSystem) -> None:
    system = new_system()
    system.start()
    pids = system.pids()
    signing_key = (system.data_dir / "keys" / "token-signing.pem").read_bytes()
    system.ctrl_c()
    assert [name for name, pid in pids.items() if alive(pid)] == []
    assert "sluice: stopped" in system.output()
    stopped = [
        line.split()[4].rstrip(":")
        for line in (system.data_dir / "logs" / "supervisor.log").read_text().splitlines()
        if re.search(r"INFO stopped: ", line)
    ]
    assert stopped == list(reversed(NAMES))
    system.start()
    assert system.healthy()
    assert (system.data_dir / "keys" / "token-signing.pem").read_bytes() == signing_key


@pytest.mark.long
def test_the_next_start_clears_what_a_killed_launcher_left(new_system: NewSystem) -> None:
    system = new_system()
    system.start()
    before = system.pids()
    system.kill_launcher()
    system.start()
    assert system.healthy()
    assert [name for name, pid in before.items() if alive(pid)] == []


def test_killed_supervisor_is_replaced(new_system: NewSystem) -> None:
    system = new_system()
    system.start()
    before = system.pids()
    supervisor = recorded(system.data_dir / "run", "supervisor")
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    system.wait_until(lambda: set(system.pids()) == set(NAMES) and _none_of(before, system) and system.healthy())
    assert [name for name, pid in before.items() if alive(pid)] == []


def _none_of(before: dict[str, int], system: System) -> bool:
    return set(system.pids().values()).isdisjoint(before.values())


def test_two_starts_at_once_on_one_folder_end_with_one(new_system: NewSystem, tmp_path: Path) -> None:
    one = new_system()
    other = new_system(env={"SLUICE_DATA_DIR": str(one.data_dir)}, name="other")
    one.launch()
    other.launch()
    first, second = (one, other) if _becomes_ready(one) else (other, one)
    assert _becomes_ready(first)
    assert second.wait_ended() != 0
    assert "another `sluice up` runs on" in second.output()


def _becomes_ready(system: System) -> bool:
    assert system.process is not None
    process = system.process
    system.wait_until(lambda: "sluice is ready" in system.output() or process.poll() is not None)
    return "sluice is ready" in system.output()


def test_up_answers_help() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from infra.cli import main; main()", "up", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "Ctrl-C" in done.stdout
