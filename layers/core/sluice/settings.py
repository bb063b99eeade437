"""Settings: frozen classes, read from the environment at their first use, never at import.

A test compares them with the tables of settings in `docs/api.md` and `docs/local.md`.
"""

import re
from functools import cache, cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sluice.environment import Settings


class Common(Settings):
    """The settings of every function."""

    table_prefix: str = "sluice-"
    base_url: str = Field("http://127.0.0.1:8080", description="what links in mails point to; never the Host header")
    issuer: str = Field("sluice", description="`iss` of API tokens; constant, so that a new port invalidates no token")
    data_dir: Path = Field(Path(".sluice"), description="keys, store and logs of a local run")
    service: str = Field("sluice", description="the function's name, in its metrics")
    metrics_namespace: str = Field("Sluice", description="CloudWatch's namespace, one for each deployment")
    local: bool = Field(False, description="a one-machine run: /_local and /metrics exist")
    admin_command: str = Field("sluice admin create you@example.org", description="what makes the first admin there")

    allowed_origins: str = Field(
        "", description="origins, comma-separated, whose pages may call the API from a browser; `*` (any) for /v1 only"
    )

    run_queue_url: str = Field("", description="on AWS: the queue of runs; empty: a folder in `data_dir`")

    webhook_queue_url: str = Field("", description="on AWS: the queue of webhooks; empty: a folder in `data_dir`")
    batch_queue_url: str = Field("", description="on AWS: the queue of batches; empty: a folder in `data_dir`")

    base_url_parameter: str = Field("", description="on AWS: the SSM parameter that holds the base URL instead")

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        for origin in filter(None, (part.strip() for part in text.split(","))):
            if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/?#@,*]+", origin.lower()):
                raise ValueError(f"{origin!r} is neither * nor an origin such as https://app.example")
        return text

    @cached_property
    def origins(self) -> frozenset[str]:
        return frozenset(origin.strip().lower() for origin in self.allowed_origins.split(","))

    @property
    def https(self) -> bool:
        """On AWS the base URL is always https, so this needs no call to SSM."""
        return bool(self.base_url_parameter) or self.base_url.startswith("https://")


class NewAccounts(Common):
    """The limits of a new account. The gateway also guesses them for an account that it has not seen yet."""

    default_rpm: int = Field(60, ge=0, description="requests a minute for new accounts; 0 = none allowed")
    default_tpm: int = Field(40_000, ge=0)
    default_concurrency: int = Field(4, ge=0)
    default_monthly_tokens: int = Field(1_000_000, ge=0)


class Accounts(NewAccounts):
    auth_throttle: bool = Field(True, description="`off` for test suites that log in a thousand times")
    session_hours: int = Field(24 * 14, ge=1)
    trusted_proxies: str = Field("", description="networks, comma-separated, whose X-Forwarded-For is trusted")

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        for network in filter(None, (part.strip() for part in text.split(","))):
            ip_network(network, strict=False)  # its ValueError quotes the invalid network
        return text


class Keys(Common):
    """Where the keys are: names of SSM parameters on AWS; if empty, files in `data_dir/keys`."""

    signing_key_parameter: str = Field("", description="SecureString: the API tokens' Ed25519 key, PEM")
    mailed_code_key_parameter: str = Field("", description="SecureString: 32 bytes, base64")
    jwks_parameter: str = Field("", description="the public keys, a JSON Web Key Set")


class Mailer(Common):
    mail: str = Field(
        "outbox", description="`outbox`, `ses`, `smtp://user:pass@host:port`; on AWS `smtp`: see smtp_url_parameter"
    )
    mail_from: str = "Sluice <no-reply@localhost>"
    smtp_url_parameter: str = Field("", description="SecureString: `smtp://user:pass@host:port`")
    dkim_selector: str = Field("", pattern=r"^[A-Za-z0-9-]*$", description="of the key that signs mails by SMTP")
    ses_configuration_set: str = Field("", description="where SES publishes bounces; empty: the identity's default")


