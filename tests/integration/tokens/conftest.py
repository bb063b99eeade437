"""API tokens belong to accounts, so both are served here."""

from tests.integration.accounts.conftest import town, world

__all__ = ["town", "world"]
