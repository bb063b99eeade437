"""Tries as another user of this machine, whom only root can become."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

SCRIPT = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for what in sys.argv[1:]:
    try:
        if not what.endswith(".sock"):
            os.close(os.open(what, os.O_RDONLY))
            print("opened")
            continue
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(5)
        sock.connect(what)
        print("descriptors", len(socket.recv_fds(sock, 1, 1)[1]))
    except OSError as exc:
        print(type(exc).__name__)
"""


def tries(paths: Sequence[object]) -> list[str]:
    """For each path (a socket's ends in `.sock`) what `nobody` gets: the error's name, or what was opened."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    done = subprocess.run([sys.executable, "-c", SCRIPT, *map(str, paths)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
