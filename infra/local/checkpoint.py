"""The position in a stream, on disk. After a `kill -9` at most one handled batch is delivered again."""

import json
from pathlib import Path

from sluice.adapters.whole_files import write_whole


class Checkpoint:
    """Sequence numbers of one stream, by shard. A table that was created again has a new stream, so it starts anew."""

    def __init__(self, file: Path, stream_arn: str) -> None:
        self._file, self._stream_arn = file, stream_arn
        self._after = self._read()

    def after(self, shard: str) -> str | None:
        """The sequence number of the last handled record; None: start with the oldest record."""
        return self._after.get(shard)

    def set(self, shard: str, sequence_number: str) -> None:
        """Store the position. It is synced to disk when this returns."""
        self._after[shard] = sequence_number
        stored = {"stream": self._stream_arn, "after": self._after}
        write_whole(self._file, json.dumps(stored).encode())

    def _read(self) -> dict[str, str]:
        try:
            stored = json.loads(self._file.read_text())
            return dict(stored["after"]) if stored["stream"] == self._stream_arn else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # lost or corrupted: deliver from the start, because handlers are idempotent
