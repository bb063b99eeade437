"""The whole suite many times: `python -m tests.repeat 20 [pytest's arguments]`, or `make test-repeat N=20`.

Every second run has four busy processes beside it. It stops at the first run that fails and says which it was.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

BUSY = 4


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many processes that do nothing but count."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def main(times: int, arguments: list[str]) -> int:
    for number in range(1, times + 1):
        busy, began = BUSY * (number % 2 == 0), time.monotonic()
        print(f"repeat: run {number} of {times}, beside {busy} busy processes", flush=True)
        with load(busy):
            status = subprocess.run(
                [sys.executable, "-m", "pytest", *arguments], env=os.environ, check=False
            ).returncode
        seconds = time.monotonic() - began
        print(f"repeat: run {number} {'FAILED' if status else 'passed'} in {seconds:.0f} s", flush=True)
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
