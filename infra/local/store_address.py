"""The address of the running embedded store, for commands on the same machine."""

import os
import re
from collections.abc import MutableMapping

from infra.local.config import complete, data_dir
from infra.local.datadir import DataDir
from infra.local.gate import CLOSED, MESSAGE
from sluice.domain.errors import Unavailable

# Where the store has a port of this machine, it is a new one at every start, written into supervisord's configuration.
STORE_COMMAND = re.compile(r"serve --host (\S+) --port (\d+)")
IN_ITS_ROOM = "store_room.py"  # then the port is not one of this machine, where another program may have it
NO_RUN = "http://127.0.0.1:1"  # refuses connections at once; the command reports it
BY_SOCKET = NO_RUN  # of a store that is reached by its socket only
ENDPOINTS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")
SOMEONE_ELSES = (*ENDPOINTS, "AWS_PROFILE", "AWS_ACCESS_KEY_ID")


def use_running_store(env: MutableMapping[str, str] = os.environ) -> None:
    """Point the SDK at the run's embedded store, unless the environment names an endpoint, a profile or keys.

    `SLUICE_STORE=aws` chooses AWS when the credentials come from elsewhere (a login, a role of the machine).
    Errors: Unavailable during an upgrade, because the store of before may come back without what was changed.
    """
    if env.get("SLUICE_STORE") == "aws":
        return
    if any(env.get(name) for name in SOMEONE_ELSES):
        if any(env.get(name) for name in ENDPOINTS):  # as `sluice up` does
            complete(env)
        return
    data = DataDir(data_dir(env))
    if (data.run / CLOSED).exists():
        raise Unavailable(MESSAGE)
    socket = data.socket("store")
    env["SLUICE_STORE_SOCKET"] = str(socket) if socket.exists() else ""
    env["AWS_ENDPOINT_URL_DYNAMODB"] = BY_SOCKET if socket.exists() else _embedded(env)
    complete(env)


def _embedded(env: MutableMapping[str, str]) -> str:
    try:
        written = (data_dir(env) / "run" / "supervisord.conf").read_text()
    except OSError:
        return NO_RUN
    found = None if IN_ITS_ROOM in written else STORE_COMMAND.search(written)
    return f"http://{found[1]}:{found[2]}" if found else NO_RUN
