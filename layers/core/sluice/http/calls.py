"""The account services with this process's adapters and clock: what the JSON API and the pages call alike."""

from flask import request

from sluice import settings, wiring
from sluice.domain.admission import Limits
from sluice.http.audit import security_notes
from sluice.http.auth import Caller, now_ms
from sluice.http.client import client_address
from sluice.http.models_accounts import ChangePasswordBody, LoginBody, ResetPasswordBody
from sluice.http.models_registration import RegisterBody
from sluice.services import change_password as password_change
from sluice.services import register as registration
from sluice.services import reset_password as password_reset
from sluice.services import verify_email as verification
from sluice.services.account_overview import Overview, account_overview
from sluice.services.login import LoggedIn, login
from sluice.services.login_throttle import remember_place
from sluice.services.redeem_throttle import redeeming
from sluice.services.verify_address import verify_address as redeem_address


def register(body: RegisterBody) -> None:
    """Errors: ValidationFailed, Overloaded, TooManyAttempts, StoreUnavailable."""
    from sluice.adapters.passwords import common_passwords

    wanted = settings.accounts()
    registration.register(
        body.email,
        body.password,
        body.name,
        accounts=wiring.account_store(),
        mails=wiring.mail_store(),
        may_mail=wiring.may_mail(client_address()),
        hash_password=wiring.password_hashes().hash,
        common_passwords=common_passwords(),
        limits=Limits(
            wanted.default_rpm, wanted.default_tpm, wanted.default_concurrency, wanted.default_monthly_tokens
        ),
        now_ms=now_ms(),
    )


def resend_verification(email: str) -> None:
    """Errors: ValidationFailed, TooManyAttempts, StoreUnavailable."""
    verification.resend_verification(
        email,
        accounts=wiring.account_store(),
        mails=wiring.mail_store(),
        may_mail=wiring.may_mail(client_address()),
        now_ms=now_ms(),
    )


def verify_address(code: str) -> None:
    """Of a registration, or of a change of address. Errors: MailedCodeInvalid, TooManyAttempts, StoreUnavailable."""
    from sluice.adapters.keys import mailed_code_key

    with redeeming(wiring.throttles(), client_address(), now_ms()):
        account_id = redeem_address(
            code,
            key=mailed_code_key(),
            accounts=wiring.account_store(),
            mails=wiring.mail_store(),
            now_ms=now_ms(),
            note=security_notes(),
        )
    remember_place(wiring.throttles(), wiring.account_store(), account_id, client_address(), now_ms())


def log_in(body: LoginBody) -> LoggedIn:
    """Errors: those of `sluice.services.login`."""
    return login(
        body.email,
        body.password,
        client=client_address(),
        user_agent=request.user_agent.string,
        accounts=wiring.account_store(),
        sessions=wiring.session_store(),
        mails=wiring.mail_store(),
        passwords=wiring.password_hashes(),
        throttles=wiring.throttles(),
        session_hours=settings.accounts().session_hours,
        now_ms=now_ms(),
        note=security_notes(),
    )


def request_password_reset(email: str) -> None:
    """Errors: ValidationFailed, TooManyAttempts, StoreUnavailable."""
    password_reset.request_password_reset(
        email,
        accounts=wiring.account_store(),
        mails=wiring.mail_store(),
        may_mail=wiring.may_mail(client_address()),
        now_ms=now_ms(),
    )


def reset_password(body: ResetPasswordBody) -> None:
    """Errors: MailedCodeInvalid, ValidationFailed, TooManyAttempts, Overloaded, StoreUnavailable."""
    from sluice.adapters.keys import mailed_code_key
    from sluice.adapters.passwords import common_passwords

    with redeeming(wiring.throttles(), client_address(), now_ms()):
        password_reset.reset_password(
            body.token,
            body.password,
            key=mailed_code_key(),
            accounts=wiring.account_store(),
            mails=wiring.mail_store(),
            hash_password=wiring.password_hashes().hash,
            common_passwords=common_passwords(),
            now_ms=now_ms(),
            note=security_notes(),
        )


def change_password(caller: Caller, body: ChangePasswordBody) -> None:
    """Errors: those of `sluice.services.change_password`."""
    from sluice.adapters.passwords import common_passwords

    password_change.change_password(
        body.current_password,
        body.new_password,
        account_id=caller.account_id,
        session_id=caller.session_id,
        accounts=wiring.account_store(),
        sessions=wiring.session_store(),
        mails=wiring.mail_store(),
        passwords=wiring.password_hashes(),
        common_passwords=common_passwords(),
        throttles=wiring.throttles(),
        now_ms=now_ms(),
        note=security_notes(),
    )


def overview(caller: Caller) -> Overview:
    """Errors: NotFound, StoreUnavailable."""
    return account_overview(
        caller.account_id,
        accounts=wiring.account_store(),
        grants=wiring.hot_store(),
        ledger=wiring.ledger_reader(),
        rollups=wiring.rollup_store(),
        now_ms=now_ms(),
    )
