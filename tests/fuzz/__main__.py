"""`make fuzz`: hostile requests of a seed against a running system, until the time is over (docs/security.md).

`SEED` (else a random one) and `SECONDS` (3600). First the corpus is replayed: every request that once found a fault. A
new fault is added to it. Status 1 if there was any.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from tests.books import disagreements, reconciled, settled
from tests.e2e.system import System
from tests.fuzz import checks
from tests.fuzz.cases import Case, Cases
from tests.fuzz.world import Reply, World

CORPUS = Path(__file__).with_name("corpus.json")
ROUND = 100  # cases with the same person
SWEEP_SECONDS = 5
MOST_FAULTS = 20
MODELS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses")


class Run:
    def __init__(self, world: World, seed: int) -> None:
        self.world, self.cases = world, Cases(seed)
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.admitted: set[str] = set()
        self.memory: list[dict[str, int]] = []
        self.processes = world.processes()

    def until(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for number, (name, case) in enumerate(self._all(), 1):
            if time.monotonic() > end or len(self.faults) >= MOST_FAULTS:
                break
            if fault := self.fault(case):
                self._report(name, fault, case)
            if number % ROUND == 0:
                self._next_round()

    def _all(self) -> Iterator[tuple[str, Case]]:
        for entry in json.loads(CORPUS.read_text()):
            yield entry["found"], Case.of(entry)
        for number in count():
            yield f"seed {self.cases.seed}, case {number}", self.cases.case(number)

    def fault(self, case: Case) -> str | None:
        replies = [self._sent(case)]
        answers = [checks.wrong_answer(replies[0].statuses, replies[0].body, case.raw)]
        while answers[-1] == f"status {checks.BUSY}" and len(answers) < 3:
            time.sleep(1)
            answers.append(self._wrong(case))
        if fault := checks.persists(answers):
            return fault
        if 401 in replies[0].statuses or 403 in replies[0].statuses:
            self.world.usable() or self.world.renew()
        spent = [replies[0].cpu_s]
        while checks.refused(replies[0].statuses) and checks.too_costly(spent) and len(spent) < 5:
            time.sleep(0.2)
            spent.append(self._sent(case).cpu_s)
        return checks.too_costly(spent) if checks.refused(replies[0].statuses) else None

    def _wrong(self, case: Case) -> str | None:
        reply = self._sent(case)
        return checks.wrong_answer(reply.statuses, reply.body, case.raw)

    def _sent(self, case: Case) -> Reply:
        reply = self.world.send(case)
        self.counts[str(reply.statuses[0] if reply.statuses else "silent")] += 1
        if (
            reply.statuses == [200]
            and case.target == "app"
            and case.head.startswith(tuple(f"POST {m}" for m in MODELS))
        ):
            self.admitted.add(reply.request_id)
        return reply

    def _next_round(self) -> None:
        self.faults += checks.not_alive(self.processes, now := self.world.processes())
        self.processes = now
        self.memory.append(self.world.memory())
        self.world.renew()

    def _report(self, name: str, fault: str, case: Case) -> None:
        self.faults.append(f"{name}: {fault}: {(case.head.split(chr(13))[0] or repr(case.body))[:120]}")
        print("fuzz: FAULT", self.faults[-1], flush=True)
        corpus = json.loads(CORPUS.read_text())
        if all(entry["found"] != name for entry in corpus):
            corpus.append({"found": name, "fault": fault, **case.as_json()})
            CORPUS.write_text(json.dumps(corpus, indent=1) + "\n")

    def close(self) -> None:
        """What only the end shows: processes, memory, books."""
        self._next_round()
        self.faults += checks.not_given_back(self.memory)
        books = settled(self.world.system, SWEEP_SECONDS)
        ledger = books.ledger()
        self.faults += disagreements(ledger, books.grants(), books.rolled_up())
        self.faults += checks.unrecorded(self.admitted, {record.request_id for record in ledger})
        if "0 differences" not in (said := reconciled(self.world.system)):
            self.faults.append(said)


def main(seed: int, seconds: float) -> int:
    print(f"fuzz: SEED={seed} SECONDS={seconds:.0f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder) / "data", {"SLUICE_SWEEP_SECONDS": str(SWEEP_SECONDS)})
        try:
            run = Run(World(system.start()), seed)
            run.until(seconds)
            run.close()
        finally:
            system.stop()
    print(f"fuzz: answers {dict(sorted(run.counts.items()))}; {len(run.admitted)} admitted", flush=True)
    for at in range(0, len(run.memory), max(1, len(run.memory) // 5)):
        sizes = ", ".join(f"{name} {size >> 20}" for name, size in run.memory[at].items())
        print(f"fuzz: MiB after {ROUND * (at + 1)} requests: {sizes}")
    for fault in run.faults:
        print("fuzz: FAULT", fault)
    return int(bool(run.faults))


if __name__ == "__main__":
    given = os.environ.get("SEED") or str(random.SystemRandom().randrange(10**6))
    sys.exit(main(int(given), float(os.environ.get("SECONDS") or 3600)))
