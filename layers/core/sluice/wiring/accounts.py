"""Accounts: the use cases of registration, login and one's own account, each bound to its stores once a process."""

from __future__ import annotations  # a function imports only the use cases that it serves

from typing import TYPE_CHECKING, Any

from sluice import settings
from sluice.once import once
from sluice.wiring import peers, stores

if TYPE_CHECKING:
    from sluice.services.accounts.change_email import EmailChange
    from sluice.services.accounts.delete_account import Deletion
    from sluice.services.accounts.erasure import Erasure
    from sluice.services.accounts.export import Export
    from sluice.services.accounts.login import Login
    from sluice.services.accounts.new_passwords import NewPasswords
    from sluice.services.accounts.passwords import Passwords
    from sluice.services.accounts.profile import Profile
    from sluice.services.accounts.redeem import MailedCodes
    from sluice.services.accounts.register import Registration
    from sluice.services.accounts.reset_password import PasswordReset
    from sluice.services.accounts.security_events import SecurityEvents
    from sluice.services.accounts.sessions import Sessions
    from sluice.services.accounts.used_quota import QuotaOfAddress
    from sluice.services.accounts.verify import Verification


@once
def sessions() -> Sessions:
    from sluice.services.accounts.sessions import Sessions

    return Sessions(stores.session_store(), stores.account_store())


@once
def registration() -> Registration:
    from sluice.services.accounts.register import Registration
    from sluice.wiring.mails import mail_throttle
    from sluice.wiring.settings import site

    return Registration(
        stores.account_store(), stores.mail_store(), mail_throttle(), new_passwords(), limits_of_new_accounts, site
    )


@once
def verification() -> Verification:
    from sluice.services.accounts.verify import Verification

    return Verification(stores.account_store(), mailed_codes(), stores.throttles(), security_events(), used_quota())


@once
def login() -> Login:
    from sluice.services.accounts.login import Login

    return Login(
        stores.account_store(),
        stores.session_store(),
        stores.mail_store(),
        peers.password_hashes(),
        stores.throttles(),
        security_events(),
        settings.accounts().session_hours,
    )


@once
def passwords() -> Passwords:
    from sluice.services.accounts.passwords import Passwords

    return Passwords(
        stores.account_store(),
        stores.session_store(),
        stores.mail_store(),
        new_passwords(),
        stores.throttles(),
        security_events(),
    )


@once
def password_reset() -> PasswordReset:
    from sluice.services.accounts.reset_password import PasswordReset
    from sluice.wiring.mails import mail_throttle

    return PasswordReset(
        stores.account_store(),
        stores.mail_store(),
        mail_throttle(),
        mailed_codes(),
        new_passwords(),
        security_events(),
        stores.grant_store(),
        stores.token_store(),
        used_quota(),
    )


@once
def email_change() -> EmailChange:
    from sluice.services.accounts.change_email import EmailChange
    from sluice.wiring.mails import mail_throttle

    return EmailChange(stores.account_store(), stores.mail_store(), mail_throttle(), passwords())


@once
def profile() -> Profile:
    from sluice.services.accounts.profile import Profile
    from sluice.wiring.settings import default_limits, terms
    from sluice.wiring.usage import usage_sums

    limits = default_limits(settings.accounts())
    return Profile(stores.account_store(), stores.grant_store(), stores.hot_store(), usage_sums(), terms, limits)


@once
def account_export() -> Export:
    from sluice.services.accounts.export import Export

    return Export(
        stores.account_store(),
        stores.session_store(),
        stores.token_store(),
        stores.hot_store(),
        stores.ledger_reader(),
        stores.content_store(),
        stores.mail_store(),
        stores.audit_log(),
        stores.file_store(),
        stores.vector_store_store(),
        stores.refusal_store(),
    )


@once
def deletion() -> Deletion:
    from sluice.services.accounts.delete_account import Deletion

    return Deletion(passwords(), erasure())


@once
def erasure() -> Erasure:
    from sluice.services.accounts.erasure import Erasure
    from sluice.services.documents.erase import EraseDocuments

    return Erasure(
        stores.account_store(),
        stores.session_store(),
        stores.token_store(),
        stores.grant_store(),
        stores.content_store(),
        stores.mail_store(),
        stores.audit_log(),
        stores.hot_store(),
        EraseDocuments(stores.file_store(), stores.blobs()),
        used_quota(),
        stores.refusal_store(),
    )


@once
def used_quota() -> QuotaOfAddress:
    from sluice.services.accounts.used_quota import QuotaOfAddress

    return QuotaOfAddress(stores.used_quotas(), stores.grant_store())


@once
def security_events() -> SecurityEvents:
    from sluice.services.accounts.security_events import SecurityEvents

    return SecurityEvents(stores.audit_log(), stores.throttles())


@once
def mailed_codes() -> MailedCodes:
    from sluice.services.accounts.redeem import MailedCodes

    return MailedCodes(stores.mail_store(), stores.throttles(), peers.mailed_code_key)


@once
def new_passwords() -> NewPasswords:
    from sluice.services.accounts.new_passwords import NewPasswords

    return NewPasswords(peers.password_hashes, peers.common_passwords)


def limits_of_new_accounts() -> dict[str, Any]:
    """By the names of `new_grant`: the default plan's; what it leaves out, and all without a plan, is
    `SLUICE_DEFAULT_*`."""
    from sluice.wiring.settings import terms

    wanted, known = settings.accounts(), terms()
    plan = known.plan("")
    limits = {name: getattr(wanted, f"default_{name}") for name in ("rpm", "tpm", "concurrency", "monthly_tokens")}
    return {**limits, **plan.limits, "plan_version": known.version, "monthly_micro_usd": plan.monthly_micro_usd}
