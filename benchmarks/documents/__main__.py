"""`python -m benchmarks.documents [--sizes 100 10000 100000] [--files 60]`  (for docs/performance.md)."""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.documents.corpus import Corpus
from sluice.adapters.documents.search.folder import FolderIndexes
from sluice.domain.documents.keys import index_key
from sluice.domain.documents.passages import Chunk

ACCOUNT, STORE = "usr_bench", "vs_bench"
A_FILE = 20
QUESTIONS = 200
SHORT, LONG = 0, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 10_000, 100_000], help="passages in an index")
    parser.add_argument("--files", type=int, default=60, help="documents to upload, read and index; 0: none")
    wanted = parser.parse_args()
    for size in wanted.sizes:
        folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
        try:
            _index(folder, size)
        finally:
            shutil.rmtree(folder)
    if wanted.files:
        from benchmarks.documents.whole_way import measure

        measure(wanted.files)


def _index(folder: Path, size: int) -> None:
    corpus, indexes = Corpus(), FolderIndexes(folder)
    passages = [corpus.passage() for _ in range(size)]
    began = time.perf_counter()
    for start in range(0, size, A_FILE):
        chunks = [Chunk("", text) for text in passages[start : start + A_FILE]]
        indexes.replace(ACCOUNT, STORE, f"file_{start}", f"{start}.txt", chunks)
    seconds = time.perf_counter() - began
    megabytes = (folder / index_key(ACCOUNT, STORE)).stat().st_size / 1e6
    print(f"{size} passages: indexed {size / seconds:.0f} a second, {megabytes:.1f} MB")
    for name, strangers in (("all words known (AND)", SHORT), ("one word of four from elsewhere (OR)", LONG)):
        times, found = [], 0
        for number in range(QUESTIONS):
            passage = passages[(number * 7919) % size]
            question = corpus.question(passage, strangers)
            began = time.perf_counter()
            hits = indexes.find(ACCOUNT, STORE, question, 5)
            times.append((time.perf_counter() - began) * 1000)
            found += any(hit.text == passage for hit in hits)
        p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[18]
        print(
            f"  {name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms; the passage among the first five: {found / QUESTIONS:.0%}"
        )


if __name__ == "__main__":
    main()
