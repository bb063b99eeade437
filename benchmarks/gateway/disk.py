"""The time of a disk commit: the fsync that the store waits for."""

import os
import tempfile
import time
from pathlib import Path

PAGE = b"x" * 4096


def fsync_ms(folder: Path, times: int = 200) -> float:
    """The median milliseconds of a 4 KB append with fsync."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(PAGE)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2] * 1000
