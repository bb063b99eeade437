"""Forms that send a mail, and the page after them."""

from collections.abc import Callable
from typing import TypeVar

from flask import Response

from sluice import settings
from sluice.domain.errors import ValidationFailed
from sluice.http.accounts.requests import ForgotPasswordBody, RegisterBody, ResendBody
from sluice.pages import forms
from sluice.pages.render import page

Body = TypeVar("Body", RegisterBody, ResendBody, ForgotPasswordBody)


def mailing(model: type[Body], send: Callable[[Body], object], why: str) -> Response:
    """The same page for every address, known or not. On a local run it names the outbox, as there is no mailbox."""
    try:
        body = forms.posted(model)
        send(body)
    except ValidationFailed as exc:
        return page(f"{why.replace('-', '_')}.html", 422, form=forms.filled().with_problems(exc.problems))
    outbox = settings.common().local and settings.mailer().mail == "outbox"
    return page("mail_sent.html", email=body.email, why=why, outbox=outbox)
