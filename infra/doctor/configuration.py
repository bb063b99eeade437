"""Checks settings, port, model and mail, and that they do not contradict each other."""

from __future__ import annotations  # the type checker only needs the engine's settings

import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.doctor.finding import Finding, note, ok, problem
from infra.local import config, ports, sluice_toml
from infra.local.errors import LaunchError
from infra.local.processes import recorded
from infra.local.settings_check import problems
from sluice.adapters.gateway.upstream_keys import key_at
from sluice.domain.errors import Unavailable

if TYPE_CHECKING:
    from functions.inference.settings import InferenceSettings
    from sluice.domain.settings.owners import OwnersSettings

CONNECT_SECONDS = 3.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def settings() -> Iterator[Finding]:
    wrong = problems()
    for line in wrong:
        yield problem(line)
    try:
        local = config.read()
    except LaunchError as exc:
        yield problem(str(exc))
        return
    if not wrong:
        yield ok("The settings are valid")
    yield from _owners(local)
    yield from _port(local)
    yield from _contradictions(local)
    yield from _mail(local)
    if local.store_url:
        yield from _reachable("The store (AWS_ENDPOINT_URL)", local.store_url)


def _owners(local: config.LocalConfig) -> Iterator[Finding]:
    if (file := sluice_toml.present()) is None:
        return
    try:
        found = sluice_toml.read(file)[0]
        sluice_toml.engine_variables(file, found)
    except sluice_toml.NotApplied as exc:
        yield problem(str(exc))
    else:
        yield ok(f"The owner's settings are right ({file})")
        yield from _payment(local, found)


def _payment(local: config.LocalConfig, found: OwnersSettings) -> Iterator[Finding]:
    """Where plans are sold (docs/payment.md)."""
    wanted = found.payment
    if not wanted.key or not wanted.webhook_secret:
        return
    for place in (wanted.key, wanted.webhook_secret):
        try:
            key_at(place)()
        except Unavailable:
            yield problem(f"Nothing can be paid: there is no secret at {place}, which [payment] names.")
    if not any(plan.stripe_price for plan in found.plans):
        yield note("Nothing is for sale: no plan has a stripe_price.", "docs/payment.md says where Stripe shows it.")
    if urlsplit(local.base_url).hostname in LOOPBACK:
        yield note(
            f"Stripe cannot reach {local.base_url}/payments/stripe: a plan follows its subscription when somebody "
            "comes back from paying, and not when it ends.",
            "Set SLUICE_BASE_URL to an address on the internet; for a test, `stripe listen` passes its events on.",
        )


def _port(local: config.LocalConfig) -> Iterator[Finding]:
    if recorded(local.data_dir / "run", "app") is not None:
        yield ok(f"Sluice runs on {local.data_dir} ")
        return
    try:
        ports.require_free(local.host, local.port)
    except LaunchError as exc:
        yield problem(str(exc)[0].upper() + str(exc)[1:])
    else:
        yield ok(f"Port {local.port} is free")


def _contradictions(local: config.LocalConfig) -> Iterator[Finding]:
    base = urlsplit(local.base_url)
    if config.is_loopback(local.host) and base.hostname not in LOOPBACK:
        yield note(
            f"Links in mails point to {local.base_url}, and Sluice listens on this machine only ({local.host}).",
            "That is right behind a proxy on this machine. Otherwise set SLUICE_HOST as well.",
        )
    if base.scheme == "https" and not os.environ.get("SLUICE_TRUSTED_PROXIES"):
        yield note(
            "SLUICE_BASE_URL is https, and no proxy is trusted: to the throttles all callers have the proxy's address.",
            "Set SLUICE_TRUSTED_PROXIES to the address from which the proxy calls; `sluice proxy` says which.",
        )
    if not config.is_loopback(local.host) and base.scheme == "http":
        yield note(
            f"Sluice is reachable from other machines ({local.host}) and SLUICE_BASE_URL is plain http.",
            "Passwords and tokens then travel unencrypted: use a TLS proxy, and set SLUICE_BASE_URL to its address.",
        )
    if base.hostname in ("127.0.0.1", "localhost") and base.port not in (None, local.port):
        yield note(f"Links in mails point to port {base.port}, and Sluice listens on {local.port}.")


def _mail(local: config.LocalConfig) -> Iterator[Finding]:
    if local.mail == "outbox":
        yield ok("Mails stay on this machine, in the outbox (SLUICE_MAIL sends them)")
    elif local.mail == "ses":
        yield note("Mails go out through Amazon SES.", "It needs AWS credentials and a verified SLUICE_MAIL_FROM.")
    else:
        yield from _reachable("The mail server (SLUICE_MAIL)", local.mail, default_port=25)


def _reachable(what: str, url: str, default_port: int = 80) -> Iterator[Finding]:
    """Does not print the whole address, because it may contain a password."""
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
    """Each model that a start would serve."""
    from pydantic import ValidationError

    from functions.inference.errors import ModelFileError
    from functions.inference.models.loading import Loader
    from functions.inference.models.memory import available_bytes
    from functions.inference.models.served import served_models

    try:
        wanted = _inference_settings()
        served = served_models(wanted, wanted.memory_mib << 20 if wanted.memory_mib else available_bytes())
    except (ValidationError, sluice_toml.NotApplied):
        return  # reported by settings()
    except ModelFileError as exc:
        yield problem(str(exc))
        return
    for one in served:
        try:
            if one.fault:
                raise ModelFileError(one.fault)
            Loader(wanted).check(one)
        except ModelFileError as exc:
            yield problem(str(exc))
        else:
            yield ok(f"The {'embedding ' if one.embeds else ''}model {one.name}: {one.path}")


def vectors() -> Iterator[Finding]:
    """Whether all documents have vectors of the model that was seen last."""
    import json

    from sluice.adapters.documents.blobs_folder import BUCKET
    from sluice.domain.documents.keys import EMBEDDING_STATE

    try:
        state = json.loads((config.data_dir() / BUCKET / EMBEDDING_STATE).read_bytes())
        model, done = str(state["model"]), state["after"] is None
    except (OSError, ValueError, LookupError, TypeError):
        return  # no document was embedded yet
    if done:
        yield ok(f"Documents are searched by meaning with {model}")
    else:
        yield note(
            f"Documents get new vectors with {model}, in the background while Sluice runs.",
            "Until its turn, a document is found by words only.",
        )


def _inference_settings() -> InferenceSettings:
    """With the models of sluice.toml. Raises ValidationError and NotApplied."""
    from functions.inference.settings import InferenceSettings

    named = {}
    if (file := sluice_toml.present()) is not None:
        named = sluice_toml.engine_variables(file, sluice_toml.read(file)[0])
    if not named:
        return InferenceSettings()
    return InferenceSettings(models=named["SLUICE_MODELS"], pinned=named["SLUICE_INFERENCE_PINNED"])
