"""Bounds of CPU time that hold on a slow or busy machine, too: they grow with what a piece of work takes there."""

import json
import time
from statistics import median

WORK = {str(number): ["a text of some length", number, None, {"x": number / 7}] for number in range(2_000)}
USUAL_CPU_S = 0.005
"""The least that the work took on the idle machine where the bounds were chosen (2 cores of a Xeon, 2026)."""


def within(spent_s: float, most_s: float) -> bool:
    """Whether CPU time of this process or another is at most `most_s` as of the usual machine."""
    return spent_s <= most_s or spent_s <= most_s * slowness()


def slowness() -> float:
    """How many times as long as usual a piece of work takes now, at least 1."""
    return max(1.0, median(_work_s() for _ in range(5)) / USUAL_CPU_S)


def _work_s() -> float:
    began_s = time.thread_time()
    assert json.loads(json.dumps(WORK)) == WORK
    return time.thread_time() - began_s
