"""Publish domain events from the changes of tables, and tell the webhooks of those that they know (ADR 127)."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sluice.domain.errors import StoreUnavailable
from sluice.domain.events import Change, DomainEvent, QuotaReached, RunCompleted, TokenIssued, happened, quota_reached
from sluice.domain.ids import ulid_time_ms
from sluice.domain.mails.mail import Kind
from sluice.domain.webhooks import EXPIRY_NOTICE_MS
from sluice.ports.mails import MailStore
from sluice.ports.webhooks import EventBus, WebhookStore

log = logging.getLogger("sluice.events")
QUOTA = (Kind.QUOTA_80, Kind.QUOTA_100)


@dataclass(frozen=True)
class Publish:
    """`bus`: None where nobody else hears of events. `announce`: tells the account's webhooks."""

    bus: EventBus | None
    mails: MailStore
    webhooks: WebhookStore
    announce: Callable[[str, str, dict[str, Any], int], None]

    def __call__(self, changes: Iterable[Change]) -> list[str]:
        """→ ids of the deliveries to repeat. A malformed change is skipped, because it would fail again."""
        failed = []
        for change in changes:
            try:
                self._publish(change)
            except StoreUnavailable:
                failed.append(change.delivery_id)
            except Exception:
                log.exception("change skipped: it cannot be read", extra={"kind": change.table})
        return failed

    def _publish(self, change: Change) -> None:
        events = list(self._quota(change) if change.table == "mails" else happened(change))
        if events and self.bus:
            self.bus.publish(events)
        for event in events:
            self._tell(event, change, ulid_time_ms(event.id.removeprefix("evt_")))

    def _quota(self, change: Change) -> Iterator[DomainEvent]:
        """The mail is what says once a month that so much is used. Its stream has keys only."""
        mail = self.mails.get(str(change.keys["mail_id"])) if change.is_new else None
        if mail is not None and mail.kind in QUOTA and mail.account_id:
            yield quota_reached(mail.account_id, mail.kind, int(mail.data["month"]), mail.created_ms)

    def _tell(self, event: DomainEvent, change: Change, at_ms: int) -> None:
        match event:
            case RunCompleted(response_id=str(response_id)):
                self.announce(event.account_id, f"response.{event.status}", {"id": response_id}, at_ms)
            case RunCompleted(kind="batch"):
                self.announce(event.account_id, f"batch.{event.status}", {"id": event.run_id}, at_ms)
            case QuotaReached():
                about = {"id": f"{event.period}-{event.percent}", "period": event.period, "percent": event.percent}
                self.announce(event.account_id, "quota.reached", about, at_ms)
            case TokenIssued():
                notice_ms = change.after["expires_ms"] - EXPIRY_NOTICE_MS
                if notice_ms - change.after["created_ms"] >= EXPIRY_NOTICE_MS:  # who makes a shorter one watches it
                    self.webhooks.remind(event.account_id, event.token_id, notice_ms)
