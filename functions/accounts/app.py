"""`/auth/…` and `/account…`: login and logout, sessions, passwords, one's own profile."""

from functools import partial

import email_validator  # noqa: F401  # during INIT, because every login needs it
from flask import Blueprint, Response

from sluice.domain import errors
from sluice.http.accounts.requests import (
    AccountInfo,
    ChangeEmailBody,
    ChangePasswordBody,
    DeleteAccountBody,
    EmailChangeRequested,
    ForgotPasswordBody,
    LoginAnswer,
    LoginBody,
    LoginResult,
    PasswordChanged,
    ResetPasswordBody,
    ResetRequested,
    SessionInfo,
    SessionList,
    UpdateAccountBody,
    UpdatedAccount,
)
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller, now_ms
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation
from sluice.http.session_cookie import with_session, without_session
from sluice.http.spool import spooled
from sluice.pages.accounts import account as account_pages
from sluice.pages.accounts import language as language_pages
from sluice.pages.accounts import login as login_pages
from sluice.pages.accounts import mailed
from sluice.services.accounts.sign_in import FactorRequired
from sluice.wiring import accounts as rarely_used  # not built during INIT
from sluice.wiring.accounts import email_change, login, password_reset, passwords, profile, sessions

blueprint = Blueprint("accounts", __name__)
blueprint.register_blueprint(login_pages.blueprint)
blueprint.register_blueprint(account_pages.blueprint)
blueprint.register_blueprint(language_pages.blueprint)
blueprint.register_blueprint(mailed.passwords)
AUTH = "Authentication"
documented = partial(operation, tag="Account", auth=Auth.SESSION)
BY_PASSWORD = (errors.TooManyAttempts, errors.Overloaded, errors.StoreUnavailable)


@blueprint.post("/auth/login")
@operation(
    "Log in",
    tag=AUTH,
    answers={200: LoginResult},
    errors=(errors.InvalidCredentials, errors.EmailNotVerified, errors.AccountSuspended, *BY_PASSWORD),
    description="Sets the cookie `sluice_session`; programs send the session token as a bearer instead. An account "
    "with a second factor gets no session yet but a `challenge`, for `POST /auth/login/factor`.",
)
def log_in(body: LoginBody) -> Response:
    logged_in = login().log_in(body.email, body.password, visitor())
    if isinstance(logged_in, FactorRequired):
        required = LoginResult.required(logged_in)
        return Response(required.model_dump_json(exclude_none=True), 200, mimetype="application/json")
    answer = LoginAnswer.of(logged_in.account, logged_in.new)
    response = Response(answer.model_dump_json(), 200, mimetype="application/json")
    return with_session(response, logged_in.new.session_token)


@blueprint.post("/auth/logout")
@operation("Log out", tag=AUTH, auth=Auth.BEFORE_TERMS, answers={204: None})
def log_out(caller: Caller) -> Response:
    sessions().end(caller.account_id, caller.session_id)
    return without_session(Response(status=204))


@blueprint.post("/auth/forgot-password")
@operation(
    "Ask for a mail to reset a forgotten password",
    tag=AUTH,
    status=202,
    errors=(errors.TooManyAttempts, errors.StoreUnavailable),
    description="The same answer for every address, known or not.",
)
def forgot_password(body: ForgotPasswordBody) -> ResetRequested:
    password_reset().request(body.email, visitor())
    return ResetRequested()


@blueprint.post("/auth/reset-password")
@operation(
    "Set a new password with a mailed code",
    tag=AUTH,
    errors=(errors.MailedCodeInvalid, *BY_PASSWORD),
    description="Single use. Ends every session, and revokes every API token unless `keep_tokens` is true.",
)
def reset(body: ResetPasswordBody) -> PasswordChanged:
    password_reset().redeem(body.token, body.password, visitor(), keep_tokens=body.keep_tokens)
    return PasswordChanged()


@blueprint.post("/auth/change-password")
@operation(
    "Change one's own password",
    tag=AUTH,
    auth=Auth.SESSION,
    errors=(errors.InvalidCredentials, errors.Conflict, *BY_PASSWORD),
    description="Ends every other session.",
)
def change(caller: Caller, body: ChangePasswordBody) -> PasswordChanged:
    passwords().change(caller.account_id, caller.session_id, body.current_password, body.new_password, visitor())
    return PasswordChanged()


