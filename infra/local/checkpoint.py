"""How far a stream was handled, on disk: a `kill -9` after a handler returned repeats at most that batch."""

import json
import os
from pathlib import Path


class Checkpoint:
    """Sequence numbers by shard, of one stream. A table that was made anew has another stream, and starts afresh."""

    def __init__(self, file: Path, stream_arn: str) -> None:
        self._file, self._stream_arn = file, stream_arn
        self._after = self._read()

    def after(self, shard: str) -> str | None:
        """The sequence number of the last record handled; None: from the oldest there is."""
        return self._after.get(shard)

    def set(self, shard: str, sequence_number: str) -> None:
        """Whole on disk before it returns."""
        self._after[shard] = sequence_number
        draft = self._file.with_suffix(".part")
        with draft.open("w") as file:
            json.dump({"stream": self._stream_arn, "after": self._after}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)
        _sync_folder(self._file.parent)

    def _read(self) -> dict[str, str]:
        try:
            stored = json.loads(self._file.read_text())
            return dict(stored["after"]) if stored["stream"] == self._stream_arn else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # lost or garbled: delivered again from the start, which handlers must bear anyway


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
