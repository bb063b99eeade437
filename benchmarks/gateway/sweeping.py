"""How many leases a second the sweeper settles when many processes died at once."""

import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.gateway import processes, report
from benchmarks.gateway.filled import grants, put
from benchmarks.gateway.world import World

LONG_AGO_MS = 60_000
FAR_MS = 10**9


def run(world: World, accounts: int, rounds: int) -> str:
    """One and four leases an account, in turns."""
    rows = []
    for _ in range(rounds):
        for leases in (1, 4):
            put("grants", _abandoned(accounts, leases))
            rows.append([str(leases), *_swept(world, accounts * leases)])
    return report.table(["leases an account", "leases", "a second", "sweeper CPU µs", "store CPU µs"], rows) + "\n"


def _swept(world: World, leases: int) -> list[str]:
    from sluice.wiring.gateway import sweeper

    began, cpu, store = time.monotonic(), time.process_time(), processes.cpu_seconds([world.store_pid])
    swept = sweeper().sweep(time.time_ns() // 1_000_000 + FAR_MS)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    store = processes.cpu_seconds([world.store_pid]) - store
    assert (swept.settled, swept.failed, swept.complete) == (leases, 0, True), swept
    return [str(leases), f"{leases / seconds:.0f}", f"{cpu / leases * 1e6:.0f}", f"{store / leases * 1e6:.0f}"]


def _abandoned(accounts: int, leases: int) -> Iterator[dict[str, Any]]:
    from sluice.adapters.gateway.grant_item import lease_attribute, lease_key
    from sluice.domain.gateway.leases import Lease, lease_shard
    from sluice.domain.ids import request_id
    from sluice.domain.periods import period_of

    then_ms = time.time_ns() // 1_000_000 - LONG_AGO_MS
    lease = Lease(then_ms, 100, 100, period_of(then_ms), "tok_filled", "demo", "chat.completions", True, 12, 8)
    text = json.dumps(lease_attribute(lease))
    for item in grants(accounts):
        held = {lease_key(request_id(then_ms)): json.loads(text) for _ in range(leases)}
        yield item | {"leases": {"M": held}, "busy_shard": {"S": lease_shard(item["account_id"]["S"])}}
