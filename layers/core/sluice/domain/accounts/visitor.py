"""Who sends a request, before anybody knows whose account it is about."""

from dataclasses import dataclass

from sluice.domain.accounts.throttles import client_network


@dataclass(frozen=True)
class Visitor:
    """`client`: the network address, "" where there is none. `now_ms`: when the request came. `user_agent`: as sent."""

    client: str
    now_ms: int
    user_agent: str = ""

    @property
    def network(self) -> str:
        """What counts as one client."""
        return client_network(self.client)
