"""The store in a network namespace of its own: this user's clients reach it by its socket, and nobody else does."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from infra.local import programs
from infra.local.processes import start_time
from infra.local.store_address import BY_SOCKET
from infra.local.store_room import STORE
from infra.setup.store import binary
from sluice.adapters.aws import dynamo, model_store
from sluice.adapters.aws.unix_sockets import store_connection
from tests.other_user import need_root, tries
from tests.store_clients import forget_store_clients
from tests.store_process import ROOT
from tests.waiting import eventually

SOMEBODY = 54_321  # needs no name
PR_SET_DUMPABLE = 4  # a program started by that user is; one that became it is not, and may not write its maps
CONNECT_SECONDS = 30.0  # less than a silent client each would cost
NO_NAMESPACES = "echo 0 > /proc/sys/user/max_net_namespaces && exec "


@contextmanager
def running(path: Path, room: tuple[str, ...] = programs.STORE_ROOM, user: int = -1) -> Iterator[Any]:
    """The store in memory, behind the socket `path`, once it answers. `user`: who asks it, if not this process."""
    serve = [str(path), str(binary(ROOT / ".tools")), "serve", "--host", STORE[0], "--port", str(STORE[1])]
    process = subprocess.Popen([*room, *serve], stdout=subprocess.DEVNULL, process_group=0)
    try:
        eventually(lambda: answers(path) if user < 0 else tries([path], user) == ["descriptors 1"])
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(path: Path) -> bool:
    try:
        store_connection(str(path), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def handles(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    if reason := programs.why_open():
        pytest.skip(reason)
    return tmp_path / "store.sock"


def test_both_clients_reach_the_store_by_its_socket(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"REGION": "us-east-1", "DEFAULT_REGION": "us-east-1", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "s"}
    for name, value in names.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", BY_SOCKET)
    monkeypatch.setenv("SLUICE_STORE_SOCKET", str(path))
    forget_store_clients()
    try:
        with running(path):
            model_store.client().create_table(
                TableName="things",
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            dynamo.client().put_item(TableName="things", Item={"id": {"S": "one"}})
            assert model_store.client().scan(TableName="things")["Count"] == 1
            with pytest.raises(OSError):  # not reachable by its address
                socket.create_connection(("127.0.0.1", int(BY_SOCKET.rpartition(":")[2])), 1)
    finally:
        forget_store_clients()


def test_a_connection_is_not_inherited_by_child_processes(path: Path) -> None:
    with running(path):
        connection = store_connection(str(path), CONNECT_SECONDS)
        assert not connection.get_inheritable()
        connection.close()


def test_another_user_gets_no_connection_even_if_the_folder_is_open(path: Path) -> None:
    folder = Path(tempfile.mkdtemp())  # `path` is in folders that only root may enter
    path = folder / path.name
    with running(path) as room:
        (namespace,) = tries([f"/proc/{child_of(room.pid)}/ns/net"])
        assert namespace == "PermissionError"
        assert tries([path]) == ["PermissionError"]
        for opened in (path, folder):
            opened.chmod(0o777)
        assert tries([path]) == ["descriptors 0"]
        assert answers(path)
    shutil.rmtree(folder)


def test_a_user_without_rights_can_run_it_and_not_even_root_gets_a_connection(path: Path) -> None:
    """Root runs the other tests. Another user needs a user namespace, too."""
    need_root()
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, SOMEBODY, SOMEBODY)
    become = f"os.setgid({SOMEBODY}); os.setuid({SOMEBODY}); ctypes.CDLL(None).prctl({PR_SET_DUMPABLE}, 1)"
    room = (sys.executable, "-c", f"import ctypes, os; from infra.local.store_room import main; {become}; main()")
    try:
        with running(folder / "store.sock", room, SOMEBODY) as process:
            assert tries([folder / "store.sock"], SOMEBODY) == ["descriptors 1"]
            assert tries([folder / "store.sock"]) == ["PermissionError"]
            assert not answers(folder / "store.sock")
            store = child_of(process.pid)
            process.kill()
            eventually(lambda: start_time(store) is None)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("victim", ["room", "store"])
def test_the_store_and_its_room_end_together(path: Path, victim: str) -> None:
    with running(path) as room:
        store = child_of(room.pid)
        os.kill({"room": room.pid, "store": store}[victim], signal.SIGKILL)
        assert room.wait(60) in (-signal.SIGKILL, 128 + signal.SIGKILL)
        eventually(lambda: start_time(store) is None)
    with running(path):  # over the old socket
        assert answers(path)


def test_sigterm_stops_both_in_order(path: Path) -> None:
    with running(path) as room:
        store = child_of(room.pid)
        eventually(lambda: handles(store, signal.SIGTERM))  # it listens a moment earlier
        room.terminate()
        assert room.wait(60) == 0
        assert start_time(store) is None


def test_clients_that_vanish_or_say_nothing_do_not_hold_up_others(path: Path) -> None:
    with running(path):
        silent = []
        for number in range(200):
            client = socket.socket(socket.AF_UNIX)
            silent.append(client)
            client.connect(str(path))
            with suppress(BrokenPipeError):  # it was served already
                client.sendall(b"\x00garbage\r\n\r\n")
            if number % 2:
                client.close()
        assert answers(path)
        for client in silent:
            client.close()


def test_a_machine_without_namespaces_says_why(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("the test needs the command unshare")
    probe = "from infra.local.programs import why_open; print(why_open())"
    script = NO_NAMESPACES + f'{sys.executable} -c "{probe}"'
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "the kernel refuses a network namespace" in done.stdout, done.stderr
