"""A site whose owner lets a scripted provider say who people are, and the browsers that go to and fro."""

import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.settings.checking import check
from sluice.services.operations.admin import Actor
from tests.fakes.provider import CLIENT, ScriptedProvider
from tests.integration.accounts.world import PASSWORD, World
from tests.integration.pages.browser import Browser, Page

BASE = "http://127.0.0.1:8080"


@dataclass
class House:
    world: World
    provider: ScriptedProvider

    def configure(self, *more: dict[str, Any], **site: Any) -> None:
        """The settings: the scripted provider as `acme` and as `github`, and whatever else."""
        from sluice.wiring.settings import owners_terms

        about = {"client_id": CLIENT, "key": "env:PROVIDER_SECRET", "issuer": self.provider.issuer}
        known = [
            {"name": "acme", "title": "Acme", **about},
            {"name": "github", "title": "GitHub", "kind": "github", **about},
            *({"client_id": CLIENT, **one} for one in more),
        ]
        terms = owners_terms()
        terms.change(Actor(OPERATOR), terms.read().version, check({"site": site, "sign_in": known}), 1)

    def browser(self) -> "Surfer":
        return Surfer(self.world.app.test_client(), self.provider)

    def account(self, email: str = "ann@example.com", **about: Any) -> Account:
        return self.world.account(email, **about)

    def of(self, email: str) -> Account | None:
        """The account of this address now."""
        from sluice.wiring import peers, stores

        return stores.account_store().by_email(parse_address(email).key, peers.now_ms())

    def mails(self, account: Account) -> list[str]:
        from sluice.wiring import stores

        return sorted(str(one.kind) for one in stores.mail_store().of_account(account.account_id))

    def events(self, account: Account) -> set[str]:
        from sluice.wiring import stores

        return {one.action for one in stores.audit_log().naming(account.account_id)}


class Surfer(Browser):
    """A browser that follows the site to the provider and back."""

    def __init__(self, client: Any, provider: ScriptedProvider) -> None:
        super().__init__(client)
        self.provider = provider

    def start(self, name: str = "acme", **query: str) -> str:
        """→ the provider's page."""
        page = self.get(f"/auth/oidc/{name}/start?{urlencode(query)}")
        assert page.status == 303, page.text
        return page.answer.headers["Location"]

    def back(self, answer: dict[str, str], name: str = "acme") -> Page:
        """As a browser comes back: led here by another site."""
        crossing = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        return self.get(f"/auth/oidc/{name}/callback?{urlencode(answer)}", **crossing)

    def sign_in(self, name: str = "acme", query: dict[str, str] | None = None, **claims: Any) -> Page:
        """All of it. → where it ends, without following that."""
        return self.back(self.provider.approve(self.start(name, **(query or {})), **claims), name)

    def follow(self, page: Page) -> Page:
        assert page.status == 303, page.text
        return self.get(page.answer.headers["Location"])

    @property
    def is_logged_in(self) -> bool:
        return self.get("/my/account").status == 200

    def link(self, **claims: Any) -> Page:
        """From the account page, with consent. → the account page."""
        asked = self.follow(self.sign_in(query={"aim": "link"}, **claims))
        return self.submit(asked, "/my/link-sign-in")


def at_once(*calls: Any) -> list[Any]:
    """What each returns, or the exception it raised."""
    results: list[Any] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(place: int, call: Any) -> None:
        gate.wait()
        try:
            results[place] = call()
        except Exception as exc:
            results[place] = exc

    threads = [threading.Thread(target=run, args=one) for one in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


__all__ = ["BASE", "PASSWORD", "House", "Surfer", "at_once"]
