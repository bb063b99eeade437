"""One request over a pool of kept connections, for the small clients of AWS's JSON services (ADR 6, ADR 55)."""

import http.client

from sluice.adapters.aws.http_call import call
from sluice.adapters.aws.http_pool import Connection, Pool


def exchange(pool: Pool, head: bytes, body: bytes, read_seconds: float) -> tuple[int, bytes]:
    """→ (status, body). Errors: OSError, http.client.HTTPException."""
    connection = pool.take(read_seconds)
    try:
        return _once(pool, connection, head, body, read_seconds)
    except (ConnectionError, http.client.BadStatusLine):
        if not connection.used:
            raise
    # The peer closed an idle connection: no failure of the service, so once more on a fresh one, without a pause.
    return _once(pool, pool.take(read_seconds, fresh=True), head, body, read_seconds)


def _once(pool: Pool, connection: Connection, head: bytes, body: bytes, read_seconds: float) -> tuple[int, bytes]:
    again = False
    try:
        assert connection.sock is not None
        status, raw, again = call(connection.sock, head, body, read_seconds)
    finally:
        if again:
            pool.give_back(connection)
        else:
            connection.close()
    return status, raw
