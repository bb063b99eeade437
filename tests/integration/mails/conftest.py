"""Mails are met as registration queues them."""

from tests.integration.accounts.registration.conftest import desk

__all__ = ["desk"]
