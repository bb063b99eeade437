"""The embedded store without the rest of a run: for a command that has a data directory to itself, or for machines that
share it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local import ports, store_index
from infra.local.config import LOOPBACK, REGION, data_dir, forget_aws
from infra.local.datadir import DataDir
from infra.local.errors import LaunchError
from infra.local.processes import die_with_parent
from infra.local.programs import store_binary, store_command, why_open
from infra.local.stop_signals import StopSignals
from infra.local.store_address import BY_SOCKET
from infra.local.store_room import STORE

STOP_SECONDS = 10.0
LOOK_SECONDS = 0.5


@contextmanager
def running(database: Path) -> Iterator[str]:
    """→ the URL of the store on this file. The environment leads this process's clients to it, from here on.

    It may take some milliseconds until it answers. Errors: LaunchError.
    """
    binary = store_binary()
    with tempfile.TemporaryDirectory(prefix="sluice-store-") as folder:  # a short path, because sockets need one
        socket = None if why_open() else Path(folder) / "store.sock"
        port = STORE[1] if socket else ports.free()
        url = BY_SOCKET if socket else f"http://{LOOPBACK}:{port}"
        forget_aws(os.environ)
        os.environ.update(
            AWS_ENDPOINT_URL_DYNAMODB=url,
            SLUICE_STORE_SOCKET=str(socket or ""),
            SLUICE_DATA_DIR=str(database.parent),
            AWS_REGION=REGION,
            AWS_DEFAULT_REGION=REGION,
        )
        process = subprocess.Popen(
            store_command(binary, database, port, socket),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),
        )
        try:
            yield url
        finally:
            _stop(process)


def serve(host: str, port: int) -> None:
    """The store of the data directory on that address, until a signal. Errors: LaunchError."""
    data, database = DataDir(data_dir()), data_dir() / "store.db"
    os.umask(0o077)
    data.take()
    data.note(f"process {os.getpid()}, `sluice store`")
    binary, signals = store_binary(), StopSignals()
    process = subprocess.Popen(
        store_command(binary, database, port, None, host), preexec_fn=lambda: die_with_parent(signal.SIGKILL)
    )
    print(f"sluice: the store listens on {host}:{port}; its file is {database}", file=sys.stderr, flush=True)
    indexed = False
    try:
        while not signals.wait(LOOK_SECONDS):
            if process.poll() is not None:
                raise LaunchError(f"the store ended with status {process.returncode}")
            indexed = indexed or store_index.ensure(database)  # the first machine makes the tables
    finally:
        _stop(process)
        data.leave()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
