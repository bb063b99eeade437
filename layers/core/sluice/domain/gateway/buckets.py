"""The token bucket as GCRA (ITU-T I.371 annex A): one integer, the theoretical arrival time `tat_ns`.

A bucket of capacity L is refilled with L a minute. Its level is the rest of the window after `tat_ns - now_ns`:

    now                         tat              now + WINDOW
     |------- taken ------------|------ free ---------|

`tat_ns <= now_ns` is a full ("idle") bucket. Units are given back by `tat_ns - unused_ns`, without a bound: a value in
the past is a full bucket, and the next charge starts from `now_ns`, so a bucket never holds more than L.
"""

WINDOW_NS = 60_000_000_000
SECOND_NS = 1_000_000_000


def charge_ns(cost_units: int, limit_per_minute: int) -> int:
    """Nanoseconds by which `cost_units` move `tat_ns`, rounded down, so that a bucket of L a minute holds L units."""
    return cost_units * WINDOW_NS // limit_per_minute


def take(tat_ns: int, charged_ns: int, now_ns: int) -> int:
    return max(tat_ns, now_ns) + charged_ns


def wait_ns(tat_ns: int, charged_ns: int, now_ns: int) -> int:
    """Nanoseconds until the charge fits, if nothing else is charged; 0 if it fits now."""
    return max(0, max(tat_ns, now_ns) + charged_ns - WINDOW_NS - now_ns)


def remaining_units(tat_ns: int, limit_per_minute: int, now_ns: int) -> int:
    free_ns = WINDOW_NS - min(WINDOW_NS, max(0, tat_ns - now_ns))
    return free_ns * limit_per_minute // WINDOW_NS


def full_in_ns(tat_ns: int, now_ns: int) -> int:
    return max(0, tat_ns - now_ns)
