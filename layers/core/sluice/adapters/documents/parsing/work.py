"""`python -m sluice.adapters.documents.parsing.work FILENAME < file > json` parses one untrusted file."""

import importlib
import json
import resource
import sys
from contextlib import suppress

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_SECONDS = 55
WRITTEN_BYTES = 64 * 1024 * 1024
READERS = {
    "text": "plain",
    "markdown": "markdown",
    "html": "html",
    "pdf": "pdf",
    "docx": "docx",
    "image": "image",
}


def main() -> None:
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, WRITTEN_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # macOS does not support a memory limit
            resource.setrlimit(what, (most, most))
    print(json.dumps(_answer(sys.argv[1], sys.stdin.buffer.read())))


def _answer(filename: str, body: bytes) -> dict[str, object]:
    from sluice.adapters.documents.parsing.kinds import kind_of
    from sluice.adapters.documents.parsing.limits import CannotRead, capped

    try:
        reader = importlib.import_module(f"sluice.adapters.documents.parsing.{READERS[kind_of(filename, body)]}")
        blocks = list(capped(reader.read(body)))
        if not blocks:
            raise CannotRead("There is no text in this file.")
    except CannotRead as exc:
        return {"unreadable": str(exc)}
    except MemoryError:
        return {"unreadable": "Reading the file needs more memory than it may have."}
    except RecursionError:
        return {"unreadable": "The file is nested too deeply."}
    return {"blocks": blocks}


if __name__ == "__main__":
    main()
