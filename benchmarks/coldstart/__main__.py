"""`python -m benchmarks.coldstart`: measures each function's first event with only the packages of `sam build`.

CPU and wall time, the median of new processes. Lambda gives CPU in proportion to memory (1,769 MB is one vCPU), so wall
time there is about CPU × 1,769 / MemorySize for smaller functions.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.coldstart.events import First, first_events
from benchmarks.coldstart.gateway import first_answer
from benchmarks.coldstart.sizes import sizes
from tests.aws.runtime.town import Town, town

PROBE = Path(__file__).with_name("probe.py")
TARGET_MS, GATEWAY_TARGET_MS = 200, 300
ACCOUNT_SIDE = ("Registration", "Verification", "Accounts", "Usage", "Tokens", "Chats", "Admin", "Web")
HEAD = ("function", "first event", "import CPU", "event CPU", "together", "(range)", "wall", "on Lambda", "to reach")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coldstart", description=__doc__)
    parser.add_argument("--built", type=Path, help="a folder that `sam build` wrote; default: build it")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", default="", help="only functions whose name contains this")
    options = parser.parse_args(arguments)
    built = options.built or _built()
    rows = []
    with town() as made:
        for first in first_events(made):
            if options.only in first.function:
                rows.append(_row(made, first, built, options.runs))
                _print(rows[-1])
        if options.only in "GatewayFunction":
            _print(_gateway_row(made, built, options.runs))
    for line in sizes(built):
        print(line)


def _built() -> Path:
    from tests.aws.built import built

    return built()


def _print(cells: Sequence[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def _row(town: Town, first: First, built: Path, runs: int) -> tuple[str, ...]:
    one = town.declared(first.function)
    folders = [str(built / first.function), str(built / "CoreLayer" / "python")]
    seen: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        event_file = Path(scratch) / "event.json"
        for _ in range(runs):
            event_file.write_text(json.dumps(first.event()))
            command = [sys._base_executable, "-I", "-S", "-B", str(PROBE), str(event_file), one.handler, *folders]  # type: ignore[attr-defined]
            environment = town.environment(first.function)
            told = subprocess.run(command, env=environment, cwd=scratch, capture_output=True, timeout=60)
            if told.returncode:
                raise RuntimeError(told.stderr.decode())
            seen.append(json.loads(told.stdout.splitlines()[-1]))
            first.check(seen[-1]["answer"])
    together = [one_run["start_cpu"] + one_run["import_cpu"] + one_run["event_cpu"] for one_run in seen]
    wall = statistics.median(one_run["import_wall"] + one_run["event_wall"] for one_run in seen)
    is_account_side = first.function.removesuffix("Function") in ACCOUNT_SIDE
    return _cells(
        first.function,
        first.what,
        [one_run["start_cpu"] + one_run["import_cpu"] for one_run in seen],
        [one_run["event_cpu"] for one_run in seen],
        together,
        wall,
        one.memory_mb,
        TARGET_MS if is_account_side else None,
    )


def _gateway_row(town: Town, built: Path, runs: int) -> tuple[str, ...]:
    bearer = town.newcomer().bearer["Authorization"]
    environment = town.environment("GatewayFunction")
    environment["PATH"] = os.pathsep.join([str(Path(sys._base_executable).parent), environment["PATH"]])  # type: ignore[attr-defined]
    function, layer = built / "GatewayFunction", built / "CoreLayer" / "python"
    seen = [first_answer(function, layer, environment, bearer) for _ in range(runs)]
    cpu = [one["cpu"] for one in seen]
    wall = statistics.median(one["import_wall"] + one["event_wall"] for one in seen)
    memory = town.declared("GatewayFunction").memory_mb
    return _cells("GatewayFunction", "POST /v1/chat/completions", [], [], cpu, wall, memory, GATEWAY_TARGET_MS)


def _cells(
    function: str,
    what: str,
    imports: list[float],
    events: list[float],
    together: list[float],
    wall: float,
    memory_mb: int,
    target_ms: int | None,
) -> tuple[str, ...]:
    cpu = statistics.median(together)
    verdict = "" if target_ms is None else f"{target_ms}: {'yes' if cpu * 1000 <= target_ms else 'no'}"
    return (
        function.removesuffix("Function"),
        what,
        _ms(statistics.median(imports)) if imports else "",
        _ms(statistics.median(events)) if events else "",
        _ms(cpu),
        f"{_ms(min(together))} to {_ms(max(together))}",
        _ms(wall),
        _ms(cpu * max(1.0, 1769 / memory_mb)),
        verdict,
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


if __name__ == "__main__":
    _print(HEAD)
    _print(["---"] * len(HEAD))
    main()
