"""`python -m benchmarks.gateway.instructions`: the processor instructions that the gateway takes for a request.

Valgrind counts them, so a busy machine changes nothing: two runs differ by less than 0.5 %, and a change of 1 % shows.
Not counted: gunicorn, and the kernel. Prints each count and its ratio to the stored one, where that is of the same
version of Python and kind of machine; exit status 1 if a request takes 2 % more. Linux, with Valgrind (Debian:
`apt install valgrind`).
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gateway import parts
from benchmarks.gateway.report import table
from benchmarks.gateway.requests import Kind
from benchmarks.gateway.world import Cores, world
from infra.local.config import ROOT
from infra.setup.store import binary

MODULE = "benchmarks.gateway.instructions"
STORED = Path(__file__).with_name("instructions.json")
TURN = {"role": "user", "content": "What does an API gateway do? " * 10}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
            "required": ["place"],
        },
    },
}
KINDS = (
    Kind("plain", stream=False, tokens=8),
    Kind("stream of 50", stream=True, tokens=50),
    Kind("tools", stream=False, tokens=8, more={"tools": [TOOL] * 8}),
    Kind("history of 30 kB", stream=False, tokens=8, more={"messages": [TURN] * 95}),
)
WARM, TIMES = 20, 20
MOST = 1.02  # times the stored count


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="store the counts")
    parser.add_argument("--terms", action="store_true", help="with settings in force, and an API token of all limits")
    wanted = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing: install it (Debian: `apt install valgrind`)")
    cores = Cores(*sorted(os.sched_getaffinity(0))[-2:])
    with (
        world(binary(ROOT / ".tools"), None, cores, 1, wanted.terms) as running,
        tempfile.TemporaryDirectory() as folder,
    ):
        counts = _counted(running.tokens[0], Path(folder))
    here = {"python": platform.python_version(), "machine": platform.machine()}
    last = json.loads(STORED.read_text()) if STORED.is_file() else here
    stored = last.get("instructions", {}) if last.items() >= here.items() else {}  # others' counts say nothing
    rows = [[name, f"{n:,}", f"{n / stored[name]:.3f}" if name in stored else ""] for name, n in counts.items()]
    print(table(["request", "instructions", "ratio to the stored count"], rows))
    if wanted.write:
        STORED.write_text(json.dumps({**here, "instructions": counts}, indent=2) + "\n")
    elif not wanted.terms and (slower := slower_than(stored, counts)):
        sys.exit(f"slower than stored: {', '.join(slower)}. If that is meant to be so, `--write` stores it.")


def slower_than(stored: dict[str, int], counts: dict[str, int]) -> list[str]:
    """The kinds of requests that take more than `MOST` of what is stored."""
    return [name for name, count in counts.items() if count > MOST * stored.get(name, count)]


def _counted(token: str, folder: Path) -> dict[str, int]:
    """By the kind's name. The app runs under Valgrind, which counts only while this process says so."""
    command = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts"]
    command += [sys.executable, "-c", f"from {MODULE} import serve; serve()"]
    path = os.pathsep.join(filter(None, sys.path))  # the code of this process, whatever is installed
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "BENCHMARK_TOKEN": token}
    counts = {}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdin is not None and app.stdout is not None

        def told(*order: str) -> None:
            subprocess.run(["vgdb", f"--pid={app.pid}", *order], check=True, capture_output=True)

        for number, kind in enumerate(KINDS, 1):
            if app.stdout.readline() != "ready\n":
                raise RuntimeError("the app under Valgrind ended")
            told("instrumentation", "on")
            print(file=app.stdin, flush=True)
            app.stdout.readline()
            told("dump")
            told("instrumentation", "off")
            print(file=app.stdin, flush=True)
            found = re.search(r"^totals: (\d+)", (folder / f"counts.{number}").read_text(), re.M)
            assert found is not None
            counts[kind.name] = int(found[1]) // TIMES
    return counts


class OneByOne:
    """Gives one chunk at each read, as from a model that writes them slowly, however many have arrived."""

    def __init__(self, sock: Any, received: bytes) -> None:
        self._sock, self._kept = sock, received

    def recv(self, size: int) -> bytes:
        while (end := self._kept.find(b"\n\n\r\n")) < 0 and not self._kept.endswith(b"0\r\n\r\n"):
            if not (received := self._sock.recv(size)):
                break
            self._kept += received
        cut = end + 4 if end >= 0 else len(self._kept)
        chunk, self._kept = self._kept[:cut], self._kept[cut:]
        return chunk


def _read_one_by_one() -> None:
    from sluice.adapters.gateway import upstream

    begin = upstream.HttpStream.__init__

    def beginning(self: Any, pool: Any, connection: Any, response: Any, *rest: Any) -> None:
        response._sock, response._buffer = OneByOne(response._sock, response._buffer), b""
        begin(self, pool, connection, response, *rest)

    upstream.HttpStream.__init__ = beginning  # type: ignore[method-assign]


def serve() -> None:
    """Under Valgrind: warm requests, then those that are counted, between two lines of the other process."""
    from infra.local.app import collect_seldom, create_app

    token = os.environ["BENCHMARK_TOKEN"]
    _read_one_by_one()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        app = create_app()
        collect_seldom()
        for kind in KINDS:
            for _ in range(WARM):
                parts.ask(app, kind, token)
            print("ready", flush=True)
            sys.stdin.readline()
            for _ in range(TIMES):
                parts.ask(app, kind, token)
            print("done", flush=True)
            sys.stdin.readline()


if __name__ == "__main__":
    main()
