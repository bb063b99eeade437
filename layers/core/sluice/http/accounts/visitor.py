"""The account services with this process's adapters and clock: what the JSON API and the pages call alike."""

from flask import request

from sluice import settings
from sluice.domain.gateway.admission import Limits
from sluice.http.accounts.registration_requests import RegisterBody
from sluice.http.accounts.requests import ChangePasswordBody, LoginBody, ResetPasswordBody
from sluice.http.audit import security_notes
from sluice.http.auth import Caller, now_ms
from sluice.http.client import client_address
from sluice.services.accounts import change_password as password_change
from sluice.services.accounts import register as registration
from sluice.services.accounts import reset_password as password_reset
from sluice.services.accounts import verify as verification
from sluice.services.accounts.login import LoggedIn, login
from sluice.services.accounts.login_throttle import remember_place
from sluice.services.accounts.overview import Overview, account_overview
from sluice.services.accounts.redeem_throttle import redeeming
from sluice.services.accounts.verify_address import verify_address as redeem_address
from sluice.wiring import peers, services, stores


def register(body: RegisterBody) -> None:
    """Errors: ValidationFailed, Overloaded, TooManyAttempts, StoreUnavailable."""
    from sluice.adapters.accounts.passwords import common_passwords

    wanted = settings.accounts()
    registration.register(
        body.email,
        body.password,
        body.name,
        accounts=stores.account_store(),
        mails=stores.mail_store(),
        may_mail=services.may_mail(client_address()),
        hash_password=peers.password_hashes().hash,
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
        accounts=stores.account_store(),
        mails=stores.mail_store(),
        may_mail=services.may_mail(client_address()),
        now_ms=now_ms(),
    )


def verify_address(code: str) -> None:
    """Of a registration, or of a change of address. Errors: MailedCodeInvalid, TooManyAttempts, StoreUnavailable."""
    from sluice.adapters.tokens.keys import mailed_code_key

    with redeeming(stores.throttles(), client_address(), now_ms()):
        account_id = redeem_address(
            code,
            key=mailed_code_key(),
            accounts=stores.account_store(),
            mails=stores.mail_store(),
            now_ms=now_ms(),
            note=security_notes(),
        )
    remember_place(stores.throttles(), stores.account_store(), account_id, client_address(), now_ms())


def log_in(body: LoginBody) -> LoggedIn:
    """Errors: those of `sluice.services.accounts.login`."""
    return login(
        body.email,
        body.password,
        client=client_address(),
        user_agent=request.user_agent.string,
        accounts=stores.account_store(),
        sessions=stores.session_store(),
        mails=stores.mail_store(),
        passwords=peers.password_hashes(),
        throttles=stores.throttles(),
        session_hours=settings.accounts().session_hours,
        now_ms=now_ms(),
        note=security_notes(),
    )


def request_password_reset(email: str) -> None:
    """Errors: ValidationFailed, TooManyAttempts, StoreUnavailable."""
    password_reset.request_password_reset(
        email,
        accounts=stores.account_store(),
        mails=stores.mail_store(),
        may_mail=services.may_mail(client_address()),
        now_ms=now_ms(),
    )


def reset_password(body: ResetPasswordBody) -> None:
    """Errors: MailedCodeInvalid, ValidationFailed, TooManyAttempts, Overloaded, StoreUnavailable."""
    from sluice.adapters.accounts.passwords import common_passwords
    from sluice.adapters.tokens.keys import mailed_code_key

    with redeeming(stores.throttles(), client_address(), now_ms()):
        password_reset.reset_password(
            body.token,
            body.password,
            key=mailed_code_key(),
            accounts=stores.account_store(),
            mails=stores.mail_store(),
            hash_password=peers.password_hashes().hash,
            common_passwords=common_passwords(),
            now_ms=now_ms(),
            note=security_notes(),
        )


def change_password(caller: Caller, body: ChangePasswordBody) -> None:
    """Errors: those of `sluice.services.accounts.change_password`."""
    from sluice.adapters.accounts.passwords import common_passwords

    password_change.change_password(
        body.current_password,
        body.new_password,
        account_id=caller.account_id,
        session_id=caller.session_id,
        accounts=stores.account_store(),
        sessions=stores.session_store(),
        mails=stores.mail_store(),
        passwords=peers.password_hashes(),
        common_passwords=common_passwords(),
        throttles=stores.throttles(),
        now_ms=now_ms(),
        note=security_notes(),
    )


def overview(caller: Caller) -> Overview:
    """Errors: NotFound, StoreUnavailable."""
    return account_overview(
        caller.account_id,
        accounts=stores.account_store(),
        grants=stores.hot_store(),
        ledger=stores.ledger_reader(),
        rollups=stores.rollup_store(),
        now_ms=now_ms(),
    )
