"""The pages that links in mails open. A GET shows a form and redeems nothing, because mail scanners follow links too;
the form's POST redeems the code. The code is a form field, so that no later request has it in its address."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import Response, request

from sluice.domain import errors
from sluice.http.accounts.requests import ResetPasswordBody, VerifyBody
from sluice.http.accounts.visitor import visitor
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import pages
from sluice.pages.render import page
from sluice.pages.words import later
from sluice.wiring.accounts import password_reset, verification

addresses = pages("mailed")  # served by the `verification` function
passwords = pages("reset")  # served by the `accounts` function


@dataclass(frozen=True)
class Link:
    """One kind of link: its texts, and what to offer when its code is invalid."""

    title: str
    button: str
    explanation: str
    done: str
    next_text: str
    again_text: str
    again_path: str
    only_newest: bool = True  # a newer mail makes older ones invalid


VERIFY = Link(
    later("Verify your email address"),
    later("Verify my address"),
    later("One click, and your account is ready."),
    later("Your address is verified."),
    later("Log in"),
    later("Send a new link"),
    "/resend-verification",
    only_newest=False,
)
RESET = Link(
    later("Set a new password"),
    later("Set new password"),
    later("You will be logged out on every device."),
    later("Your password is changed. You are logged out on every device, and every API token was revoked."),
    later("Log in with the new password"),
    later("Send a new link"),
    "/forgot-password",
)
RESET_KEPT = replace(
    RESET,
    done=later(
        "Your password is changed, and you are logged out on every device. Your API tokens still work: if someone "
        "else may know them, log in and revoke them all on the tokens page."
    ),
)
CHANGE = Link(
    later("Confirm your new email address"),
    later("Use this address"),
    later("You will log in with this address from then on. The old address gets a notice."),
    later("This is your account's address now. Log in with it from now on."),
    later("Log in"),
    later("Log in and ask again"),
    "/login",
)


@addresses.get("/verify-email")
def verify_form() -> Response:
    return _show(VERIFY, "code_form.html")


@addresses.post("/verify-email")
def verify() -> Response:
    return _redeem(VERIFY, _verify)


@addresses.get("/change-email")
def change_email_form() -> Response:
    return _show(CHANGE, "code_form.html")


@addresses.post("/change-email")
def change_email() -> Response:
    return _redeem(CHANGE, _verify)


def _verify() -> None:
    verification().redeem(forms.posted(VerifyBody).token, visitor())


@passwords.get("/reset-password")
def reset_form() -> Response:
    return _show(RESET, "reset_form.html")


@passwords.post("/reset-password")
def reset() -> Response:
    try:
        return _redeem(RESET_KEPT if "keep_tokens" in request.form else RESET, _reset)
    except errors.ValidationFailed as exc:  # a refused password does not spend the code
        form = forms.filled().with_problems(exc.problems)
        return page("reset_form.html", 422, link=RESET, code=request.form.get("token", ""), form=form)


def _reset() -> None:
    given = {name: request.form.get(name, "") for name in ("token", "password")}
    body = validated(ResetPasswordBody, given | {"keep_tokens": "keep_tokens" in request.form})
    password_reset().redeem(body.token, body.password, visitor(), keep_tokens=body.keep_tokens)


def _show(link: Link, template: str) -> Response:
    code = request.args.get("token", "")
    return page(template, link=link, code=code) if code else _dead(link)


def _redeem(link: Link, redeem: Callable[[], None]) -> Response:
    if not request.form.get("token"):
        return _dead(link)
    try:
        redeem()
    except errors.MailedCodeUsed:
        pass  # by a mail scanner that clicked, or a second click: the address is verified, and that is what was wanted
    except errors.MailedCodeInvalid:
        return _dead(link)
    return page("code_done.html", link=link)


def _dead(link: Link) -> Response:
    return page("code_dead.html", 400, link=link)