class Bounces(Common):
    mail_notices_secret: str = Field(
        "", description="proves the provider's notices: Postmark's password, Mailgun's signing key, Resend's whsec_…"
    )
    mail_notices_secret_parameter: str = Field("", description="on AWS: the SecureString that holds it")


def model_names(text: str) -> dict[str, str]:
    """`NAME` or `NAME=THEIRS`, comma-separated → the owner's name of each model and the server's. Raises ValueError."""
    names: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, theirs = part.partition("=")
        if not re.fullmatch(r"[!-~]{1,256}", name) or not re.fullmatch(r"([!-~]{1,256})?", theirs) or name in names:
            raise ValueError(f"{part!r} is not NAME or NAME=THEIRS without blanks, or is named twice")
        names[name] = theirs or name
    return names


class Gateway(NewAccounts):
    inference_url: str = "http://127.0.0.1:8081"
    inference_auth: Literal["auto", "iam", "none"] = Field(
        "auto",
        description="`iam`: sign requests to the model (SigV4); `auto`: those to a function URL or to Bedrock",
    )
    inference_service: Literal["auto", "lambda", "execute-api", "bedrock"] = Field(
        "auto", description="whose signatures the model server checks; `auto`: its host says so"
    )
    inference_models: str = Field(
        "", description="`NAME` or `NAME=THEIRS`, comma-separated, of a model server that lists no models (Bedrock)"
    )
    default_max_tokens: int = Field(512, ge=1)
    v1_places: int = Field(512, ge=1, description="requests on /v1 that this process serves at once; more get 503")
    v1_waiting: int = Field(
        512, ge=0, description="requests that may wait for their turn (`Prefer: wait`); not on AWS Lambda"
    )
    upstream_connect_seconds: float = 2.0
    upstream_idle_seconds: float = Field(30.0, description="longest silence of the model, which sends a ping every 2 s")
    request_deadline_seconds: float = 600.0
    whole_answer_seconds: float = Field(
        600.0, description="deadline of an answer that is not streamed, if it is sooner"
    )
    content_days: int = Field(30, ge=1, description="how long stored prompts and responses are kept")
    trace_callers: bool = Field(False, description="a caller's `traceparent` is the parent of our trace, not a link")

    @field_validator("inference_models")
    @classmethod
    def _named_models(cls, text: str) -> str:
        model_names(text)
        return text


class Documents(Common):
    """Files, vector stores and their search."""

    default_storage_mb: int = Field(100, ge=0, description="MiB of files an account may hold; more get 413")
    batch_file_mb: int = Field(
        100, ge=4, le=1024, description="MiB of a file of purpose `batch`; on AWS Lambda in parts of 4"
    )
    documents_bucket: str = Field("", description="the S3 bucket of a deployment; empty: a folder in `data_dir`")
    search_url: str = Field("", description="URL of the `search` function; empty: search in this process")
    embedding_model: str = Field(
        "auto", description="searches by meaning; `auto`: with the one that the model server has; empty: by words only"
    )
    embedding_floor: float | None = Field(
        None, ge=-1, le=1, description="least cosine of a match, instead of what the model and each store give"
    )

    @field_validator("embedding_floor", mode="before")
    @classmethod
    def _empty_is_none(cls, text: object) -> object:
        return None if text == "" else text


class Events(Common):
    event_bus: str = Field("", description="on AWS: the bus of EventBridge that gets domain events; empty: none does")


class Admin(Common):
    dead_letter_queues: str = Field("", description="on AWS: URLs of the dead-letter queues, comma-separated")


@cache
def common() -> Common:
    return Common()


@cache
def accounts() -> Accounts:
    return Accounts()


@cache
def keys() -> Keys:
    return Keys()


@cache
def mailer() -> Mailer:
    return Mailer()


@cache
def bounces() -> Bounces:
    return Bounces()


@cache
def gateway() -> Gateway:
    return Gateway()


@cache
def documents() -> Documents:
    return Documents()


@cache
def events() -> Events:
    return Events()


@cache
def admin() -> Admin:
    return Admin()
