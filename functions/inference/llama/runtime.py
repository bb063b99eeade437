"""llama.cpp as a process-wide library: start it, keep its warnings, load a file."""

import ctypes
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp

from functions.inference import processor
from functions.inference.errors import ModelFileError

WARNING_LEVEL = 3
complaints: deque[str] = deque(maxlen=8)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _keep_complaints(level: int, text: bytes, _user: Any) -> None:
    """Keep only warnings and errors, to explain a failed load. llama.cpp logs hundreds of lines."""
    if level >= WARNING_LEVEL:
        complaints.append(text.decode(errors="replace").strip())


@dataclass(frozen=True)
class LoadOptions:
    """How weights are loaded."""

    mmap: bool = True
    gpu_layers: int = 0
    check_tensors: bool = False
    """Look for NaN and infinity in all weights. Used for files without a known SHA-256."""


def start_library() -> None:
    """Call once per process, after any fork."""
    llama_cpp.llama_log_set(_keep_complaints, ctypes.c_void_p(0))
    _choose_variant(Path(llama_cpp.__path__[0]) / "lib")
    llama_cpp.llama_backend_init()


def _choose_variant(libraries: Path) -> None:
    """Where llama.cpp's operations are there for several processors, as in the image. Its own choice goes by flags."""
    if not list(libraries.glob("libggml-cpu-*.so")):
        return
    linked = llama_cpp.llama_cpp._lib  # with ggml, of which libggml.so would be another copy
    if best := processor.variant(libraries):
        linked.ggml_backend_load(os.fsencode(best))
    else:
        linked.ggml_backend_load_all_from_path(os.fsencode(libraries))


def load_model(path: Path, options: LoadOptions) -> Any:
    """Returns llama.cpp's handle. Raises ModelFileError with llama.cpp's reason."""
    complaints.clear()
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = options.gpu_layers
    params.load_mode = llama_cpp.LLAMA_LOAD_MODE_MMAP if options.mmap else llama_cpp.LLAMA_LOAD_MODE_NONE
    params.check_tensors = options.check_tensors
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        reason = next((line for line in complaints if "error" in line.lower()), "; ".join(complaints))
        raise ModelFileError(f"The model file {path} cannot be loaded: {reason or 'llama.cpp gave no reason'}.")
    return model


def free_model(model: Any) -> None:
    """Give the weights' memory back. No context may use them any more."""
    llama_cpp.llama_model_free(model)
