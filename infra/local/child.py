"""`python child.py FOLDER NAME SIGNAL COMMAND…`: become COMMAND, recorded, and ending with the supervisor.

Run as a script, isolated, so that it costs milliseconds: it imports its one neighbour only.
"""

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from infra.local.processes import die_with_parent, kill_rest_of_group, record

OPEN_FILES = 16_384


def main() -> None:
    folder, name, number, *command = sys.argv[1:]
    parent = os.getppid()
    die_with_parent(int(number))
    if os.getppid() != parent:  # it ended before the kernel was asked
        sys.exit(1)
    kill_rest_of_group(Path(folder), name)
    record(Path(folder), name)
    _raise_file_limit()
    os.umask(0o077)  # keys, mails and the store are nobody else's
    try:
        os.execv(command[0], command)
    except OSError as exc:
        sys.exit(f"sluice {name}: {command[0]} cannot be started: {exc.strerror}")


def _raise_file_limit() -> None:
    """Each stream is two open sockets; the soft limit is 256 on macOS and 1024 on most Linux machines."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
