"""Formats the figures as text."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gateway import processes
from benchmarks.gateway.matrix import Cell, percentile
from benchmarks.gateway.requests import Kind
from benchmarks.gateway.world import World


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (head, *rows)
    ]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])


def machine(database: Path | None) -> str:
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}; "
        f"load {os.getloadavg()[0]:.1f}; store in {database or 'memory'}\n"
    )


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def terms(slices: Sequence[tuple[float, float]]) -> str:
    """Gateway CPU of a request without and with the owner's settings and limits of API tokens, in turns."""
    rows = [[f"{plain:.0f}", f"{limited:.0f}", f"{100 * (limited / plain - 1):+.1f} %"] for plain, limited in slices]
    least = [min(costs) for costs in zip(*slices, strict=True)]  # of the slices that other load disturbed least
    head = ["gateway CPU µs without", "with settings and token limits", "more"]
    return table(head, rows) + f"\n\nLeast of each: {100 * (least[1] / least[0] - 1):+.1f} %\n"


def rates(cells: Sequence[Cell], world: World) -> str:
    direct = {(cell.kind, cell.callers): cell for cell in cells if cell.target == "direct"}
    rows = []
    for cell in cells:
        base = direct[cell.kind, cell.callers]
        added = [percentile(cell.total, p) - percentile(base.total, p) for p in (0.5, 0.95, 0.99)]
        mine = cell.target == "gateway"
        rows.append(
            [
                cell.target,
                cell.kind,
                str(cell.callers),
                f"{cell.rate():.0f} ({cell.best_rate():.0f})",
                " / ".join(ms(percentile(cell.total, p)) for p in (0.5, 0.95, 0.99)),
                "" if cell is base else " / ".join(ms(value) for value in added),
                ms(percentile(cell.first, 0.5)),
                f"{cell.each_us(cell.gateway_cpu):.0f}" if mine else "",
                f"{cell.each_us(cell.store_cpu):.0f}" if mine else "",
                f"{cell.each_us(cell.load_cpu):.0f}",
            ]
        )
    head = [
        "target", "kind", "callers", "requests/s (best slice)", "p50 / p95 / p99 ms", "added p50 / p95 / p99 ms",
        "first byte p50 ms", "gateway CPU µs", "store CPU µs", "load CPU µs",
    ]  # fmt: skip
    worker = processes.resident_mb(world.worker)
    return f"{table(head, rows)}\n\nresident: worker {worker:.0f} MB, gunicorn's master {processes.resident_mb(world.gateway.pid):.0f} MB\n"  # noqa: E501


def writes(metrics: Mapping[str, float]) -> str:
    """The number of store writes per admission, over all so far."""
    name = "sluice_admission_writes"
    total = metrics[f"{name}_count"]
    counted = {bound: metrics[f'{name}_bucket{{le="{bound}"}}'] for bound in ("1.0", "2.0", "3.0", "4.0")}
    shares = [f"{counted['1.0'] / total:.2%} one", f"{(counted['2.0'] - counted['1.0']) / total:.2%} two"]
    more = counted["4.0"] - counted["2.0"]
    mean = metrics[f"{name}_sum"] / total
    return f"writes an admission: {', '.join(shares)}, {more:.0f} more; mean {mean:.3f} of {total:.0f}\n"


def open_streams(seen: Mapping[str, Any]) -> str:
    rows = []
    for state in ("unloaded", "loaded"):
        rows.append([state, str(len(seen[state])), *(ms(percentile(seen[state], p)) for p in (0.5, 0.95, 0.99))])
    ratio = percentile(seen["loaded"], 0.99) / percentile(seen["unloaded"], 0.99)
    opened = ", ".join(f"{name}: {number}" for name, number in seen["opened"].items())
    text = table(["fresh request", "count", "p50 ms", "p95 ms", "p99 ms"], rows)
    return (
        f"{text}\n\np99 loaded over unloaded: {ratio:.2f}; opened ({opened}), of which ended early: {seen['ended']}; "
        f"resident: {seen['resident_mb']:.0f} MB\n"
    )


def full_store(turns: Sequence[Sequence[Cell]], accounts: int, records: int, seconds: float) -> str:
    """`turns`: each has the cell of the empty store and that of the full one."""
    rows = []
    for name, cells in zip(
        ("empty", f"{accounts:,} accounts, {records:,} records"), zip(*turns, strict=True), strict=True
    ):
        total = [seconds for cell in cells for seconds in cell.total]
        store_us = sum(cell.store_cpu for cell in cells) / len(total) * 1e6
        rows.append([name, ms(percentile(total, 0.5)), ms(percentile(total, 0.99)), f"{store_us:.0f}"])
    ratios = sorted(percentile(full.total, 0.5) / percentile(empty.total, 0.5) for empty, full in turns)
    found = f"p50 full / empty, by turns: {', '.join(f'{ratio:.2f}' for ratio in ratios)}"
    return f"{table(['store', 'p50 ms', 'p99 ms', 'store CPU µs'], rows)}\n\n{found}; filled in {seconds:.0f} s\n"


def parts(kind: Kind, spent: Mapping[str, float]) -> str:
    total = sum(spent.values())
    rows = [[name, f"{us:.0f}", f"{us / total:.0%}"] for name, us in spent.items()]
    return f"{table([kind.name, 'CPU µs', 'share'], [*rows, ['together', f'{total:.0f}', '100%']])}\n"
