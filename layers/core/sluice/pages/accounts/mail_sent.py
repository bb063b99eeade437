"""The page after a form that sends a mail."""

from flask import Response

from sluice import settings
from sluice.pages.render import page


def look_into_your_mail(email: str, why: str) -> Response:
    """The same page for every address, known or not. On a local run it names the outbox, as there is no mailbox."""
    outbox = settings.common().local and settings.mailer().mail == "outbox"
    return page("mail_sent.html", email=email, why=why, outbox=outbox)
