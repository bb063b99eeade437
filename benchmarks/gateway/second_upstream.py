"""What a second server in a model's list adds to a request that the first one answers.

Requests go in turns, one by one, to three models of the same app: `one` and `control` have one server, `two` has a
second one behind it. The difference of `control` shows how much is noise. It is CPU time of the thread that serves, so
what other programs do counts little.
"""

import contextlib
import os
import statistics
import time
from typing import Any

from benchmarks.gateway import parts
from benchmarks.gateway.report import table
from benchmarks.gateway.requests import Kind
from benchmarks.gateway.world import World

MODELS = {"one": ["local:demo"], "two": ["local:demo", "remote:demo"], "control": ["local:demo"]}
WARM = 50


def run(world: World, kind: Kind, times: int) -> str:
    """A table of microseconds a request."""
    from infra.local.app import create_app

    _settings(world)
    spent: dict[str, list[float]] = {name: [] for name in MODELS}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        app = create_app()
        kinds = {name: Kind(name, kind.stream, kind.tokens, more={"model": name}) for name in MODELS}
        for turn in range(WARM + times):
            names = list(MODELS)
            for name in names[turn % 3 :] + names[: turn % 3]:
                began = time.thread_time()
                parts.ask(app, kinds[name], world.tokens[0])
                if turn >= WARM:
                    spent[name].append((time.thread_time() - began) * 1e6)
    rows = [[name, *_figures(spent["one"], spent[name])] for name in ("two", "control")]
    return (
        f"{kind.name}, {times} requests each, in turns\n\n"
        + table(["model", "µs of `one`", "µs", "added, median of pairs", "added, of medians"], rows)
        + "\n"
    )


def _figures(one: list[float], other: list[float]) -> list[str]:
    medians, pairs = (statistics.median(one), statistics.median(other)), zip(one, other, strict=True)
    added = statistics.median(there - here for here, there in pairs)
    return [f"{medians[0]:.0f}", f"{medians[1]:.0f}", f"{added:.1f}", f"{medians[1] - medians[0]:.1f}"]


def _settings(world: World) -> None:
    from sluice.domain.accounts.audit import OPERATOR
    from sluice.domain.settings.checking import check
    from sluice.services.operations.admin import Actor
    from sluice.wiring.settings import owners_terms

    remote = {"name": "remote", "kind": "openai", "url": f"http://127.0.0.1:{world.upstream_port}/v1"}
    wanted: dict[str, Any] = {
        "upstreams": [{"name": "local", "kind": "engine"}, remote],
        "models": [{"id": name, "upstreams": servers} for name, servers in MODELS.items()],
    }
    terms = owners_terms()
    terms.change(Actor(OPERATOR), terms.read().version, check(wanted), time.time_ns() // 1_000_000)
