"""Adapters built from the settings, each once a process, and imported only by the function that uses it."""

from functools import cache

from sluice import settings
from sluice.ports import AccountStore, ContentStore, LedgerReader, RollupStore


@cache
def account_store() -> AccountStore:
    from sluice.adapters.accounts import DynamoAccounts

    return DynamoAccounts(settings.common().table_prefix)


@cache
def ledger_reader() -> LedgerReader:
    from sluice.adapters.ledger import DynamoLedger

    return DynamoLedger(settings.common().table_prefix)


@cache
def rollup_store() -> RollupStore:
    from sluice.adapters.rollups import DynamoRollups

    return DynamoRollups(settings.common().table_prefix)


@cache
def content_store() -> ContentStore:
    """For the gateway, which writes, and the usage pages, which read."""
    from sluice.adapters.contents import DynamoContents

    return DynamoContents(settings.common().table_prefix, settings.gateway().content_days)
