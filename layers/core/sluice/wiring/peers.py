"""Everything except stores: model server, mail, keys, metrics; each built once a process."""

from __future__ import annotations  # only the type checker needs the ports, and importing them slows a cold start

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sluice import settings
from sluice.once import once

if TYPE_CHECKING:
    from sluice.adapters.gateway.upstream import HttpUpstream
    from sluice.adapters.tokens.jwt_tokens import Verifier
    from sluice.ports.accounts import Passkeys, PasswordHashes, SecretBox
    from sluice.ports.gateway import Upstream
    from sluice.ports.mails import MailSender
    from sluice.ports.tokens import TokenSigner
    from sluice.ports.usage import DeadLetters, Metrics, Tracing

log = logging.getLogger("sluice.tracing")

COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def base_url() -> str:
    """The base of links, without a slash at the end. Errors: Unavailable."""
    return _base_url()()


@once
def _base_url() -> Callable[[], str]:
    wanted = settings.common()
    if not wanted.base_url_parameter:
        fixed = wanted.base_url.rstrip("/")
        return lambda: fixed
    from sluice.adapters.aws.base_url import ParameterUrl
    from sluice.adapters.aws.ssm import parameter

    return ParameterUrl(wanted.base_url_parameter, parameter, time.monotonic)


@once
def dead_letters() -> DeadLetters:
    from sluice.adapters.aws.dead_letters import DeadLetterFile, DeadLetterQueues

    queues = [url.strip() for url in settings.admin().dead_letter_queues.split(",") if url.strip()]
    return DeadLetterQueues(queues) if queues else DeadLetterFile(settings.common().data_dir)


@once
def upstream() -> Upstream:
    return _upstream(settings.gateway().upstream_idle_seconds)


def _upstream(idle_seconds: float) -> HttpUpstream:
    from sluice.adapters.gateway.function_url import is_bedrock, sign_for
    from sluice.adapters.gateway.upstream import HttpUpstream

    wanted = settings.gateway()
    url, service = wanted.inference_url, wanted.inference_service
    about: dict[str, Any] = {
        "connect_seconds": wanted.upstream_connect_seconds,
        "idle_seconds": idle_seconds,
        "sign": sign_for(url, wanted.inference_auth, service),
    }
    names = settings.model_names(wanted.inference_models)
    if not names:
        return HttpUpstream(url, **about)
    from sluice.adapters.gateway.named_models import NamedModels

    return NamedModels(url, names, chat_only=is_bedrock(url, service), **about)


@once
def model_health() -> HttpUpstream:
    """The model server for `/healthz`, with its own connections and a short timeout."""
    return _upstream(idle_seconds=2.0)


@once
def password_hashes() -> PasswordHashes:
    from sluice.adapters.accounts.passwords import Passwords

    return Passwords()


@once
def common_passwords() -> Mapping[str, int]:
    """Case-folded password → rank by frequency."""
    from sluice.adapters.accounts.passwords import common_passwords

    return common_passwords()


def mailed_code_key() -> bytes:
    """The secret that mailed codes are derived from. Errors: Unavailable."""
    from sluice.adapters.tokens.keys import mailed_code_key

    return mailed_code_key()


@once
def secret_box() -> SecretBox:
    """For what is stored encrypted. Its key is read when it is first used."""
    from sluice.adapters.accounts.secret_box import AesGcmBox

    return AesGcmBox(mailed_code_key)


@once
def passkeys() -> Passkeys:
    from sluice.adapters.accounts.passkeys import WebAuthn

    return WebAuthn(base_url)


@once
def token_verifier() -> Verifier:
    """Holds public keys only."""
    from sluice.adapters.tokens.jwt_tokens import Verifier
    from sluice.adapters.tokens.keys import public_keys

    return Verifier(public_keys(), settings.common().issuer)


@once
def token_signer() -> TokenSigner:
    """Holds the private key, so only the `tokens` function may call it."""
    from sluice.adapters.tokens.jwt_tokens import Signer
    from sluice.adapters.tokens.keys import signing_key

    return Signer(signing_key(), settings.common().issuer)


@once
def metrics() -> Metrics:
    """Prometheus on one machine, CloudWatch's embedded format on AWS. Prometheus reads its variable at import."""
    if settings.common().local:
        from sluice.adapters.usage.metrics_prometheus import PrometheusMetrics

        return PrometheusMetrics()
    from sluice.adapters.usage.metrics_emf import EmfMetrics

    return EmfMetrics(settings.common().service, settings.common().metrics_namespace)


@once
def tracing() -> Tracing | None:
    """OpenTelemetry's, where its own variables name a collector; elsewhere nothing of it is imported."""
    if not any(os.environ.get(name) for name in COLLECTORS):
        return None
    try:
        from sluice.adapters.usage.tracing import OtelTracing
    except ModuleNotFoundError:
        log.warning("no traces: a collector is named, but OpenTelemetry is not installed; `make otel` installs it")
        return None
    return OtelTracing(believe_callers=settings.gateway().trace_callers)


@once
def mail_notices_secret() -> str:
    """What proves a provider's notices; empty: none are taken. Errors: Unavailable."""
    wanted = settings.bounces()
    if not wanted.mail_notices_secret_parameter:
        return wanted.mail_notices_secret
    from sluice.adapters.aws.ssm import parameter

    return parameter(wanted.mail_notices_secret_parameter, missing="")


@once
def mail_sender() -> MailSender:
    """By SLUICE_MAIL: the local outbox, SES, or a server by SMTP. Errors: ValueError for any other value."""
    wanted = settings.mailer().mail
    if wanted == "outbox":
        from sluice.adapters.mails.outbox import Outbox

        return Outbox(settings.common().data_dir)
    if wanted == "ses":
        from sluice.adapters.mails.ses import SesMail

        return SesMail(settings.mailer().ses_configuration_set)
    from sluice.adapters.mails.signing import Signer, key_file
    from sluice.adapters.mails.smtp import SmtpMail
    from sluice.domain.mails.servers import parse_mail_server

    if wanted == "smtp":  # on AWS, where the URL holds a password that must not be in a function's environment
        from sluice.adapters.aws.ssm import parameter

        wanted = parameter(settings.mailer().smtp_url_parameter)
    selector = settings.mailer().dkim_selector
    signer = Signer(selector, key_file(settings.common().data_dir, selector)) if selector else None
    return SmtpMail(parse_mail_server(wanted), signer=signer)
