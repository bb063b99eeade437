"""Chats are answered by the gateway, so its fixtures serve here."""

from tests.integration.gateway.conftest import other, person, world

__all__ = ["other", "person", "world"]
