"""Deliver what waits for a webhook, one process at a time for each.

claim the webhook ─ POST each event that is due ─ taken? ended : later ─ give the claim back, due for the rest
    ✗ after any step: the claim counts as dead in a minute, the sweeper brings the webhook to the queue again
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from sluice.domain.webhooks import CLAIM_MS, GIVE_UP_MS, Delivery, Webhook, Why, retry_after_ms, signed
from sluice.ports.accounts import SecretBox
from sluice.ports.webhooks import DueQueue, WebhookSender, WebhookStore
from sluice.services.webhooks.manage import hook_item

SLICE_MS = 25_000  # of one webhook, before others have their turn
AT_ONCE = 100
MOST_FAILED = 3  # in a row, of a receiver that answers; one that does not is left alone at once
GRACE_MS = 5_000  # a message brings what became due within this time
MOST_REQUEUED = 500  # the oldest first; the next sweep takes the rest
LONGEST_DELAY_SECONDS = 60  # of a message; the sweeper brings what is due later

log = logging.getLogger("sluice.webhooks")


@dataclass(frozen=True)
class Overdue:
    """Webhooks and reminders whose time has come."""

    store: WebhookStore
    queue: DueQueue

    def requeue(self, now_ms: int) -> int:
        """→ how many. A webhook to which another process delivers just then is not due. Errors: StoreUnavailable."""
        due = self.store.overdue(now_ms - GRACE_MS, MOST_REQUEUED)
        for account_id, item_id in due:
            self.queue.put(account_id, item_id)
        return len(due)


@dataclass(frozen=True)
class Deliver:
    """`disabled`: tells the owner that a webhook was disabled, and why."""

    store: WebhookStore
    queue: DueQueue
    sender: WebhookSender
    box: Callable[[], SecretBox]
    clock_ms: Callable[[], int]
    disabled: Callable[[Webhook, Why], None]

    def __call__(self, account_id: str, webhook_id: str) -> None:
        """Errors: StoreUnavailable, Unavailable (the key that secrets are sealed with)."""
        now_ms = self.clock_ms()
        claimed = self.store.claim(account_id, webhook_id, now_ms, now_ms + CLAIM_MS)
        if claimed is None:
            return
        webhook, is_reached = self._slice(claimed, now_ms + SLICE_MS)
        if webhook.why:
            return
        left = self.store.waiting(webhook, AT_ONCE)
        due_ms = min((one.next_ms for one in left), default=None)
        if due_ms is not None and not is_reached:
            due_ms = max(due_ms, self.clock_ms() + retry_after_ms(webhook.failures))
        self.store.release(replace(webhook, due_ms=due_ms), claimed, self.clock_ms())
        self._come_again(webhook, due_ms)

    def _slice(self, webhook: Webhook, until_ms: int) -> tuple[Webhook, bool]:
        """→ the webhook with its failures, and whether the receiver may be asked again at once."""
        failed = 0
        for delivery in self.store.waiting(webhook, AT_ONCE):
            now_ms = self.clock_ms()
            if now_ms >= until_ms or failed == MOST_FAILED:
                break
            if delivery.next_ms > now_ms:
                continue
            webhook, is_reached, is_taken = self._attempt(webhook, delivery, now_ms)
            if webhook.why or not is_reached:
                return webhook, False
            failed = 0 if is_taken else failed + 1
        return webhook, failed < MOST_FAILED

    def _attempt(self, webhook: Webhook, delivery: Delivery, now_ms: int) -> tuple[Webhook, bool, bool]:
        if delivery.until_ms <= now_ms:
            self.store.end(webhook, replace(delivery, state="failed"))
            return webhook, True, True
        secrets = [self.box().open(sealed, webhook.webhook_id) for sealed in webhook.secrets(now_ms)]
        told = self.sender.send(webhook.url, delivery.event, signed(delivery.event, secrets, now_ms))
        attempts = delivery.attempts + 1
        tried = replace(delivery, attempts=attempts, last_ms=now_ms, status=told.status, problem=told.problem)
        log.info("webhook", extra={"webhook_id": webhook.webhook_id, "event_id": delivery.event.event_id, **vars(told)})
        if told.is_taken:
            self.store.end(webhook, replace(tried, state="delivered"))
            return replace(webhook, failures=0, failing_ms=None), True, True
        webhook = replace(webhook, failures=webhook.failures + 1, failing_ms=webhook.failing_ms or now_ms)
        next_ms = now_ms + retry_after_ms(attempts)
        if told.is_gone or next_ms >= delivery.until_ms:
            self.store.end(webhook, replace(tried, state="failed"))
        else:
            self.store.put_back(webhook, replace(tried, next_ms=next_ms))
        return self._disabled(webhook, told.is_gone, next_ms), told.reached, False

    def _disabled(self, webhook: Webhook, is_gone: bool, now_ms: int) -> Webhook:
        """Told to go away, or it has taken nothing for a day."""
        assert webhook.failing_ms is not None
        why: Why = "gone" if is_gone else "failing" if now_ms - webhook.failing_ms >= GIVE_UP_MS else ""
        if why:
            self.disabled(webhook, why)  # first, because after a crash in between it is told once more, and not never
            self.store.disable(webhook, why)
        return replace(webhook, why=why)

    def _come_again(self, webhook: Webhook, due_ms: int | None) -> None:
        """A message that is lost here only makes it wait for the sweeper."""
        if due_ms is None:
            return
        seconds = max(0, -(-(due_ms - self.clock_ms()) // 1000))
        if seconds <= LONGEST_DELAY_SECONDS:
            self.queue.put(webhook.account_id, hook_item(webhook.webhook_id), seconds)
