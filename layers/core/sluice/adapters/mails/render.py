"""Renders a queued mail and its code. Links use the configured base URL only, never the request."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from sluice.adapters.mails.message import sender_of
from sluice.adapters.mails.wording import WORDING
from sluice.catalogues import catalogue
from sluice.domain.languages import ENGLISH
from sluice.domain.mails.mail import Mail, Message

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _environment(*, escape: bool) -> "Environment":
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("sluice.adapters.mails", "templates")
    return Environment(loader=loader, autoescape=escape, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 (HTML escapes)


def render(
    mail: Mail,
    code: str,
    *,
    base_url: str,
    sender: str,
    site: str = "Sluice",
    contact: str = "",
    languages: Sequence[str] = (ENGLISH,),
) -> Message:
    """`code` is empty for kinds without one. `sender` is the From header; the Message-ID uses its domain. `site`: the
    owner's name of it; `contact`: whom to ask, or empty; `languages`: that it offers, the first for mails of none."""
    wording = WORDING[mail.kind]
    base_url = base_url.rstrip("/")
    language = mail.language if mail.language in languages else languages[0]
    facts: dict[str, object] = {**mail.data, "base_url": base_url, "site": site, "contact": contact}
    facts |= {"language": language, "_": catalogue(language).gettext}
    if language != ENGLISH and (month := mail.data.get("month")):
        facts["period"] = f"{int(month) // 100}年{int(month) % 100}月"  # as both other languages write it
    link = f"{base_url}{wording.path}?token={quote(code)}" if wording.path else ""
    return Message(
        message_id=f"<{mail.mail_id}@{sender_of(sender).domain or 'localhost'}>",
        sender=sender,
        to=mail.to,
        subject=catalogue(language).gettext(wording.subject),
        text=_part(mail, "layout.txt", facts, link, escape=False),
        html=_part(mail, "layout.html", facts, link, escape=True),
        kind=mail.kind,
        mail_id=mail.mail_id,
    )


def _part(mail: Mail, layout: str, facts: dict[str, object], link: str, *, escape: bool) -> str:
    wording, environment = WORDING[mail.kind], _environment(escape=escape)
    said: Callable[[str], str] = facts["_"]  # type: ignore[assignment]

    def lines(sources: tuple[str, ...]) -> list[str]:
        rendered = [environment.from_string(said(source)).render(facts) for source in sources]
        # The lines are escaped already, so the layout must not escape them again.
        return [_markup(line) for line in rendered] if escape else rendered

    return environment.get_template(layout).render(
        **{name: facts[name] for name in ("base_url", "site", "contact", "language", "_")},
        subject=said(wording.subject),
        button=said(wording.button) if wording.button else "",
        link=link,
        before=lines(wording.before),
        after=lines(wording.after),
    )


def _markup(escaped: str) -> str:
    from markupsafe import Markup

    return Markup(escaped)  # noqa: S704 (its only caller escapes)
