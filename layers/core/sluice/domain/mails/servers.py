"""Mail servers as `SLUICE_MAIL` writes them: `smtp://user:pass@host:port`, or a provider and its secret."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

FORM = "smtp://user:pass@host:port"
PORTS = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True)
class SmtpServer:
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False  # TLS from the start; STARTTLS is used whenever the server offers it
    provider: str = ""  # of PROVIDERS; empty: any other server


@dataclass(frozen=True)
class Provider:
    """`form`: how it is written in SLUICE_MAIL, also as an expression. `host`: with the region, if it has several.
    `user`: what everybody's is; empty: the URL's, or the secret itself. `selectors`: of its DKIM keys, as far as they
    are the same for everybody."""

    form: str
    pattern: str
    host: str
    user: str = ""
    selectors: tuple[str, ...] = ()


SECRET = r"(?P<password>[^:@/?#\s]+)"
BOTH = r"(?P<user>[^:@/?#\s]+):" + SECRET
# Source: each provider's page about SMTP, 2026. All of them offer STARTTLS on this port.
PROVIDER_PORT = 587
PROVIDERS: Mapping[str, Provider] = {
    "mailgun": Provider(
        "mailgun://USER:PASSWORD (of the EU: mailgun://USER:PASSWORD@eu)", BOTH + "(@(?P<region>eu))?",
        "smtp{region}.mailgun.org", selectors=("mx", "pic", "k1", "smtp", "mailo"),
    ),
    "postmark": Provider("postmark://TOKEN", SECRET, "smtp.postmarkapp.com", selectors=("pm",)),
    "resend": Provider("resend://KEY", SECRET, "smtp.resend.com", "resend", ("resend",)),
    "ses": Provider(
        "ses://USER:PASSWORD@REGION", BOTH + "@(?P<region>[a-z0-9-]+)", "email-smtp{region}.amazonaws.com"
    ),
}  # fmt: skip


def parse_mail_server(url: str) -> SmtpServer:
    """Raises ValueError without the URL in its message, because the URL holds a password."""
    scheme, _, rest = url.partition("://")
    if scheme in PROVIDERS:
        return _of_provider(scheme, rest)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise ValueError("the mail server's port is not a number from 1 to 65535") from exc
    if scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(
            f"a mail server is written as {FORM}, or as {', '.join(one.form for one in PROVIDERS.values())}"
        )
    if (parts.username or "") != "" and parts.password is None:
        raise ValueError(f"the mail server's user has no password: {FORM}")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return SmtpServer(parts.hostname, port or PORTS[scheme], user, password, scheme == "smtps")


def _of_provider(name: str, rest: str) -> SmtpServer:
    provider = PROVIDERS[name]
    said = re.fullmatch(provider.pattern, rest)
    if said is None:
        raise ValueError(f"it is written as {provider.form}, with special characters of the password as %XX")
    given = said.groupdict()
    password = unquote(given["password"])
    user = unquote(given.get("user") or provider.user) or password
    region = f".{given['region']}" if given.get("region") else ""
    return SmtpServer(provider.host.format(region=region), PROVIDER_PORT, user, password, provider=name)
