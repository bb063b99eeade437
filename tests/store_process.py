"""The real store for tests: an in-memory Dynoxide on its own port."""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.setup.store import binary
from tests.ports import free_port

ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0


@contextmanager
def running_store(db_path: Path | None = None, port: int | None = None) -> Iterator[tuple[str, int]]:
    """Yields its address and pid. It is in memory unless a path is given."""
    program = binary(ROOT / ".tools")
    assert program.is_file(), f"{program} is missing: `make setup` brings it"
    port = port or free_port()
    command = [str(program), "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--db-path", str(db_path)] if db_path else []
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(port, process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.kill()
        process.wait()


def _wait_until_it_listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, "the store ended at its start"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
            return
        except urllib.error.HTTPError as exc:
            exc.close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the store does not listen")
