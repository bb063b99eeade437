"""API tokens."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sluice.domain.tokens import ApiToken, Claims


class TokenStore(Protocol):
    """The rows of API tokens. All methods may raise StoreUnavailable; reads are consistent."""

    def put(self, token: ApiToken) -> None: ...

    def get(self, account_id: str, token_id: str) -> ApiToken | None: ...

    def of_account(self, account_id: str) -> list[ApiToken]: ...

    def mark_revoked(self, account_id: str, token_id: str, now_ms: int) -> None:
        """Keeps the first revocation time; does nothing to a row that is gone."""

    def rename(self, account_id: str, token_id: str, name: str) -> None:
        """Does nothing to a row that is gone; so does the next."""

    def mark_replaced(self, account_id: str, token_id: str, ends_ms: int) -> None: ...

    def delete(self, account_id: str, token_id: str) -> None: ...

    def erase_account(self, account_id: str) -> None: ...


class TokenSigner(Protocol):
    def sign(self, claims: Claims) -> str: ...


class TokenUses(Protocol):
    """When API tokens were last used. Errors: StoreUnavailable."""

    def used(self, account_id: str, token_id: str, used_ms: int) -> None:
        """Keeps the latest time; does nothing if the token's row is gone."""


class PublishedTokens(Protocol):
    """Until when publishable API tokens may exist, of all accounts. Errors: StoreUnavailable."""

    def announce(self, until_s: int) -> None:
        """One will be valid until then (Unix seconds). Keeps the latest time."""

    def until_s(self) -> int:
        """0 if there was never one. A consistent read."""
