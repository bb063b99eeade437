"""An account's own webhooks: made, changed, tested, repeated, deleted."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import Conflict, LimitReached, NotFound
from sluice.domain.ids import is_id, random_id
from sluice.domain.phrases import later
from sluice.domain.webhooks import (
    GIVE_UP_MS,
    MOST_WEBHOOKS,
    SECRET_BYTES,
    SHOWN_DELIVERIES,
    TEST,
    Delivery,
    Event,
    Webhook,
    event_id,
    new_secret,
)
from sluice.ports.accounts import SecretBox
from sluice.ports.webhooks import DueQueue, WebhookStore
from sluice.services.accounts.security_events import SecurityEvents

PREFIX = "whk_"
TOO_MANY = later("This account has as many webhooks as it may have. Delete one first.")
IS_DISABLED = later("This webhook is disabled. Enable it first.")


@dataclass(frozen=True)
class OwnWebhooks:
    """Every method may raise StoreUnavailable; those that name a webhook, NotFound. `box`: Unavailable, too. What takes
    a `visitor` is in the audit log, by the webhook's id."""

    store: WebhookStore
    queue: DueQueue
    box: Callable[[], SecretBox]
    audit: SecurityEvents

    def all(self, account_id: str) -> list[Webhook]:
        return self.store.of_account(account_id)

    def get(self, account_id: str, webhook_id: str) -> Webhook:
        if not is_id(PREFIX, webhook_id):
            raise NotFound()
        return self.store.get(account_id, webhook_id)

    def create(self, account_id: str, url: str, events: tuple[str, ...], visitor: Visitor) -> tuple[Webhook, str]:
        """→ the webhook, and its secret, which is shown once. Two at once may exceed the number by one each: each
        puts its own and counts then, and takes it back. Errors: LimitReached."""
        secret, webhook_id = new_secret(secrets.token_bytes(SECRET_BYTES)), random_id(PREFIX)
        made = Webhook(account_id, webhook_id, url, events, visitor.now_ms, self.box().seal(secret, webhook_id))
        self.store.put(made)
        if len(self.store.of_account(account_id)) > MOST_WEBHOOKS:
            self.store.delete(account_id, webhook_id)
            raise LimitReached(TOO_MANY)
        self._note(Action.WEBHOOK_MADE, made, visitor)
        return made, secret

    def change(
        self, account_id: str, webhook_id: str, events: tuple[str, ...] | None, enabled: bool | None, visitor: Visitor
    ) -> Webhook:
        """What is None stays. A webhook that is enabled gets what waits, the oldest of it at once."""
        found = self.get(account_id, webhook_id)
        if events is not None:
            self.store.change(found, events)
        if enabled is False:
            self.store.disable(found, "owner")
        if enabled and not found.is_enabled:
            self.store.hasten(found, self.store.waiting(found, SHOWN_DELIVERIES), visitor.now_ms)
            self.store.enable(found, visitor.now_ms)
            self.queue.put(account_id, hook_item(webhook_id))
        self._note(Action.WEBHOOK_CHANGED, found, visitor)
        return self.store.get(account_id, webhook_id)

    def renew(self, account_id: str, webhook_id: str, grace_seconds: int, visitor: Visitor) -> str:
        """→ the new secret. The old one signs beside it for `grace_seconds`. Errors: Conflict."""
        found, secret = self.get(account_id, webhook_id), new_secret(secrets.token_bytes(SECRET_BYTES))
        self.store.renew(found, self.box().seal(secret, webhook_id), visitor.now_ms + grace_seconds * 1000)
        self._note(Action.WEBHOOK_SECRET_RENEWED, found, visitor)
        return secret

    def delete(self, account_id: str, webhook_id: str, visitor: Visitor) -> None:
        found = self.get(account_id, webhook_id)
        if not self.store.delete(account_id, webhook_id):
            raise NotFound()
        self._note(Action.WEBHOOK_DELETED, found, visitor)

    def _note(self, action: Action, webhook: Webhook, visitor: Visitor) -> None:
        """Not its address, which may hold what only its owner knows."""
        self.audit.note(action, webhook.account_id, visitor, {"webhook": webhook.webhook_id})

    def test(self, account_id: str, webhook_id: str, now_ms: int) -> Event:
        """Errors: Conflict, if it is disabled."""
        found = self._enabled(account_id, webhook_id)
        event = Event(event_id(now_ms, TEST, secrets.token_hex(8)), TEST, {"id": webhook_id}, now_ms)
        if self.store.add(found, Delivery(event, now_ms + GIVE_UP_MS, now_ms)):
            self.queue.put(account_id, hook_item(webhook_id))
        return event

    def deliveries(self, account_id: str, webhook_id: str) -> list[Delivery]:
        return self.store.deliveries(self.get(account_id, webhook_id), SHOWN_DELIVERIES)

    def repeat(self, account_id: str, webhook_id: str, event: str, now_ms: int) -> None:
        """Deliver once more what was delivered, or given up, and now what waits for its next attempt. Errors:
        Conflict, if the webhook is disabled."""
        found = self._enabled(account_id, webhook_id)
        if (ended := self.store.ended(found, event)) is not None:
            fresh = replace(ended, state="waiting", until_ms=now_ms + GIVE_UP_MS, next_ms=now_ms, problem="")
            if not self.store.again(found, fresh):
                return
        elif (waiting := self.store.waits(found, event)) is not None:
            self.store.hasten(found, [waiting], now_ms)
        else:
            raise NotFound()
        self.queue.put(account_id, hook_item(webhook_id))

    def _enabled(self, account_id: str, webhook_id: str) -> Webhook:
        found = self.get(account_id, webhook_id)
        if not found.is_enabled:
            raise Conflict(IS_DISABLED)
        return found


def hook_item(webhook_id: str) -> str:
    """How the queue names a webhook."""
    return f"hook#{webhook_id}"
