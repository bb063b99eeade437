"""What a commit costs the disk: the fsync that the store waits for, measured beside it."""

import os
import tempfile
import time
from pathlib import Path

PAGE = b"x" * 4096


def fsync_ms(folder: Path, times: int = 200) -> float:
    """The median time of a 4 KB append and its fsync, in ms."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(PAGE)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2] * 1000
