"""`python store_room.py SOCKET COMMAND…`: runs the store in a network namespace of its own, and lets this user in.

The store listens on a TCP port without a password. In its own namespace no other process can connect to it: neither
other users of the machine nor web pages in a browser. Clients connect to the Unix socket SOCKET, which is in a private
folder, and receive a TCP connection to the store as a file descriptor. So the data does not pass through this process.
Linux only (docs/adr/0081-the-inside-is-inside.md). Without arguments: exit status 0 if this machine can do it.

Run as an isolated script that imports one module only, so that it takes milliseconds.
"""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[2]))

from infra.local.processes import die_with_parent

STORE = ("127.0.0.1", 8000)
"""In the namespace, where nothing else listens."""
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
CONNECT_SECONDS = 1.0
BACKLOG = 512


def enter_namespace() -> None:
    """Leave the machine's network. Raises OSError if the kernel or its configuration does not allow it."""
    user, group = os.geteuid(), os.getegid()
    if _unshare(CLONE_NEWNET) != 0:  # works for root; another user needs a user namespace, in which it may do this
        if _unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        Path("/proc/self/setgroups").write_text("deny")  # the kernel requires it before the groups are mapped
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def _unshare(flags: int) -> int:
    return int(ctypes.CDLL(None, use_errno=True).unshare(flags))


def serve(listener: socket.socket) -> None:
    """Hand out connections until the process ends. Nothing of a client is read, so that none can delay the others."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # no descriptor is free; the store must not end for that
            time.sleep(0.05)
            continue
        with client, suppress(OSError):  # a closed connection without a descriptor means that the store is not ready
            _, user, _ = struct.unpack("iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if user == os.geteuid():
                with socket.socket() as connection:
                    connection.settimeout(CONNECT_SECONDS)
                    connection.connect(STORE)
                    connection.setblocking(True)
                    socket.send_fds(client, [b"!"], [connection.fileno()])


def main() -> None:
    os.umask(0o077)
    try:
        enter_namespace()
    except OSError as exc:
        sys.exit(f"the kernel refuses a network namespace ({exc.strerror})")
    if len(sys.argv) == 1:
        return
    path, *command = sys.argv[1:]
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(BACKLOG)
    store = subprocess.Popen(command, preexec_fn=lambda: die_with_parent(signal.SIGKILL))

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        store.terminate()  # its end is this process's end

    def on_sigchld(number: int, frame: FrameType | None) -> None:
        code = store.poll()
        if code is not None:
            os._exit(code if code >= 0 else 128 - code)

    signal.signal(signal.SIGTERM, on_sigterm)
    signal.signal(signal.SIGCHLD, on_sigchld)
    on_sigchld(0, None)
    serve(listener)


if __name__ == "__main__":
    main()
