"""The time from the upload until the last file is indexed, with the store, spool and process of a local run."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.documents.corpus import Corpus
from tests.conftest import aws_environment
from tests.integration.documents.reading.place import ADA, make
from tests.store_process import running_store

PASSAGES = 10
ROOT = Path(__file__).parents[2]


PR_SET_CHILD_SUBREAPER = 36


def measure(files: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with running_store() as (url, _pid), tempfile.TemporaryDirectory() as folder:
        os.environ.update(aws_environment(url))
        from botocore.session import get_session

        from tests.tables import create_missing

        create_missing(get_session().create_client("dynamodb", endpoint_url=url), "sluice-")
        place, corpus = make(Path(folder), "sluice-"), Corpus()
        store = place.store()
        began = time.perf_counter()
        for number in range(files):
            text = "\n\n".join(corpus.passage() for _ in range(PASSAGES))
            place.put(store, f"{number}.txt", text.encode())
        print(
            f"{files} text files of {len(text) / 1000:.0f} KB: "
            f"uploaded {files / (time.perf_counter() - began):.1f} a second"
        )
        environment = {**os.environ, "SLUICE_DATA_DIR": folder, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT}/layers/core"}
        environment["SLUICE_EMBEDDING_MODEL"] = ""  # by words only: vectors are another process's work
        cpu = _cpu_seconds()
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "infra.local.ingestion"], env=environment, cwd=ROOT)
        try:
            while any(one.status == "in_progress" for one in place.store_rows.attachments(ADA, store)):
                time.sleep(0.05)
        finally:
            seconds = time.perf_counter() - began
            process.send_signal(signal.SIGTERM)
            process.wait()
        print(f"  read, cut and indexed {files / seconds:.1f} documents a second, the start of the process included")
        print(f"  {(_cpu_seconds() - cpu) / files * 1000:.0f} ms of CPU a document, of all its processes but the store")


def _cpu_seconds() -> float:
    """Of the children that have ended, and theirs; those whose parent ended before them are ours now."""
    time.sleep(1)
    while any(os.waitpid(-1, os.WNOHANG)):
        pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
