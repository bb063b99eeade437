"""Tell an account's webhooks what happened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.domain.webhooks import GIVE_UP_MS, Delivery, Event, event_id
from sluice.ports.webhooks import DueQueue, WebhookStore
from sluice.services.webhooks.manage import hook_item


@dataclass(frozen=True)
class Announce:
    store: WebhookStore
    queue: DueQueue
    clock_ms: Callable[[], int]

    def __call__(self, account_id: str, kind: str, data: Mapping[str, Any], at_ms: int) -> None:
        """`kind`: one of `domain.webhooks.EVENTS`. `data` has the `id` of what it is about, and no content. `at_ms`:
        when it happened. A call may be repeated: with the same kind, id and time, each webhook is told once within
        three days. Errors: StoreUnavailable."""
        event, now_ms = Event(event_id(at_ms, kind, account_id, data["id"]), kind, data, at_ms), self.clock_ms()
        for webhook in self.store.of_account(account_id):
            listens, told = webhook.is_enabled and kind in webhook.events, Delivery(event, now_ms + GIVE_UP_MS, now_ms)
            if listens and self.store.add(webhook, told):
                self.queue.put(account_id, hook_item(webhook.webhook_id))
