"""`sluice model try`: what a model file is, and one answer of it with its speed and memory."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functions.inference.errors import ModelFileError
from functions.inference.models.catalogue import CatalogueModel, catalogue
from functions.inference.models.gguf_header import GgufHeader, read_header
from infra.place import ROOT

PROMPTS = {
    "chat": "What is the capital of France?",
    "completions": "Monday, Tuesday, Wednesday,",
    "embeddings": "How do I get my money back?",
}
LAST_WORDS = 3
TRIAL = (sys.executable, "-m", "infra.models.trial")

Show = Callable[[str], None]
"""Gets pieces of the answer as they come."""


class TryError(Exception):
    """Why a model gave no answer, as a sentence for the terminal."""


@dataclass(frozen=True)
class Subject:
    """What is tried."""

    entry: CatalogueModel
    path: Path
    header: GgufHeader
    use: str
    prompt: str


def subject(entry: CatalogueModel, path: Path, prompt: str | None) -> Subject:
    """Raises TryError: the file is not a model, or one that cannot be tried."""
    try:
        header = read_header(path)
    except ModelFileError as exc:
        raise TryError(str(exc)) from exc
    use = "embeddings" if entry.capabilities == ("embeddings",) else header.use
    if use not in PROMPTS:
        raise TryError(f"{path} is a reranker, which compares a question with texts; it cannot be served yet.")
    return Subject(entry, path, header, use, prompt or PROMPTS[use])


def attempt(what: Subject, show: Show, trial: Sequence[str] = TRIAL) -> dict[str, float]:
    """Load the model in a child process, ask it, and return the figures. Raises TryError, also where it crashes."""
    known = what.entry.name in catalogue()
    question = {
        "model": what.entry.name if known else str(what.path),
        "use": what.use,
        "prompt": what.prompt,
    }
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        with subprocess.Popen(
            [*trial, json.dumps(question)], stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT
        ) as child:
            try:
                figures = _listen(child, show)
            except BaseException:
                child.kill()
                raise
        if child.returncode:
            errors.seek(0)
            raise TryError(_ending(child.returncode, figures, errors.read()))
    return figures


def _listen(child: "subprocess.Popen[str]", show: Show) -> dict[str, float]:
    figures: dict[str, float] = {}
    for line in child.stdout or ():
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise TryError(said["error"])
        figures |= said.get("figures", {})
        if "loaded_s" in said:
            figures["loaded_s"] = said["loaded_s"]
        for cosine, sentence in said.get("nearest", ()):
            show(f"{cosine:6.3f}  {sentence}\n")
        show(said.get("text", ""))
    return figures


def _ending(code: int, figures: dict[str, float], errors: str) -> str:
    when = "while it answered" if "loaded_s" in figures else "while it loaded the file"
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    last = " ".join(line.strip() for line in errors.strip().splitlines()[-LAST_WORDS:])
    return (
        f"llama.cpp {how} {when}: the file is damaged or of a kind it does not know. Its last words: {last or 'none'}"
    )


def described(what: Subject) -> str:
    """The file in one line."""
    header = what.header
    facts = [header.architecture or "of no known family"]
    if header.parameters:
        facts.append(f"{header.parameters / 1e6:,.0f} million parameters")
    facts.append(header.quantisation or "quantisation unknown")
    if header.context_tokens:
        facts.append(f"context {header.context_tokens:,} tokens")
    facts.append(f"licence {what.entry.license or header.license or 'unknown'}")
    facts.append(
        {
            "chat": "with a chat template",
            "completions": "without a chat template, so it completes text and does not chat",
            "embeddings": "makes embeddings",
        }[what.use]
    )
    return f"{what.entry.name}: {', '.join(facts)}"


def summary(figures: dict[str, float]) -> str:
    """The figures in one line; a rate is left out where nothing was measured."""
    words = [f"loaded in {figures['loaded_s']:.1f} s"]
    if "first_token_s" in figures:
        words.append(f"first token after {figures['first_token_s'] * 1000:,.0f} ms")
        words.append(_rate("prompt", figures["prompt_tokens"], figures["first_token_s"]))
        words.append(_rate("answer", figures["completion_tokens"] - 1, figures["generation_s"]))
    elif "embedding_s" in figures:
        words.append(f"{figures['dimensions']:,.0f} dimensions")
        words.append(_rate("input", figures["prompt_tokens"], figures["embedding_s"]))
    else:
        words.append("the answer was empty")
    words.append(f"peak memory {figures['peak_memory_bytes'] / (1 << 20):,.0f} MiB")
    return "; ".join(filter(None, words))


def _rate(what: str, tokens: float, seconds: float) -> str:
    return f"{what} {tokens / seconds:,.1f} tokens/s" if tokens > 0 and seconds > 0 else ""
