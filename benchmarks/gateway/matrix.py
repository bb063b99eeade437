"""Requests per second and latency, direct and through the gateway, in alternating slices to share the noise."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.gateway import processes, requests
from benchmarks.gateway.requests import Kind, Target
from benchmarks.gateway.world import CALLERS_AN_ACCOUNT, World


@dataclass
class Cell:
    """All slices of one target, kind and number of callers. Times in seconds."""

    target: str
    kind: str
    callers: int
    total: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    seconds: float = 0.0
    gateway_cpu: float = 0.0
    store_cpu: float = 0.0
    load_cpu: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        return len(self.total)

    def rate(self) -> float:
        return self.answers / self.seconds

    def best_rate(self) -> float:
        """Of the fastest slice, which other load disturbed least."""
        return max(self.rates)

    def each_us(self, cpu_seconds: float) -> float:
        return cpu_seconds / max(1, self.answers) * 1e6


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def run(
    world: World,
    targets: Sequence[Target],
    kinds: Sequence[Kind],
    callers: Iterable[int],
    seconds: float,
    rounds: int,
    watched: Mapping[str, tuple[Sequence[int], Sequence[int]]] | None = None,
) -> list[Cell]:
    """`watched`: by a target's name, the processes of its gateway and of its store; otherwise those of `world`."""
    callers = list(callers)
    cells = {(t.name, k.name, n): Cell(t.name, k.name, n) for k in kinds for n in callers for t in targets}
    for target in targets:  # warm-up: connections and imports
        for kind in kinds:
            processes.load(
                requests.plan(target, kind, 4, CALLERS_AN_ACCOUNT, seconds=0.5), world.cores.others, world.log
            )
    for _ in range(rounds):
        for kind in kinds:
            for count in callers:
                for target in targets:
                    pids = (watched or {}).get(target.name, ([world.worker], [world.store_pid]))
                    _slice(world, target, kind, cells[target.name, kind.name, count], seconds, *pids)
    return list(cells.values())


def _slice(
    world: World,
    target: Target,
    kind: Kind,
    cell: Cell,
    seconds: float,
    watched: Sequence[int],
    store: Sequence[int],
) -> None:
    plan = requests.plan(target, kind, cell.callers, CALLERS_AN_ACCOUNT, seconds=seconds, warm_seconds=0.0)
    gateway_before, store_before = processes.cpu_seconds(watched), processes.cpu_seconds(store)
    seen = processes.load(plan, world.cores.others, world.log)
    cell.gateway_cpu += processes.cpu_seconds(watched) - gateway_before
    cell.store_cpu += processes.cpu_seconds(store) - store_before
    cell.load_cpu += seen["cpu_seconds"]
    cell.total += seen["total"]
    cell.first += seen["first"]
    cell.seconds += seen["seconds"]
    cell.rates.append(len(seen["total"]) / seen["seconds"])
    for status, count in seen["statuses"].items():
        cell.statuses[status] = cell.statuses.get(status, 0) + count
    if set(seen["statuses"]) - {"200"}:
        raise RuntimeError(f"{target.name} {kind.name}: {seen['statuses']} {seen['sample']}")
