"""The only declaration of the tables, as PynamoDB models: keys, indexes, expiry, stream.

`make up`, migrations and tests read these classes, through `tables.py`. A model lists the keys of its table and the
attributes that are read or written through it; only the small client's adapters know the others (docs/adr/0077).
Importing this module imports botocore, so nothing that a person waits for in a cold start may import it.
"""

from typing import Any

from pynamodb.attributes import BooleanAttribute, MapAttribute, NumberAttribute, TTLAttribute, UnicodeAttribute
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model


class OnDemand:
    """Settings that every table shares."""

    billing_mode = "PAY_PER_REQUEST"
    region = None
    host = None


class KeysOnly:
    projection = KeysOnlyProjection()


class WholeItems:
    projection = AllProjection()


class AccountItem(Model):
    """An account (`pk` is its id), the items that make its address (`email#…`) and its identities (`idn_…`) unique, and
    two items of the store: the list of unfinished deletions and the record of the store's version. Only an unverified
    account's items expire."""

    class Meta(OnDemand):
        table_name = "accounts"
        stream_view_type = "NEW_AND_OLD_IMAGES"

    pk = UnicodeAttribute(hash_key=True)
    account_id = UnicodeAttribute(null=True)
    email = UnicodeAttribute(null=True)
    email_key = UnicodeAttribute(null=True)
    name = UnicodeAttribute(null=True)
    password_hash = UnicodeAttribute(null=True)
    created_ms = NumberAttribute(null=True)
    role = UnicodeAttribute(null=True)
    status = UnicodeAttribute(null=True)
    store_content = BooleanAttribute(null=True)
    session_epoch = NumberAttribute(null=True)
    codes: MapAttribute[Any, Any] = MapAttribute(null=True)
    verified_ms = NumberAttribute(null=True)
    registrations: MapAttribute[Any, Any] = MapAttribute(null=True)
    invitation: MapAttribute[Any, Any] = MapAttribute(null=True)
    redeemed = UnicodeAttribute(null=True)
    language = UnicodeAttribute(null=True)
    mails = UnicodeAttribute(null=True)
    factors: MapAttribute[Any, Any] = MapAttribute(null=True)
    recovery: MapAttribute[Any, Any] = MapAttribute(null=True)
    terms = UnicodeAttribute(null=True)
    terms_ms = NumberAttribute(null=True)
    identities: MapAttribute[Any, Any] = MapAttribute(null=True)
    ttl_s = TTLAttribute(null=True)
    schema = NumberAttribute(null=True)
    mail_suppressed = UnicodeAttribute(null=True)
    mail_suppressed_ms = NumberAttribute(null=True)


class UnsentMails(GlobalSecondaryIndex[Any]):
    """Unsent mails, by a shard of their ids and by due time. A sent mail has neither key."""

    class Meta(KeysOnly):
        index_name = "unsent"

    unsent_shard = UnicodeAttribute(hash_key=True)
    due = UnicodeAttribute(range_key=True)


class MailsOfAccount(GlobalSecondaryIndex[Any]):
    class Meta(KeysOnly):
        index_name = "by_account"

    account_id = UnicodeAttribute(hash_key=True)


class MailItem(Model):
    class Meta(OnDemand):
        table_name = "mails"
        stream_view_type = "KEYS_ONLY"

    mail_id = UnicodeAttribute(hash_key=True)
    state = UnicodeAttribute(null=True)
    due = UnicodeAttribute(null=True)
    unsent_shard = UnicodeAttribute(null=True)
    attempts = NumberAttribute(null=True)
    sent_ms = NumberAttribute(null=True)
    failed_ms = NumberAttribute(null=True)
    requeued_ms = NumberAttribute(null=True)
    problem = UnicodeAttribute(null=True)
    ttl_s = TTLAttribute(null=True)

    unsent = UnsentMails()
    by_account = MailsOfAccount()


class SessionsOfAccount(GlobalSecondaryIndex[Any]):
    class Meta(WholeItems):
        index_name = "by_account"

    account_id = UnicodeAttribute(hash_key=True)


class SessionItem(Model):
    class Meta(OnDemand):
        table_name = "sessions"

    session_id = UnicodeAttribute(hash_key=True)
    ttl_s = TTLAttribute(null=True)

    by_account = SessionsOfAccount()


class TokenItem(Model):
    """The row of an API token. The grant decides whether the token is live."""

    class Meta(OnDemand):
        table_name = "tokens"
        stream_view_type = "NEW_AND_OLD_IMAGES"

    account_id = UnicodeAttribute(hash_key=True)
    token_id = UnicodeAttribute(range_key=True)
    last_used_ms = NumberAttribute(null=True)


class BusyGrants(GlobalSecondaryIndex[Any]):
    class Meta(KeysOnly):
        index_name = "busy"

    busy_shard = UnicodeAttribute(hash_key=True)
    account_id = UnicodeAttribute(range_key=True)


class GrantItem(Model):
    class Meta(OnDemand):
        table_name = "grants"

    account_id = UnicodeAttribute(hash_key=True)
    busy_shard = UnicodeAttribute(null=True)
    leases: MapAttribute[Any, Any] = MapAttribute(null=True)
    period = NumberAttribute(null=True)
    period_tokens = NumberAttribute(null=True)
    ttl_s = TTLAttribute(null=True)  # only while the account is unverified

    busy = BusyGrants()


