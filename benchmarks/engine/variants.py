"""The engine in variants, on texts that repeat themselves and on others: guessed tokens, and the type of the context.

    python -m benchmarks.engine.variants MODEL.gguf [--tokens 200] [--threads 1] [--rounds 1]

For each type of the context the perplexity of the repository's own prose. Then one caller, greedy, for each kind of
text: CPU ms a token, tokens a call, and how many answers equal the first variant's. Variants take turns. For models
with 2,048 tokens of context.
"""

import argparse
import math
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from functions.inference.engine.engine import Engine, EngineLimits
from functions.inference.engine.jobs import Delta, Job, Sampling
from functions.inference.llama.backend import LlamaBackend
from functions.inference.llama.runtime import LoadOptions, load_model, start_library

ROOT = Path(__file__).parents[2]
CONTEXT_TOKENS, SEQUENCES, SCORED_FILES, SCORED_TOKENS = 2048, 2, 4, 500
CODE = sorted((ROOT / "functions/inference/engine").glob("*.py"))[1:5]
PROSE = sorted((ROOT / "docs/adr").glob("001*.md"))
PROMPTS = {
    "the same code with changes": [f"```python\n{f.read_text()[:1800]}\n```\n\nThe same:\n```python\n" for f in CODE],
    "quoted prose": [f"Text: {f.read_text()[:1500]}\n\nThe text again, word for word: " for f in PROSE[:4]],
    "new prose": ["Once upon a time", "The history of railways begins", "To bake bread you need", "The sky is blue"],
}
VARIANTS = {"f16, not guessed": ("f16", False), "f16": ("f16", True)}
VARIANTS |= {f"{kind}, not guessed": (kind, False) for kind in ("q8_0", "q4_0")}


class Answer(NamedTuple):
    text: str
    tokens: int
    cpu_ms: float
    calls: int


def ended(engine: Engine, job: Job) -> list[Delta]:
    while engine.step():
        pass
    told = []
    while (event := job.next_event(0.0)) is not None:
        told += [event] if isinstance(event, Delta) else []
    return told


def answered(backend: LlamaBackend, prompt: str, tokens: int, guess: bool) -> Answer:
    """Without the prompt's own cost."""
    for seq in range(SEQUENCES):
        backend.forget(seq, 0)
    engine = Engine(backend, EngineLimits(slots=SEQUENCES, guess=guess))
    job = engine.submit(Job(tuple(backend.tokenize(prompt, frame=True)), tokens, Sampling(ignore_eos=True)))
    while not job.completion_tokens:
        engine.step()
    began, calls = time.process_time(), engine.stats().steps
    text = "".join(delta.text for delta in ended(engine, job))
    cpu_ms = (time.process_time() - began) * 1000
    return Answer(text, job.completion_tokens - 1, cpu_ms, engine.stats().steps - calls)


def perplexity(backend: LlamaBackend) -> float:
    found: list[float] = []
    for file in PROSE[:SCORED_FILES]:
        backend.forget(0, 0)
        engine = Engine(backend, EngineLimits(slots=SEQUENCES))
        job = Job(
            tuple(backend.tokenize(file.read_text()[:3000], frame=True))[:SCORED_TOKENS], 0, logprobs=0, scores=True
        )
        told = ended(engine, engine.submit(job))
        found += [each.logprob for delta in told for each in delta.logprobs if each.logprob is not None]
    return math.exp(-sum(found) / len(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    start_library()
    handle = load_model(options.model, LoadOptions())
    backends: dict[str, LlamaBackend] = {}
    for kind in ("f16", "q8_0", "q4_0"):
        backends[kind] = LlamaBackend(
            handle, sequences=SEQUENCES, context_tokens=CONTEXT_TOKENS, batch_tokens=512, threads=1,
            batch_threads=options.threads, kv_type=kind,
        )  # fmt: skip
        print(f"{kind:5} perplexity {perplexity(backends[kind]):.3f}", flush=True)
    for what, prompts in PROMPTS.items():
        found: dict[str, list[Answer]] = {name: [] for name in VARIANTS}
        for _ in range(options.rounds):
            for prompt in prompts:
                for name, (kind, guess) in VARIANTS.items():
                    found[name].append(answered(backends[kind], prompt, options.tokens, guess))
        first = next(iter(found.values()))
        for name, got in found.items():
            tokens, cpu_ms, calls = (sum(getattr(one, of) for one in got) for of in ("tokens", "cpu_ms", "calls"))
            ratios = [b.cpu_ms / b.tokens / (a.cpu_ms / a.tokens) for a, b in zip(got, first, strict=True)]
            same = sum(a.text == b.text for a, b in zip(got, first, strict=True))
            print(
                f"{what:27} {name:18} {cpu_ms / tokens:6.2f} ms a token, {tokens / calls:5.2f} tokens "
                f"a call, {median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f}), "
                f"{same} of {len(got)} answers equal",
                flush=True,
            )


if __name__ == "__main__":
    main()
