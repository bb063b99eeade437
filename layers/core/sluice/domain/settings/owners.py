"""The form of `sluice.toml`, table by table. `check` in `checking.py` adds the rules between tables.

A number's unit is in its name. Amounts of dollars are texts, because a binary fraction is not exact; in the code they
are integers of micro-dollars (`parse_usd`).
"""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from sluice.domain.languages import LANGUAGES, Language
from sluice.domain.usage.pricing import dollars, parse_usd

MAX_LIMIT = 10**12
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@,*]+")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MODEL = r"^[!-~]{1,256}$"
DOMAIN = r"^[^\s@/:,*.-][^\s@/:,*]{0,252}\.[^\s@/:,*.]{2,63}$"
KEY = r"^(env:[A-Za-z_][A-Za-z0-9_]{0,255}|file:[^\s\x00-\x1f][^\x00-\x1f]{0,1000}|ssm:[A-Za-z0-9_./-]{1,1000})$"
PROVIDER = r"^[a-z0-9][a-z0-9-]{0,31}$"
SIGN = r"^(none|sigv4:[a-z0-9-]{1,64})$"
PRICE = r"^price_[A-Za-z0-9]{1,100}$"
API = r"^(https://[A-Za-z0-9.-]{1,200}|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?$"
REMEDIES = {
    NAME: "is no name. Write letters, digits, dots, - and _, 64 at most, and begin with a letter or digit.",
    MODEL: "is no name of a model. Write 1 to 256 characters of ASCII without blanks.",
    DOMAIN: 'is no domain of mail addresses. Write one such as "example.org".',
    KEY: 'must say where the key is, and not be the key. Write "env:NAME", "file:/a/path" or "ssm:NAME".',
    PROVIDER: "is no name of a provider. Write small letters, digits and -, 32 at most: it is part of an address.",
    SIGN: 'must be "none" or "sigv4:SERVICE", such as "sigv4:bedrock".',
    PRICE: 'is no id of a price of Stripe. Write one such as "price_1OxSluice"; a product has another id.',
    API: "is no https address without a path. Leave the key out, for Stripe's own.",
}


def is_origin(text: str) -> bool:
    """`*`, or a scheme and a host such as `https://app.example:8443`."""
    return text == "*" or ORIGIN.fullmatch(text.lower()) is not None


def _usd(given: Any) -> str:
    """The canonical text of an amount: `"0.10"`, at least two decimals and at most six."""
    whole, _, fraction = dollars(parse_usd(given)).partition(".")
    return f"{whole}.{fraction[:2]}{fraction[2:].rstrip('0')}"


def _origin(text: str) -> str:
    if not is_origin(text):
        raise ValueError('is neither "*" nor an origin. Write scheme and host only, such as "https://app.example"')
    return text.lower()


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or re.search(r"\s", text):
        raise ValueError('is no address of a server. Write one such as "https://api.example.com/v1"')
    if parts.username or parts.password:
        raise ValueError('has a password in the address. Leave it out, and name the secret in key = "env:NAME"')
    return text


def _issuer(text: str) -> str:
    """Without the path of the description, which many providers give instead."""
    text = _url(text).removesuffix("/.well-known/openid-configuration")
    host = urlsplit(text).hostname
    if not text.startswith("https://") and host not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError('is no https address. Write the provider\'s issuer, such as "https://accounts.example.com"')
    return text


