import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import processes

SLEEP = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", request.param], stdout=subprocess.PIPE, start_new_session=True)
    if request.param == DEAF:
        assert process.stdout and process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def write(folder: Path, pid: int, started: str | None) -> None:
    (folder / "app.pid").write_text(f"{pid} {started}\n")


@pytest.mark.parametrize("child", [SLEEP], indirect=True)
def test_a_reused_pid_is_not_the_recorded_process(child: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    write(tmp_path, child.pid, processes.start_time(child.pid))
    assert processes.recorded(tmp_path, "app") == child.pid
    write(tmp_path, child.pid, "1")  # another program has the pid now
    assert processes.recorded(tmp_path, "app") is None
    assert processes.stop_recorded(tmp_path, ["app"], 1.0) == []
    assert child.poll() is None


@pytest.mark.parametrize("content", ["", "abc", "12 ", "-1 5", "99999999 7"])
def test_a_damaged_record_names_no_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "app.pid").write_text(content)
    assert processes.recorded(tmp_path, "app") is None


@pytest.mark.parametrize("child", [SLEEP, DEAF], indirect=True)
def test_an_orphaned_process_is_stopped_even_if_it_does_not_listen(
    child: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    write(tmp_path, child.pid, processes.start_time(child.pid))
    assert processes.stop_recorded(tmp_path, ["app"], 0.3) == ["app"]
    assert processes.start_time(child.pid) is None


def test_a_recorded_process_is_found_again(tmp_path: Path) -> None:
    processes.record(tmp_path, "app")
    assert processes.recorded(tmp_path, "app") == os.getpid()
