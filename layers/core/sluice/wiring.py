"""Adapters built from the settings, each once a process, and imported only by the function that uses it."""

from functools import cache

from sluice import settings
from sluice.ports import AccountStore


@cache
def account_store() -> AccountStore:
    from sluice.adapters.accounts import DynamoAccounts

    return DynamoAccounts(settings.common().table_prefix)
