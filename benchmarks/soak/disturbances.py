"""What happens to the system: each function disturbs it once, and returns when it answers again."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial

import requests

from benchmarks.soak.world import Clock, Disk
from tests.books import kill_group
from tests.chaos.load import Load
from tests.e2e.people import Person
from tests.e2e.system import NAMES, System, alive

AGAIN_SECONDS = 90.0
FLOOD_THREADS, FLOOD_REQUESTS = 4, 60
CLOCK_STEP_SECONDS = 90
LATE_SECONDS = (0.1, 0.3, 0.6, 4.0)
"""The longest is more than a caller of the store waits, so its write happens after the caller gave up."""


@dataclass
class Scene:
    """One run, and what was found wrong while it ran."""

    system: System
    people: list[Person]
    load: Load
    disk: Disk
    clock: Clock
    hold_seconds: float
    dice: random.Random
    faults: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    refused_full_disk: int = 0

    def refused(self) -> int:
        return sum(one.count(503) for one in self.load.answers.values())

    def recovered(self) -> None:
        self.system.wait_until(lambda: self.system.pids().keys() == set(NAMES) and self.system.healthy(), AGAIN_SECONDS)


Disturbance = Callable[[Scene], None]


def kill(name: str, scene: Scene) -> None:
    """SIGKILL to one process and its children."""
    scene.system.wait_restarted(name, kill_group(scene.system, name), AGAIN_SECONDS)


def full_disk(scene: Scene) -> None:
    """No byte is free; then there is room again."""
    before = scene.refused()
    scene.disk.fill()
    try:
        time.sleep(scene.hold_seconds)
    finally:
        scene.disk.free()
    scene.refused_full_disk += scene.refused() - before


def clock_steps(seconds: int, scene: Scene) -> None:
    """The clock jumps away and, later, back."""
    scene.clock.step_to(seconds)
    try:
        shown = requests.get(scene.system.base_url + "/healthz", timeout=30).headers["date"]
        ahead_seconds = parsedate_to_datetime(shown).timestamp() - time.time()
        assert abs(ahead_seconds - seconds) < 5, f"the app's clock is {ahead_seconds:.0f} s ahead"
        time.sleep(scene.hold_seconds)
    finally:
        scene.clock.step_to(0)


def late_store(scene: Scene) -> None:
    """The store stops again and again, for longer and longer, and then answers what has arrived since."""
    until = time.monotonic() + scene.hold_seconds
    while time.monotonic() < until:
        for seconds in LATE_SECONDS:
            stopped = scene.system.stop_store()
            time.sleep(seconds)
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.2)


def flood(scene: Scene) -> None:
    """One account sends several times its rate limit at once."""
    person = scene.dice.choice(scene.people)
    statuses: list[int] = []

    def send(dice: random.Random) -> None:
        statuses.extend(scene.load.ask(person, dice, person.api_token) for _ in range(FLOOD_REQUESTS))

    dices = [random.Random(scene.dice.random()) for _ in range(FLOOD_THREADS)]
    threads = [threading.Thread(target=send, args=(dice,)) for dice in dices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if 429 not in statuses:
        scene.faults.append(f"none of {len(statuses)} requests of a flood was refused: {sorted(set(statuses))}")


def revoked_token(scene: Scene) -> None:
    """An API token works until it is revoked, and not once after."""
    person = scene.dice.choice(scene.people)
    minted = person.mint()
    before = scene.load.ask(person, scene.dice, minted["token"])
    revoked = person.call("DELETE", f"/tokens/{minted['id']}").status_code
    after = scene.load.ask(person, scene.dice, minted["token"])
    if after == 429:  # of an account that floods a refusal may come from memory for a second (ADR 7)
        time.sleep(1.5)
        after = scene.load.ask(person, scene.dice, minted["token"])
    if (revoked, after) != (204, 401) or before not in (200, 429):
        scene.faults.append(f"a token: {before} before it was revoked ({revoked}), {after} after")


HARD: dict[str, Disturbance] = {f"kill {name}": partial(kill, name) for name in NAMES} | {"full disk": full_disk}
"""After these processes begin anew, so their memory is judged after the last one."""
SOFT: dict[str, Disturbance] = {
    "clock +90 s": partial(clock_steps, CLOCK_STEP_SECONDS),
    "clock -90 s": partial(clock_steps, -CLOCK_STEP_SECONDS),
    "late store": late_store,
    "flood": flood,
    "revoked token": revoked_token,
}


def disturb(scene: Scene, name: str) -> None:
    """One disturbance and the recovery from it; what fails is noted in `scene.faults`."""
    try:
        (HARD | SOFT)[name](scene)
        scene.recovered()
    except (AssertionError, KeyError, OSError, requests.RequestException) as exc:
        scene.faults.append(f"{name}: {type(exc).__name__}: {str(exc)[:300]}")
        with suppress(AssertionError):
            scene.recovered()
    scene.done[name] = scene.done.get(name, 0) + 1
    if scene.system.process is None or not alive(scene.system.process.pid):
        raise SystemExit("soak: the whole system ended\n" + scene.system.output()[-3000:])
