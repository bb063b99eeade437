"""The mails of these tests are queued by registration."""

from tests.integration.accounts.registration.conftest import desk

__all__ = ["desk"]
