"""The other engine, LanceDB, which is not a dependency: `pip install lancedb` into a separate environment, then
`PYTHONPATH=. python -m benchmarks.documents.lance [SIZE …]`."""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.documents.corpus import Corpus, search

A_FILE = 20


def main() -> None:
    began = time.perf_counter()
    import lancedb

    print(f"import {time.perf_counter() - began:.2f} s")
    for size in map(int, sys.argv[1:] or ["100", "10000", "100000"]):
        folder = Path(tempfile.mkdtemp(prefix="sluice-lance-"))
        try:
            _measure(lancedb, folder, size)
        finally:
            shutil.rmtree(folder)


def _measure(lancedb: Any, folder: Path, size: int) -> None:
    corpus = Corpus()
    passages = [corpus.passage() for _ in range(size)]
    rows = [{"file_id": f"file_{n // A_FILE}", "position": n % A_FILE, "text": text} for n, text in enumerate(passages)]
    began = time.perf_counter()
    table = lancedb.connect(folder).create_table("chunks", rows)
    table.create_fts_index("text", replace=True)
    bulk = time.perf_counter() - began
    added = []
    for number in range(5):  # one more file, as by an upload
        began = time.perf_counter()
        table.add([{"file_id": f"more_{number}", "position": n, "text": corpus.passage()} for n in range(A_FILE)])
        table.optimize()
        added.append(time.perf_counter() - began)
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    print(
        f"{size} passages: in bulk {size / bulk:.0f} a second, "
        f"one file more {statistics.median(added):.2f} s, {megabytes:.1f} MB"
    )
    search(
        corpus,
        passages,
        lambda asked: [hit["text"] for hit in table.search(asked, query_type="fts").limit(5).to_list()],
    )


if __name__ == "__main__":
    main()
