"""Renders a queued mail and its code. Links use the configured base URL only, never the request."""

from email.utils import parseaddr
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from sluice.adapters.mails.wording import WORDING
from sluice.domain.mails.mail import Mail, Message

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _environment(*, escape: bool) -> "Environment":
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("sluice.adapters.mails", "templates")
    return Environment(loader=loader, autoescape=escape, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 (HTML escapes)


def render(mail: Mail, code: str, *, base_url: str, sender: str, site: str = "Sluice", contact: str = "") -> Message:
    """`code` is empty for kinds without one. `sender` is the From header; the Message-ID uses its domain. `site`: the
    owner's name of it; `contact`: whom to ask, or empty."""
    wording = WORDING[mail.kind]
    base_url = base_url.rstrip("/")
    facts: dict[str, object] = {**mail.data, "base_url": base_url, "site": site, "contact": contact}
    link = f"{base_url}{wording.path}?token={quote(code)}" if wording.path else ""
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    return Message(
        message_id=f"<{mail.mail_id}@{domain}>",
        sender=sender,
        to=mail.to,
        subject=wording.subject,
        text=_part(mail, "layout.txt", facts, link, escape=False),
        html=_part(mail, "layout.html", facts, link, escape=True),
        kind=mail.kind,
        mail_id=mail.mail_id,
    )


def _part(mail: Mail, layout: str, facts: dict[str, object], link: str, *, escape: bool) -> str:
    wording = WORDING[mail.kind]
    environment = _environment(escape=escape)

    def lines(sources: tuple[str, ...]) -> list[str]:
        rendered = [environment.from_string(source).render(facts) for source in sources]
        # The lines are escaped already, so the layout must not escape them again.
        return [_markup(line) for line in rendered] if escape else rendered

    return environment.get_template(layout).render(
        **{name: facts[name] for name in ("base_url", "site", "contact")},
        subject=wording.subject,
        button=wording.button,
        link=link,
        before=lines(wording.before),
        after=lines(wording.after),
    )


def _markup(escaped: str) -> str:
    from markupsafe import Markup

    return Markup(escaped)  # noqa: S704 (its only caller escapes)
