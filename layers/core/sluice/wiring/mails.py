"""Mails: the use cases, each bound to its stores once a process."""

from __future__ import annotations  # a function imports only the use cases that it serves

from typing import TYPE_CHECKING

from sluice import settings
from sluice.once import once
from sluice.wiring import peers, stores
from sluice.wiring.settings import site

if TYPE_CHECKING:
    from sluice.domain.mails.mail import Mail, Message
    from sluice.services.mails.quota import QuotaMails
    from sluice.services.mails.send import Mailer, StuckMails
    from sluice.services.mails.suppress import Suppressions
    from sluice.services.mails.throttle import MailThrottle


@once
def mail_throttle() -> MailThrottle:
    from sluice.services.mails.throttle import MailThrottle

    return MailThrottle(stores.throttles())


@once
def mailer() -> Mailer:
    from sluice.services.mails.send import Mailer

    return Mailer(
        stores.mail_store(), peers.mail_sender(), _render, suppressions(), peers.mailed_code_key, peers.now_ms
    )


def _render(mail: Mail, code: str) -> Message:
    from sluice.adapters.mails.render import render

    now = site()
    known = {"base_url": peers.base_url(), "site": now.name, "contact": now.contact, "languages": now.languages}
    return render(mail, code, sender=settings.mailer().mail_from, **known)


@once
def stuck_mails() -> StuckMails:
    from sluice.services.mails.send import StuckMails

    return StuckMails(stores.mail_store())


@once
def suppressions() -> Suppressions:
    from sluice.services.mails.suppress import Suppressions

    return Suppressions(stores.account_store())


@once
def quota_mails() -> QuotaMails:
    from sluice.services.mails.quota import QuotaMails

    return QuotaMails(stores.hot_store(), stores.account_store(), stores.mail_store())
