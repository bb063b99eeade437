"""`sluice status`, `sluice top` and `/metrics` on a running system; and what a service manager is told."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.figures import COUNTED, FIGURES
from infra.local.programs import EVERY
from tests.e2e import people
from tests.e2e.conftest import NewSystem
from tests.e2e.system import DIRECT, ROOT, System

pytestmark = [pytest.mark.slow, pytest.mark.one_machine("how it is watched")]


def sluice(system: System, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from infra.cli import main; main()", *words]
    return subprocess.run(command, env=system.environment, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_everything_that_is_declared_is_exported_once_there_is_a_backup(system: System, tmp_path: Path) -> None:
    assert sluice(system, "backup", "--to", str(tmp_path), "--no-encryption").returncode == 0
    with DIRECT.open(f"{system.base_url}/metrics", timeout=people.TIMEOUT_SECONDS) as answer:
        text = answer.read().decode()
    names = {line.split(" ")[0].split("{")[0] for line in text.splitlines() if not line.startswith("#")}
    assert {f"sluice_{name}" + ("_total" if name in COUNTED else "") for name in FIGURES} <= names
    for name in EVERY:
        assert f'sluice_process_resident_bytes{{process="{name}"}}' in text


def test_status_is_well_for_people_and_scripts(system: System) -> None:
    done = sluice(system, "status")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{system.base_url}, version " in done.stdout and "demo (loaded)" in done.stdout and "BAD" not in done.stdout
    told = json.loads(sluice(system, "status", "--json").stdout)
    assert told["is_up"] and told["is_well"] and told["models"]["is"]["demo"] == "loaded"
    assert told["requests"]["is"]["slots"] >= 8 and told["mail"]["is"] == {"by": "outbox", "late": 0}


def test_top_shows_what_an_interval_brought(system: System) -> None:
    person = people.newcomer(system.base_url)
    command = [sys.executable, "-c", "from infra.cli import main; main()", "top", "--once", "--every", "6"]
    top = subprocess.Popen(command, env=system.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while top.poll() is None:  # until it has looked twice
        person.openai.completions.create(model="demo", prompt="What is 9 + 8?", max_tokens=8)
    assert top.stdout is not None
    shown = dict(line.split(maxsplit=1) for line in top.stdout.read().splitlines() if " " in line.strip())
    top.stdout.close()
    assert top.returncode == 0
    for name in ("requests", "answers", "tokens", "engine"):
        assert float(shown[name].split()[0].replace(",", "")) > 0, shown
    assert "demo (loaded)" in shown["models"] and "of " in shown["slots"]


def test_a_store_that_is_away_is_said_and_a_stopped_system_is_not_up(new_system: NewSystem) -> None:
    system = new_system().start()
    system.stop_store()
    done = sluice(system, "status")
    assert done.returncode == 1 and "BAD  store" in done.stdout and "every call gets 503" in done.stdout
    system.discard()
    for words in (("status",), ("top", "--once")):
        done = sluice(system, *words)
        assert done.returncode == 3 and f"nothing runs on {system.data_dir}" in done.stderr
    told = sluice(system, "status", "--json")
    assert told.returncode == 3 and json.loads(told.stdout)["is_up"] is False


def test_a_service_manager_is_told_of_readiness_when_it_answers_and_of_the_stop(
    new_system: NewSystem, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(120)
        system = new_system({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        system.command = [sys.executable, "-c", "from infra.cli import main; main()", "up"]
        system.launch()
        assert manager.recv(1000).decode() == f"READY=1\nSTATUS=ready at {system.base_url}"
        assert system.healthy()
        for pid in system.pids().values():
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert system.ctrl_c() == 0
        assert manager.recv(1000) == b"STOPPING=1"
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(1000)
