"""Which first steps the owner of a new system has done."""

from dataclasses import dataclass

from sluice.domain.gateway.grants import PLAYGROUND
from sluice.ports.gateway import HotStore
from sluice.services.operations.users import Users


@dataclass(frozen=True)
class Progress:
    """Whether the owner has an API token, has sent a request to the model, and whether another account is active."""

    has_token: bool
    has_asked: bool
    has_others: bool


@dataclass(frozen=True)
class FirstSteps:
    hot: HotStore
    users: Users

    def of(self, account_id: str) -> Progress:
        """Errors: StoreUnavailable."""
        grant = self.hot.grant(account_id)
        return Progress(
            grant is not None and bool(grant.live.keys() - {PLAYGROUND}),
            grant is not None and grant.period_tokens > 0,
            self.users.are_others_active(account_id),
        )