Usd = Annotated[str, BeforeValidator(_usd, json_schema_input_type=str | float)]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_LIMIT)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(pattern=NAME)]
ModelName = Annotated[str, Field(pattern=MODEL)]
Origin = Annotated[str, AfterValidator(_origin)]
Domain = Annotated[str, Field(pattern=DOMAIN)]
Url = Annotated[str, Field(max_length=2000), AfterValidator(_url)]
Issuer = Annotated[str, Field(max_length=500), AfterValidator(_issuer)]
Secret = Annotated[str, Field(pattern=KEY)]
Sign = Annotated[str, Field(pattern=SIGN)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(Table):
    name: Text = Field("Sluice", description="the site's name, on pages and in mails")
    contact: Annotated[str, Field(max_length=254)] = Field("", description="an address for people with questions")
    languages: list[Language] = Field(
        list(LANGUAGES),
        min_length=1,
        max_length=3,
        description="of pages and mails, the first where nothing else decides",
    )
    sign_up: Literal["open", "domains", "invited", "closed"] = Field(
        "open",
        description="who may make an account: `open` (anyone), `domains` (addresses of `sign_up_domains`), "
        "`invited` (people with an invitation, which also works in the two before) or `closed` (nobody)",
    )
    sign_up_domains: list[Domain] = Field([], max_length=200, description="of mail addresses, with `sign_up = domains`")
    terms_url: Url | None = Field(
        None, description="your terms of use, which everybody who has an account must accept before anything else"
    )
    terms_version: Annotated[str, Field(max_length=40)] = Field(
        "", description="their version, such as a date; after another one everybody is asked again"
    )
    allowed_origins: list[Origin] = Field(
        [], max_length=200, description="origins whose pages may call the API from a browser; `*` (any) for /v1 only"
    )


class SignIn(Table):
    """A provider that people log in with (docs/sign-in.md)."""

    name: Annotated[str, Field(pattern=PROVIDER)] = Field(description="its name in the address that it leads back to")
    title: Text = Field(description="what people call it, on the buttons")
    kind: Literal["oidc", "github"] = Field(
        "oidc", description="`oidc`: any provider of OpenID Connect; `github`: GitHub, which is none"
    )
    issuer: Issuer | None = Field(
        None, description="its issuer, below which its description is; of `github`: a server of your own"
    )
    client_id: Text = Field(description="as the provider calls this site")
    key: Secret | None = Field(
        None, description="where the client's secret is: `env:NAME`, `file:PATH` or `ssm:NAME`; left out: there is none"
    )


class Upstream(Table):
    name: Name = Field(description="the name that a model's `upstreams` use")
    kind: Literal["engine", "openai", "http"] = Field(
        description="`engine`: the bundled engine; `openai`: a server with OpenAI's API; `http`: any model behind HTTP"
    )
    models: list[ModelName] = Field([], max_length=200, description="the server's names of its models; left out: any")
    pinned: list[ModelName] = Field(
        [], max_length=200, description="of the bundled engine: those of `models` that never make room for another"
    )
    url: Url | None = Field(None, description="of every kind but `engine`")
    protocol: Literal["plain", "v2"] = Field(
        "plain", description="of `http`; `plain`: a POST to `url`; `v2`: the Open Inference Protocol below `url`"
    )
    key: Secret | None = Field(None, description="where its key is: `env:NAME`, `file:PATH` or `ssm:NAME`")
    sign: Sign = Field("none", description="`sigv4:SERVICE` signs requests as AWS wants them")
    leaves_home: Flag = Field(False, description="a request marked local-only never goes here")
    daily_usd: Usd | None = Field(None, description="the most that it may cost a UTC day")
    prompt_usd: Usd | None = Field(
        None, description="what it costs you for a million prompt tokens; without prices: what callers pay"
    )
    completion_usd: Usd | None = Field(None, description="the same for completion tokens")
    cached_usd: Usd | None = Field(None, description="the same for prompt tokens that it held already")
    request_usd: Usd | None = Field(None, description="the same for each request")
    bytes_per_token: Annotated[int, Field(strict=True, ge=1, le=16)] = Field(
        2, description="to estimate a prompt's tokens where the server cannot count"
    )


class Model(Table):
    id: ModelName = Field(description="what callers name")
    aliases: list[ModelName] = Field([], max_length=50, description="other names that callers may use")
    upstreams: list[Annotated[str, Field(max_length=400)]] = Field(
        [], max_length=20, description="`UPSTREAM:MODEL`, in the order in which they are tried"
    )
    prompt_usd: Usd | None = Field(None, description="dollars for a million prompt tokens")
    completion_usd: Usd | None = Field(None, description="dollars for a million completion tokens")
    cached_usd: Usd | None = Field(None, description="for prompt tokens that the engine held already")
    request_usd: Usd | None = Field(None, description="dollars for each request")
    second_usd: Usd | None = Field(None, description="dollars for each second that an answer takes")
    max_seconds: Annotated[int, Field(strict=True, ge=1, le=3600)] | None = Field(
        None, description="the longest answer, which bounds what `second_usd` may cost"
    )
    batch_percent: Annotated[int, Field(strict=True, ge=0, le=1000)] | None = Field(
        None, description="what a row of a batch costs of these prices; left out: all of it, which is 100"
    )


class Plan(Table):
    """A limit that is left out is `SLUICE_DEFAULT_*`; 0 allows none."""

    name: Name = Field(description="the plan's name")
    default: Flag = Field(False, description="the plan of new accounts")
    rpm: Count | None = Field(None, description="requests a minute")
    tpm: Count | None = Field(None, description="model tokens a minute")
    concurrency: Count | None = Field(None, description="requests at once")
    monthly_tokens: Count | None = Field(None, description="model tokens a month")
    monthly_usd: Usd | None = Field(None, description="dollars a month")
    storage_mb: Count | None = Field(None, description="MiB of files")
    models: list[ModelName] | None = Field(None, max_length=200, description="left out: all models")
    price: Text | None = Field(None, description="what it costs, in words for people, such as € 20 a month")
    stripe_price: Annotated[str, Field(pattern=PRICE)] | None = Field(
        None, description="the id of Stripe's price: who subscribes to it has this plan (docs/payment.md)"
    )

    def limits(self) -> dict[str, int]:
        """The limits of admission that this plan names."""
        return self.model_dump(include={"rpm", "tpm", "concurrency", "monthly_tokens"}, exclude_none=True)


class Webhooks(Table):
    allow_private: Flag = Field(
        False, description="accounts may have webhooks at http addresses and inside your own network"
    )


class Payment(Table):
    """Payment by Stripe (docs/payment.md). Without `key` there is none."""

    key: Secret | None = Field(
        None, description="where Stripe's secret or restricted key is: `env:NAME`, `file:PATH` or `ssm:NAME`"
    )
    webhook_secret: Secret | None = Field(None, description="where the secret of the webhook endpoint is, likewise")
    api: Annotated[str, Field(pattern=API)] = Field(
        "https://api.stripe.com", description="another address of Stripe's API, for tests"
    )


# Who changes one can have a secret of this server sent to any address, or reach what is inside.
OPERATORS = ("sign_in", "upstreams", "webhooks", "payment")


class OwnersSettings(Table):
    site: Site = Field(default_factory=Site)
    sign_in: list[SignIn] = Field([], max_length=10)
    upstreams: list[Upstream] = Field([], max_length=50)
    models: list[Model] = Field([], max_length=200)
    plans: list[Plan] = Field([], max_length=50)
    webhooks: Webhooks = Field(default_factory=Webhooks)
    payment: Payment = Field(default_factory=Payment)

    def operators(self) -> dict[str, Any]:
        """The tables that only the operator changes."""
        return self.model_dump(include=set(OPERATORS), exclude_defaults=True)

    @property
    def default_plan(self) -> Plan | None:
        return next((plan for plan in self.plans if plan.default), None)
