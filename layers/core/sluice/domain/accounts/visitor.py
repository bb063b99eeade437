"""The sender of a request, before the account is known."""

from dataclasses import dataclass

from sluice.domain.accounts.throttles import client_network


@dataclass(frozen=True)
class Visitor:
    """`client`: the network address, "" if there is none. `now_ms`: time of the request. `user_agent`: as sent.
    `language`: what the browser prefers, "" if nothing of ours."""

    client: str
    now_ms: int
    user_agent: str = ""
    language: str = ""

    @property
    def network(self) -> str:
        """The network that counts as one client."""
        return client_network(self.client)