class LedgerItem(Model):
    class Meta(OnDemand):
        table_name = "ledger"
        stream_view_type = "KEYS_ONLY"

    account_id = UnicodeAttribute(hash_key=True)
    request_id = UnicodeAttribute(range_key=True)
    rolled_up_ms = NumberAttribute(null=True)


class ChatsByUse(GlobalSecondaryIndex[Any]):
    """Chats alone, because no other item of the table has `updated_ms`."""

    class Meta(KeysOnly):
        index_name = "by_use"

    account_id = UnicodeAttribute(hash_key=True)
    updated_ms = NumberAttribute(range_key=True)


class ContentItem(Model):
    """Logged prompts and answers, stored Responses, chats and their messages."""

    class Meta(OnDemand):
        table_name = "contents"

    account_id = UnicodeAttribute(hash_key=True)
    item_id = UnicodeAttribute(range_key=True)
    ttl_s = TTLAttribute(null=True)

    by_use = ChatsByUse()


class RollupItem(Model):
    """Roll-ups, which never expire; and the refusals of a day (`refusals#DAY`), which do."""

    class Meta(OnDemand):
        table_name = "rollups"

    account_id = UnicodeAttribute(hash_key=True)
    bucket = UnicodeAttribute(range_key=True)
    schema = NumberAttribute(null=True)
    requests = NumberAttribute(default=0)
    prompt_tokens = NumberAttribute(default=0)
    completion_tokens = NumberAttribute(default=0)
    cost_micro_usd = NumberAttribute(default=0)
    priced = BooleanAttribute(null=True)  # a request had a price of 0
    unpriced = BooleanAttribute(null=True)  # a request had no price
    response_time_ms = NumberAttribute(default=0)
    upstream_micro_usd = NumberAttribute(null=True)  # only where a request has cost the owner something
    ttl_s = TTLAttribute(null=True)  # of refusals; a roll-up has none


class ThrottleItem(Model):
    class Meta(OnDemand):
        table_name = "throttles"

    throttle_key = UnicodeAttribute(hash_key=True)
    ttl_s = TTLAttribute(null=True)


class PendingDocuments(GlobalSecondaryIndex[Any]):
    class Meta(KeysOnly):
        index_name = "pending"

    pending_shard = UnicodeAttribute(hash_key=True)
    due = UnicodeAttribute(range_key=True)


class DocumentItem(Model):
    class Meta(OnDemand):
        table_name = "documents"
        stream_view_type = "NEW_AND_OLD_IMAGES"

    account_id = UnicodeAttribute(hash_key=True)
    item_id = UnicodeAttribute(range_key=True)

    pending = PendingDocuments()


class EventsByActor(GlobalSecondaryIndex[Any]):
    class Meta(WholeItems):
        index_name = "by_actor"

    actor = UnicodeAttribute(hash_key=True)


class EventsByTarget(GlobalSecondaryIndex[Any]):
    class Meta(WholeItems):
        index_name = "by_target"

    target = UnicodeAttribute(hash_key=True)


class AuditItem(Model):
    class Meta(OnDemand):
        table_name = "audit"

    day = UnicodeAttribute(hash_key=True)
    event_id = UnicodeAttribute(range_key=True)
    action = UnicodeAttribute(null=True)
    actor = UnicodeAttribute(null=True)
    target = UnicodeAttribute(null=True)
    created_ms = NumberAttribute(null=True)
    before: MapAttribute[Any, Any] = MapAttribute(null=True)
    after: MapAttribute[Any, Any] = MapAttribute(null=True)
    client = UnicodeAttribute(null=True)
    schema = NumberAttribute(null=True)

    by_actor = EventsByActor()
    by_target = EventsByTarget()


class SettingsItem(Model):
    """A version of the owner's settings. All have the same `site`, so that the newest is found by one query."""

    class Meta(OnDemand):
        table_name = "settings"

    site = UnicodeAttribute(hash_key=True)
    version = NumberAttribute(range_key=True)
    ttl_s = TTLAttribute(null=True)  # once there is a newer version


class RunItem(Model):
    """A run; as `live` the ids of an account's live ones; as `key#…` a claim of an `Idempotency-Key`. All expire."""

    class Meta(OnDemand):
        table_name = "runs"
        stream_view_type = "NEW_AND_OLD_IMAGES"

    account_id = UnicodeAttribute(hash_key=True)
    run_id = UnicodeAttribute(range_key=True)
    ttl_s = TTLAttribute(null=True)


class DueWebhooks(GlobalSecondaryIndex[Any]):
    """Webhooks for which something waits, and reminders that API tokens expire."""

    class Meta(KeysOnly):
        index_name = "due"

    due_shard = UnicodeAttribute(hash_key=True)
    due = UnicodeAttribute(range_key=True)


class WebhookItem(Model):
    """A webhook, an event that waits for it or was delivered, or a reminder (`adapters/webhooks/store.py`)."""

    class Meta(OnDemand):
        table_name = "webhooks"

    account_id = UnicodeAttribute(hash_key=True)
    item_id = UnicodeAttribute(range_key=True)
    ttl_s = TTLAttribute(null=True)  # of events

    by_due = DueWebhooks()


TABLES: tuple[type[Model], ...] = (
    AccountItem,
    MailItem,
    SessionItem,
    TokenItem,
    GrantItem,
    LedgerItem,
    ContentItem,
    RollupItem,
    ThrottleItem,
    DocumentItem,
    AuditItem,
    SettingsItem,
    RunItem,
    WebhookItem,
)
