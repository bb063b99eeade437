"""Prometheus's own checker of rules, where it is installed or where `.ci/run` has put it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from infra.place import ROOT


def promtool(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    own = ROOT / ".tools" / "promtool"
    command = str(own) if own.is_file() else shutil.which("promtool")
    if command is None:
        pytest.skip("there is no promtool (Debian's package prometheus has it)")
    return subprocess.run([command, *words], capture_output=True, text=True, timeout=120)