@blueprint.post("/auth/change-email")
@operation(
    "Ask for another email address",
    tag=AUTH,
    auth=Auth.SESSION,
    status=202,
    errors=(errors.InvalidCredentials, *BY_PASSWORD),
    description="The new address gets a mailed code. The old address stays until the code is redeemed, by "
    "`POST /auth/verify-email` or on the page that the mail links to; then the old address gets a notice. The answer "
    "is the same if another account has the new address.",
)
def change_address(caller: Caller, body: ChangeEmailBody) -> EmailChangeRequested:
    email_change().request(caller.account_id, body.new_email, body.password, visitor(), is_fresh=caller.is_fresh)
    return EmailChangeRequested()


@blueprint.get("/account")
@documented("One's own account, its limits and its month", auth=Auth.BEFORE_TERMS, errors=(errors.NotFound,))
def account(caller: Caller) -> AccountInfo:
    return AccountInfo.of_overview(profile().overview(caller.account_id, now_ms()))


@blueprint.patch("/account")
@documented(
    "Change one's name, language, mails, or whether prompts and responses are kept; accept the terms of use",
    auth=Auth.BEFORE_TERMS,
    errors=(errors.NotFound, errors.Conflict),
    description="Omitted fields stay unchanged. `store_content` applies to requests that begin from now on. `terms` is "
    "the version that `GET /account` names; 409 when it is another by now. Before that, sessions get 403 "
    "`terms_not_accepted` for everything but these two, the export, logout, `POST /account/factors/confirm` and the "
    "account's deletion.",
)
def update(caller: Caller, body: UpdateAccountBody) -> UpdatedAccount:
    return UpdatedAccount.after(
        profile().update(
            caller.account_id, body.name, body.store_content, now_ms(), body.language, body.terms, body.mails
        )
    )


@blueprint.get("/account/export")
@documented(
    "Everything held about oneself",
    auth=Auth.BEFORE_TERMS,
    answers={200: "application/json"},
    description="A JSON object: `exported_at`, `account`, `limits`, `quota`, `payment`, and the lists `sessions`, "
    "`tokens`, `requests`, `contents` (logged prompts and responses, chats, stored Responses), `mails`, `files`, "
    "`vector_stores` and `audit`.",
)
def export(caller: Caller) -> Response:
    document = spooled(rarely_used.account_export().document(caller.account_id, now_ms()))
    response = Response(document, 200, mimetype="application/json")
    response.headers["Content-Disposition"] = "attachment; filename=sluice-account.json"
    return response


@blueprint.delete("/account")
@documented(
    "Delete one's account",
    auth=Auth.LEAVING,
    answers={204: None},
    errors=(errors.InvalidCredentials, *BY_PASSWORD),
    description="API tokens become invalid at once, running streams end within 5 s. Personal data is erased; the "
    "ledger keeps amounts under the account's id. The address may register again; what was used of this month's quota "
    "stays used. After a 503, repeat the request.",
)
def delete(caller: Caller, body: DeleteAccountBody) -> Response:
    rarely_used.deletion().delete(
        caller.account_id, caller.session_id, body.password, now_ms(), is_fresh=caller.is_fresh
    )
    return without_session(Response(status=204))


@blueprint.get("/account/sessions")
@documented("One's sessions, newest first")
def list_sessions(caller: Caller) -> SessionList:
    found = sessions().current(caller.account_id, now_ms())
    return SessionList(data=[SessionInfo.of(session, caller.session_id) for session in found])


@blueprint.delete("/account/sessions")
@documented("End every session but this one", errors=(errors.Conflict,))
def end_other_sessions(caller: Caller) -> None:
    passwords().end_other_sessions(caller.account_id, caller.session_id, visitor())


@blueprint.delete("/account/sessions/<session_id>")
@documented("End one session", errors=(errors.NotFound,))
def end_one_session(caller: Caller, session_id: str) -> None:
    sessions().end(caller.account_id, session_id)


handler = lambda_handler(blueprint)
