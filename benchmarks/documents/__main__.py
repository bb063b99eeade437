"""`python -m benchmarks.documents [--sizes 100 10000 100000] [--files 60]`  (for docs/performance.md)."""

import argparse
import multiprocessing
import shutil
import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.documents.corpus import Corpus, search
from sluice.adapters.documents.search.folder import FolderIndexes
from sluice.domain.documents.keys import index_key
from sluice.domain.documents.passages import Chunk
from sluice.ports.documents import PassageQuery

ACCOUNT, STORE = "usr_bench", "vs_bench"
A_FILE = 20
EVERY_SECONDS = 0.05


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
    find = partial(indexes.find, ACCOUNT, STORE)
    search(corpus, passages, lambda question: [hit.text for hit in find(PassageQuery(question, 5))])
    print(f"  beside a process that indexes {1 / EVERY_SECONDS:.0f} files a second into it:")
    writer = multiprocessing.get_context("fork").Process(target=_index_on, args=(folder, corpus), daemon=True)
    writer.start()
    search(corpus, passages, lambda question: [hit.text for hit in find(PassageQuery(question, 5))])
    writer.terminate()
    writer.join()


def _index_on(folder: Path, corpus: Corpus) -> None:
    indexes = FolderIndexes(folder)
    for number in count():
        began = time.monotonic()
        chunks = [Chunk("", corpus.passage()) for _ in range(A_FILE)]
        indexes.replace(ACCOUNT, STORE, f"more_{number}", f"{number}.txt", chunks)
        time.sleep(max(0.0, began + EVERY_SECONDS - time.monotonic()))


if __name__ == "__main__":
    main()
