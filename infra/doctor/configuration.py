"""Settings that are wrong or contradict each other, the port, the model, the mail."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from infra.doctor.finding import Finding, note, ok, problem
from infra.local import config, ports
from infra.local.errors import LaunchError
from infra.local.processes import recorded
from infra.local.settings_check import problems

CONNECT_SECONDS = 3.0


def settings() -> Iterator[Finding]:
    wrong = problems()
    for line in wrong:
        yield problem(line)
    try:
        asked = config.read()
    except LaunchError as exc:
        yield problem(str(exc))
        return
    if not wrong:
        yield ok("The settings are valid")
    yield from _port(asked)
    yield from _contradictions(asked)
    yield from _mail(asked)
    if asked.store_url:
        yield from _reachable("The store (AWS_ENDPOINT_URL)", asked.store_url)


def _port(asked: config.LocalConfig) -> Iterator[Finding]:
    if recorded(asked.data_dir / "run", "app") is not None:
        yield ok(f"Sluice runs on {asked.data_dir} at this moment")
        return
    try:
        ports.require_free(asked.host, asked.port)
    except LaunchError as exc:
        yield problem(str(exc)[0].upper() + str(exc)[1:])
    else:
        yield ok(f"Port {asked.port} is free")


def _contradictions(asked: config.LocalConfig) -> Iterator[Finding]:
    base = urlsplit(asked.base_url)
    if config.is_loopback(asked.host) and base.hostname not in ("127.0.0.1", "localhost", "::1"):
        yield note(
            f"Links in mails point to {asked.base_url}, and Sluice listens on this machine only ({asked.host}).",
            "Right behind a proxy on this machine; else set SLUICE_HOST, too.",
        )
    if not config.is_loopback(asked.host) and base.scheme == "http":
        yield note(
            f"Sluice is reachable from other machines ({asked.host}) and SLUICE_BASE_URL is plain http.",
            "Passwords and tokens then travel unprotected: put a TLS proxy in front and give its https address.",
        )
    if base.hostname in ("127.0.0.1", "localhost") and base.port not in (None, asked.port):
        yield note(f"Links in mails point to port {base.port}, and Sluice listens on {asked.port}.")


def _mail(asked: config.LocalConfig) -> Iterator[Finding]:
    if asked.mail == "outbox":
        yield ok("Mails stay on this machine, in the outbox (SLUICE_MAIL sends them)")
    elif asked.mail == "ses":
        yield note("Mails go out through Amazon SES.", "It needs AWS credentials and a verified SLUICE_MAIL_FROM.")
    else:
        yield from _reachable("The mail server (SLUICE_MAIL)", asked.mail, default_port=25)


def _reachable(what: str, url: str, default_port: int = 80) -> Iterator[Finding]:
    """Never shows the address whole: it may hold a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else default_port)
    except ValueError as exc:
        yield problem(f"{what}: the address is wrong ({exc}).")
        return
    if not host:
        yield problem(f"{what}: the address names no host.")
        return
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as exc:
        yield problem(f"{what} at {host}:{port} cannot be reached: {exc.strerror or exc}.")
    else:
        yield ok(f"{what} at {host}:{port} can be reached")


def model() -> Iterator[Finding]:
    from pydantic import ValidationError

    from functions.inference.errors import ModelFileError
    from functions.inference.models.loading import checked_file
    from functions.inference.settings import InferenceSettings

    try:
        wanted = InferenceSettings()
        entry, path = checked_file(wanted.model, wanted)
    except ValidationError:
        return  # said with the settings
    except ModelFileError as exc:
        yield problem(str(exc))
    else:
        yield ok(f"The model {entry.name}: {path}")
