"""What a start says about the models that it serves, beside their names."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from functions.inference.errors import ModelFileError
from functions.inference.models.catalogue import resolve
from functions.inference.models.gguf_header import read_header

OWN_ENGINE = "unix:"


def model_notes(env: Mapping[str, str], models_dir: Path) -> Iterator[str]:
    """A line for each model of this machine that does not chat. Our own engine is at a Unix socket."""
    if not env.get("SLUICE_INFERENCE_URL", OWN_ENGINE).startswith(OWN_ENGINE):
        return
    for given in (env.get("SLUICE_MODELS") or env.get("SLUICE_MODEL") or "").split(","):
        try:
            entry, path = resolve(given.strip(), models_dir)
            header = read_header(path)
        except ModelFileError:
            continue  # whoever loads it says more
        if header.use == "completions":
            yield f"{entry.name} has no chat template: it completes text (/v1/completions), and does not chat"
