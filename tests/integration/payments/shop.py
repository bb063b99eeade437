"""A site that sells plans by a fake Stripe with a state, and who buys there."""

from dataclasses import dataclass
from typing import Any

from werkzeug.test import TestResponse

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import OPERATOR, AuditEvent
from sluice.domain.payments import Payer
from sluice.domain.settings.checking import check
from sluice.services.operations.admin import Actor
from tests.fakes.stripe import PRO, TEAM, FakeStripe, event, signed
from tests.integration.accounts.world import World

PLANS: list[dict[str, Any]] = [
    {"name": "free", "default": True, "rpm": 10},
    {"name": "pro", "rpm": 100, "monthly_usd": "50", "price": "€ 20 a month", "stripe_price": PRO},
    {"name": "team", "rpm": 1000, "stripe_price": TEAM},
    {"name": "gift", "rpm": 5},
]
PLACES = {"key": "env:SLUICE_STRIPE_KEY", "webhook_secret": "env:SLUICE_STRIPE_WEBHOOK_SECRET"}


@dataclass
class Shop:
    world: World
    stripe: FakeStripe

    def configure(self, *, sells: bool = True, plans: list[dict[str, Any]] = PLANS, api: str = "") -> None:
        from sluice.wiring.settings import owners_terms

        by = {"payment": {**PLACES, "api": api or self.stripe.url}} if sells else {}
        terms = owners_terms()
        terms.change(Actor(OPERATOR), terms.read().version, check({"plans": plans, **by}), 1)

    # --- of an account

    def account(self, email: str = "") -> tuple[Account, dict[str, str]]:
        made = self.world.account(email)
        return made, self.world.login(made)

    def begin(self, email: str = "", plan: str = "pro") -> tuple[Account, dict[str, str], str]:
        """An account whose Checkout page is open. → with its headers and the page's id."""
        account, headers = self.account(email)
        return account, headers, self.ask(headers, plan)

    def ask(self, headers: dict[str, str], plan: str = "pro") -> str:
        answer = self.post("/account/plan", headers, {"plan": plan})
        assert answer.status_code == 200, answer.json
        return str(answer.json["url"]).rpartition("/")[2]

    def post(self, path: str, headers: dict[str, str], body: Any) -> TestResponse:
        return self.world.app.test_client(use_cookies=False).post(path, json=body, headers=headers)

    def plan(self, headers: dict[str, str]) -> str:
        answer = self.world.client.get("/account/plan", headers=headers)
        assert answer.status_code == 200, answer.json
        return str(answer.json["plan"])

    def payer(self, account: Account) -> Payer:
        from sluice.wiring import stores

        found = stores.payer_store().payer(account.account_id)
        assert found is not None
        return found

    def changes(self, account: Account) -> list[tuple[str, str, str]]:
        """Of its plan, in the audit log: by whom, from and to."""
        return [
            (one.actor, str(one.before["plan"]), str(one.after["plan"]))
            for one in sorted(self.events(account), key=lambda one: one.created_ms)
        ]

    def events(self, account: Account) -> list[AuditEvent]:
        from sluice.wiring import stores

        return [one for one in stores.audit_log().naming(account.account_id) if one.action == "plan_changed"]

    # --- Stripe's side

    def send(self, kind: str, about: dict[str, Any], *, age_s: int = 0) -> int:
        return self.deliver(event(kind, about), age_s=age_s)

    def deliver(self, body: str, *, age_s: int = 0) -> int:
        client = self.world.app.test_client(use_cookies=False)
        return int(client.post("/payments/stripe", data=body, headers=signed(body, age_s=age_s)).status_code)
