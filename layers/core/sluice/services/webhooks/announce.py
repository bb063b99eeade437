"""Tell an account's webhooks what happened, and of what ended its owner by mail."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.domain.mails.mail import Kind
from sluice.domain.webhooks import GIVE_UP_MS, HOUR_MS, Delivery, Event, event_id
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.ports.webhooks import DueQueue, WebhookStore
from sluice.services.mails.queue import queue_mail
from sluice.services.webhooks.manage import hook_item

MAILED = {"response": Kind.RESPONSE_ENDED, "batch": Kind.BATCH_ENDED}  # other events have mails of their own


@dataclass(frozen=True)
class Announce:
    store: WebhookStore
    queue: DueQueue
    accounts: AccountStore
    mails: MailStore
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
        self._mail(account_id, event)

    def _mail(self, account_id: str, event: Event) -> None:
        """One mail an hour of each kind of event, because a program may make a thousand responses in that time."""
        of, _, status = event.type.partition(".")
        account = self.accounts.get(account_id) if of in MAILED else None
        if account is not None and account.wants_mail(event.type):
            once, told = (status, event.created_ms // HOUR_MS), {"id": str(event.data["id"]), "status": status}
            queue_mail(MAILED[of], account, mails=self.mails, now_ms=self.clock_ms(), data=told, once=once)
