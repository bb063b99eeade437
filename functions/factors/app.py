"""`/account/factors…` and `POST /auth/login/factor`: one's second factors, and the second step of a login."""

from functools import partial

from flask import Blueprint, Response

from sluice.domain import errors
from sluice.http.accounts.factors import (
    AddPasskeyBody,
    AppSetupInfo,
    ConfirmAppBody,
    Confirmed,
    FactorList,
    LoginFactorBody,
    PasskeyOptions,
    ProofBody,
    RecoveryCodes,
)
from sluice.http.accounts.requests import LoginAnswer
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller, now_ms
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation
from sluice.http.session_cookie import with_session
from sluice.pages.accounts import factors as factor_pages
from sluice.pages.accounts import second_step
from sluice.wiring.accounts import own_factors, sign_in

blueprint = Blueprint("factors", __name__)
blueprint.register_blueprint(factor_pages.blueprint)
blueprint.register_blueprint(second_step.blueprint)
documented = partial(operation, tag="Account", auth=Auth.SESSION)
BY_PROOF = (errors.InvalidCredentials, errors.TooManyAttempts, errors.Overloaded, errors.StoreUnavailable)
FRESH = (errors.ConfirmationRequired, errors.Conflict)
IF_FRESH = (
    "The session must have shown the password or a second factor within 15 minutes: else 403 `confirmation_required`, "
    "and `POST /account/factors/confirm` helps."
)


@blueprint.post("/auth/login/factor")
@operation(
    "Log in: the second step",
    tag="Authentication",
    answers={200: LoginAnswer},
    errors=(errors.AccountSuspended, *BY_PROOF),
    description="With the `challenge` of `POST /auth/login` and a `code` (of the app, or a recovery code) or the "
    "`credential` that a passkey signed. Five tries within 5 minutes; each code and each challenge counts once.",
)
def log_in(body: LoginFactorBody) -> Response:
    logged_in = sign_in().answer(body.challenge, body.proof(), visitor())
    answer = LoginAnswer.of(logged_in.account, logged_in.new)
    response = Response(answer.model_dump_json(), 200, mimetype="application/json")
    return with_session(response, logged_in.new.session_token)


@blueprint.get("/account/factors")
@documented("One's second factors, oldest first, and how many recovery codes are left")
def list_factors(caller: Caller) -> FactorList:
    return FactorList.of(own_factors().account(caller.account_id))


@blueprint.post("/account/factors/totp")
@documented(
    "Begin to set up an authenticator app",
    errors=FRESH,
    description=f"It counts after `POST /account/factors/totp/confirm`, within 15 minutes in this session. {IF_FRESH}",
)
def begin_app(caller: Caller) -> AppSetupInfo:
    caller.require_fresh()
    begun = own_factors().begin_app(caller.account_id, caller.session_id, now_ms())
    return AppSetupInfo(secret=begun.secret, otpauth_url=begun.url)


@blueprint.post("/account/factors/totp/confirm")
@documented(
    "Finish it with a code that the app shows",
    errors=FRESH,
    description="Ten recovery codes come with the first factor, and never again. " + IF_FRESH,
)
def confirm_app(caller: Caller, body: ConfirmAppBody) -> RecoveryCodes:
    caller.require_fresh()
    codes = own_factors().confirm_app(caller.account_id, caller.session_id, body.code, body.name, visitor())
    return RecoveryCodes(recovery_codes=codes)


@blueprint.post("/account/factors/passkeys/options")
@documented("Begin to add a passkey", errors=(*FRESH, errors.InvalidCredentials), description=IF_FRESH)
def passkey_options(caller: Caller) -> PasskeyOptions:
    caller.require_fresh()
    options = own_factors().passkey_options(caller.account_id, caller.session_id, now_ms())
    return PasskeyOptions(options=options)


@blueprint.post("/account/factors/passkeys")
@documented(
    "Add the passkey that the browser made",
    status=201,
    errors=(*FRESH, errors.InvalidCredentials),
    description="Ten recovery codes come with the first factor, and never again. " + IF_FRESH,
)
def add_passkey(caller: Caller, body: AddPasskeyBody) -> RecoveryCodes:
    caller.require_fresh()
    codes = own_factors().add_passkey(caller.account_id, caller.session_id, body.credential, body.name, visitor())
    return RecoveryCodes(recovery_codes=codes)


@blueprint.post("/account/factors/recovery-codes")
@documented("Make new recovery codes", errors=FRESH, description="The earlier ones end. " + IF_FRESH)
def renew_codes(caller: Caller) -> RecoveryCodes:
    caller.require_fresh()
    return RecoveryCodes(recovery_codes=own_factors().renew_codes(caller.account_id, visitor()))


@blueprint.post("/account/factors/confirm/options")
@documented(
    "Begin to show a passkey in this session",
    auth=Auth.BEFORE_TERMS,
    errors=(errors.NotFound,),
    description="For `POST /account/factors/confirm` and `DELETE /account/factors/{factor_id}`. 404 without a passkey.",
)
def confirm_options(caller: Caller) -> PasskeyOptions:
    options = own_factors().question(caller.account_id, caller.session_id, now_ms())
    if options is None:
        raise errors.NotFound("This account has no passkey.")
    return PasskeyOptions(options=options)


@blueprint.post("/account/factors/confirm")
@documented(
    "Show a second factor in this session, or without one the password",
    auth=Auth.BEFORE_TERMS,
    errors=BY_PROOF,
    description="For 15 minutes then nothing answers 403 `confirmation_required`.",
)
def confirm(caller: Caller, body: ProofBody) -> Confirmed:
    own_factors().confirm(caller.account_id, caller.session_id, body.proof(), visitor())
    return Confirmed()


@blueprint.delete("/account/factors/<factor_id>")
@documented(
    "Remove a second factor",
    errors=(errors.NotFound, *BY_PROOF),
    description="With the password, a code or what a passkey signed. The recovery codes end with the last factor.",
)
def remove(caller: Caller, factor_id: str, body: ProofBody) -> None:
    own_factors().remove(caller.account_id, caller.session_id, factor_id, body.proof(), visitor())


handler = lambda_handler(blueprint)
