"""Tries a model file in a process of its own, because llama.cpp ends the process on some files (abort).

python -m functions.inference.models.trial FILE
"""

import os
import subprocess
import sys
from pathlib import Path

from functions.inference.errors import ModelFileError

ROOT = Path(__file__).parents[3]
LONGEST_S = 600
NOT_ALL = {"SLUICE_MODELS": "", "SLUICE_INFERENCE_PINNED": "", "SLUICE_INFERENCE_GPU_LAYERS": "0"}
"""The settings of one model, which is tried without a graphics card: others may fill it."""
TRIAL_TOKENS = 64
"""Of the context, so that a trial takes little memory beside the weights, which are the file's pages in memory."""


def try_apart(path: Path) -> None:
    """Load the file, and ask it once, in another process. Raises ModelFileError with its reason."""
    command = [sys.executable, "-m", "functions.inference.models.trial", str(path.absolute())]
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SLUICE_MODELS": "",
        "SLUICE_INFERENCE_PINNED": "",
        "GGML_NO_BACKTRACE": "1",
    }
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


def main() -> None:
    from functions.inference.llama.runtime import start_library
    from functions.inference.models.loading import EmbeddingModel, Loader
    from functions.inference.models.served import looked_at
    from functions.inference.settings import InferenceSettings

    (path,) = sys.argv[1:]
    settings = InferenceSettings(model=path, slots=1, context_tokens=TRIAL_TOKENS, batch_tokens=TRIAL_TOKENS)
    start_library()
    try:
        served = looked_at(path, settings)
        if served.fault:
            raise ModelFileError(served.fault)
        model = Loader(settings).load(served)
        if isinstance(model, EmbeddingModel):
            model.embedder.embed([[0]], LONGEST_S)
    except Exception as error:
        print(error, flush=True)
        os._exit(1)
    os._exit(0)  # without the destructors, which the decode thread would meet


if __name__ == "__main__":
    main()
