"""One's own profile: the display name, and whether prompts and responses are logged."""

from sluice.domain.accounts.account import Account, parse_name
from sluice.ports.accounts import AccountStore
from sluice.ports.gateway import GrantStore


def update_account(
    account_id: str,
    *,
    name: str | None,
    store_content: bool | None,
    accounts: AccountStore,
    grants: GrantStore,
) -> Account:
    """What is None stays. Errors: ValidationFailed, NotFound (deleted at this moment), StoreUnavailable.

    The grant comes first, as it decides: should the second write fail, the account shows the old switch and the
    caller, told of the failure, sets it again.
    """
    checked = None if name is None else parse_name(name)
    if store_content is not None:
        grants.set_store_content(account_id, store_content)
    return accounts.update_profile(account_id, name=checked, store_content=store_content)
