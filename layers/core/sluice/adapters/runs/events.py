"""Events of runs as blobs, `runs/ACCOUNT/RUN/FIRST`: the bucket's lifecycle deletes them after a day."""

from collections.abc import Iterator

from sluice.domain.documents.keys import RUNS
from sluice.domain.runs import Run
from sluice.ports.documents import Blobs


class BlobEvents:
    """`sluice.ports.runs.RunEvents`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def put(self, run: Run, first: int, block: bytes) -> None:
        self._blobs.put(_key(run, first), block, media_type="text/event-stream")

    def get(self, run: Run, first: int) -> bytes | None:
        return self._blobs.get(_key(run, first))

    def firsts(self, run: Run) -> Iterator[int]:
        for key in self._blobs.keys(f"{RUNS}/{run.account_id}/{run.run_id}/"):
            name = key.rpartition("/")[2]
            if name.isdigit():  # and no draft of an interrupted write
                yield int(name)


def _key(run: Run, first: int) -> str:
    return f"{RUNS}/{run.account_id}/{run.run_id}/{first:010d}"
