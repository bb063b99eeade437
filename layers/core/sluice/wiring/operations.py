"""Operations: the use cases of admins and operators, each bound to its stores once a process."""

from __future__ import annotations  # a function imports only the use cases that it serves

from typing import TYPE_CHECKING

from sluice.once import once
from sluice.wiring import peers, stores, upstreams

if TYPE_CHECKING:
    from sluice.services.operations.admin import Administration
    from sluice.services.operations.audit_trail import AuditTrail
    from sluice.services.operations.first_admin import FirstAdmin
    from sluice.services.operations.first_steps import FirstSteps
    from sluice.services.operations.health import HealthCheck
    from sluice.services.operations.invitations import Invitations
    from sluice.services.operations.months import Months
    from sluice.services.operations.removal import Removal
    from sluice.services.operations.remove_factors import FactorRemoval
    from sluice.services.operations.users import SortedUsers, Users


@once
def administration() -> Administration:
    from sluice.services.operations.admin import Administration
    from sluice.wiring.settings import newest_terms

    return Administration(
        stores.account_store(), stores.grant_store(), stores.hot_store(), stores.audit_log(), newest_terms
    )


@once
def factor_removal() -> FactorRemoval:
    from sluice.services.operations.remove_factors import FactorRemoval

    return FactorRemoval(stores.account_store(), stores.factor_store(), stores.audit_log(), stores.mail_store())


@once
def removal() -> Removal:
    from sluice.services.operations.removal import Removal
    from sluice.wiring.accounts import used_quota

    return Removal(stores.account_store(), stores.grant_store(), used_quota(), stores.audit_log())


@once
def all_users() -> Users:
    from sluice.services.operations.users import Users

    return Users(stores.account_store())


@once
def sorted_users() -> SortedUsers:
    from sluice.services.operations.users import SortedUsers

    return SortedUsers(all_users(), months())


@once
def invitations() -> Invitations:
    from sluice.services.operations.invitations import Invitations
    from sluice.wiring.accounts import limits_of_new_accounts
    from sluice.wiring.mails import mail_throttle
    from sluice.wiring.settings import newest_terms, site

    return Invitations(
        stores.account_store(), stores.audit_log(), mail_throttle(), newest_terms, site, limits_of_new_accounts
    )


@once
def months() -> Months:
    from sluice.services.operations.months import Months

    return Months(stores.hot_store())


@once
def audit_trail() -> AuditTrail:
    from sluice.services.operations.audit_trail import AuditTrail

    return AuditTrail(stores.audit_log(), stores.account_store())


@once
def health_check() -> HealthCheck:
    from sluice.services.operations.health import HealthCheck
    from sluice.wiring.settings import settings_in_force

    return HealthCheck(
        upstreams.ModelHealth(),
        stores.hot_store(),
        stores.lease_index(),
        stores.mail_store(),
        stores.account_store(),
        peers.dead_letters(),
        settings_in_force().read,
        stores.spend(),
    )


@once
def first_steps() -> FirstSteps:
    from sluice.services.operations.first_steps import FirstSteps

    return FirstSteps(stores.hot_store(), all_users())


@once
def first_admin() -> FirstAdmin:
    from sluice.services.operations.first_admin import FirstAdmin
    from sluice.wiring.accounts import limits_of_new_accounts, new_passwords

    return FirstAdmin(stores.account_store(), new_passwords(), limits_of_new_accounts)
