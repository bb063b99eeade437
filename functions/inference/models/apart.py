"""Tries a model file in a process of its own, because llama.cpp ends the process on some files (abort)."""

import os
import subprocess
import sys
from pathlib import Path

from functions.inference.errors import ModelFileError

ROOT = Path(__file__).parents[3]
LONGEST_S = 600
ONE_MODEL = {"SLUICE_MODELS": "", "SLUICE_INFERENCE_PINNED": "", "SLUICE_INFERENCE_GPU_LAYERS": "0"}
"""The settings of one model, which is tried without a graphics card: others may fill it."""


def try_apart(path: Path) -> None:
    """Load the file, and ask it once, in another process. Raises ModelFileError with its reason."""
    command = [sys.executable, "-m", "functions.inference.models.trial", str(path.absolute())]
    env = {**os.environ, **ONE_MODEL, "PYTHONPATH": str(ROOT), "GGML_NO_BACKTRACE": "1"}
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        raise ModelFileError(f"The model file {path} cannot be loaded within {LONGEST_S} s.") from None
    if done.returncode < 0:
        raise ModelFileError(
            f"The model file {path} cannot be loaded: llama.cpp ended its process (signal {-done.returncode}). "
            "Is the file damaged?"
        )
    if done.returncode:
        raise ModelFileError(done.stdout.strip() or f"The model file {path} cannot be loaded.")
