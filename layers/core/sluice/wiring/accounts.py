"""Accounts: the use cases of registration, login and one's own account, each bound to its stores once a process."""

from __future__ import annotations  # a function imports only the use cases that it serves

from typing import TYPE_CHECKING, Any

from sluice import settings
from sluice.once import once
from sluice.wiring import peers, stores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluice.domain.settings.owners import SignIn as SignInSettings
    from sluice.ports.accounts import Provider
    from sluice.services.accounts.change_email import EmailChange
    from sluice.services.accounts.delete_account import Deletion
    from sluice.services.accounts.erasure import Erasure
    from sluice.services.accounts.export import Export
    from sluice.services.accounts.join_invited import InvitedRegistration
    from sluice.services.accounts.linked_identities import LinkedIdentities
    from sluice.services.accounts.login import Login
    from sluice.services.accounts.new_passwords import NewPasswords
    from sluice.services.accounts.own_factors import OwnFactors
    from sluice.services.accounts.passwords import Passwords
    from sluice.services.accounts.profile import Profile
    from sluice.services.accounts.provider_sign_in import ProviderSignIn
    from sluice.services.accounts.redeem import MailedCodes
    from sluice.services.accounts.register import Registration
    from sluice.services.accounts.reset_password import PasswordReset
    from sluice.services.accounts.second_factors import FactorNotices, SecondFactors
    from sluice.services.accounts.security_events import SecurityEvents
    from sluice.services.accounts.sessions import Sessions
    from sluice.services.accounts.sign_in import SignIn
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
def invited_registration() -> InvitedRegistration:
    from sluice.services.accounts.join_invited import InvitedRegistration
    from sluice.wiring.settings import site

    return InvitedRegistration(
        stores.account_store(),
        mailed_codes(),
        new_passwords(),
        used_quota(),
        stores.throttles(),
        security_events(),
        site,
    )


@once
def verification() -> Verification:
    from sluice.services.accounts.verify import Verification
    from sluice.wiring.settings import site

    return Verification(
        stores.account_store(), mailed_codes(), stores.throttles(), security_events(), used_quota(), site
    )


@once
def login() -> Login:
    from sluice.services.accounts.login import Login

    return Login(stores.account_store(), peers.password_hashes(), stores.throttles(), security_events(), sign_in())


@once
def sign_in() -> SignIn:
    from sluice.services.accounts.sign_in import SignIn

    return SignIn(
        stores.account_store(),
        stores.session_store(),
        stores.mail_store(),
        security_events(),
        stores.factor_store(),
        second_factors,
        peers.passkeys,
        settings.accounts().session_hours,
    )


@once
def provider_sign_in() -> ProviderSignIn:
    from sluice.services.accounts.provider_sign_in import ProviderSignIn
    from sluice.wiring.settings import site

    return ProviderSignIn(
        stores.account_store(),
        stores.session_store(),
        stores.factor_store(),
        stores.throttles(),
        security_events(),
        linked_identities(),
        used_quota(),
        sign_in(),
        providers,
        peers.base_url,
        limits_of_new_accounts,
        site,
    )


@once
def linked_identities() -> LinkedIdentities:
    from sluice.services.accounts.linked_identities import LinkedIdentities

    return LinkedIdentities(stores.account_store(), stores.factor_store(), factor_notices(), providers)


def providers() -> Mapping[str, Provider]:
    """Those of the settings in force. One whose own settings stay the same keeps what it learned."""
    from sluice.wiring.settings import sign_in_providers

    return _providers()(sign_in_providers())


@once
def _providers() -> _Providers:
    return _Providers()


class _Providers:
    def __init__(self) -> None:
        self._built: dict[SignInSettings, Provider] = {}

    def __call__(self, wanted: Sequence[SignInSettings]) -> Mapping[str, Provider]:
        built = self._built
        if list(built) != list(wanted):
            self._built = built = {one: built.get(one) or _provider(one) for one in wanted}
        return {provider.name: provider for provider in built.values()}


def _provider(wanted: SignInSettings) -> Provider:
    from sluice.adapters.accounts.providers.github import PUBLIC, GitHub
    from sluice.adapters.accounts.providers.openid import OpenIdProvider
    from sluice.adapters.gateway.upstream_keys import key_at

    key = key_at(wanted.key) if wanted.key else None
    if wanted.kind == "github" and key:
        return GitHub(wanted.name, wanted.title, wanted.issuer or PUBLIC, wanted.client_id, key)
    return OpenIdProvider(wanted.name, wanted.title, wanted.issuer or "", wanted.client_id, key)


@once
def second_factors() -> SecondFactors:
    from sluice.services.accounts.second_factors import SecondFactors

    return SecondFactors(stores.factor_store(), stores.throttles(), peers.passkeys, peers.secret_box, factor_notices())


@once
def factor_notices() -> FactorNotices:
    from sluice.services.accounts.second_factors import FactorNotices

    return FactorNotices(security_events(), stores.mail_store())


@once
def own_factors() -> OwnFactors:
    from sluice.services.accounts.own_factors import OwnFactors
    from sluice.wiring.settings import site

    return OwnFactors(
        stores.account_store(),
        stores.session_store(),
        stores.factor_store(),
        second_factors(),
        passwords(),
        peers.passkeys,
        peers.secret_box,
        factor_notices(),
        lambda: str(site().name),
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
    from sluice.wiring.settings import site

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
        site,
    )


@once
def email_change() -> EmailChange:
    from sluice.services.accounts.change_email import EmailChange
    from sluice.wiring.mails import mail_throttle
    from sluice.wiring.settings import site

    return EmailChange(stores.account_store(), stores.mail_store(), mail_throttle(), passwords(), site)


@once
def profile() -> Profile:
    from sluice.services.accounts.profile import Profile
    from sluice.wiring.settings import default_limits, site, terms
    from sluice.wiring.usage import usage_sums

    limits = default_limits(settings.accounts())
    hot = stores.hot_store()
    return Profile(stores.account_store(), stores.grant_store(), hot, usage_sums(), terms, limits, site)


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
        stores.webhook_store(),
        stores.payer_store(),
    )


@once
def deletion() -> Deletion:
    from sluice.services.accounts.delete_account import Deletion

    return Deletion(passwords(), erasure())


@once
def erasure() -> Erasure:
    from sluice.services.accounts.erasure import Erasure
    from sluice.services.documents.erase import EraseDocuments
    from sluice.wiring.payments import payments

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
        stores.webhook_store(),
        lambda account_id: payments().end(account_id),
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
