"""Forms that send a mail, and the page after them, to which they redirect, so that a reload sends no second mail.

The address is not in the page's own: the browser brings it along in a cookie, which is sent to this page only.
"""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote, unquote

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice import settings
from sluice.domain.errors import ValidationFailed
from sluice.http.accounts.requests import ForgotPasswordBody, RegisterBody, ResendBody
from sluice.pages import forms
from sluice.pages.links import at
from sluice.pages.render import page, see

Body = TypeVar("Body", RegisterBody, ResendBody, ForgotPasswordBody)
MAILED, SHOWN_WITHIN_S = "sluice_mailed", 600
MAX_CHARACTERS = 320


def mailing(model: type[Body], send: Callable[[Body], object], template: str) -> AnyResponse:
    """The same redirect for every address, known or not."""
    try:
        body = forms.posted(model)
        send(body)
    except ValidationFailed as exc:
        return page(template, 422, form=forms.filled().with_problems(exc.problems))
    answer = see(request.path, note="sent")
    answer.set_cookie(
        MAILED,
        quote(body.email),
        max_age=SHOWN_WITHIN_S,
        path=at(request.path),
        secure=settings.common().https,
        httponly=True,
        samesite="Lax",
    )
    return answer


def form_or_sent(template: str, why: str) -> Response:
    """The form, or what follows it. On a local run it names the outbox, as there is no mailbox."""
    if request.args.get("note") != "sent":
        return page(template)
    outbox = settings.common().local and settings.mailer().mail == "outbox"
    email = unquote(request.cookies.get(MAILED, ""))[:MAX_CHARACTERS]
    return page("mail_sent.html", email=email, why=why, outbox=outbox)
