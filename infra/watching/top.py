"""What `sluice top` shows of two readings, and the terminal that it is shown on."""

import os
import select
import shutil
import signal
import sys
import termios
import textwrap
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from infra.watching.reading import NotUp, Reading
from infra.watching.screen import span

MIB = 1 << 20
BAR_PLACES = 40
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, TO_LINES_END, TO_SCREENS_END = "\x1b[H", "\x1b[K", "\x1b[J"
QUIT = frozenset({"q", "Q", "\x1b", ""})
"""`""`: the terminal has gone."""


def frame(before: Reading, now: Reading, now_s: float) -> Iterator[str]:
    """The lines. Rates are those between the readings. `now_s`: seconds since 1970."""
    rates = _Rates(before, now)
    since_s = now.of("sluice_started_timestamp_seconds") or now_s
    yield f"sluice {now.label('sluice_info', 'version')} at {now.url}, up for {span(now_s - since_s)}"
    yield ""
    classes = rates.by_status()
    statuses = "  ".join(f"{name} {rate:.1f}" for name, rate in sorted(classes.items()) if rate)
    yield f"requests   {sum(classes.values()):10.1f} /s    {statuses}"
    refused = rates.of("sluice_refusals_total")
    yield f"answers    {rates.of('sluice_requests_total'):10.1f} /s    refused {refused:.1f} /s"
    kinds = rates.by("sluice_tokens_total", "kind")
    told = "  ".join(f"{kind} {rate:,.1f}" for kind, rate in sorted(kinds.items()))
    yield f"tokens     {sum(kinds.values()) - kinds.get('cached', 0):10,.1f} /s    {told}"
    decoded = rates.of("sluice_engine_decoded_tokens_total")
    yield f"engine     {decoded:10,.1f} tokens/s"
    quantiles = [rates.quantile("sluice_first_token_seconds", part) for part in (0.5, 0.95)]
    p50, p95 = ("-" if one is None else f"{one:.3f} s" for one in quantiles)
    yield f"to the first token: p50 {p50}, p95 {p95}"
    yield f"spend      {rates.of('sluice_spend_micro_usd_total') * 3600 / 1e6:10.4f} USD an hour"
    yield ""
    slots, running = now.of("sluice_engine_slots"), now.of("sluice_engine_running") or 0
    if slots is not None:
        taken = round(BAR_PLACES * running / slots) if slots else 0
        yield f"slots      [{'#' * taken:.<{BAR_PLACES}}] {running:.0f} of {slots:.0f}"
    waits = (("engine", "sluice_engine_waiting"), ("admission", "sluice_waiting_requests"))
    queues = ", ".join(f"{now.of(name) or 0:.0f} at the {where}" for where, name in waits)
    yield f"queue      {queues}; {now.of('sluice_running_leases') or 0:.0f} requests are admitted"
    models = [f"{labels['model']} ({labels['state']})" for labels, _ in now.samples.get("sluice_model_state", ())]
    yield f"models     {', '.join(models) or '-'}"
    yield ""
    memory = now.by("sluice_process_resident_bytes", "process")
    yield f"memory     {sum(memory.values()) / MIB:10,.0f} MiB"
    for name, used in sorted(memory.items(), key=lambda one: -one[1]):
        yield f"  {name:<12}{used / MIB:7,.0f} MiB"


class _Rates:
    """Of counters, per second. One that was reset, by a new start, has none."""

    def __init__(self, before: Reading, now: Reading) -> None:
        self._before, self._now = before, now
        self._seconds = max(1e-3, now.at_s - before.at_s)

    def of(self, name: str) -> float:
        return self._rate(self._now.of(name) or 0, self._before.of(name) or 0)

    def by(self, name: str, label: str) -> dict[str, float]:
        before = self._before.by(name, label)
        return {key: self._rate(value, before.get(key, 0)) for key, value in self._now.by(name, label).items()}

    def by_status(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for status, rate in self.by("sluice_http_requests_total", "status").items():
            found[f"{status[:1]}xx"] = found.get(f"{status[:1]}xx", 0) + rate
        return found

    def quantile(self, name: str, part: float) -> float | None:
        """As Prometheus's histogram_quantile(): linear in the bucket. None: nothing was observed."""
        counts = sorted((float(le), rate) for le, rate in self.by(f"{name}_bucket", "le").items())
        wanted = part * counts[-1][1] if counts else 0.0
        below, had = 0.0, 0.0
        for bound, count in counts:
            if count >= wanted > 0:
                return below if bound == float("inf") else below + (bound - below) * (wanted - had) / (count - had)
            below, had = bound, count
        return None

    def _rate(self, now: float, before: float) -> float:
        return max(0.0, now - before) / self._seconds


def watch(read: Callable[[], Reading], clock: Callable[[], float], every_s: float) -> None:
    """Draw until q, Escape or a signal. A system that goes away is said and waited for. Raises NotUp at the start."""
    before = now = read()
    lines = list(frame(before, now, clock()))
    with _screen() as woken:
        while True:
            until_s = time.monotonic() + every_s
            while (left_s := until_s - time.monotonic()) > 0:
                _draw([*lines, "", "q quits"])
                if _key(woken, left_s) in QUIT:
                    return
            try:
                before, now = now, read()
                lines = list(frame(before, now, clock()))
            except NotUp as exc:
                lines = textwrap.wrap(str(exc), shutil.get_terminal_size().columns)


def _draw(lines: Sequence[str]) -> None:
    width, height = shutil.get_terminal_size()
    shown = ["".join(one if one.isprintable() else "?" for one in line)[:width] for line in lines[:height]]
    sys.stdout.write(HOME + f"{TO_LINES_END}\n".join(shown) + TO_LINES_END + TO_SCREENS_END)
    sys.stdout.flush()


def _key(woken: int, seconds: float) -> str | None:
    """A pressed key; None at the end of the time, and when the window's size has changed."""
    ready = select.select([sys.stdin, woken], [], [], seconds)[0]
    if woken in ready:
        os.read(woken, 100)
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if sys.stdin in ready else None


@contextmanager
def _screen() -> Iterator[int]:
    """The terminal's other screen, keys without Enter, and a descriptor that can be read after a signal. All is as
    before in the end."""
    before = termios.tcgetattr(sys.stdin)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGWINCH, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        tty.setcbreak(sys.stdin)
        sys.stdout.write(ENTER)
        yield woken
    finally:
        with suppress(OSError, termios.error):  # the terminal may have gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
            sys.stdout.write(LEAVE)
            sys.stdout.flush()
