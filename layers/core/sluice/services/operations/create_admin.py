"""The first admin: made by whoever has the machine, since nobody else could say who may."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.accounts.passwords import check_password
from sluice.domain.errors import Conflict
from sluice.domain.gateway.admission import Limits
from sluice.domain.gateway.grants import new_grant
from sluice.domain.ids import random_id
from sluice.domain.mails.mail import Kind, new_mail
from sluice.ports.accounts import AccountStore


def known_account(email: str, accounts: AccountStore) -> Account | None:
    """The account that may be made an admin. Errors: ValidationFailed, Conflict (not verified, suspended, leaving)."""
    account = accounts.by_email(parse_address(email).key)
    if account is not None and account.status != "active":
        # An address that nobody has verified may have been registered by a stranger.
        raise Conflict(f"This account is {account.status}: only an active one can be made an admin.")
    return account


def create_verified(
    email: str,
    password: str,
    *,
    accounts: AccountStore,
    hash_password: Callable[[str], str],
    common_passwords: Mapping[str, int],
    limits: Limits,
    now_ms: int,
) -> Account:
    """An account that needs no verification: the operator's word is enough, and no mail is sent. Its role comes next,
    with the line of the audit log that every change of a role has.

    Errors: ValidationFailed, AddressTaken, StoreUnavailable.
    """
    address = parse_address(email)
    check_password(password, local_part=address.local_part, common=common_passwords)
    account = Account(
        account_id=random_id("usr_"),
        email=address.given,
        email_key=address.key,
        name="",
        password_hash=hash_password(password),
        created_ms=now_ms,
        status="active",
        verified_ms=now_ms,
    )
    grant = new_grant(
        account.account_id,
        rpm=limits.rpm,
        tpm=limits.tpm,
        concurrency=limits.concurrency,
        monthly_tokens=limits.monthly_tokens,
        now_ms=now_ms,
    )
    mail = new_mail(Kind.VERIFY_EMAIL, account_id=account.account_id, to="", now_ms=now_ms)
    accounts.create(account, grant, replace(mail, state="none"))
    return account
