"""The figures of docs/scaling.md: arithmetic, and a simulation of one hot account and of shared partitions.

DynamoDB's documented limits: a partition takes 1,000 write units a second; a new on-demand table takes 4,000 and
doubles after each peak; items of one key stay in one partition while their load is at one end of it (docs: "Best
practices for designing and using partition keys", "On-demand capacity mode").
"""

import heapq
import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from functions.sweeper.app import RUN_MS
from infra.aws.cost import inputs, model
from infra.aws.cost.inputs import assumed, counts
from sluice.adapters.aws.json_service import HOT
from sluice.domain.gateway.leases import RENEW_EVERY_MS
from sluice.services.gateway.sweep import READ_AT_ONCE, WORKERS

PARTITION_UNITS = 1_000  # write units a second
NEW_TABLE_UNITS = 4_000  # of a new on-demand table: about four partitions
CHECKPOINT_SECONDS = RENEW_EVERY_MS / 1000  # how often a running stream renews its lease
CALL_SECONDS = 0.006  # assumed: one call to DynamoDB from a function in its region
SWEEP_SECONDS = RUN_MS / 1000  # the longest run of the sweeper
CALL_CPU_SECONDS = 0.0004  # assumed: the same call's, of a whole processor
CALLS_A_BUSY_ACCOUNT = 1 + 1 / READ_AT_ONCE  # remove it from its shard, read the grants of many
LAMBDA_CONCURRENCY = 1_000  # the default limit of an AWS account
GPU_TOKENS_PER_SECOND = 1_500  # assumed, not measured: the same small model on one T4, 32 concurrent requests


# --- arithmetic


def grant_units(stream_seconds: float) -> float:
    """Write units of one request on the account's grant: admission, settlement and checkpoints."""
    return float(counts()["request"]["written"]["grants"]) + stream_seconds // CHECKPOINT_SECONDS


def account_ceilings(stream_seconds: float) -> dict[str, float]:
    """The limit of each hot key of one account, in requests per second."""
    hot = counts()["request"]["written"]
    marks = counts()["metering_of_25"]["written"]["ledger"] / 25
    return {
        "grant (one item)": PARTITION_UNITS / grant_units(stream_seconds),
        "ledger (its newest records)": PARTITION_UNITS / (hot["ledger"] + marks),
        "contents (its newest)": PARTITION_UNITS / hot["contents"],
    }


def environments(requests_per_second: float, seconds: float) -> float:
    """The number of concurrent runs, by Little's law."""
    return requests_per_second * seconds


def swept_accounts() -> int:
    """Idle accounts that one run of the sweeper can remove from their shards, bound by the time that its workers wait
    or by the processor that its memory gives it."""
    share = inputs.memory_mb("SweeperFunction") / model.VCPU_MB
    return int(SWEEP_SECONDS / CALLS_A_BUSY_ACCOUNT * min(WORKERS / CALL_SECONDS, share / CALL_CPU_SECONDS))


def gpu_million_tokens_usd() -> float:
    """The price at the assumed load of a server."""
    return inputs.price("server_gpu_hour") / (GPU_TOKENS_PER_SECOND * 3600 * assumed("server_load")) * model.MILLION


# --- simulation: a partition as a bucket of write units


@dataclass
class Partition:
    """Takes PARTITION_UNITS per second; further writes are throttled."""

    units: float = PARTITION_UNITS
    at: float = 0.0

    def take(self, units: float, now: float) -> bool:
        self.units = min(PARTITION_UNITS, self.units + (now - self.at) * PARTITION_UNITS)
        self.at = now
        if self.units < units:
            return False
        self.units -= units
        return True


@dataclass(frozen=True)
class Run:
    asked: int
    refused: int  # requests whose admission was throttled at every attempt (503)
    throttled: int  # throttled writes

    @property
    def refused_share(self) -> float:
        return self.refused / self.asked


def arrivals(rate: float, seconds: float, chance: random.Random) -> Iterator[float]:
    now = chance.expovariate(rate)
    while now < seconds:
        yield now
        now += chance.expovariate(rate)


def hot_account(rate: float, stream_seconds: float, seconds: float = 60.0, seed: int = 1) -> Run:
    """One account with `rate` requests a second, which write its grant at the start, at checkpoints and at the end."""
    chance = random.Random(seed)
    partition, refused, throttled, asked = Partition(), 0, 0, 0
    # (time in seconds, order, attempt, whether it is an admission)
    waiting: list[tuple[float, int, int, bool]] = []
    for number, moment in enumerate(arrivals(rate, seconds, chance)):
        asked += 1
        waiting.append((moment, number, 0, True))
    heapq.heapify(waiting)
    order = asked
    while waiting:
        now, number, attempt, admits = heapq.heappop(waiting)
        if not partition.take(1, now):
            throttled += 1
            if attempt + 1 < HOT.attempts:
                pause = chance.uniform(0, HOT.first_pause_seconds * 4 ** (attempt + 1))
                heapq.heappush(waiting, (now + pause, number, attempt + 1, admits))
            elif admits:
                refused += 1
            continue
        if admits:  # its later writes; a settlement that fails is left to the sweeper
            for after in [n * CHECKPOINT_SECONDS for n in range(1, int(stream_seconds // CHECKPOINT_SECONDS) + 1)]:
                order += 1
                heapq.heappush(waiting, (now + after, order, 0, False))
            order += 1
            heapq.heappush(waiting, (now + stream_seconds, order, 0, False))
    return Run(asked, refused, throttled)


@dataclass(frozen=True)
class Spread:
    """The load of the grants table's partitions by unevenly busy accounts."""

    partitions: int
    hottest_units: float  # write units per second of the busiest partition
    busiest_account: float  # requests a second
    throttled_share: float  # share of all writes


def spread(rate: int, accounts: int, partitions: int, seconds: int = 20, seed: int = 1) -> Spread:
    """Accounts are busy by Zipf's law (the second half as much as the first, and so on) and are placed by a hash."""
    chance = random.Random(seed)
    weights = list(accumulate(1 / rank for rank in range(1, accounts + 1)))
    place = [chance.randrange(partitions) for _ in range(accounts)]
    taken = [0.0] * partitions
    buckets = [Partition() for _ in range(partitions)]
    units, throttled, busiest = grant_units(0), 0, 0
    writes = 0
    for moment in arrivals(rate, seconds, chance):
        account = bisect(weights, chance.random() * weights[-1])
        busiest += account == 0
        for _ in range(int(units)):
            writes += 1
            taken[place[account]] += 1
            throttled += not buckets[place[account]].take(1, moment)
    return Spread(partitions, max(taken) / seconds, busiest / seconds, throttled / writes)
