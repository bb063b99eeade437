"""A minute of mixed load without growing memory (in `make test` 24 seconds).

For longer: `SLUICE_SOAK_SECONDS=1200 pytest -s …/test_soak.py`.
"""

import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.inference.server import Server, running
from tests.integration.inference.test_concurrency import CAPITALS, hang_up
from tests.rounds import rounds

SECONDS = float(os.environ.get("SLUICE_SOAK_SECONDS", rounds(60, 12)))
CALLERS = int(os.environ.get("SLUICE_SOAK_CALLERS", "6"))
GROWTH_MIB = 16
PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}, "required": ["name"]}
ANSWERS = dict(zip(CAPITALS, ["Paris", "Tokyo", "Rome", "Madrid", "Berlin", "Cairo"], strict=True))
FORMAT = {"response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}}


def resident_mib(server: Server) -> float:
    """Of the worker, gunicorn's only child."""
    command = ["ps", "-o", "rss=", "--ppid", str(server.process.pid)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]) / 1024


def one_request(server: Server, dice: random.Random) -> None:
    kind = dice.randrange(6)
    if kind == 0:
        hang_up(server, "Explain what an API is.", dice.random() / 50, stream=bool(dice.getrandbits(1)))
    elif kind == 1:
        server.says("Who are you?", max_tokens=40, **FORMAT)
    elif kind == 2:
        server.post("/v1/embeddings", {"model": "all-minilm-l6-v2", "input": ["red"] * dice.randrange(1, 40)})
    elif kind == 3:
        body: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": f"Hi {dice.random()}"}]}
        server.chunks("/v1/chat/completions", body | {"max_tokens": 60, "temperature": 1.0, "logprobs": True})
    elif kind == 4:
        assert server.post("/v1/chat/completions", {"model": "demo", "messages": "wrong"}).status_code == 400
    else:
        country = dice.choice(CAPITALS)
        assert ANSWERS[country] in server.says(f"What is the capital of {country}?")


def load(server: Server, until: float, seed: int) -> int:
    dice, done = random.Random(seed), 0
    while time.monotonic() < until:
        one_request(server, dice)
        done += 1
    return done


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(int(SECONDS) + 240)
def test_memory_does_not_grow_under_mixed_load(tmp_path: Path) -> None:
    with running(tmp_path) as server, ThreadPoolExecutor(CALLERS) as pool:
        began, marks, done = time.monotonic(), [], 0
        while time.monotonic() < began + SECONDS:
            until = time.monotonic() + SECONDS / 6
            done += sum(pool.map(lambda seed: load(server, until, seed), range(done, done + CALLERS)))  # noqa: B023
            marks.append(resident_mib(server))
        server.wait_idle()
        print(f"\n{done} requests in {SECONDS:.0f} s; resident MiB: {', '.join(f'{mark:.1f}' for mark in marks)}")
        assert marks[-1] - marks[1] < GROWTH_MIB
        assert server.says("What is the capital of France?") == "The capital of France is Paris."
