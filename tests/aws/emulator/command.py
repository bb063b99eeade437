"""The `sluice` command as the deployment's owner runs it, with AWS keys in the environment."""

import os
import subprocess
import sys
from pathlib import Path

from tests.aws.emulator.server import Emulator

SLUICE = Path(sys.executable).with_name("sluice")


def sluice(emulator: Emulator, *words: str, typed: str = "", **variables: str) -> str:
    """Runs the command and returns its output. Fails the test if the command fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SLUICE_"))}
    done = subprocess.run(
        [SLUICE, *words],
        input=typed,
        env=clean | emulator.keys | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
