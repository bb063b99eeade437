"""`python -m benchmarks.coldstart`: measures each function's first event with only the packages of `sam build`.

CPU time, the median of new processes: of INIT (the start of the interpreter and the imports, for which Lambda gives a
whole processor) and of the first event (in proportion to memory: 1,769 MB is one vCPU). The first rows say what Python,
Flask and pydantic take without a line of ours, then with what packaging recorded for them, and what one hash takes.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.coldstart.events import First, first_events
from benchmarks.coldstart.gateway import first_answer
from benchmarks.coldstart.sizes import sizes
from tests.aws.runtime import tools
from tests.aws.runtime.town import Town, town

PROBE = Path(__file__).with_name("probe.py")
TARGET_MS, EVENT_TARGET_MS = 250, 40
ACCOUNT_SIDE = ("Registration", "Verification", "Accounts", "Usage", "Tokens", "Chats", "Admin", "Web")
HEAD = ("function", "first event", "INIT", "event", "together", "(range)", "on Lambda", "within the goals")
HASH = (
    "import argon2; hasher = argon2.PasswordHasher(2, 19 * 1024, 1)",
    "hasher.hash('correct horse battery staple')",
)
ALONE = {  # what INIT and the event do
    "Python": ("", ""),
    "Python, flask": ("import flask", ""),
    "Python, pydantic": ("import pydantic", ""),
    "Python, flask, pydantic": ("import flask, pydantic", ""),
    "the same, recorded": ("from sluice import compiled; compiled.use(); import flask, pydantic", ""),
    "one password's hash": HASH,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coldstart", description=__doc__)
    parser.add_argument("--built", type=Path, help="a folder that `sam build` wrote; default: build it")
    parser.add_argument("--python", default=tools.PYTHON, help="the functions' interpreter; default: the one found")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", default="", help="only functions whose name contains this")
    options = parser.parse_args(arguments)
    options.built = options.built or _built()
    for name in ALONE:
        _print(_row_alone(name, options))
    with town() as made:
        for first in first_events(made):
            if options.only in first.function:
                _print(_row(made, first, options))
        if options.only in "GatewayFunction":
            _print(_gateway_row(made, options))
    for line in sizes(options.built):
        print(line)


def _built() -> Path:
    from tests.aws.built import built

    return built()


def _print(cells: Sequence[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def _row_alone(name: str, options: Namespace) -> tuple[str, ...]:
    layer = str(options.built / "CoreLayer" / "python")
    init, event = ALONE[name]
    tell = "print(time.process_time())"
    program = "\n".join([f"import sys, time; sys.path[:0] = [{layer!r}]", init, tell, event, tell])
    command = [options.python, "-I", "-S", "-B", "-c", program]
    told = [subprocess.run(command, capture_output=True, check=True).stdout.split() for _ in range(options.runs)]
    return _cells(name, "none", [float(one[0]) for one in told], [float(one[1]) - float(one[0]) for one in told])


def _row(town: Town, first: First, options: Namespace) -> tuple[str, ...]:
    one = town.declared(first.function)
    folders = [str(options.built / first.function), str(options.built / "CoreLayer" / "python")]
    seen: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        event_file = Path(scratch) / "event.json"
        for _ in range(options.runs):
            event_file.write_text(json.dumps(first.event()))
            command = [options.python, "-I", "-S", "-B", str(PROBE), str(event_file), one.handler, *folders]
            environment = town.environment(first.function)
            told = subprocess.run(command, env=environment, cwd=scratch, capture_output=True, timeout=60)
            if told.returncode:
                raise RuntimeError(told.stderr.decode())
            seen.append(json.loads(told.stdout.splitlines()[-1]))
            first.check(seen[-1]["answer"])
    init, event = [one_run["init"] for one_run in seen], [one_run["event"] for one_run in seen]
    return _cells(first.function, first.what, init, event, one.memory_mb)


def _gateway_row(town: Town, options: Namespace) -> tuple[str, ...]:
    """Its calls to the model are signed, as those to the image function's URL are."""
    bearer = town.newcomer().bearer["Authorization"]
    environment = town.environment("GatewayFunction", SLUICE_INFERENCE_AUTH="iam")
    environment["PATH"] = os.pathsep.join([str(Path(options.python).parent), environment["PATH"]])
    function, layer = options.built / "GatewayFunction", options.built / "CoreLayer" / "python"
    seen = [first_answer(function, layer, environment, bearer) for _ in range(options.runs)]
    init, event = [one["init"] for one in seen], [one["event"] for one in seen]
    return _cells(
        "GatewayFunction", "POST /v1/chat/completions", init, event, town.declared("GatewayFunction").memory_mb
    )


def _cells(
    function: str, what: str, init: Sequence[float], event: Sequence[float], memory_mb: int = 0
) -> tuple[str, ...]:
    """Seconds of CPU in, milliseconds out."""
    name = function.removesuffix("Function")
    init_ms, event_ms = (statistics.median(times) * 1000 for times in (init, event))
    both = sorted((one + other) * 1000 for one, other in zip(init, event, strict=True))
    together_ms = statistics.median(both)
    on_lambda = f"{init_ms + event_ms * max(1.0, 1769 / memory_mb):.0f}" if memory_mb else ""
    verdict = ("no", "yes")[together_ms <= TARGET_MS and event_ms <= EVENT_TARGET_MS] if name in ACCOUNT_SIDE else ""
    times = (f"{init_ms:.0f}", f"{event_ms:.0f}", f"{together_ms:.0f}", f"{both[0]:.0f} to {both[-1]:.0f}")
    return name, what, *times, on_lambda, verdict


if __name__ == "__main__":
    _print(HEAD)
    _print(["---"] * len(HEAD))
    main()
