"""Webhooks and domain events: the use cases, each bound to its stores once a process."""

from __future__ import annotations  # a function imports only the use cases that it serves

from typing import TYPE_CHECKING

from sluice import settings
from sluice.domain.periods import rfc3339
from sluice.once import once
from sluice.wiring import peers, stores
from sluice.wiring.settings import webhooks_may_be_private

if TYPE_CHECKING:
    from sluice.domain.webhooks import Webhook, Why
    from sluice.ports.webhooks import DueQueue, EventBus
    from sluice.services.events import Publish
    from sluice.services.webhooks.announce import Announce
    from sluice.services.webhooks.deliver import Deliver, Overdue
    from sluice.services.webhooks.expiring import Expiring
    from sluice.services.webhooks.manage import OwnWebhooks


@once
def queue() -> DueQueue:
    """A queue of SQS on AWS; a folder of the data directory on one machine."""
    from sluice.adapters.runs.queue import WEBHOOK_SPOOL, FolderQueue, SqsQueue

    url = settings.common().webhook_queue_url
    return SqsQueue(url) if url else FolderQueue(settings.common().data_dir / WEBHOOK_SPOOL)


@once
def own_webhooks() -> OwnWebhooks:
    from sluice.services.webhooks.manage import OwnWebhooks
    from sluice.wiring.accounts import security_events

    return OwnWebhooks(stores.webhook_store(), queue(), peers.secret_box, security_events())


@once
def announce() -> Announce:
    from sluice.services.webhooks.announce import Announce

    return Announce(stores.webhook_store(), queue(), stores.account_store(), stores.mail_store(), peers.now_ms)


@once
def deliver() -> Deliver:
    from sluice.adapters.webhooks.sender import HttpSender
    from sluice.services.webhooks.deliver import Deliver

    sender = HttpSender(webhooks_may_be_private)
    return Deliver(stores.webhook_store(), queue(), sender, peers.secret_box, peers.now_ms, _disabled)


@once
def overdue() -> Overdue:
    from sluice.services.webhooks.deliver import Overdue

    return Overdue(stores.webhook_store(), queue())


def _disabled(webhook: Webhook, why: Why) -> None:
    from sluice.domain.mails.mail import Kind
    from sluice.services.mails.queue import queue_mail

    account, now_ms = stores.account_store().get(webhook.account_id), peers.now_ms()
    if account is None:
        return
    once_each = (webhook.webhook_id, webhook.failing_ms or 0)
    data: dict[str, str | int] = {"url": webhook.url, "why": why, "when": rfc3339(now_ms)}
    queue_mail(Kind.WEBHOOK_DISABLED, account, mails=stores.mail_store(), now_ms=now_ms, data=data, once=once_each)


@once
def expiring() -> Expiring:
    from sluice.services.webhooks.expiring import Expiring

    return Expiring(
        stores.token_store(),
        stores.webhook_store(),
        stores.account_store(),
        stores.mail_store(),
        announce(),
        peers.now_ms,
    )


@once
def publish() -> Publish:
    from sluice.services.events import Publish

    return Publish(_bus(), stores.mail_store(), stores.webhook_store(), announce())


def _bus() -> EventBus | None:
    from sluice.adapters.webhooks.buses import EventBridge, EventFile

    if bus := settings.events().event_bus:
        return EventBridge(bus)
    return EventFile(settings.common().data_dir) if settings.common().local else None
