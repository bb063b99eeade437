"""What counts as a fault. Pure, so that each is proven on a planted fault (`tests/unit/infra/test_fuzz.py`)."""

from collections.abc import Mapping, Sequence

from tests.slowness import within

MOST_CPU_S = 0.050
BUSY = 503  # admission may be busy: a fault only when it comes three times in a row
SILENT = "no answer"
UNKNOWN_CODING = 501  # what RFC 9112, 6.1 asks for, where a mutated head names a transfer coding that does not exist
NOT_MET = 502  # the model broke the schema of its answer twice; nothing else has this status
INTERNAL = b'"internal_error"'  # how an event stream tells what would have been a 500
MOST_GROWTH = 48 * 2**20


def wrong_answer(statuses: Sequence[int], body: bytes, raw: bool) -> str | None:
    """`statuses`: of all answers on the connection."""
    if not statuses:
        return None if raw else SILENT
    worst = max(statuses)
    if worst >= 500 and worst != NOT_MET and not (raw and worst == UNKNOWN_CODING):
        return f"status {worst}"
    broken = b"text/event-stream" in body[:2000] and INTERNAL in body
    return "an internal error in a stream" if broken else None


def persists(answers: Sequence[str | None]) -> str | None:
    """The fault, if all the answers to one request were a 503; or one that was worse."""
    worse = [fault for fault in answers if fault and fault != f"status {BUSY}"]
    if worse:
        return worse[0]
    return answers[-1] if len(answers) >= 3 and all(answers) else None


def refused(statuses: Sequence[int]) -> bool:
    return bool(statuses) and all(400 <= status < 500 for status in statuses)


def too_costly(spent_s: Sequence[float]) -> str | None:
    """CPU of one request, measured several times. The least counts, because what runs beside it only adds."""
    least = min(spent_s)
    return None if within(least, MOST_CPU_S) else f"{least * 1000:.0f} ms of CPU before a refusal"


def not_given_back(samples: Sequence[Mapping[str, int]]) -> list[str]:
    """`samples`: bytes of each process, at rest, after equally many requests. It leaks if even the least of the last
    quarter is far above the most of the second quarter. The first quarter fills caches."""
    if len(samples) < 8:
        return []
    quarter, found = len(samples) // 4, []
    for name in samples[-1]:
        before = max(sample[name] for sample in samples[quarter : 2 * quarter])
        after = min(sample[name] for sample in samples[-quarter:])
        if after - before > MOST_GROWTH:
            found.append(f"{name} grew from {before >> 20} to {after >> 20} MiB")
    return found


def not_alive(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """`before`, `now`: what identifies the process of each name."""
    return [f"{name} died or was restarted" for name, process in before.items() if now.get(name) != process]


def unrecorded(answered: set[str], recorded: set[str]) -> list[str]:
    """Ids of requests that the model answered, against those of the ledger."""
    return [f"request {one} has no ledger record" for one in sorted(answered - recorded)]
