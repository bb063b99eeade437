"""Interfaces of webhooks and of events: their table, their queue, what sends, and who else hears of events."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluice.domain.events import DomainEvent
    from sluice.domain.webhooks import Delivery, Event, Told, Webhook, Why


class WebhookStore(Protocol):
    """Every method may raise StoreUnavailable. Each change is one conditional write."""

    def put(self, webhook: Webhook) -> None: ...

    def get(self, account_id: str, webhook_id: str) -> Webhook:
        """A consistent read. Errors: NotFound."""

    def of_account(self, account_id: str) -> list[Webhook]:
        """Oldest first."""

    def change(self, webhook: Webhook, events: tuple[str, ...]) -> None:
        """Errors: NotFound, as for `renew` and `enable`."""

    def renew(self, webhook: Webhook, secret: str, until_ms: int) -> None:
        """The present secret signs beside the new one until then. Errors: Conflict, if it is not the present one."""

    def enable(self, webhook: Webhook, now_ms: int) -> None:
        """What waits is due at once."""

    def disable(self, webhook: Webhook, why: Why) -> bool:
        """→ whether it was enabled."""

    def delete(self, account_id: str, webhook_id: str) -> bool:
        """With its deliveries. → whether there was one."""

    def add(self, webhook: Webhook, delivery: Delivery) -> bool:
        """Let an event wait for delivery, unless it waits or was delivered. → whether nothing else brings the webhook
        to its queue, so that the caller must. An event of a webhook that is gone or disabled is dropped."""

    def deliveries(self, webhook: Webhook, most: int) -> list[Delivery]:
        """The newest first."""

    def ended(self, webhook: Webhook, event_id: str) -> Delivery | None: ...

    def again(self, webhook: Webhook, delivery: Delivery) -> bool:
        """As `add`, of one that has ended."""

    def waits(self, webhook: Webhook, event_id: str) -> Delivery | None: ...

    def hasten(self, webhook: Webhook, deliveries: Iterable[Delivery], now_ms: int) -> None:
        """Let what waits be due now, and its webhook, unless a process may be delivering to it."""

    def claim(self, account_id: str, webhook_id: str, now_ms: int, until_ms: int) -> Webhook | None:
        """None if it is not due, or another process delivers."""

    def waiting(self, webhook: Webhook, most: int) -> list[Delivery]:
        """The oldest first."""

    def put_back(self, webhook: Webhook, delivery: Delivery) -> None: ...

    def end(self, webhook: Webhook, delivery: Delivery) -> None: ...

    def release(self, webhook: Webhook, claimed: Webhook, now_ms: int) -> None:
        """Give a claim back, with the failures and the due time of `webhook`; without one if nothing waits, and at once
        if news have come meanwhile. Does nothing if the claim was lost."""

    def remind(self, account_id: str, token_id: str, due_ms: int) -> None:
        """Bring an API token to the queue then."""

    def forget(self, account_id: str, token_id: str) -> None: ...

    def overdue(self, before_ms: int, limit: int) -> list[tuple[str, str]]:
        """(account, item) of webhooks and reminders, the oldest first."""

    def erase_account(self, account_id: str) -> None: ...


class DueQueue(Protocol):
    """Brings (account, item) to `functions/events`, at least once. Errors: StoreUnavailable."""

    def put(self, account_id: str, item_id: str, delay_seconds: int = 0) -> None: ...


class WebhookSender(Protocol):
    def send(self, url: str, event: Event, headers: dict[str, str]) -> Told:
        """One attempt, of some seconds at most."""


class EventBus(Protocol):
    def publish(self, events: list[DomainEvent]) -> None:
        """Errors: StoreUnavailable: some may have been published."""
