"""Tries as another user of this machine, whom only root can become."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

SCRIPT = """
import os, socket, sys
user = int(sys.argv[1])
os.setgroups([]); os.setgid(user); os.setuid(user)
for what in sys.argv[2:]:
    try:
        if not what.endswith(".sock"):
            os.close(os.open(what, os.O_RDONLY))
            print("opened")
            continue
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(what)
        print("descriptors", len(socket.recv_fds(sock, 1, 1)[1]))
    except OSError as exc:
        print(type(exc).__name__)
"""


NOBODY = 65534


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")


def tries(paths: Sequence[object], user: int = NOBODY) -> list[str]:
    """For each path (a socket's ends in `.sock`) what `user` gets: the error's name, or what was opened."""
    need_root()
    command = [sys.executable, "-c", SCRIPT, str(user), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
