"""`python child.py FOLDER NAME SIGNAL COMMAND…`: record the pid and become COMMAND, which ends with the supervisor.

Run as an isolated script that imports one module only, so that it takes milliseconds.
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
    if os.getppid() != parent:  # the supervisor ended before die_with_parent()
        sys.exit(1)
    kill_rest_of_group(Path(folder), name)
    record(Path(folder), name)
    _raise_file_limit()
    os.umask(0o077)  # keys, mails and the store are private
    try:
        os.execv(command[0], command)
    except OSError as exc:
        sys.exit(f"sluice {name}: {command[0]} cannot be started: {exc.strerror}")


def _raise_file_limit() -> None:
    """Each stream needs two sockets, and the soft limit is 256 on macOS and 1024 on most Linux machines."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
