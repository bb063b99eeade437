"""The soak of `benchmarks/soak` in a minute, so that the hour is still possible and finds nothing new."""

import os
import subprocess
import sys

import pytest

from benchmarks.soak.world import IMPOSSIBLE
from tests.e2e.system import ROOT
from tests.rounds import FULL

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.mark.skipif(not FULL, reason="minutes long: in `make test-full`")
def test_a_short_soak_keeps_every_rule() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--seconds", "60", "--accounts", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800)
    if done.returncode == IMPOSSIBLE and not os.environ.get("SUITE_REQUIRED"):
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
