"""What `sluice status` shows: a list of findings, each well or not."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from infra.watching.reading import Reading

MIB = 1 << 20
LEAST_FREE_BYTES = 500 * MIB
"""As `sluice doctor` has it."""
OLD_BACKUP_SECONDS = 2 * 86_400
CERTIFICATE_DAYS = 14
TLS_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """`said`: one line for people; `data`: the same for scripts."""

    name: str
    is_well: bool
    said: str
    data: object


def findings(now: Reading, now_s: float) -> Iterator[Finding]:
    """`now_s`: seconds since 1970."""
    version, base_url = now.label("sluice_info", "version"), now.label("sluice_info", "base_url")
    up_seconds = int(now_s - (now.of("sluice_started_timestamp_seconds") or now_s))
    known = {"url": now.url, "version": version, "up_seconds": up_seconds}
    yield Finding("up", True, f"{now.url}, version {version}, since {span(up_seconds)}", known)
    has_store = now.of("sluice_part_up", part="store") == 1
    yield Finding("store", has_store, "answers" if has_store else "does not answer: every call gets 503", has_store)
    yield _model(now)
    yield _engine(now)
    yield _mail(now)
    yield from _dead_letters(now)
    yield _backup(now, now_s)
    yield _disk(now)
    if base_url.startswith("https://"):
        yield certificate(base_url, now_s)


def span(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{int(seconds)} seconds"


def _model(now: Reading) -> Finding:
    states = {labels["model"]: labels["state"] for labels, _ in now.samples.get("sluice_model_state", ())}
    said = ", ".join(f"{model} ({state})" for model, state in states.items())
    if now.of("sluice_part_up", part="model") != 1:
        return Finding("models", False, "the model server does not answer: /v1 gets 503", states)
    return Finding("models", "failed" not in states.values(), said or "of other servers", states)


def _engine(now: Reading) -> Finding:
    slots, running, waiting = (now.of(f"sluice_engine_{name}") for name in ("slots", "running", "waiting"))
    admitted, queued = now.of("sluice_running_leases") or 0, now.of("sluice_waiting_requests") or 0
    engine = (
        "" if slots is None else f"; {running or 0:.0f} of {slots:.0f} slots, {waiting or 0:.0f} waiting in the engine"
    )
    data = {"running": admitted, "waiting": queued, "slots": slots, "in_slots": running, "in_engine_queue": waiting}
    return Finding("requests", True, f"{admitted:.0f} running, {queued:.0f} waiting for admission{engine}", data)


def _mail(now: Reading) -> Finding:
    kind, late = now.label("sluice_info", "mail"), now.of("sluice_late_mails")
    data = {"by": kind, "late": late}
    if late is None:
        return Finding("mail", False, f"by {kind}; the store does not say how many wait", data)
    waits = "none is late" if not late else f"{late:.0f} late: see logs/relay.log, and `sluice doctor`"
    return Finding("mail", not late, f"by {kind}, {waits}", data)


def _dead_letters(now: Reading) -> Iterator[Finding]:
    places = now.by("sluice_dead_letters", "place")
    if count := sum(places.values()):
        said = f"{count:.0f} failed for good: relay/{', '.join(name for name, number in places.items() if number)}"
        yield Finding("events", False, said, places)


def _backup(now: Reading, now_s: float) -> Finding:
    made_s = now.of("sluice_last_backup_timestamp_seconds")
    if made_s is None:
        return Finding("backup", True, "none yet: `sluice backup`", None)
    day = datetime.fromtimestamp(made_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Finding("backup", now_s - made_s <= OLD_BACKUP_SECONDS, f"{span(now_s - made_s)} ago ({day})", day)


def _disk(now: Reading) -> Finding:
    free, whole = now.of("sluice_disk_free_bytes") or 0, now.of("sluice_disk_bytes") or 0
    said = f"{free / MIB:,.0f} MiB free of {whole / MIB:,.0f} for {now.data}"
    return Finding("disk", free >= LEAST_FREE_BYTES, said, {"free_bytes": free, "bytes": whole})


def certificate(base_url: str, now_s: float) -> Finding:
    """Of the proxy at the public address."""
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port or 443
    try:
        plain = socket.create_connection((host, port), TLS_SECONDS)
        with plain, ssl.create_default_context().wrap_socket(plain, server_hostname=host) as shaken:
            until_s = ssl.cert_time_to_seconds(str((shaken.getpeercert() or {})["notAfter"]))
    except (OSError, ValueError, KeyError) as exc:
        return Finding("certificate", False, f"{host}:{port} cannot be checked: {exc}", None)
    days = int((until_s - now_s) // 86_400)
    until = datetime.fromtimestamp(until_s, UTC).strftime("%Y-%m-%d")
    return Finding("certificate", days >= CERTIFICATE_DAYS, f"of {host}, valid for {days} days, until {until}", until)
